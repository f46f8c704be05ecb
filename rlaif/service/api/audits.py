"""Scorecards over HTTP: all of them, one, and two compared.

Owns the routes under ``/v1/audits``. Leaves reading and comparing to ``cards`` and the numbers' meanings to
``audits.results``.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from rlaif.audits import Cell
from rlaif.records import Document, Record, StoredScorecard
from rlaif.service import cards
from rlaif.service.cards import Both, Measure, Row
from rlaif.service.context import Service
from rlaif.service.problems import Fault, Problem
from rlaif.service.routes import Call, Route


class Audits(Record):
    """Every scorecard of the folder."""

    data: tuple[Row, ...]
    """The newest first."""


class Audit(Record):
    """One scorecard, whole."""

    row: Row
    """Its headline numbers."""
    data: str
    """Digest of the rows, their labels and what the judge said."""
    seed: int
    """Seed of every resampling."""
    resamples: int
    """Resamples behind each interval."""
    cells: dict[str, Cell]
    """All sections by slice; ``TOTAL`` is all slices."""


class Two(Record):
    """Two scorecards."""

    a: str = Field(max_length=80)
    """Id of one."""
    b: str = Field(max_length=80)
    """Id of the other."""


class Comparison(Record):
    """Two scorecards side by side."""

    a: Row
    """One."""
    b: Row
    """The other."""
    same_data: bool
    """Whether they were measured on as many pairs with the same floors, as two cards of one file are."""
    measures: tuple[Measure, ...]
    """What people compare judges by."""
    both: Both
    """The pairs of this folder that both judged."""


async def listed(call: Call) -> Audits:
    """List all."""
    return Audits(data=tuple(await call.service.look(lambda: rows(call.service))))


async def one(call: Call) -> Audit:
    """Show one."""
    return await call.service.look(lambda: audit(call.service, call.path["id"]))


async def compare(call: Call) -> Comparison:
    """Compare two."""
    asked = call.query(Two)
    return await call.service.look(lambda: compared(call.service, asked.a, asked.b))


def rows(service: Service) -> list[Row]:
    """All scorecards in a line each."""
    known = names(service)
    return [cards.row(one, known) for one in cards.cards(service)]


def names(service: Service) -> dict[str, str]:
    """Names of the constitutions of the folder by the digest that labels refer to."""
    found = service.workspace.store.read(Document, "role = 'constitution'")
    return {one.id: one.name for one in found}


def found(service: Service, id: str, field: str = "") -> StoredScorecard:
    """One scorecard.

    Raises:
        Problem: 404 where there is none; 422 where a field of the query names it.
    """
    one = cards.card(service, id)
    if one is not None:
        return one
    said = f"there is no scorecard {id!r}; those there are stand under /v1/audits"
    raise (
        Problem(422, f"{field}: {said}", [Fault(field=field, message=said)]) if field else Problem(404, said)
    )


def audit(service: Service, id: str) -> Audit:
    """One scorecard, whole."""
    kept = found(service, id)
    return Audit(
        row=cards.row(kept, names(service)), data=kept.data, seed=kept.seed, resamples=kept.resamples,
        cells=cards.cells(kept),
    )  # fmt: skip


def compared(service: Service, a: str, b: str) -> Comparison:
    """Two scorecards side by side."""
    one, other = found(service, a, "query.a"), found(service, b, "query.b")
    known = names(service)
    totals = cards.total(one), cards.total(other)
    return Comparison(
        a=cards.row(one, known),
        b=cards.row(other, known),
        same_data=cards.same_pairs(*totals),
        measures=tuple(cards.measures(*totals)),
        both=cards.both(service, one, other),
    )


ROUTES: Final = (
    Route(
        method="GET", path="/v1/audits", scope="read", handler=listed, reply=Audits,
        summary="Every scorecard, in a line each",
    ),
    Route(
        method="GET", path="/v1/audits/compare", scope="read", handler=compare, query=Two, reply=Comparison,
        summary="Two scorecards, and the pairs their judges disagree on",
    ),
    Route(
        method="GET", path="/v1/audits/{id}", scope="read", handler=one, reply=Audit,
        summary="One scorecard, section by section",
    ),
)  # fmt: skip
