"""What the calls of a recipe may cost, before any is made.

Owns which steps can be counted: pipelines whose prompts are known before anything runs. Leaves counting and
prices to ``pipeline``.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from rlaif.checkpoints import BUNDLED
from rlaif.iterations import load_iteration
from rlaif.pipeline import Line, load_pipeline, quote
from rlaif.pipeline.models import prices, probe
from rlaif.pipeline.stages import model_specs
from rlaif.recipes.bodies import body_of, completed, written
from rlaif.recipes.config import Step
from rlaif.recipes.desk import Desk, Money
from rlaif.recipes.folder import Done, Folder, Place, put_rows
from rlaif.recipes.leaving import LOCAL, Reference, references
from rlaif.recipes.making import ready
from rlaif.recipes.reading import WORLDS, Loaded, asked_by
from rlaif.recipes.serving import with_world
from rlaif.recipes.transforming import transformed
from rlaif.recipes.transforms import Instruct, Prompts, Split
from rlaif.settings import Settings

_NOWHERE: Final = "http://127.0.0.1:9/v1"
"""Stands for the world's judge, who is not asked."""


@dataclass(frozen=True, slots=True)
class Quoted:
    """What is known of the calls."""

    lines: list[Line]
    """Of the pipelines that can be counted."""
    unknown: tuple[str, ...]
    """Steps whose calls depend on what earlier steps will make."""


def quote_recipe(loaded: Loaded, settings: Settings, *, allow_unpriced: bool) -> Quoted:
    """Count and price the calls of every pipeline of a recipe; nothing is sent, nothing is kept.

    Raises:
        InputError: prompts or models are not usable.
        UnpricedError: a model has no known price and ``allow_unpriced`` is off.
    """
    lines: list[Line] = []
    unknown: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        desk = Desk(loaded.recipe, loaded.path.parent, Folder(Path(name)), Money(), _Silent())
        beside = with_world(settings, _NOWHERE) if loaded.recipe.world is not None else settings
        for step in loaded.recipe.steps:
            if isinstance(step.rows, Prompts | Instruct | Split) and _known(step, desk):
                _make(step, desk)
            elif _later(step, desk):
                unknown.append(step.name)
            elif step.pipeline is not None:
                path = written(Path(name) / f"{step.name}.yaml", _quotable(step, desk))
                found = quote(load_pipeline(path), beside, allow_unpriced=allow_unpriced)
                lines += [replace(one, stage=f"{step.name}: {one.stage}") for one in found]
    return Quoted(lines, tuple(unknown))


def paid_later(loaded: Loaded, settings: Settings, *, allow_unpriced: bool) -> tuple[str, ...]:
    """Return the steps that ask models which cost something, of those whose calls cannot be counted yet.

    Every model elsewhere is opened once, as nobody wants to hear after hours of training what it lacks.

    Raises:
        InputError: a key or a server is missing.
        UnpricedError: a model has no known price and ``allow_unpriced`` is off.
    """
    beside = with_world(with_world(settings, _NOWHERE), _NOWHERE, "world_second")
    found = []
    with tempfile.TemporaryDirectory() as name:
        for step in loaded.recipe.steps:
            models = _models(step, loaded, Path(name))
            rates = prices(models, beside, allow_unpriced=allow_unpriced)
            asyncio.run(probe((one for one in models if not one.startswith((LOCAL, *WORLDS))), beside))
            counted = step.pipeline is not None and all(one.loc[-1] != "path" for one in references(step))
            if not counted and any(one and (one.input or one.output) for one in rates.values()):
                found.append(step.name)
    return tuple(found)


def _models(step: Step, loaded: Loaded, folder: Path) -> set[str]:
    """Every model a step's calls go to."""
    home = loaded.path.parent
    if step.compare is not None and step.compare.judge is not None:
        return set(asked_by(step.compare.judge, home).models)
    if step.pipeline is None and step.iterate is None:
        return set()
    path = written(folder / f"{step.name}.yaml", completed(body_of(step), step, loaded.recipe, home))
    if step.pipeline is not None:
        return model_specs(load_pipeline(path))
    return load_iteration(path).models


def _known(step: Step, desk: Desk) -> bool:
    return all(one.step in desk.done for one in references(step))


def _later(step: Step, desk: Desk) -> bool:
    """Whether a step asks models about what is still to be made; checkpoints cost nothing to call."""
    if step.compare is not None:
        return step.compare.judge is not None
    if step.pipeline is not None:
        return not all(one.step in desk.done for one in references(step) if one.loc[-1] == "path")
    return step.iterate is not None


def _make(step: Step, desk: Desk) -> None:
    assert step.rows is not None
    places = {}
    for table, rows in transformed(step.rows, desk).items():
        path = put_rows(desk.folder.root / step.name / f"rows-{table or 'all'}.jsonl", rows)
        places[table] = Place(path=str(path.relative_to(desk.folder.root)), content="")
    desk.done[step.name] = Done(
        name=step.name, work=step.work, digest="", inputs={}, folder=step.name, places=places
    )


def _quotable(step: Step, desk: Desk) -> dict[str, JsonValue]:
    """A pipeline's body with the bundled model in the place of checkpoints that are still to be trained."""
    free = f"{LOCAL}{next(iter(BUNDLED))}"
    body = json.loads(json.dumps(body_of(step)))
    for one in references(step):
        if one.step not in desk.done:
            _put(body, one, free)
    return ready(body, step, desk)


def _put(body: JsonValue, reference: Reference, value: str) -> None:
    here: JsonValue = body
    for part in reference.loc[1:-1]:
        here = here[part]  # type: ignore[index]
    here[reference.loc[-1]] = value  # type: ignore[index]


class _Silent:
    """A listener that says nothing."""

    def stage(self, name: str, total: int) -> None:
        """Hear of a stage."""

    def task(self, ok: bool) -> None:
        """Hear of a task."""
