"""The pages about preference sets as datasets.

Owns ``/datasets`` and everything under it. Leaves all facts to ``rlaif.service.datasets``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from aiohttp import web
from pydantic import BeforeValidator

from rlaif.errors import JobError
from rlaif.exports import MANIFEST, TARGETS, MarginScale
from rlaif.records import Record
from rlaif.service import datasets
from rlaif.service.api.datasets import ExportRequest, TargetName, written
from rlaif.service.context import Service
from rlaif.service.routes import Call, Route
from rlaif.service.web import render

HERE: Final = "/datasets"
MARGINS: Final = ("significant", "better", "slight", "negligible")
FATES: Final = {"preferred": "good", "tie": "soft", "conflict": "warn", "weak_margin": "soft"}
"""Colours of the commonest fates; all others are failures."""


class ExportForm(Record):
    """What the export form sends."""

    to: TargetName = "trl"
    """The trainer to write for."""
    margin: Annotated[MarginScale | None, BeforeValidator(lambda value: value or None)] = None
    """Scale of a numeric margin column; empty for none."""
    accept_flags: bool = False
    """Export in spite of the flags."""


def view_datasets(service: Service) -> dict[str, object]:
    """Every set in a line."""
    return {"rows": [{"set": one, "fates": fates(one)} for one in datasets.datasets(service)]}


def view_dataset(service: Service, id: str) -> dict[str, object]:
    """One set in full, with its exports."""
    whole = datasets.dataset(service, id)
    return {
        "whole": whole,
        "set": whole.dataset,
        "fates": fates(whole.dataset),
        "splits": _totals([(one.split, one.pairs) for one in whole.balance], ("train", "test")),
        "margins": _totals([(one.margin, one.pairs) for one in whole.balance], MARGINS),
        "orders_differ": sum(one.orders_differ for one in whole.balance),
        "exports": [datasets.export(service, id, name) for name in whole.dataset.exports],
        "targets": tuple(TARGETS),
        "manifest": MANIFEST,
    }


def fates(one: datasets.Dataset) -> list[tuple[str, int, float, str]]:
    """Fate, pairs, share and colour of everything considered, those preferred first."""
    total = max(1, sum(one.counts.values()))
    ordered = sorted(one.counts.items(), key=lambda item: (item[0] != "preferred", -item[1], item[0]))
    return [(name, count, count / total, FATES.get(name, "bad")) for name, count in ordered if count]


def _totals(parts: Sequence[tuple[str, int]], order: Sequence[str]) -> list[tuple[str, int, float]]:
    """Name, pairs and share of each part, in a given order."""
    total = max(1, sum(pairs for _, pairs in parts))
    sums = {name: sum(pairs for other, pairs in parts if other == name) for name in order}
    return [(name, pairs, pairs / total) for name, pairs in sums.items() if pairs]


async def listed(call: Call) -> web.StreamResponse:
    """Show every set."""
    data = await call.service.look(lambda: view_datasets(call.service), share=view_datasets)
    return render.page("datasets.html", data, here=HERE)


async def shown(call: Call) -> web.StreamResponse:
    """Show one set."""
    return await _shown(call, "")


async def export(call: Call) -> web.StreamResponse:
    """Write an export, and show the set with it."""
    form = call.body(ExportForm)
    try:
        await written(call, ExportRequest(**form.model_dump()))
    except JobError as error:
        return await _shown(call, str(error), status=409)
    return web.Response(status=303, headers={"Location": f"{HERE}/{call.path['id']}#exports"})


async def _shown(call: Call, problem: str, *, status: int = 200) -> web.StreamResponse:
    data = await call.service.look(lambda: view_dataset(call.service, call.path["id"]))
    return render.page("dataset.html", {**data, "problem": problem}, here=HERE, status=status)


ROUTES: Final = (
    Route(method="GET", path="/datasets", scope="read", handler=listed, page=True, summary="Datasets"),
    Route(method="GET", path="/datasets/{id}", scope="read", handler=shown, page=True, summary="One dataset"),
    Route(
        method="POST", path="/datasets/{id}/exports", scope="run", handler=export, body=ExportForm, page=True,
        summary="Export a dataset",
    ),
)  # fmt: skip
