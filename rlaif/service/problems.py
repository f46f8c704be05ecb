"""What goes wrong, as RFC 9457 problem details.

Owns the shape of an error reply and the map from the package's errors to statuses. Leaves wording to the
raiser, who says what was found, what is allowed and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from aiohttp import web
from pydantic import ValidationError

from rlaif.errors import BudgetError, InputError, Interrupted, JobError, RlaifError, StoreError
from rlaif.records import Record

Kind = Literal["", "job", "budget"]
"""What sort of problem, where the status alone does not say: a job that is in another state or would end
badly, money that does not suffice."""
TYPE: Final = "urn:rlaif:problem:"
"""Begins the type of a problem whose sort is named."""


class Fault(Record):
    """One thing that is wrong with a request."""

    field: str
    """Dotted name of the field, e.g. ``body.prompts.0.messages``; empty for the whole."""
    message: str
    """What was found and what is allowed."""
    line: int | None = None
    """1-based line of a text that was sent, where there is one."""


class ProblemDetails(Record):
    """The body of every reply from 400 on (RFC 9457)."""

    type: str = "about:blank"
    """``urn:rlaif:problem:job`` for what does not fit a job's state, ``urn:rlaif:problem:budget`` for money
    that does not suffice; else the status says it all."""
    title: str
    """The status in words."""
    status: int
    """The HTTP status."""
    detail: str
    """One sentence: what was found, what is allowed, what to do next."""
    errors: tuple[Fault, ...] = ()
    """What is wrong field by field, where fields are to blame."""


class Problem(Exception):
    """A reply that is an error.

    Args:
        status: HTTP status from 400 on.
        detail: one sentence for the caller.
        errors: field by field.
        headers: of the reply, e.g. ``Retry-After``.
        kind: what sort of problem, where the status does not say.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[Fault] = (),
        headers: dict[str, str] | None = None,
        kind: Kind = "",
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = status
        self.errors = tuple(errors)
        self.headers = headers or {}

    @property
    def details(self) -> ProblemDetails:
        """The reply's body."""
        title = TITLES.get(self.status, "Error")
        type = f"{TYPE}{self.kind}" if self.kind else "about:blank"
        return ProblemDetails(
            type=type, title=title, status=self.status, detail=str(self), errors=self.errors
        )

    def response(self) -> web.Response:
        """The reply."""
        return web.Response(
            body=self.details.model_dump_json().encode(),
            status=self.status,
            content_type="application/problem+json",
            headers=self.headers,
        )


TITLES: Final = {
    400: "Bad request", 401: "Key needed", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
    409: "Conflict", 411: "Length required", 413: "Too large", 415: "Unsupported media type",
    422: "Not usable", 429: "Too many requests", 500: "Internal error", 502: "Upstream failed",
    503: "Not available",
}  # fmt: skip

_STATUSES: Final[dict[type[RlaifError], int]] = {
    InputError: 422,
    StoreError: 503,
    BudgetError: 409,
    JobError: 409,
    Interrupted: 503,
}
_KINDS: Final[dict[type[RlaifError], Kind]] = {BudgetError: "budget", JobError: "job"}


def problem_of(error: RlaifError) -> Problem:
    """Turn an error of the package into a reply."""
    status = next((_STATUSES[one] for one in type(error).__mro__ if one in _STATUSES), 502)
    if isinstance(error, InputError):
        fault = Fault(field=error.field or "", message=error.message, line=error.line)
        return Problem(status, str(error), [fault])
    kind: Kind = next((_KINDS[one] for one in type(error).__mro__ if one in _KINDS), "")
    return Problem(status, str(error), kind=kind)


def invalid(error: ValidationError, where: str) -> Problem:
    """Turn what pydantic says about a body or a query into a reply that names the fields.

    Args:
        error: what validation raised.
        where: ``body`` or ``query``, the first part of every field's name.
    """
    faults = [
        Fault(field=".".join([where, *map(str, one["loc"])]), message=one["msg"])
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    first = faults[0]
    return Problem(422, f"{first.field}: {first.message}", faults)
