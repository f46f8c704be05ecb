"""Models that cost nothing and need nothing: for tests and for a look around offline.

Owns two deterministic providers. `Mock` replies as a pure function of the body; `Scripted` replies
as a test tells it. Neither says anything about any real model.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import pydantic_core
from pydantic import JsonValue

from rlaif.errors import CallError, InputError
from rlaif.providers.base import RawReply, Reply, Request
from rlaif.records import Usage, canonical

Script = Callable[[Mapping[str, JsonValue]], "str | RawReply | CallError"]
"""From a wire body to a response text, a raw reply as it stands, or an error to raise."""

MASS: Final = 0.9
"""Probability that the labels of a request get together."""
_WORDS: Final = (
    "a", "calm", "careful", "clear", "cold", "early", "friend", "garden", "honest", "keeps", "kind", "lamp",
    "late", "letter", "listens", "morning", "never", "often", "open", "question", "quiet", "reads", "river",
    "road", "short", "small", "stone", "the", "window", "winter", "words", "writes",
)  # fmt: skip


class Mock:
    """``mock:text`` writes a sentence drawn from the body's digest, ``mock:echo`` repeats the last turn.

    Label requests get probabilities, and requests with a flat JSON schema get an object, drawn from
    the same digest. Tokens are words. The wire body is the request itself.

    Args:
        model: ``text`` or ``echo``.

    Raises:
        InputError: no such model.
    """

    name = "mock"

    def __init__(self, model: str) -> None:
        if model not in ("text", "echo"):
            raise InputError(f"'mock:{model}' is not a model; choose 'mock:text' or 'mock:echo'")

    def body(self, request: Request) -> dict[str, JsonValue]:
        """Translate; see `Provider.body`."""
        return {
            "model": request.model,
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
            "params": request.params.model_dump(mode="json"),
            "labels": list(request.labels),
            "schema": None if request.schema is None else dict(request.schema),
        }

    async def send(self, body: Mapping[str, JsonValue]) -> RawReply:
        """Reply at once; see `Provider.send`."""
        return _wire(body, _text(body))

    def read(self, request: Request, raw: RawReply) -> Reply:
        """Read; see `Provider.read`."""
        try:
            wire: dict[str, Any] = pydantic_core.from_json(raw.text)
            read, drawn = wire["usage"]
            usage = Usage(input_tokens=read, output_tokens=drawn)
            stop = "max_tokens" if wire["cut"] else "stop"
            return Reply(wire["text"], stop, usage, f"mock:{request.model}", wire["labels"])  # type: ignore[arg-type]
        except (ValueError, TypeError, KeyError) as error:
            raise CallError(f"not a mock reply: {error}", retry="transient") from None

    async def close(self) -> None:
        """Nothing to release."""


class Scripted(Mock):
    """A provider for tests that does as told.

    Args:
        script: what to reply to a body.
        latency: seconds every attempt takes.

    Attributes:
        sent: bodies in the order they came, one entry an attempt.
    """

    def __init__(self, script: Script, latency: float = 0.0) -> None:
        super().__init__("text")
        self.sent: list[Mapping[str, JsonValue]] = []
        self._script = script
        self._latency = latency

    async def send(self, body: Mapping[str, JsonValue]) -> RawReply:
        """Note the body, wait, and do as told.

        Raises:
            CallError: the script says so.
        """
        self.sent.append(body)
        if self._latency:
            await asyncio.sleep(self._latency)
        said = self._script(body)
        if isinstance(said, CallError):
            raise said
        return said if isinstance(said, RawReply) else _wire(body, said)


def _wire(body: Mapping[str, Any], text: str) -> RawReply:
    """Make the raw reply that says ``text``, cut to the body's max_tokens."""
    labels = body["labels"]
    words = text.split(" ") if text and not labels else []
    most = body["params"]["max_tokens"]
    wire = {
        "text": " ".join(words[:most]),
        "cut": len(words) > most,
        "usage": [sum(len(one["content"].split()) for one in body["messages"]), len(words[:most])],
        "labels": _label_probs(body, labels) if labels else None,
    }
    return RawReply(pydantic_core.to_json(wire).decode(), 0.0)


def _text(body: Mapping[str, Any]) -> str:
    if body["schema"] is not None:
        return _instance(body)
    if body["model"] == "echo":
        return str(body["messages"][-1]["content"])
    seed = _seed(body)
    words = [_WORDS[byte % len(_WORDS)] for byte in seed[: 4 + seed[-1] % 12]]
    return " ".join(words).capitalize() + "."


def _label_probs(body: Mapping[str, Any], labels: list[str]) -> dict[str, float]:
    """Share the mass among the labels by the digest of body and label."""
    weights = [1 + int.from_bytes(_seed(body, one)[:4]) for one in labels]
    return {one: MASS * weight / sum(weights) for one, weight in zip(labels, weights, strict=True)}


def _instance(body: Mapping[str, Any]) -> str:
    """Make a JSON object with the properties of a flat schema."""
    properties = body["schema"].get("properties", {})
    drawn = {name: _value(one, _seed(body, name)) for name, one in properties.items()}
    return pydantic_core.to_json(drawn).decode()


def _value(schema: Mapping[str, Any], seed: bytes) -> JsonValue:
    at = int.from_bytes(seed[:4])
    if "enum" in schema:
        choices: list[JsonValue] = schema["enum"]
        return choices[at % len(choices)]
    if schema.get("type") == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 10)
        return int(low + at % (high - low + 1))
    if schema.get("type") == "number":
        return at / 2**32
    if schema.get("type") == "boolean":
        return at % 2 == 0
    return _WORDS[at % len(_WORDS)]


def _seed(*parts: object) -> bytes:
    return hashlib.sha256(canonical(parts)).digest()
