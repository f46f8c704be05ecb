"""The chat-completions wire format, shared by OpenAI and every server that speaks like it.

Owns the request body and the reading of a reply. Leaves the connection to ``openai`` and
``compatible``. API page: https://platform.openai.com/docs/api-reference/chat/create

Label probabilities are read from the first drawn token's ``top_logprobs``: a listed token counts for
a label when it equals the label after whitespace around the token is dropped, case kept, so ``"A"``
and ``" A"`` add up. A label longer than one token never matches; its probability is 0 and the
captured mass shows it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from rlaif.errors import CallError, InputError
from rlaif.providers.base import RawReply, Reply, Request
from rlaif.providers.faults import unreadable
from rlaif.providers.tokens import counted
from rlaif.records import StopReason

TOP_LOGPROBS = 20
"""The most alternatives the format offers for one token."""

_STOPS: dict[str | None, StopReason] = {
    "stop": "stop",
    "length": "max_tokens",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Where servers of this format differ."""

    limit: Literal["max_tokens", "max_completion_tokens"]
    """Field that bounds the drawn tokens."""
    explicit: bool
    """Send temperature and top_p at 1 too, because the server's own defaults may differ from 1."""
    prefix: bool
    """The server continues a last assistant message."""


def body(request: Request, model: str, dialect: Dialect) -> dict[str, JsonValue]:
    """Translate a request.

    Args:
        request: the question.
        model: the name the server knows the model by.
        dialect: what the server deviates in.

    Raises:
        InputError: the request ends in an assistant message and the server cannot continue one.
    """
    params = request.params
    built: dict[str, JsonValue] = {
        "model": model,
        "messages": [{"role": one.role, "content": one.content} for one in request.messages],
        "seed": seed(params.seed, request.sample_index),
        dialect.limit: 1 if request.labels else params.max_tokens,
    }
    if dialect.explicit or params.temperature != 1.0:
        built["temperature"] = params.temperature
    if dialect.explicit or params.top_p != 1.0:
        built["top_p"] = params.top_p
    if params.stop and not request.labels:
        built["stop"] = list(params.stop)
    if request.labels:
        built |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    if request.schema is not None:
        schema: JsonValue = dict(request.schema)
        named: JsonValue = {"name": "reply", "schema": schema, "strict": True}
        built["response_format"] = {"type": "json_schema", "json_schema": named}
    if request.messages[-1].role == "assistant":
        if not dialect.prefix:
            raise InputError(
                f"{model!r} begins a new turn and cannot continue a last 'assistant' message;"
                " end the template with a user turn"
            )
        built |= {"add_generation_prompt": False, "continue_final_message": True}
    return built


def seed(base: int, index: int) -> int:
    """Mix seed and sample index into 31 bits, the widest range all servers take.

    Adding them would give neighbouring seeds overlapping draws.
    """
    return int.from_bytes(hashlib.sha256(f"{base}/{index}".encode()).digest()[:4]) >> 1


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class _Alternative(_Wire):
    token: str
    logprob: float | None


class _Token(_Alternative):
    top_logprobs: list[_Alternative] = Field(default_factory=list)


class _Logprobs(_Wire):
    content: list[_Token] | None = None


class _Message(_Wire):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Wire):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Completion(_Wire):
    choices: list[_Choice] = Field(min_length=1)
    model: str = ""
    usage: JsonValue = None


def read(request: Request, raw: RawReply, who: str) -> Reply:
    """Read a chat completion.

    Raises:
        CallError: the text is no chat completion (``transient``, billed).
    """
    try:
        found = _Completion.model_validate_json(raw.text)
    except ValidationError as error:
        raise not_a_reply(who, error) from None
    choice = found.choices[0]
    message = choice.message
    counts = found.usage if isinstance(found.usage, dict) else {}
    details = counts.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Reply(
        text=message.refusal or _continued(request, message.content or ""),
        stop_reason=_STOPS.get(choice.finish_reason, "error"),
        usage=counted(request, counts.get("prompt_tokens"), counts.get("completion_tokens"), cached),
        model=found.model,
        label_probs=_label_probs(request.labels, choice.logprobs) if request.labels else None,
        refusal=bool(message.refusal) or choice.finish_reason == "refusal",
    )


def _continued(request: Request, text: str) -> str:
    """Drop the prefix that was to be continued, which llama.cpp repeats and vLLM does not."""
    last = request.messages[-1]
    return text.removeprefix(last.content) if last.role == "assistant" else text


def not_a_reply(who: str, error: ValidationError) -> CallError:
    """Name the first thing wrong with a body, without quoting it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return unreadable(who, f"{where + ': ' if where else ''}{first['msg']}")


def _label_probs(labels: Sequence[str], logprobs: _Logprobs | None) -> dict[str, float] | None:
    """Add up the first token's alternatives by label; None where the server listed none."""
    if logprobs is None or not logprobs.content:
        return None
    drawn = logprobs.content[0]
    # The drawn token may stand outside the top list; a dict keeps it from counting twice.
    listed = {one.token: one.logprob for one in (drawn, *drawn.top_logprobs)}
    probs = dict.fromkeys(labels, 0.0)
    for token, logprob in listed.items():
        label = token.strip()
        if label in probs and logprob is not None:
            probs[label] += math.exp(min(logprob, 0.0))
    return probs
