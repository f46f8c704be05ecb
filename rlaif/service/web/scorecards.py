"""The scorecards' pages: all judges in a table, one section by section, and two compared.

Owns what the pages show. Leaves reading and comparing to ``cards`` and the sections' layout to
``reports.scorecard_parts``, which the scorecard's own file uses too.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from rlaif.reports.scorecard_page import accuracies, coverages, flagged, reliabilities
from rlaif.reports.scorecard_parts import PARTS, table
from rlaif.service import cards
from rlaif.service.api import audits
from rlaif.service.api.audits import Two
from rlaif.service.context import Service
from rlaif.service.routes import Call, Route
from rlaif.service.web.render import page

HERE: Final = "/scorecards"


def view_scorecards(service: Service) -> dict[str, object]:
    """What the table shows."""
    return {"rows": audits.rows(service)}


def view_scorecard(service: Service, id: str) -> dict[str, object]:
    """What the page of one scorecard shows.

    Raises:
        Problem: 404 where there is none.
    """
    kept = audits.found(service, id)
    cells = list(cards.cells(kept).values())
    return {
        "row": cards.row(kept, audits.names(service)),
        "card": kept,
        "cells": cells,
        "flags": flagged(cells),
        "tables": [table(part, cells) for part in PARTS],
        "tracks": accuracies(cells),
        "plots": {"selective": coverages(cells), "calibration": reliabilities(cells)},
        "others": [one for one in audits.rows(service) if one.id != id],
    }


def view_comparison(service: Service, a: str, b: str) -> dict[str, object]:
    """What the page of two scorecards shows.

    Raises:
        Problem: 422 where one of them is not there.
    """
    return {"both": audits.compared(service, a, b)}


async def listed(call: Call) -> web.StreamResponse:
    """Show all."""
    data = await call.service.look(lambda: view_scorecards(call.service))
    return page("scorecards.html", data, here=HERE)


async def one(call: Call) -> web.StreamResponse:
    """Show one."""
    data = await call.service.look(lambda: view_scorecard(call.service, call.path["id"]))
    return page("scorecard.html", data, here=HERE)


async def compare(call: Call) -> web.StreamResponse:
    """Show two."""
    asked = call.query(Two)
    data = await call.service.look(lambda: view_comparison(call.service, asked.a, asked.b))
    return page("scorecards_compared.html", data, here=HERE)


ROUTES: Final = (
    Route(
        method="GET", path="/scorecards", scope="read", handler=listed, summary="Scorecards", page=True,
    ),
    Route(
        method="GET", path="/scorecards/compare", scope="read", handler=compare, query=Two,
        summary="Two scorecards", page=True,
    ),
    Route(
        method="GET", path="/scorecards/{id}", scope="read", handler=one, summary="One scorecard", page=True,
    ),
)  # fmt: skip
