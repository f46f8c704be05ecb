"""The page that hands a job in: a pipeline and prompts as text, priced before anything is sent.

Owns ``/jobs/new`` and ``POST /jobs``. Leaves what a job may ask for to ``submitting``, and taking it in to
the route that programs use.
"""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import Field, JsonValue, ValidationError
from ruamel.yaml import YAML

from rlaif.errors import InputError
from rlaif.records import Record
from rlaif.service import folders, library
from rlaif.service.api.jobs import submitted
from rlaif.service.bodies import MOST_FORM
from rlaif.service.context import Service
from rlaif.service.engine import Entry
from rlaif.service.problems import Problem, invalid, problem_of
from rlaif.service.project import project_folder
from rlaif.service.routes import Call, Route
from rlaif.service.submitting import JobRequest, prepare
from rlaif.service.web.render import page
from rlaif.yamlfile import read_yaml

Tree = dict[str, Any]

MOST: Final = 2**18
"""Characters of a text in the form; longer ones go through the API."""
FIRST: Final = "quickstart"
"""Pipeline the form begins with."""
RECENT: Final = 20
"""Jobs handed in before that a new one can be made from."""


class Begin(Record):
    """What the form begins with."""

    base: str = Field(default=FIRST, max_length=200)
    """Name of a pipeline of the project, or id of a job handed in before."""


class Draft(Record):
    """What the form holds."""

    csrf: str = ""
    """The page's token."""
    pipeline: str = Field(max_length=MOST)
    """A pipeline in YAML; ``constitution`` is a name of the library."""
    prompts: str = Field(max_length=MOST)
    """A prompt a line: text, or a JSON object with ``prompt`` or ``messages``."""
    budget: str = Field(default="", max_length=40)
    """Cap in USD; empty for none."""
    step: Literal["price", "start"] = "price"
    """Which button was pressed."""


def view_form(service: Service, base: str) -> Tree:
    """The form, filled from a pipeline of the project or a job handed in before.

    Raises:
        InputError: nothing has that name.
    """
    entry = service.engine.entry(base)
    pipeline, prompts = _bundled(base) if entry is None else _earlier(service, entry)
    return {**_around(service, base), "pipeline": _yaml(pipeline), "prompts": prompts, "budget": ""}


def _around(service: Service, base: str) -> Tree:
    """What stands beside the form's fields."""
    handed = [one.job_id for one in service.engine.entries if one.submission is not None]
    return {
        "base": base,
        "bases": [*_pipelines(), *handed[:RECENT]],
        "constitutions": library.names(service),
        "fault": None,
        "lines": [],
        "usd": None,
    }


def _pipelines() -> dict[str, Path]:
    """Pipeline files of the project that are made of stages, by name."""
    folder = project_folder("pipelines")
    found = sorted(folder.glob("*.yaml")) if folder else []
    return {one.stem: one for one in found if "stages" in read_yaml(one).data}


def _bundled(name: str) -> tuple[Tree, str]:
    known = _pipelines()
    if name not in known:
        raise InputError(f"there is no pipeline {name!r} to begin with; there are: {', '.join(known)}")
    data: Tree = read_yaml(known[name]).data
    options = dict(data.get("prompts") or {})
    path = known[name].parent / str(options.pop("path"))
    most = int(options.pop("limit", 100))
    stages = [_named(one, Path(str(one.get("constitution", ""))).stem) for one in data["stages"]]
    return {**data, "prompts": options, "stages": stages}, _first_lines(path, most)


def _earlier(service: Service, entry: Entry) -> tuple[Tree, str]:
    if entry.submission is None:
        raise InputError(f"job {entry.job_id!r} was run by a command; begin with another")
    folder = service.folder / entry.submission.folder
    loaded = folders.load(folder)
    data: Tree = read_yaml(loaded.path).data
    named = zip(data["stages"], loaded.constitutions, strict=True)
    stages = [_named(one, "" if constitution is None else constitution.id) for one, constitution in named]
    options = dict(data.get("prompts") or {})
    path = folder / str(options.pop("path"))
    return {**data, "prompts": options, "stages": stages}, _first_lines(path, MOST)


def _named(stage: Tree, constitution: str) -> Tree:
    """A stage with its constitution by name instead of by path."""
    return {**stage, "constitution": constitution} if "constitution" in stage else stage


def _first_lines(path: Path, most: int) -> str:
    """The first prompts of a file, as many as the form takes: plain text where a row is nothing else."""
    found: list[str] = []
    for line in path.read_text("utf-8").splitlines()[:most]:
        row = json.loads(line)
        plain = row.get("prompt") if isinstance(row, dict) and set(row) == {"prompt"} else None
        found.append(plain if isinstance(plain, str) and "\n" not in plain else line)
    return "\n".join(found)[:MOST]


def _yaml(data: Tree) -> str:
    stream = io.StringIO()
    writer = YAML()
    writer.width = 100
    writer.dump(data, stream)
    return stream.getvalue()


# What comes back


def _request(draft: Draft) -> JobRequest:
    """Read the form.

    Raises:
        InputError: the pipeline is no YAML, with its line; or a line of prompts is no JSON.
        Problem: a field is not usable.
    """
    with tempfile.TemporaryDirectory(prefix="rlaif-") as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(draft.pipeline.replace("\r\n", "\n"), "utf-8")
        pipeline = read_yaml(path).data
    rows = [_row(number, line) for number, line in enumerate(draft.prompts.splitlines(), 1) if line.strip()]
    given = {"pipeline": pipeline, "prompts": rows, "budget": _dollars(draft.budget)}
    try:
        return JobRequest.model_validate_json(json.dumps(given))
    except ValidationError as error:
        raise invalid(error, "form") from None


def _row(number: int, line: str) -> JsonValue:
    if not line.lstrip().startswith("{"):
        return line.strip()
    try:
        row: JsonValue = json.loads(line)
    except ValueError as error:
        raise InputError(f"this prompt begins with a brace and is no JSON: {error}", line=number) from None
    return row


def _dollars(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise InputError(f"{text!r} is no amount in USD; write e.g. 2.50", field="budget") from None


# Routes


async def form(call: Call) -> web.StreamResponse:
    """Show the form."""
    base = call.query(Begin).base
    return page("handing.html", await call.service.look(lambda: view_form(call.service, base)), here="/")


async def hand_in(call: Call) -> web.StreamResponse:
    """Price what the form holds, or start it."""
    draft, service = call.body(Draft), call.service
    shown = {**_around(service, ""), **draft.model_dump(include={"pipeline", "prompts", "budget"})}
    try:
        request = await asyncio.to_thread(_request, draft)
        if draft.step == "start":
            job = await submitted(call, request)
            return web.Response(status=303, headers={"Location": f"/jobs/{job.id}"})
        made = await asyncio.to_thread(prepare, service, request)
        await asyncio.to_thread(folders.discard, made.folder)
        return page("handing.html", {**shown, "lines": made.lines, "usd": made.usd}, here="/")
    except (Problem, InputError) as error:
        problem = error if isinstance(error, Problem) else problem_of(error)
        return page("handing.html", {**shown, "fault": problem.details}, here="/", status=problem.status)


ROUTES: Final = (
    Route(
        method="GET", path="/jobs/new", scope="run", handler=form, query=Begin, summary="Hand a job in",
        page=True,
    ),
    Route(
        method="POST", path="/jobs", scope="run", handler=hand_in, body=Draft,
        summary="Price a job, or start it", page=True, upload=MOST_FORM,
    ),
)  # fmt: skip
