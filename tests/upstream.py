"""A fake upstream on loopback: two wire formats, a priced ledger, and twenty-two ways to fail.

Replies are a function of the body alone, so a resumed run sees what an uninterrupted one saw. Faults
are a function of (seed, body, how often that body was seen), so a run can be repeated.

    python -m tests.upstream --port 8080 --latency 0.05 --fault-rate 0.05 --ledger ledger.jsonl

serves ``POST /v1/chat/completions`` (OpenAI), ``POST /v1/messages`` (Anthropic) and ``GET /ledger``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

Body = dict[str, Any]

UNBILLED = ("429", "500", "502", "503", "529", "refused", "connect_timeout", "redirect", "html_page")
"""Faults after which the upstream charges nothing."""
BILLED = (
    "read_timeout", "slow_drip", "reset_mid_body", "truncated_json", "wrong_content_type", "wrong_schema",
    "empty_content", "length", "refusal", "content_filter", "usage", "ten_megabytes", "non_utf8",
)  # fmt: skip
"""Faults after which it charges as for a good reply."""
KINDS = UNBILLED + BILLED
READABLE = ("empty_content", "length", "refusal", "content_filter", "usage")
"""Faults of content: the reply itself is in order."""
WAITS = ("seconds", "date", "ms", "absent", "600")
"""Forms of Retry-After a 429 comes in."""

WORDS = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "juniper", "kelp",
    "larch", "maple", "north", "ochre",
)  # fmt: skip
LABELS = ("A", "B", "C", "1", "2", "3", "4", "5", "Yes", "No")
INPUT_PRICE = 1e-6
"""USD per input token."""
OUTPUT_PRICE = 4e-6
"""USD per output token."""


@dataclass(frozen=True)
class Entry:
    """One attempt as the upstream saw it."""

    path: str
    body: str
    """Digest of the canonical body."""
    attempt: int
    """How many times this body had come, this one included."""
    outcome: str
    """``ok`` or the kind of fault."""
    input_tokens: int
    output_tokens: int
    price: float
    """USD charged; 0 where nothing was."""
    authorised: bool
    """A credential came with it."""


@dataclass
class Upstream:
    """The server's state. ``script`` overrides the drawn faults: kinds in order, then ``ok``."""

    latency: float = 0.0
    fault_rate: float = 0.0
    kinds: Sequence[str] = KINDS
    seed: int = 0
    script: list[str] = field(default_factory=list)
    keys: frozenset[str] = frozenset()
    """Keys accepted; any when empty."""
    hang: float = 5.0
    """Seconds a stalled reply stalls."""
    wait: str = ""
    """Form of Retry-After; drawn when empty."""
    elsewhere: str = "http://127.0.0.1:9/"
    """Where redirects point."""
    echo: bool = False
    """Repeat the Authorization header in error bodies, as careless proxies do."""
    reply_text: Callable[[Body], str] | None = None
    """What to say; words drawn from the body's digest when None."""
    ledger: list[Entry] = field(default_factory=list)
    ledger_file: Path | None = None
    seen: Counter[str] = field(default_factory=Counter)
    url: str = ""

    @property
    def spent(self) -> float:
        return sum(one.price for one in self.ledger)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", partial(self._handle, openai_reply))
        app.router.add_post("/v1/messages", partial(self._handle, anthropic_reply))
        app.router.add_get("/ledger", self._show)
        return app

    async def _show(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(one) for one in self.ledger])

    async def _handle(self, form: Callable[..., Body], request: web.Request) -> web.StreamResponse:
        sent = json.loads(await request.read())
        name = digest(sent)
        self.seen[name] += 1
        kind = self._pick(request, name)
        reply = form(sent, (self.reply_text or words)(sent))
        self._record(request, name, kind, reply)
        if self.latency:
            await asyncio.sleep(self.latency)
        if kind == "ok":
            return web.json_response(reply)
        return await Fault(self, request, reply, name).respond(kind)

    def _pick(self, request: web.Request, name: str) -> str:
        if self.keys and credential(request) not in self.keys:
            return "401"
        if self.script:
            return self.script.pop(0)
        if unit(self.seed, name, self.seen[name]) >= self.fault_rate:
            return "ok"
        return self.kinds[int(unit(self.seed, name, self.seen[name], "kind") * len(self.kinds))]

    def _record(self, request: web.Request, name: str, kind: str, reply: Body) -> None:
        tokens = sum(reply["usage"].get(one, 0) for one in ("prompt_tokens", "input_tokens"))
        drawn = sum(reply["usage"].get(one, 0) for one in ("completion_tokens", "output_tokens"))
        billed = kind == "ok" or kind in BILLED
        price = tokens * INPUT_PRICE + drawn * OUTPUT_PRICE if billed else 0.0
        entry = Entry(
            request.path, name, self.seen[name], kind, tokens, drawn, price, bool(credential(request))
        )
        self.ledger.append(entry)
        if self.ledger_file is not None:
            with self.ledger_file.open("a") as file:
                file.write(json.dumps(asdict(entry)) + "\n")


