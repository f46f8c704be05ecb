"""A judge that knows the truth and has faults of a known size, behind the HTTP of any compatible server.

Owns what it says: P(first) = sigma(k (gold_1 - gold_2) + b), by label probabilities or in words, with an
error of its own about either response, and how often it says nothing of use. Who asks sees a server, and no
truth: it is asked through ``compatible:`` like any other.
API page: https://platform.openai.com/docs/api-reference/chat/create

It reads the fences that pairwise questions are asked in, so a template of one's own has to keep them:
``<<prompt TOKEN>>``, ``<<NAME TOKEN>>`` twice, ``<<end TOKEN>>``. Asked as model ``reviser`` it criticises
and rewrites responses instead, see ``gold_reviser``.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

from aiohttp import web
from pydantic import Field

from rlaif.lab import gold_reviser
from rlaif.lab.worlds import World
from rlaif.records import Record
from rlaif.training.controls import lot

LOOPBACK: Final = "127.0.0.1"
"""Where it listens: the truth is for tests on this machine."""
SURE: Final = (0.03, 0.97)
"""What a judge that has reasoned says: it has talked itself into certainty."""
_FENCED: Final = re.compile(
    r"<<prompt (?P<token>\w+)>>\n(?P<prompt>.*?)\n<<(?P<first>\w+) (?P=token)>>\n(?P<one>.*?)\n"
    r"<<(?P<second>\w+) (?P=token)>>\n(?P<other>.*?)\n<<end (?P=token)>>",
    re.DOTALL,
)
_MOST_BYTES: Final = 2**24
Body = dict[str, Any]


class Temper(Record):
    """What the judge is like; by default faultless and calibrated."""

    sharpness: float = Field(default=1.0, ge=0.0)
    """k: how much a unit of gold counts, in log-odds."""
    slot_bias: float = 0.0
    """b: log-odds that the first slot has for free."""
    noise: float = Field(default=0.0, ge=0.0)
    """Standard deviation of its error about the worth of a response, in units of gold. The same response to
    the same prompt always gets the same error, so that neither both orders nor asking again helps."""
    reasons: bool = False
    """Whether it reasons first; what it then says is nearly certain, and wrong as often as before."""
    malformed: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of questions it answers with something that is no verdict; of responses it leaves as they are."""
    limited: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of attempts refused with status 429."""
    failing: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of attempts that end in status 500."""
    latency: float = Field(default=0.0, ge=0.0, le=60.0)
    """Seconds before every answer."""


FAULTLESS: Final = Temper()


@dataclass(frozen=True, slots=True)
class Question:
    """A pair, as it was asked."""

    prompt: str
    """What both answer."""
    responses: tuple[str, str]
    """In their slots."""
    names: tuple[str, str]
    """What the slots are called."""

    @classmethod
    def read(cls, body: Body) -> Question | None:
        """Find the pair in a body; None where none is asked about."""
        for message in reversed(body.get("messages", ())):  # worked examples come before the question
            if hit := _FENCED.search(str(message.get("content", ""))):
                return cls(hit["prompt"], (hit["one"], hit["other"]), (hit["first"], hit["second"]))
        return None


