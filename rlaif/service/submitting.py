"""From a request to a job's own folder: pipeline, prompts and constitutions as files that never change.

Owns what a caller may ask for and the files it becomes. Leaves what a pipeline means to ``pipeline``,
names of constitutions to ``library``, the files' place to ``folders`` and running to ``engine``. A caller
never names a path: prompts come in the request, constitutions by name, and every setting that would open a
file of the server is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from pydantic import Field, JsonValue, model_validator
from pydantic_core import to_json

from rlaif import exports
from rlaif.complaints import shown
from rlaif.errors import InputError
from rlaif.pipeline import Loaded, describe, quote
from rlaif.pipeline.config import JudgeStage, Stage
from rlaif.pipeline.models import prices, probe
from rlaif.pipeline.revise import ReviseStage
from rlaif.pipeline.stages import model_specs
from rlaif.providers.limits import Limits
from rlaif.records import Prompt, Record
from rlaif.service import library
from rlaif.service.allowed import refuse_models
from rlaif.service.context import Service
from rlaif.service.folders import Prepared, load, new_folder
from rlaif.service.problems import Fault, Problem
from rlaif.yamlfile import SchemaVersion

MOST_ROWS: Final = 50_000
"""Prompts of one request."""
MOST_BYTES: Final = 64 * 2**20
"""Bytes of one request, or of an uploaded file."""
_PATHS: Final = ("template", "scorecard", "weights", "against")
"""Settings of stages that name a file; a template may also be a shipped one, by a plain word."""

Row = str | dict[str, JsonValue]
"""A prompt as text, or as a row with ``prompt`` or ``messages``, as in a file of prompts."""


class PromptOptions(Record):
    """Which of the prompts to use."""

    limit: int | None = Field(default=None, ge=1)
    """Use only the first so many prompts."""
    test_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of prompts on the test side; which ones is a function of the prompt alone."""
    skip_bad_rows: bool = False
    """Count and report rows that cannot be read, instead of refusing the request."""


class PipelineRequest(Record):
    """A pipeline as in a pipeline file, but ``prompts`` names no file and ``constitution`` is a name."""

    schema_version: SchemaVersion = 1
    """Version of the format."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")
    """Short name; job ids begin with it."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of everything drawn."""
    prompts: PromptOptions = PromptOptions()
    """Which of the prompts to use."""
    stages: tuple[Stage, ...] = Field(min_length=1, max_length=64)
    """What to do, in order; a stage's ``constitution`` is a name of the service's library."""
    limits: Limits = Limits()
    """Concurrency, attempts and time-outs of calls; the operator's own bounds stand over them."""
    max_failed_share: float = Field(default=0.2, ge=0.0, le=1.0)
    """Share of a stage's tasks that may fail before the job stops."""


