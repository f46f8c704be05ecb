"""Preferences over HTTP: pages of them under a filter, one whole, and a filter's pairs as a file.

Owns the routes under ``/v1/preferences``. Leaves finding pairs to ``rlaif.review``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from aiohttp import web
from pydantic import Field

from rlaif.review import Choice, Page, Pair, page, pair
from rlaif.review.choice import Text
from rlaif.review.pairs import UnknownPairError
from rlaif.review.tables import FORMATS, rows_of
from rlaif.service.context import Service
from rlaif.service.problems import Problem
from rlaif.service.routes import Call, Route


class PreferencesQuery(Choice):
    """Which preferences, and which page of them."""

    limit: int = Field(default=50, ge=1, le=200)
    """Most pairs of the page."""
    after: Text = None
    """The cursor of the page before."""


class ExportQuery(Choice):
    """Which preferences, and in which form."""

    format: Literal["jsonl", "csv"] = "jsonl"
    """``jsonl``, or ``csv`` whose cells no spreadsheet takes for a formula."""


async def listed(call: Call) -> Page:
    """Show a page."""
    asked = call.query(PreferencesQuery)
    store = call.service.workspace.store
    return await call.service.look(
        lambda: page(store, asked, limit=asked.limit, after=asked.after), share=asked
    )


async def one(call: Call) -> Pair:
    """Show one pair."""
    return await found(call.service, call.path["id"])


async def found(service: Service, id: str) -> Pair:
    """One pair whole.

    Raises:
        Problem: 404 where there is none.
    """

    with known(id):
        return await service.look(lambda: pair(service.workspace, id))


@contextmanager
def known(id: str) -> Iterator[None]:
    """Say what there is not as a route does.

    Raises:
        Problem: 404 where there is no pair of this id.
    """
    try:
        yield
    except UnknownPairError:
        said = f"there is no preference {id!r}; those there are stand under /v1/preferences"
        raise Problem(404, said) from None


async def exported(call: Call) -> web.StreamResponse:
    """Send every pair under a filter."""
    asked = call.query(ExportQuery)
    return await sent(call, asked, asked.format)


async def sent(call: Call, choice: Choice, form: Literal["jsonl", "csv"]) -> web.StreamResponse:
    """Stream the pairs under a filter, a page at a time."""
    parts = rows_of(call.service.workspace.store, choice, form)
    first = await call.service.look(lambda: next(parts, b""))  # a fault is said before the reply begins
    response = web.StreamResponse(
        headers={
            "Content-Type": FORMATS[form],
            "Content-Disposition": f'attachment; filename="preferences.{form}"',
        }
    )
    await response.prepare(call.request)
    await response.write(first)
    async for part in _read(call.service, parts):
        await response.write(part)
    return response


async def _read(service: Service, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    while part := await service.look(lambda: next(parts, b"")):
        yield part


ROUTES: Final = (
    Route(
        method="GET", path="/v1/preferences", scope="read", handler=listed, query=PreferencesQuery,
        reply=Page, summary="Preferences under a filter, a page at a time",
    ),
    Route(
        method="GET", path="/v1/preferences/export", scope="read", handler=exported, query=ExportQuery,
        media="application/jsonl, text/csv", summary="Every preference under a filter, as JSONL or CSV",
    ),
    Route(
        method="GET", path="/v1/preferences/{id}", scope="read", handler=one, reply=Pair,
        summary="One preference: texts, both orders, scores, flags, people's labels",
    ),
)  # fmt: skip
