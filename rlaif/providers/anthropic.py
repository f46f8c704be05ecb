"""Anthropic's messages through its own SDK.

Owns the translation to and from the Messages API, version 2026-10-21, which takes no temperature,
top_p or seed and returns no token probabilities. Leaves the transport to ``sdk``.
API page: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from rlaif.errors import InputError
from rlaif.providers.base import RawReply, Reply, Request
from rlaif.providers.chat_format import not_a_reply
from rlaif.providers.sdk import TIMEOUT_SECONDS, Line, http_client
from rlaif.providers.tokens import counted
from rlaif.records import StopReason, Usage

_STOPS: dict[str | None, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "refusal": "content_filter",
}


class Anthropic:
    """``anthropic:MODEL``.

    Args:
        base_url: where the API is, e.g. ``https://api.anthropic.com``.
        key: the API key.
        timeout: seconds one attempt may take.
    """

    name = "anthropic"

    def __init__(self, base_url: str, key: str, timeout: float = TIMEOUT_SECONDS) -> None:
        import anthropic

        client = anthropic.AsyncAnthropic(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            http_client=http_client(anthropic.DefaultAioHttpClient, base_url),
        )
        failures = (anthropic.APIStatusError, anthropic.AnthropicError)
        self._line = Line(client, "/v1/messages", failures, base_url=base_url, key=key, timeout=timeout)

    def body(self, request: Request) -> dict[str, JsonValue]:
        """Translate to a Messages body; system turns move to ``system``, a last assistant turn is a prefix.

        Raises:
            InputError: label probabilities, a temperature or a top_p are asked for.
        """
        _offered(request)
        system = "\n\n".join(one.content for one in request.messages if one.role == "system")
        turns = [one for one in request.messages if one.role != "system"]
        built: dict[str, JsonValue] = {
            "model": request.model,
            "max_tokens": request.params.max_tokens,
            "messages": [{"role": one.role, "content": one.content} for one in turns],
        }
        if system:
            built["system"] = system
        if request.params.stop:
            built["stop_sequences"] = list(request.params.stop)
        if request.schema is not None:
            schema: JsonValue = dict(request.schema)
            built["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return built

    async def send(self, body: Mapping[str, JsonValue]) -> RawReply:
        """Make one attempt.

        Raises:
            CallError: classified by ``faults``.
        """
        return await self._line.send(body)

    def read(self, request: Request, raw: RawReply) -> Reply:
        """Read a message.

        Raises:
            CallError: the text is none (``transient``, billed).
        """
        try:
            found = _Message.model_validate_json(raw.text)
        except ValidationError as error:
            raise not_a_reply(self._line.who, error) from None
        return Reply(
            text="".join(block.text for block in found.content if block.type == "text"),
            stop_reason=_STOPS.get(found.stop_reason, "error"),
            usage=_usage(request, found.usage),
            model=found.model,
            refusal=found.stop_reason == "refusal",
        )

    async def close(self) -> None:
        """Release connections."""
        await self._line.close()


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class _Block(_Wire):
    type: str
    text: str = ""


class _Message(_Wire):
    content: list[_Block]
    stop_reason: str | None
    model: str = ""
    usage: JsonValue = None


def _offered(request: Request) -> None:
    if request.labels:
        raise InputError(
            f"anthropic model {request.model!r} returns no token probabilities;"
            " set 'verdict: text' for this judge"
        )
    for knob in ("temperature", "top_p"):
        value = getattr(request.params, knob)
        if value != 1.0:
            raise InputError(
                f"anthropic model {request.model!r} takes no {knob} (found {value!r}); set {knob}: 1.0"
            )


def _usage(request: Request, found: JsonValue) -> Usage:
    """Add up what was read afresh, written to the cache and read from it."""
    counts = found if isinstance(found, dict) else {}
    parts = (counts.get(name) or 0 for name in ("cache_creation_input_tokens", "cache_read_input_tokens"))
    fresh = counts.get("input_tokens")
    written, cached = (value if isinstance(value, int) else -1 for value in parts)
    known = isinstance(fresh, int) and min(fresh, written, cached) >= 0
    total = fresh + written + cached if known and isinstance(fresh, int) else None
    return counted(request, total, counts.get("output_tokens"), cached)