class GoldJudge:
    """One judge of one world; what it says of a question is the same every time.

    Args:
        world: holds the truth.
        temper: its faults.
        seed: of its verdicts and faults.
    """

    def __init__(self, world: World, temper: Temper = FAULTLESS, seed: int = 0) -> None:
        self.temper = temper
        self.asked: Counter[int] = Counter()
        """Attempts by the status they ended in."""
        self._world = world
        self._seed = seed
        self._attempts = 0

    def probability(self, prompt: str, first: str, second: str, model: str = "gold") -> float:
        """P(first), before any reasoning.

        Args:
            prompt: what both answer.
            first: one response.
            second: the other.
            model: asked as ``proxy`` or ``safety`` it looks at that alone; by any other name, at the truth.
        """
        gap = self._worth(prompt, first, model) - self._worth(prompt, second, model)
        return _sigma(self.temper.sharpness * gap + self.temper.slot_bias)

    def _worth(self, prompt: str, response: str, model: str) -> float:
        """What it takes a response to be worth."""
        true = self._world.measure(model)(prompt, response)
        if not self.temper.noise:
            return true
        drawn = self._draw("noise", model, prompt, response)
        return true + self.temper.noise * NormalDist().inv_cdf(min(max(drawn, 1e-12), 1.0 - 1e-12))

    def application(self) -> web.Application:
        """Return the server."""
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/v1/chat/completions", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.temper.latency)
        self._attempts += 1
        drawn = self._draw("attempt", self._attempts)
        if drawn < self.temper.limited:
            return self._refused(429, "slow down", {"retry-after-ms": "20"})
        if drawn < self.temper.limited + self.temper.failing:
            return self._refused(500, "the judge fell over")
        try:
            body = await request.json()
        except json.JSONDecodeError:
            return self._refused(400, "the body is not JSON")
        if not isinstance(body, dict):
            return self._refused(400, "the body is no JSON object")
        if body.get("model") == gold_reviser.MODEL:
            return self._revised(body)
        question = Question.read(body)
        if question is None:
            return self._refused(400, "this judge compares two fenced responses; ask with kind: pairwise")
        self.asked[200] += 1
        return web.json_response(self.reply(body, question))

    def _revised(self, body: Body) -> web.Response:
        asked = gold_reviser.Asked.read(body)
        if asked is None:
            return self._refused(400, "this reviser rewrites a fenced response; ask with kind: revise")
        self.asked[200] += 1
        idle = self._draw("malformed", asked.prompt, asked.response) < self.temper.malformed
        return web.json_response(_completion(body, gold_reviser.written(self._world, asked, idle=idle), None))

    def _refused(self, status: int, said: str, headers: Mapping[str, str] | None = None) -> web.Response:
        self.asked[status] += 1
        return web.json_response({"error": {"message": said}}, status=status, headers=headers)

    def reply(self, body: Body, question: Question) -> Body:
        """Return the chat completion that answers a question."""
        p = self.probability(question.prompt, *question.responses, str(body.get("model")))
        first = self._draw(question.prompt, *question.responses) < p
        if self.temper.reasons:
            p = SURE[first]
        if self._draw("malformed", json.dumps(body["messages"])) < self.temper.malformed:
            return _completion(body, "Both have their merits, one might say.", None)
        if body.get("logprobs"):
            return _completion(body, question.names[p < 0.5], _logprobs(question.names, p))
        return _completion(body, self._words(body, question, first), None)

    def _words(self, body: Body, question: Question, first: bool) -> str:
        name = question.names[not first]
        if body.get("response_format"):
            return json.dumps({"verdict": name})
        better = "first" if first else "second"
        reasons = f"The {better} response does more of what was asked and less of what was not."
        # Where it is to name no winner yet, the verdict is asked for next.
        last = str(body["messages"][-1]["content"])
        return reasons if "Do not name a winner" in last else f"{reasons}\nVerdict: {name}"

    def _draw(self, *parts: object) -> float:
        """A number from 0 to 1 that depends on what is asked alone."""
        return lot(self._seed, *parts)


@asynccontextmanager
async def listening(judge: GoldJudge, port: int = 0) -> AsyncIterator[str]:
    """Serve a judge on loopback until the end of the block.

    Args:
        judge: who answers.
        port: any free one when 0.

    Yields:
        The base address for ``rlaif.toml``, e.g. ``http://127.0.0.1:8021/v1``.

    Raises:
        OSError: the port is taken.
    """
    runner = web.AppRunner(judge.application(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, port)
        await site.start()
        _, bound = runner.addresses[0][:2]
        yield f"http://{LOOPBACK}:{bound}/v1"
    finally:
        await runner.cleanup()


def _completion(body: Body, text: str, logprobs: Body | None) -> Body:
    usage = {"prompt_tokens": _tokens(body["messages"]), "completion_tokens": max(1, len(text) // 4)}
    choice: Body = {
        "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
        "logprobs": logprobs,
    }  # fmt: skip
    return {
        "object": "chat.completion",
        "model": body.get("model", "gold"),
        "choices": [choice],
        "usage": usage,
    }


def _logprobs(names: tuple[str, str], p: float) -> Body:
    """Probabilities of the two names as a first token."""
    listed: list[Body] = [
        {"token": name, "logprob": math.log(max(share, 1e-12)), "bytes": None}
        for name, share in zip(names, (p, 1.0 - p), strict=True)
    ]
    return {"content": [{**listed[p < 0.5], "top_logprobs": listed}]}


def _tokens(messages: Sequence[Body]) -> int:
    return 1 + sum(len(str(one.get("content", ""))) for one in messages) // 4


def _sigma(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))
