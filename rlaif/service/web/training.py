"""The training pages: all runs, one with its curves, and several overlaid.

Owns what the pages show. Leaves reading runs to ``runs``; the curves come from ``/v1/training/RUN/metrics``
where scripts run, and are drawn here once, small, where they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import web

from rlaif.records import PreferenceSet, Record
from rlaif.service import runs, trainings
from rlaif.service.api.training import Names, Start, every, folder_of, stands, whole
from rlaif.service.context import Service
from rlaif.service.problems import Problem
from rlaif.service.routes import Call, Route
from rlaif.service.runs import Meaning, Run, Series
from rlaif.service.web.lines import Box
from rlaif.service.web.render import page

HERE: Final = "/training"
SMALL: Final = 120
"""Points of a curve that is drawn on the server."""
MOST: Final = 6
"""Runs that are overlaid."""
_HEADLINE: Final = ("score", "proxy", "eval/accuracy", "accuracy", "eval/loss", "loss")


class Overlaid(Record):
    """Which runs to lay over one another."""

    run: Names = ()
    """Their names."""


def view_training(service: Service) -> dict[str, object]:
    """What the list shows."""
    found, folders = every(service), runs.found(service)
    return {
        "runs": [{"run": one, "headline": _headline(one), "at": when(one)} for one in found],
        "sparks": {one.id: _spark(folders.get(one.id), one) for one in found},
        "configs": list(trainings.configs()),
        "datasets": list(service.workspace.store.read(PreferenceSet, order="rowid")),
        "most": MOST,
    }


def view_run(service: Service, name: str) -> dict[str, object]:
    """What the page of one run shows.

    Raises:
        Problem: 404 where there is none.
    """
    shown = whole(service, name)
    folder = runs.found(service).get(name)
    curves = [] if folder is None else runs.series(folder, most=SMALL)
    child = service.trainings.children.get(name)
    return {
        "run": shown.run,
        "config": flat(shown.config),
        "said": shown.said,
        "at": when(shown.run),
        "ours": child is not None and child.state == "running",
        "charts": charts([(shown.run, curves)]),
        "names": [name],
        "course": not shown.run.last.keys().isdisjoint({"kl", "eval/kl"}),
    }


def view_overlay(service: Service, names: Sequence[str]) -> dict[str, object]:
    """What the page of several runs shows.

    Raises:
        Problem: 404 where one is not there, 422 for none or too many.
    """
    if not 1 <= len(names) <= MOST:
        raise Problem(422, f"query.run: found {len(names)} runs; name 1 to {MOST}, e.g. ?run=a&run=b")
    folders = {name: folder_of(service, name) for name in dict.fromkeys(names)}
    read = [(stands(service, name, path), runs.series(path, most=SMALL)) for name, path in folders.items()]
    return {"runs": [run for run, _ in read], "charts": charts(read), "names": list(folders)}


def charts(read: Sequence[tuple[Run, Sequence[Series]]]) -> list[dict[str, object]]:
    """One chart a number, held-out values in the chart of the number itself, in the glossary's order."""
    known: dict[str, Meaning] = {}
    for run, _ in read:
        known |= runs.glossary(run.method)
    curves: dict[str, list[dict[str, object]]] = {}
    for run, found in read:
        for one in found:
            line: dict[str, object] = {
                "run": run.id,
                "name": one.name,
                "steps": one.steps,
                "values": one.values,
                "last": _last(one.values),
            }
            curves.setdefault(one.name.removeprefix("eval/"), []).append(line)
    order = {name: at for at, name in enumerate(known)}
    names = sorted(curves, key=lambda name: (_written_once(curves[name]), order.get(name, len(order)), name))
    return [
        {
            "name": name,
            "lines": curves[name],
            "box": Box([(one["steps"], one["values"]) for one in curves[name]]),  # type: ignore[misc]
            "meaning": runs.meaning(known, name),
            "once": _written_once(curves[name]),
        }
        for name in names
    ]


def flat(told: Mapping[str, object], above: str = "") -> dict[str, str]:
    """Settings by dotted name; what was left out is left out."""
    found: dict[str, str] = {}
    for name, value in told.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{name}.")
        elif value is not None and value != []:
            found[f"{above}{name}"] = str(value)
    return found


def when(run: Run) -> str | None:
    """When a run wrote last, ISO 8601."""
    if run.written_at is None:
        return None
    return datetime.fromtimestamp(run.written_at, UTC).isoformat(timespec="seconds")


async def listed(call: Call) -> web.StreamResponse:
    """Show all."""
    return page("training.html", await call.service.look(lambda: view_training(call.service)), here=HERE)


async def one(call: Call) -> web.StreamResponse:
    """Show one."""
    data = await call.service.look(lambda: view_run(call.service, call.path["run"]))
    return page("training_run.html", data, here=HERE)


async def overlay(call: Call) -> web.StreamResponse:
    """Show several."""
    names = call.query(Overlaid).run
    data = await call.service.look(lambda: view_overlay(call.service, names))
    return page("training_overlay.html", data, here=HERE)


async def start(call: Call) -> web.StreamResponse:
    """Start a run, and go to its page."""
    asked = call.body(Start)
    name = await call.service.trainings.start(asked.config, asked.dataset, asked.name)
    raise web.HTTPSeeOther(f"{HERE}/{name}")


async def stop(call: Call) -> web.StreamResponse:
    """Stop a run, and go back to its page."""
    name = call.path["run"]
    if not await call.service.trainings.stop(name):
        raise Problem(409, f"{name!r} is no run that this service has under way; it may have ended by itself")
    raise web.HTTPSeeOther(f"{HERE}/{name}")


def _headline(run: Run) -> tuple[str, float | None] | None:
    name = next((one for one in _HEADLINE if one in run.last), None)
    return None if name is None else (name, run.last[name])


def _spark(folder: Path | None, run: Run) -> tuple[float | None, ...]:
    """The headline's curve, small."""
    headline = _headline(run)
    if headline is None or folder is None:
        return ()
    return next((one.values for one in runs.series(folder, headline[:1], 60)), ())


def _last(values: Sequence[float | None]) -> float | None:
    return next((one for one in reversed(values) if one is not None), None)


def _written_once(lines: Sequence[Mapping[str, object]]) -> bool:
    """Whether there is no curve to draw: each run wrote the number once."""
    return all(len(one["values"]) < 2 for one in lines)  # type: ignore[arg-type]


ROUTES: Final = (
    Route(method="GET", path="/training", scope="read", handler=listed, summary="Training", page=True),
    Route(
        method="POST", path="/training", scope="run", handler=start, body=Start, upload=2**14,
        summary="Start a run", page=True,
    ),
    Route(
        method="GET", path="/training/compare", scope="read", handler=overlay, query=Overlaid,
        summary="Several runs", page=True,
    ),
    Route(method="GET", path="/training/{run}", scope="read", handler=one, summary="One run", page=True),
    Route(
        method="POST", path="/training/{run}/stop", scope="run", handler=stop, upload=2**14,
        summary="Stop a run", page=True,
    ),
)  # fmt: skip
