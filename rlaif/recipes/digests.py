"""What a step is made from, by content: the digest that says whether it has to be done again.

Owns which files, models and constitutions count, and that names and places of files do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from rlaif.checkpoints import identity
from rlaif.constitution import load_constitution
from rlaif.providers.base import ModelSpec
from rlaif.recipes.config import Step
from rlaif.recipes.desk import Desk
from rlaif.recipes.folder import content
from rlaif.recipes.leaving import LOCAL, Reference, leaves, references
from rlaif.records import canonical

_VERSION: Final = 1
"""Of what steps do; raised when the same body comes to mean something else."""
_FREE: Final = frozenset(
    {"limits", "part_tokens", "gradient_checkpointing", "sharded", "save_every", "report_to",
     "max_failed_share"}
)  # fmt: skip
"""Fields that say how, and not what."""
_MODELS: Final = frozenset({"model", "models", "policies", "safety", "helpfulness"})
_BARE: Final = frozenset({"train", "draw", "measure", "flag"})
"""Work in which models go without their provider."""
_SCORED: Final = (["iterate", "model"], ["iterate", "reward"], ["rows", "by"])
"""Where they do so in other work."""
_PROMPTS: Final = (["pipeline", "prompts"], ["iterate", "prompts"])
_TAG: Final = ["safety_prompts", "path"]
"""Of a gate, wherever that stands."""
_HOME: Final = frozenset({"constitution", "weights", "against", "scorecard"})


def inputs(step: Step, desk: Desk) -> dict[str, str]:
    """Return what a step is made from: what is written of it, to the digest of what is there.

    Raises:
        InputError: a file or a model is not there.
    """
    found = {one.text: desk.place(one).content for one in references(step)}
    dumped = step.model_dump(mode="json", include={step.work, "reward"}, exclude_none=True)
    for loc, value in leaves(dumped):
        if isinstance(value, str) and Reference.read(value) is None:
            for name, digest in _named(loc, value, step, desk):
                found[name] = digest
    return found


def _named(loc: tuple[str | int, ...], value: str, step: Step, desk: Desk) -> Iterator[tuple[str, str]]:
    keys = [one for one in loc if isinstance(one, str)]
    key = keys[-1]
    if key == "constitution":
        yield value, load_constitution(desk.home / value).digest
    elif (key in _HOME and step.work != "flag") or (key == "template" and value.endswith(".txt")):
        yield value, content(desk.home / value)
    elif key == "path":
        beside = step.work == "rows" or keys[:2] in _PROMPTS or keys[-2:] == _TAG
        yield value, content(desk.home / value if beside else Path(value))
    elif key in _MODELS and step.work in ("pipeline", "iterate", "compare") and value.startswith(LOCAL):
        yield value, identity(ModelSpec.parse(value).model)
    elif key in _MODELS and (step.work in _BARE or keys[0] == "reward" or keys[:2] in _SCORED):
        yield value, identity(value)


def digest(step: Step, desk: Desk, made_from: dict[str, str]) -> str:
    """Return what tells a step from another that would come to something else."""
    body = step.model_dump(mode="json", include={step.work, "reward"})
    world = None if desk.recipe.world is None else desk.recipe.world.model_dump(mode="json")
    told = [_VERSION, step.name, _without(body), desk.recipe.seed, world, sorted(made_from.items())]
    if desk.recipe.control is not None:
        told.append(desk.recipe.control)
    return hashlib.sha256(canonical(told)).hexdigest()


def _without(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_without(one) for one in value]
    if isinstance(value, dict):
        return {key: _without(one) for key, one in value.items() if key not in _FREE}
    return value
