"""Token counts as providers report them, and what to assume when they do not.

Owns the bound on one request's tokens. Leaves prices and reservations to ``prices`` and ``budget``.
"""

from __future__ import annotations

from pydantic import JsonValue
from pydantic_core import to_json

from rlaif.providers.base import Request
from rlaif.records import Usage

MOST_TOKENS = 10_000_000
"""No context window is as long; a count beyond it is a fault of the server."""

_PER_MESSAGE = 64
_PER_CALL = 512  # default system turns that some chat templates add


def ceiling(request: Request) -> Usage:
    """Bound the tokens of one request from above.

    A tokenizer with byte fallback spends at most one token a UTF-8 byte; chat templates add a few
    marks a message.
    """
    text = sum(len(one.content.encode()) + _PER_MESSAGE for one in request.messages)
    schema = len(to_json(request.schema)) if request.schema else 0
    drawn = 1 if request.labels else request.params.max_tokens
    return Usage(input_tokens=text + schema + _PER_CALL, output_tokens=drawn)


def counted(request: Request, read: JsonValue, drawn: JsonValue, cached: JsonValue = 0) -> Usage:
    """Build a usage from reported counts; a missing or impossible one becomes its bound.

    A reply is worth keeping when only its bookkeeping is broken, and the cap must hold all the same,
    so the doubt is settled on the expensive side.
    """
    if (tokens := _count(read)) is None or (length := _count(drawn)) is None:
        bound = ceiling(request)
        tokens = bound.input_tokens if (known := _count(read)) is None else known
        length = bound.output_tokens if (known := _count(drawn)) is None else known
    return Usage(input_tokens=tokens, output_tokens=length, cached_tokens=min(_count(cached) or 0, tokens))


def _count(value: JsonValue) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
        return value
    return None
