"""What the service is told: jobs handed in, keys given out, and what people say about pairs."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from rlaif.records.base import Axis, Fact, Verdict, digest

KeyScope = Literal["read", "run", "admin"]


class Submission(Fact):
    """A job handed to the service, or its cap raised; the latest of a job stands."""

    kind: ClassVar = "sb"
    id: str
    """Digest of the other fields."""
    job_id: str
    """The job; what is the same in every way is the same job."""
    folder: str
    """Where its files lie, relative to the output folder."""
    budget: float | None = Field(default=None, ge=0.0)
    """Cap on its spend in USD."""
    caller: str
    """Name of the key that handed it in."""
    request: str
    """Digest of the request's body."""
    idempotency: str = ""
    """Digest of the caller and its ``Idempotency-Key``; empty without one."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a submission with its content id."""
        return cls.model_validate({"id": digest(cls.kind, fields), **fields})


class AccessKey(Fact):
    """A key of the service: what it may do and for how long; the key itself is shown once and never kept."""

    kind: ClassVar = "ak"
    id: str
    """Digest of the key's hash."""
    name: str
    """For people."""
    prefix: str
    """The key's first characters, to tell it from others."""
    hash: str
    """SHA-256 of the key in hex; its 32 random bytes need no slow hash."""
    scope: KeyScope
    """Most its holder may do."""
    created_at: str
    """UTC time, ISO 8601."""
    expires_at: str | None = None
    """UTC time from which it is refused; None for never."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a key record with its content id."""
        return cls.model_validate({"id": digest(cls.kind, fields["hash"]), **fields})


class KeyEvent(Fact):
    """What became of a key."""

    kind: ClassVar = "ke"
    id: str
    """Digest of the other fields."""
    key_id: str
    """The key."""
    what: Literal["used", "revoked"]
    """A revoked key stays so; the first use of each day is noted."""
    at: str
    """UTC time, or day, ISO 8601."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a key event with its content id."""
        return cls.model_validate({"id": digest(cls.kind, fields), **fields})


class HumanLabel(Fact):
    """What a person said about two samples; the latest of a person, pair and axis stands."""

    kind: ClassVar = "hl"
    id: str
    """Digest of the other fields."""
    person: str
    """Who says so; such a person is one more judge, ``human:PERSON``."""
    prompt_id: str
    """The prompt both answer."""
    axis: Axis
    """The dimension."""
    first_id: str
    """Sample shown first."""
    second_id: str
    """Sample shown second."""
    verdict: Verdict | None
    """The better one as shown; None takes an earlier label back."""
    source: Literal["page", "api", "argilla", "label_studio"]
    """How it came here."""
    blind: bool = False
    """Whether the judge's own verdict was hidden."""
    at: str
    """UTC time, ISO 8601."""
    note: str = ""
    """What the person wrote beside it."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a label with its content id."""
        return cls.model_validate({"id": digest(cls.kind, fields), **fields})
