"""A caller that answers from a function, and records to judge."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rlaif.errors import RlaifError
from rlaif.judging import Context
from rlaif.providers.base import Reply, Request
from rlaif.records import Message, Prompt, Sample, SamplingParams, Usage, digest


@dataclass(frozen=True)
class Answer:
    reply: Reply
    key: str


def reply(
    text: str = "", *, probs: dict[str, float] | None = None, stop: str = "stop", refusal: bool = False
):
    return Reply(
        text=text, stop_reason=stop, usage=Usage(), model="scripted", label_probs=probs, refusal=refusal
    )


class Script:
    """Answers each request with ``answer(request)``; an error it returns is raised."""

    def __init__(
        self,
        answer: Callable[[Request], Reply | RlaifError],
        *,
        delay: Callable[[Request], int] = lambda _: 0,
    ):
        self.answer, self.delay = answer, delay
        self.requests: list[Request] = []

    async def call(self, request: Request) -> Answer:
        self.requests.append(request)
        for _ in range(self.delay(request)):
            await asyncio.sleep(0)
        found = self.answer(request)
        if isinstance(found, RlaifError):
            raise found
        return Answer(
            found, digest("key", [[m.role, m.content] for m in request.messages], request.sample_index)
        )


def prompt(text: str = "Name a river.") -> Prompt:
    return Prompt.make((Message(role="user", content=text),))


def sample(of: Prompt, response: str, index: int = 0) -> Sample:
    return Sample.make(
        prompt_id=of.id,
        model="mock:policy",
        params=SamplingParams(),
        index=index,
        response=response,
        stop_reason="stop",
        request_key="k",
    )


CONTEXT = Context(axis="helpfulness", text="Rules:\n- Be exact.", constitution="cn_1")
