"""Training runs over HTTP: all of them, one, its curves, starting and stopping.

Owns the routes under ``/v1/training`` and ``/v1/overoptimisation``. Leaves reading to ``runs`` and ``points``
and child processes to ``trainings``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import BeforeValidator, Field

from rlaif.records import Record
from rlaif.service import points, runs, trainings
from rlaif.service.context import Service
from rlaif.service.points import Course
from rlaif.service.problems import Problem
from rlaif.service.routes import Call, Route
from rlaif.service.runs import Meaning, Run, Series


def _several(value: object) -> object:
    """A query names one or many; commas part them too."""
    given = value if isinstance(value, list) else [value]
    return [part for one in given for part in str(one).split(",") if part]


Names = Annotated[tuple[str, ...], BeforeValidator(_several), Field(max_length=200)]


class Runs(Record):
    """Every run there is."""

    data: tuple[Run, ...]
    """Those that wrote last come first."""
    configs: tuple[str, ...]
    """Training files a run can be started with."""


class Whole(Record):
    """One run."""

    run: Run
    """How it stands."""
    config: dict[str, Any]
    """What it was told."""
    said: str
    """The last line of a run the service started; empty for others."""


class Curves(Record):
    """The numbers of one run."""

    run: str
    """The run."""
    state: str
    """Whether more will come."""
    series: tuple[Series, ...]
    """One curve a number."""
    meanings: dict[str, Meaning]
    """What the glossary says about each."""


class Wanted(Record):
    """Which curves, and how fine."""

    names: Names = ()
    """Names of numbers; all when left out."""
    points: int = Field(default=runs.POINTS, ge=2, le=runs.POINTS)
    """Most points of one curve."""


class Start(Record):
    """A run to start."""

    config: str = Field(max_length=80)
    """Name of a training file in the operator's ``pipelines`` folder."""
    dataset: str = Field(max_length=80)
    """Id of a preference set that has been exported."""
    name: str = Field(default="", max_length=60)
    """What the run is to be called; made of the file's name when left out."""


async def listed(call: Call) -> Runs:
    """List all."""
    found = await call.service.look(lambda: every(call.service))
    return Runs(data=tuple(found), configs=tuple(trainings.configs()))


async def one(call: Call) -> Whole:
    """Show one."""
    return await call.service.look(lambda: whole(call.service, call.path["run"]))


async def metrics(call: Call) -> web.StreamResponse:
    """Send the curves; a reader who has them already is told so."""
    wanted, name = call.query(Wanted), call.path["run"]
    folder = await call.service.look(lambda: folder_of(call.service, name))
    run = await call.service.look(lambda: stands(call.service, name, folder))
    tag = f'"{runs.mark(folder)}-{run.state}-{wanted.points}"'
    if call.request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    reply = await call.service.look(lambda: _curves(run, folder, wanted))
    return web.Response(
        body=reply.model_dump_json().encode(), content_type="application/json",
        headers={"ETag": tag, "Cache-Control": "no-cache"},
    )  # fmt: skip


async def start(call: Call) -> Whole:
    """Start a run."""
    asked, service = call.body(Start), call.service
    name = await service.trainings.start(asked.config, asked.dataset, asked.name)
    child = service.trainings.children[name]
    return Whole(run=_started(name, child), config={}, said=child.said)


async def stop(call: Call) -> Whole:
    """Stop a run."""
    name = call.path["run"]
    if not await call.service.trainings.stop(name):
        await call.service.look(lambda: whole(call.service, name))  # 404 where there is none
        raise Problem(
            409, f"{name!r} is no run that this service has under way; stop it where it runs", kind="job"
        )
    return await call.service.look(lambda: whole(call.service, name))


async def course(call: Call) -> Course:
    """Send the points of a run or a sweep."""
    name = call.path["run"]
    return await call.service.look(lambda: course_of(call.service, name))


def every(service: Service) -> list[Run]:
    """Every run: those on disk, and those started that have written nothing yet."""
    found = {name: stands(service, name, folder) for name, folder in runs.found(service).items()}
    waiting = {
        name: _started(name, child) for name, child in service.trainings.children.items() if name not in found
    }
    return [*waiting.values(), *found.values()]


def folder_of(service: Service, name: str) -> Path:
    """Folder of a run.

    Raises:
        Problem: 404 where there is none.
    """
    folder = runs.found(service).get(name)
    if folder is None:
        raise Problem(404, f"there is no training run {name!r}; those there are stand under /v1/training")
    return folder


def stands(service: Service, name: str, folder: Path) -> Run:
    """How a run stands; of one this service started its process knows best."""
    run = runs.read(name, folder)
    child = service.trainings.children.get(name)
    if child is None or child.folder.resolve() != folder.resolve():
        return run
    return run.model_copy(update={"state": child.state})


def whole(service: Service, name: str) -> Whole:
    """One run.

    Raises:
        Problem: 404 where there is none.
    """
    child = service.trainings.children.get(name)
    said = "" if child is None else child.said
    if child is not None and not child.folder.is_dir():
        return Whole(run=_started(name, child), config={}, said=said)
    folder = folder_of(service, name)
    return Whole(run=stands(service, name, folder), config=runs.config(folder), said=said)


def course_of(service: Service, name: str) -> Course:
    """The points of a run or a sweep.

    Raises:
        Problem: 404 where there is no such run, or none of its numbers is a divergence.
    """
    found = points.points(place_of(service, name))
    if found is None:
        raise Problem(404, f"the run {name!r} logs no score beside a divergence, so there is nothing to plot")
    return found


def place_of(service: Service, name: str) -> Path:
    """Folder of a run or a sweep.

    Raises:
        Problem: 404 where there is none.
    """
    folder = runs.places(service).get(name)
    if folder is None:
        raise Problem(404, f"there is no run or sweep {name!r}; look at /v1/training and /overoptimisation")
    return folder


def _curves(run: Run, folder: Path, wanted: Wanted) -> Curves:
    found = runs.series(folder, wanted.names, wanted.points)
    known = runs.glossary(run.method)
    meanings = {one.name: runs.meaning(known, one.name) for one in found}
    return Curves(
        run=run.id, state=run.state, series=tuple(found),
        meanings={name: one for name, one in meanings.items() if one is not None},
    )  # fmt: skip


def _started(name: str, child: trainings.Child) -> Run:
    """A run that has written nothing yet."""
    return Run(
        id=name, method="", state=child.state, parent="", data="", step=None, total=None, written_at=None,
        last={}, policy=None, data_digest=None,
    )  # fmt: skip


ROUTES: Final = (
    Route(
        method="GET", path="/v1/training", scope="read", handler=listed, reply=Runs,
        summary="Every training run",
    ),
    Route(
        method="POST", path="/v1/training", scope="run", handler=start, body=Start, reply=Whole, status=201,
        upload=2**14, summary="Start a run of a training file on a dataset",
    ),
    Route(
        method="GET", path="/v1/training/{run}", scope="read", handler=one, reply=Whole,
        summary="One training run",
    ),
    Route(
        method="GET", path="/v1/training/{run}/metrics", scope="read", handler=metrics, query=Wanted,
        reply=Curves, summary="Its curves, at most 2,000 points each",
    ),
    Route(
        method="POST", path="/v1/training/{run}/stop", scope="run", handler=stop, reply=Whole,
        summary="Stop a run that the service started",
    ),
    Route(
        method="GET", path="/v1/overoptimisation/{run}", scope="read", handler=course, reply=Course,
        summary="Proxy and gold by distance from the first policy",
    ),
)  # fmt: skip
