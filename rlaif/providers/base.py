"""The seam between the package and any model: a request, a raw reply, a reply.

Owns the provider-neutral request and reply and the three functions a provider writes. A provider
translates and classifies; retry, concurrency, cache, journal and budget are ``client``'s alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from rlaif.errors import InputError
from rlaif.records import Message, SamplingParams, StopReason, Usage, canonical


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """``PROVIDER:MODEL``, e.g. ``openai:gpt-5-mini`` or ``local:smollm2-135m-instruct``."""

    provider: str
    model: str

    @classmethod
    def parse(cls, text: str) -> ModelSpec:
        """Split a spec at its first colon.

        Raises:
            InputError: no provider, an unknown provider, or no model name.
        """
        provider, _, model = text.partition(":")
        if provider not in PROVIDERS or not model:
            raise InputError(
                f"{text!r} is not a model; write PROVIDER:MODEL with one of {', '.join(PROVIDERS)},"
                " e.g. 'local:smollm2-135m-instruct'"
            )
        return cls(provider, model)

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


PROVIDERS = ("local", "openai", "anthropic", "compatible", "mock")


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model, in no provider's words."""

    model: str
    """Model name without the provider prefix."""
    messages: tuple[Message, ...]
    """The conversation; a last ``assistant`` message is a prefix the model continues."""
    params: SamplingParams = SamplingParams()
    """Knobs of the draw."""
    labels: tuple[str, ...] = ()
    """When given, return the probability of each label string as the continuation."""
    schema: Mapping[str, JsonValue] | None = None
    """JSON schema the response must follow, where the provider offers structured output."""
    sample_index: int = 0
    """Keeps the k samples of one prompt distinct in the cache."""


@dataclass(frozen=True, slots=True)
class RawReply:
    """What came back over the wire, kept verbatim in the journal."""

    text: str
    """Body, as received."""
    latency: float
    """Seconds from send to last byte."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The few headers that matter: request id, rate-limit state."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A raw reply, read."""

    text: str
    """The response; empty for a label request that drew nothing."""
    stop_reason: StopReason
    """Why drawing ended."""
    usage: Usage
    """Tokens billed."""
    model: str
    """Model version the provider says answered."""
    label_probs: Mapping[str, float] | None = None
    """Raw probability of each requested label, not normalised; None where none could be read."""
    refusal: bool = False
    """The provider marked the response as a refusal."""


class Provider(Protocol):
    """One way to reach models. ``body`` and ``read`` are pure; ``send`` is one attempt."""

    name: str
    """Prefix in model specs."""

    def body(self, request: Request) -> dict[str, JsonValue]:
        """Translate to the canonical wire body; equal requests give equal bodies.

        Raises:
            InputError: the request asks for something this provider does not offer.
        """
        ...

    async def send(self, body: Mapping[str, JsonValue]) -> RawReply:
        """Make one attempt, with no retry of its own.

        Raises:
            CallError: classified, without secrets in its message.
        """
        ...

    def read(self, request: Request, raw: RawReply) -> Reply:
        """Read a raw reply; the same text always reads the same.

        Raises:
            CallError: the body is not a reply in this provider's format (``transient``).
        """
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...


class Answered(Protocol):
    """A reply and the key of the call that bought it."""

    @property
    def reply(self) -> Reply:
        """The reply, read."""
        ...

    @property
    def key(self) -> str:
        """The request key."""
        ...


class Caller(Protocol):
    """Whatever answers requests: the client in a job, a script in a test."""

    async def call(self, request: Request) -> Answered:
        """Answer one request.

        Raises:
            CallError: the call was given up.
            BudgetError: the cap leaves no room for it.
        """
        ...


def request_key(provider: str, model: str, body: Mapping[str, JsonValue], sample_index: int) -> str:
    """Digest that names one purchasable call: 64 hex digits of SHA-256."""
    return hashlib.sha256(canonical([provider, model, body, sample_index])).hexdigest()