class JobRequest(Record):
    """A job to be run, or to be priced."""

    pipeline: PipelineRequest
    """What to do."""
    prompts: tuple[Row, ...] | None = Field(default=None, min_length=1, max_length=MOST_ROWS)
    """Prompts: texts, or rows with ``prompt`` or ``messages``; a row's ``custom_id`` comes back with its
    results."""
    dataset: str | None = Field(default=None, max_length=200)
    """In place of ``prompts``: a job, or a job's set, of this service whose prompts to use."""
    budget: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """Most USD the job may cost over all its runs; needed when a model costs anything."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.prompts is None) == (self.dataset is None):
            raise ValueError("give either 'prompts' or 'dataset'")
        return self


def prepare(service: Service, request: JobRequest) -> Prepared:
    """Check a request in every way that costs nothing, and write its files where ``keep`` finds them.

    Blocks for as long as reading the prompts takes: call it on a thread.

    Raises:
        Problem: 422, naming the field.
    """
    for index, stage in enumerate(request.pipeline.stages):
        refuse_files(stage.model_dump(mode="json"), f"body.pipeline.stages.{index}")
    with new_folder(service.folder) as folder, _blamed(folder, request.dataset):
        _write(service, request, folder)
        return _checked(service, folder)


async def check_models(service: Service, loaded: Loaded) -> None:
    """Refuse a job whose models lack a key, a server or a package.

    Raises:
        InputError: what is missing and how to set it.
    """
    await probe(model_specs(loaded), service.settings)


def _checked(service: Service, folder: Path) -> Prepared:
    loaded = load(folder)
    refuse_models(service.settings, model_specs(loaded), "body.pipeline.stages")
    prices(model_specs(loaded), service.settings, allow_unpriced=False)
    prompts = loaded.read_prompts()
    lines = tuple(quote(loaded, service.settings, allow_unpriced=False))
    return Prepared(describe(loaded, prompts).id, loaded, prompts, lines, folder)


# Files


def _write(service: Service, request: JobRequest, folder: Path) -> None:
    asked = request.pipeline
    stages = [_stage(service, index, one, folder) for index, one in enumerate(asked.stages)]
    written = {
        **asked.model_dump(mode="json", exclude={"stages", "prompts"}),
        "prompts": {"path": "prompts.jsonl", **asked.prompts.model_dump(mode="json", exclude_none=True)},
        "stages": stages,
    }
    (folder / "pipeline.yaml").write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", "utf-8")
    with (folder / "prompts.jsonl").open("wb") as file:
        for row in _rows(service, request):
            file.write(to_json(row) + b"\n")


def _stage(service: Service, index: int, stage: Stage, folder: Path) -> dict[str, JsonValue]:
    """A stage as it is written, its constitution copied beside the pipeline."""
    written: dict[str, JsonValue] = stage.model_dump(mode="json", exclude_none=True)
    if isinstance(stage, JudgeStage | ReviseStage):
        try:
            source = library.path_of(service, stage.constitution)
        except InputError as error:
            field = f"body.pipeline.stages.{index}.constitution"
            raise Problem(
                422, f"{field}: {error.message}", [Fault(field=field, message=error.message)]
            ) from None
        copied = folder / "constitutions" / f"{index:02d}.yaml"
        copied.write_bytes(source.read_bytes())
        written["constitution"] = f"constitutions/{copied.name}"
    return written


def _rows(service: Service, request: JobRequest) -> Iterator[dict[str, JsonValue]]:
    if request.prompts is not None:
        for row in request.prompts:
            yield {"prompt": row} if isinstance(row, str) else row
        return
    assert request.dataset is not None  # the model sees to it
    found: Sequence[Prompt] = list(exports.stored(service.workspace, request.dataset).prompts())
    for one in found:
        turns: list[JsonValue] = [turn.model_dump(mode="json") for turn in one.messages]
        yield {**one.meta, "messages": turns, "source": one.source, "licence": one.licence}


# What is refused


def refuse_files(value: JsonValue, place: str) -> None:
    """Refuse a setting that would open a file of the server.

    Args:
        value: a stage or a judge, as JSON.
        place: its field in the request.

    Raises:
        Problem: 422, naming the setting.
    """
    for field, name, found in _settings(value, place):
        if name != "template" or found.endswith(".txt") or not found.isidentifier():
            said = f"found {shown(found)}; a file of the server cannot be named here, leave it out"
            raise Problem(422, f"{field}: {said}", [Fault(field=field, message=said)])


def _settings(value: JsonValue, place: str) -> Iterator[tuple[str, str, str]]:
    """Every setting that names a file: its place, its name, its value."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _settings(one, f"{place}.{index}")
    elif isinstance(value, dict):
        for name, one in value.items():
            if name in _PATHS and isinstance(one, str):
                yield f"{place}.{name}", name, one
            yield from _settings(one, f"{place}.{name}")


@contextmanager
def _blamed(folder: Path, dataset: str | None) -> Iterator[None]:
    """Turn a complaint about a file the caller has never seen into one about the request's field."""
    try:
        yield
    except InputError as error:
        field = _field(error, dataset)
        message = error.message.replace(f"{folder}{os.sep}", "").replace(str(folder), "the request")
        raise Problem(422, f"{field}: {message}", [Fault(field=field, message=message)]) from None


def _field(error: InputError, dataset: str | None) -> str:
    name = "" if error.path is None else error.path.name
    if dataset is not None and name in ("", "prompts.jsonl"):
        return "body.dataset"
    if name == "prompts.jsonl":
        row = "" if error.line is None else f".{error.line - 1}"
        return f"body.prompts{row}" + (f".{error.field}" if error.field else "")
    return "body.pipeline" + (f".{error.field}" if error.field else "")
