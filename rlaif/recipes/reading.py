"""Reads a recipe and checks all of it before anything runs.

Owns the order of the checks. Leaves sizes and values to ``settling``, references to ``leaving`` and the
bodies of steps to ``bodies``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter

from rlaif.complaints import Loc, dotted
from rlaif.constitution import load_constitution
from rlaif.errors import InputError
from rlaif.judging import AnyJudge, Mode, build
from rlaif.lab.preferring import Judged
from rlaif.providers.base import ModelSpec
from rlaif.recipes.bodies import absolute, checked
from rlaif.recipes.config import Recipe, Step
from rlaif.recipes.leaving import Known, left_by, references, wanted
from rlaif.recipes.outside import wrong
from rlaif.recipes.settling import settle
from rlaif.recipes.transforms import Judgements, Prompts, Ranked, Rescored, Unsafe, Written
from rlaif.recipes.worth import OfWorld
from rlaif.yamlfile import YamlFile, apply_overrides, read_yaml, validate

WORLDS: Final = ("compatible:world/", "compatible:world_second/")
"""How models of the recipe's world are called; each has one, ``gold``."""

_JUDGE: Final[TypeAdapter[AnyJudge]] = TypeAdapter(AnyJudge)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recipe file, read and checked."""

    recipe: Recipe
    path: Path
    overrides: tuple[str, ...]
    about: str
    """The comment the file opens with."""
    known: Known
    """What every step leaves."""

    @property
    def output(self) -> Path:
        """The output folder."""
        parts = (self.recipe.name, self.recipe.control)
        return Path(self.recipe.output or f"outputs/{'-'.join(filter(None, parts))}")

    @property
    def again(self) -> str:
        """The command that goes on with it."""
        return shlex.join(("rlaif", "run", str(self.path), *self.overrides))


def is_recipe(path: Path) -> bool:
    """Tell whether a file is a recipe: it has ``steps`` where a pipeline has ``stages``.

    Raises:
        InputError: the file cannot be read.
    """
    return "steps" in read_yaml(path).data


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Loaded:
    """Read, override, settle and check a recipe, every step and every reference of it.

    Args:
        path: the YAML file.
        overrides: ``dotted.key=value`` strings, checked by the same schema.

    Raises:
        InputError: with file, line and field.
    """
    read = read_yaml(path)
    file = settle(read, apply_overrides(read.data, overrides))
    recipe = validate(Recipe, file)
    known = Known()
    for at, step in enumerate(recipe.steps):
        _check(step, at, recipe, file, known)
    return Loaded(recipe, Path(path), tuple(overrides), opening(Path(path).read_text("utf-8")), known)


def opening(text: str) -> str:
    """Return the comment a file opens with, without its marks."""
    found: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        found.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(found)


def _check(step: Step, at: int, recipe: Recipe, file: YamlFile, known: Known) -> None:
    """Check one step against those before it, and remember what it leaves."""
    place: Loc = ("steps", at)
    if step.name in known.steps:
        raise _refused(file, (*place, "name"), f"found {step.name!r}, which another step is called already")
    for one in references(step):
        try:
            known.kind(one, wanted(step, one))
        except ValueError as error:
            raise _refused(file, (*place, *one.loc), str(error)) from None
    for loc, complaint in _worldly(step, recipe, file):
        raise _refused(file, (*place, *loc), complaint)
    if step.compare is not None and step.compare.judge is not None:
        _judged(step.compare.judge, (*place, "compare", "judge"), file)
    tables = checked(step, at, recipe, file) if step.work in ("pipeline", "train", "iterate") else None
    if (other := wrong(step)) is not None:
        raise _refused(file, (*place, "train", "data", "path"), other)
    try:
        known.steps[step.name] = left_by(step, known) if tables is None else tables
    except ValueError as error:
        raise _refused(file, (*place, step.work), str(error)) from None


def asked_by(judge: Judged, home: Path) -> Mode:
    """Return the judge of a compare step, ready to ask.

    Args:
        judge: as the step has it.
        home: the recipe's folder, which its files are relative to.

    Raises:
        InputError: it cannot be used.
    """
    body = absolute(judge.judge.model_dump(mode="json"), home)
    return build(_JUDGE.validate_json(json.dumps(body)))


def _judged(judge: Judged, loc: Loc, file: YamlFile) -> None:
    """See that a compare step's judge could be asked: who finds out afterwards has trained for hours."""
    load_constitution(file.path.parent / judge.constitution)
    try:
        for spec in asked_by(judge, file.path.parent).models:
            ModelSpec.parse(spec)
    except InputError as error:
        raise _refused(file, (*loc, "judge"), error.message) from None


def _worldly(step: Step, recipe: Recipe, file: YamlFile) -> list[tuple[Loc, str]]:
    """What a step asks of a world that is not there."""
    world = recipe.world
    need = "; add world: {name: cover} at the top, or take another"
    found: list[tuple[Loc, str]] = []
    if world is None and isinstance(step.rows, Written | Judgements):
        found.append((("rows",), "only a world knows what could be written" + need))
    if isinstance(step.rows, Unsafe) and (world is None or world.name != "harm"):
        found.append((("rows",), "prompts are unsafe in the world harm alone; set world.name: harm"))
    if world is None and isinstance(step.rows, Prompts) and step.rows.path is None:
        found.append((("rows",), "found no path of prompts, and no world that has its own; give rows.path"))
    if isinstance(step.rows, Judgements):
        load_constitution(file.path.parent / step.rows.constitution)
    if isinstance(step.rows, Ranked | Prompts) and step.rows.path is not None:
        path = file.path.parent / step.rows.path
        if not path.exists():
            found.append((("rows", "path"), f"there is no {str(path)!r}; check the name"))
    for loc, score in scores_of(step):
        if isinstance(score, OfWorld) and world is None:
            found.append((loc, "this score is a world's" + need))
        elif isinstance(score, OfWorld) and score.of == "safety" and world and world.name != "harm":
            found.append((loc, f"the world {world.name!r} has no safety; take the world harm"))
    judge = None if step.compare is None else step.compare.model_dump(mode="json")
    for work, body in (("pipeline", step.pipeline), ("compare", judge)):
        if world is None and _asks(body, WORLDS):
            found.append(((work,), f"a judge is {WORLDS[0]}gold" + need))
        elif world is not None and world.second is None and _asks(body, WORLDS[1:]):
            found.append(((work,), "the world has no second judge; add second: {} under world"))
    return found


def scores_of(step: Step) -> list[tuple[Loc, object]]:
    """Return every score a step names, with its place."""
    found: list[tuple[Loc, object]] = [(("reward",), step.reward)]
    if step.draw is not None:
        found.append((("draw", "score"), step.draw.score))
    if isinstance(step.rows, Rescored):
        found.append((("rows", "by"), step.rows.by))
    if step.measure is not None:
        found += [(("measure", "gold"), step.measure.gold), (("measure", "proxy"), step.measure.proxy)]
    for at, one in enumerate(step.flag or ()):
        found.append((("flag", at, "against"), getattr(one, "against", None)))
    return [(loc, one) for loc, one in found if one is not None]


def _asks(value: JsonValue, whom: tuple[str, ...]) -> bool:
    """Whether a model in a body is called by one of some beginnings."""
    if isinstance(value, dict):
        return any(_asks(one, whom) for one in value.values())
    if isinstance(value, list):
        return any(_asks(one, whom) for one in value)
    return isinstance(value, str) and value.startswith(whom)


def _refused(file: YamlFile, loc: Loc, message: str) -> InputError:
    return InputError(message, path=file.path, line=file.line(loc), field=dotted(loc))