@dataclass
class Fault:
    """One failing reply."""

    upstream: Upstream
    request: web.Request
    reply: Body
    name: str

    async def respond(self, kind: str) -> web.StreamResponse:
        if kind.isdigit():
            return self._status(int(kind))
        return await getattr(self, f"_{kind}")()

    def _status(self, status: int) -> web.Response:
        said = f"status {status} on purpose"
        if self.upstream.echo:
            said += f"; you sent {credential(self.request)}, Authorization: Bearer {credential(self.request)}"
        error = {"type": "error", "error": {"type": "some_error", "message": said}}
        headers = self._wait() if status == 429 else {}
        return web.json_response(error, status=status, headers=headers)

    def _wait(self) -> dict[str, str]:
        form = self.upstream.wait or WAITS[int(unit(self.name, "wait") * len(WAITS))]
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        forms = {"seconds": {"Retry-After": "1"}, "date": {"Retry-After": date}, "absent": {}}
        return {**forms, "ms": {"retry-after-ms": "20"}, "600": {"Retry-After": "600"}}[form]

    async def _refused(self) -> web.StreamResponse:
        """Drop the connection before any byte; a closed port itself is not the server's to play."""
        assert self.request.transport is not None
        self.request.transport.abort()
        return web.Response()

    _connect_timeout = _refused

    async def _redirect(self) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": self.upstream.elsewhere})

    async def _html_page(self) -> web.StreamResponse:
        return web.Response(text="<html><body>Please log in</body></html>", content_type="text/html")

    async def _read_timeout(self) -> web.StreamResponse:
        await asyncio.sleep(self.upstream.hang)
        return web.json_response(self.reply)

    async def _slow_drip(self) -> web.StreamResponse:
        content = json.dumps(self.reply).encode()
        stream = await self._begin(len(content))
        pause = self.upstream.hang / len(content)
        with contextlib.suppress(ConnectionError):
            for at in range(len(content)):
                await stream.write(content[at : at + 1])
                await asyncio.sleep(pause)
        return stream

    async def _reset_mid_body(self) -> web.StreamResponse:
        content = json.dumps(self.reply).encode()
        stream = await self._begin(len(content))
        await stream.write(content[: len(content) // 2])
        assert self.request.transport is not None
        self.request.transport.abort()
        return stream

    async def _begin(self, length: int) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Length": str(length)})
        stream.content_type = "application/json"
        await stream.prepare(self.request)
        return stream

    async def _truncated_json(self) -> web.StreamResponse:
        content = json.dumps(self.reply)
        return self._json(content[: len(content) // 2].encode())

    async def _wrong_content_type(self) -> web.StreamResponse:
        return web.Response(body=json.dumps(self.reply).encode(), content_type="text/plain")

    async def _wrong_schema(self) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [1, 2, 3]})

    async def _ten_megabytes(self) -> web.StreamResponse:
        self._say("x" * 10_000_000)
        return web.json_response(self.reply)

    async def _non_utf8(self) -> web.StreamResponse:
        self._say("caf\N{LATIN SMALL LETTER E WITH ACUTE}")
        return self._json(json.dumps(self.reply, ensure_ascii=False).encode("latin-1"))

    async def _empty_content(self) -> web.StreamResponse:
        self._say("")
        return web.json_response(self.reply)

    async def _length(self) -> web.StreamResponse:
        self._stop("length", "max_tokens")
        return web.json_response(self.reply)

    async def _content_filter(self) -> web.StreamResponse:
        self._stop("content_filter", "refusal")
        return web.json_response(self.reply)

    async def _refusal(self) -> web.StreamResponse:
        self._stop("stop", "refusal")
        if "choices" in self.reply:
            self.reply["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "No."}
        return web.json_response(self.reply)

    async def _usage(self) -> web.StreamResponse:
        if unit(self.name, "usage") < 0.5:
            del self.reply["usage"]
        else:
            self.reply["usage"] = dict.fromkeys(self.reply["usage"], -(10**15))
        return web.json_response(self.reply)

    def _json(self, content: bytes) -> web.Response:
        return web.Response(body=content, content_type="application/json")

    def _say(self, text: str) -> None:
        if "choices" in self.reply:
            self.reply["choices"][0]["message"]["content"] = text
        else:
            self.reply["content"] = [{"type": "text", "text": text}] if text else []

    def _stop(self, openai: str, anthropic: str) -> None:
        if "choices" in self.reply:
            self.reply["choices"][0]["finish_reason"] = openai
        else:
            self.reply["stop_reason"] = anthropic


def openai_reply(sent: Body, text: str) -> Body:
    limit = sent.get("max_tokens", sent.get("max_completion_tokens", 10**6))
    drawn = text.split(" ")[:limit]
    choice: Body = {"index": 0, "finish_reason": "stop" if len(drawn) < limit else "length"}
    choice["message"] = {"role": "assistant", "content": structured(sent) or " ".join(drawn), "refusal": None}
    if sent.get("logprobs"):
        choice["logprobs"] = {"content": [first_token(sent)]}
        choice["message"]["content"] = choice["logprobs"]["content"][0]["token"]
    usage = {"prompt_tokens": prompt_tokens(sent), "completion_tokens": len(drawn)}
    usage["total_tokens"] = sum(usage.values())
    return {
        "id": "chatcmpl-" + digest(sent)[:12],
        "object": "chat.completion",
        "created": 1,
        "model": f"{sent['model']}-fake",
        "choices": [choice],
        "usage": usage,
    }


def anthropic_reply(sent: Body, text: str) -> Body:
    drawn = text.split(" ")[: sent["max_tokens"]]
    return {
        "id": "msg_" + digest(sent)[:12],
        "type": "message",
        "role": "assistant",
        "model": f"{sent['model']}-fake",
        "content": [{"type": "text", "text": structured(sent) or " ".join(drawn)}],
        "stop_reason": "end_turn" if len(drawn) < sent["max_tokens"] else "max_tokens",
        "stop_sequence": None,
        "usage": {"input_tokens": prompt_tokens(sent), "output_tokens": len(drawn)},
    }


def prompt_tokens(sent: Body) -> int:
    return sum(len(one["content"].split()) for one in sent["messages"])


def words(sent: Body) -> str:
    """Three to ten words; a verdict or a score where the question speaks of one."""
    seed = bytes.fromhex(digest(sent))
    asked = " ".join(one["content"] for one in sent["messages"])
    if "Verdict:" in asked:
        return f"Verdict: {'AB'[seed[0] % 2]}"
    if "Score:" in asked:
        return f"Score: {1 + seed[0] % 5}"
    return " ".join(WORDS[byte % len(WORDS)] for byte in seed[: 3 + seed[-1] % 8])


def first_token(sent: Body) -> Body:
    """Probability .9 over the labels, each once bare and once after a blank, and .1 elsewhere."""
    shares = [unit(digest(sent), one) for one in LABELS]
    probs = {}
    for label, share in zip(LABELS, shares, strict=True):
        p = 0.9 * share / sum(shares)
        probs |= {label: 0.75 * p, f" {label}": 0.25 * p}
    probs["The"] = 0.1
    top = sorted(probs.items(), key=lambda one: -one[1])[: sent.get("top_logprobs", 0)]
    listed = [{"token": token, "logprob": math.log(p), "bytes": list(token.encode())} for token, p in top]
    return {**listed[0], "top_logprobs": listed}


def structured(sent: Body) -> str | None:
    """An object a flat JSON schema allows, when one is asked for; enums are drawn, the rest is empty."""
    openai = sent.get("response_format", {}).get("json_schema", {})
    schema = openai.get("schema") or sent.get("output_config", {}).get("format", {}).get("schema")
    if schema is None:
        return None
    empty = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "array": [], "object": {}}
    chosen = {}
    for name, one in schema.get("properties", {}).items():
        menu = one.get("enum", [empty.get(one.get("type"))])
        chosen[name] = menu[int(unit(digest(sent), name) * len(menu))]
    return json.dumps(chosen)


def digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def unit(*parts: object) -> float:
    """A number in [0, 1) that is a function of the parts."""
    return int(digest([str(one) for one in parts])[:13], 16) / 16**13


def credential(request: web.Request) -> str:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bearer or request.headers.get("X-Api-Key", "")


@contextlib.asynccontextmanager
async def serving(upstream: Upstream, port: int = 0) -> AsyncIterator[Upstream]:
    """Serve on loopback until the block ends; ``upstream.url`` is its address."""
    runner = web.AppRunner(upstream.application(), access_log=None, shutdown_timeout=0.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield upstream
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """An address where connections are refused."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """An address where connecting hangs: nobody accepts and the queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of fault, by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hang", type=float, default=5.0)
    parser.add_argument("--ledger", type=Path)
    given = parser.parse_args()
    upstream = Upstream(
        given.latency, given.fault_rate, given.kinds.split(","), given.seed, hang=given.hang,
        ledger_file=given.ledger,
    )  # fmt: skip
    async with serving(upstream, given.port):
        print(upstream.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
