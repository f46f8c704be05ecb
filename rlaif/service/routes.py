"""What a route is: one row of the table that the application, its access rules and its OpenAPI share.

Owns the row and the call a handler is given. Leaves admitting callers to ``access``, and turning rows
into an application to ``app``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel

from rlaif.service.problems import Problem

if TYPE_CHECKING:
    from rlaif.service.context import Service

Scope = Literal["open", "read", "run", "admin"]
"""Least right a caller needs: none, to look, to spend, to administer. Each holds those before it."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    """Name of the key; ``local`` on the loopback without one."""
    scope: Scope
    """Most this caller may do."""
    key_id: str | None = None
    """Id of the key; None without one."""


CALLER: Final = web.RequestKey("caller", Caller)
"""Who sent a request, once it is known, even where it is then refused."""


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted request, with everything validated that its route declares."""

    request: web.Request
    service: Service
    caller: Caller
    path: Mapping[str, str]
    """Values of the path's ``{slots}``, decoded."""
    _body: BaseModel | None = None
    _query: BaseModel | None = None

    def body(self, model: type[M]) -> M:
        """The validated body of a route that declares ``model`` as its body."""
        assert isinstance(self._body, model)
        return self._body

    def query(self, model: type[M]) -> M:
        """The validated query string of a route that declares ``model`` as its query."""
        assert isinstance(self._query, model)
        return self._query

    def missing(self, what: str, name: str, listing: str) -> Problem:
        """Build the 404 for a name that nothing has."""
        return Problem(404, f"there is no {what} {name!r}; those there are stand under {listing}")


Handler = Callable[[Call], Awaitable[BaseModel | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """With ``{slots}``; each matches one segment without a slash."""
    scope: Scope
    """Who may call; a route without one cannot be written."""
    handler: Handler
    summary: str
    """One line for the OpenAPI document."""
    body: type[BaseModel] | None = None
    """Model of the JSON body."""
    query: type[BaseModel] | None = None
    """Model of the query string."""
    reply: type[BaseModel] | None = None
    """Model of the JSON reply; None for files, streams and pages."""
    status: int = 200
    """Status of a reply that is a model."""
    media: str = "application/json"
    """Type of the reply; other types it may have follow after a comma."""
    page: bool = False
    """A page for people: HTML problems, session cookies, no place in the OpenAPI document."""
    upload: int = 2**16
    """Most bytes of body; a route that takes texts says how many."""
