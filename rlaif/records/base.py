"""What records are made of: canonical form, digests, the two base classes and the words they share.

Owns identity by content. Leaves the shapes themselves to the modules beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "test"]
StopReason = Literal["stop", "max_tokens", "content_filter", "error"]
Verdict = Literal["first", "second", "tie"]
JudgmentStatus = Literal["ok", "refused", "unparsable", "off_menu", "truncated", "transport_failed"]
RevisionStatus = Literal["ok", "refused", "truncated", "empty", "transport_failed"]
LabelType = Literal["logprob", "text"]
Margin = Literal["negligible", "slight", "better", "significant"]
MarginScale = Literal["small", "large"]
Axis = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
"""Name of one dimension of judgement, e.g. ``helpfulness`` or ``safety``."""
MARGINS: Final[Mapping[MarginScale, Mapping[Margin, float]]] = {
    "small": {"significant": 1.0, "better": 2 / 3, "slight": 1 / 3, "negligible": 0.0},
    "large": {"significant": 3.0, "better": 2.0, "slight": 1.0, "negligible": 0.0},
}
"""m(r) of Llama 2, Table 27 (https://arxiv.org/abs/2307.09288): how much better chosen has to score."""


def canonical(value: object) -> bytes:
    """Serialise JSON-like data to the one byte string that digests are taken over.

    Keys are sorted, separators are minimal, text is UTF-8 and unescaped.
    """
    return _ENCODER.encode(value).encode()


def _plain(value: object) -> object:
    """What the JSON encoder does not know: records and mappings of other types."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


_ENCODER = json.JSONEncoder(
    default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def digest(kind: str, *parts: object) -> str:
    """Return ``kind`` + ``_`` + 24 hex digits of SHA-256 over the canonical parts."""
    return f"{kind}_{hashlib.sha256(canonical(parts)).hexdigest()[:24]}"


class Record(BaseModel):
    """Base of all records: immutable, unknown fields refused, field docs from docstrings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


class Fact(Record):
    """Base of the records that are journalled and stored, each identified by its content."""

    kind: ClassVar[str]
    """Two letters that begin the id."""
    id: str
    """Content digest."""


class Message(Record):
    """One turn of a conversation."""

    role: Role
    """Who speaks."""
    content: str
    """What was said, verbatim."""


class SamplingParams(Record):
    """Knobs of one draw from a model."""

    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    """Softmax temperature; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens to draw."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the draw, passed to providers that take one."""
    stop: tuple[str, ...] = ()
    """Strings that end the response."""


class Usage(Record):
    """Tokens one call was billed for."""

    input_tokens: int = Field(default=0, ge=0)
    """Tokens read, cached ones included."""
    output_tokens: int = Field(default=0, ge=0)
    """Tokens drawn."""
    cached_tokens: int = Field(default=0, ge=0)
    """Input tokens the provider served from its cache."""
