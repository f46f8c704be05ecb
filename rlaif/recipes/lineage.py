"""Every checkpoint a recipe made, and what made it: parent, data, judges, constitutions.

Owns the walk from a checkpoint back to all steps that took part. Leaves what checkpoints say of themselves to
``training.lineage``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from rlaif.checkpoints import read_lineage
from rlaif.errors import InputError
from rlaif.recipes.desk import Desk
from rlaif.recipes.folder import LINEAGE
from rlaif.recipes.leaving import Reference
from rlaif.training.lineage import Ancestry, found_in
from rlaif.training.origin import CONFIG

_ALL: TypeAdapter[list[Ancestry]] = TypeAdapter(list[Ancestry])


def ancestry(desk: Desk) -> list[Ancestry]:
    """Return every checkpoint so far, in order."""
    made = {one.places[""].content: name for name, one in desk.done.items() if "" in one.places}
    found = []
    for name, done in desk.done.items():
        place = done.places.get("")
        lineage = None if place is None else read_lineage(desk.folder.root / place.path)
        if place is None or lineage is None:
            continue
        before = _before(name, desk)
        found.append(
            Ancestry(
                step=name,
                checkpoint=place.path,
                digest=place.content,
                method=lineage.method,
                parent=made.get(lineage.parent_digest, Path(lineage.parent).name),
                parent_digest=lineage.parent_digest,
                data=tuple(_data(name, desk)),
                data_digest=lineage.data_digest,
                seed=desk.recipe.seed,
                models={
                    f"{one}: {part}": said for one in before for part, said in desk.done[one].models.items()
                },
            )
        )
    return found


def as_json(rows: Sequence[Ancestry]) -> str:
    """Return the text of ``lineage.json``."""
    return json.dumps([one.model_dump(mode="json") for one in rows], indent=1) + "\n"


def read(folder: Path) -> list[Ancestry]:
    """Read the lineage of the output folder of a recipe, an iteration, a sweep or a training run.

    A recipe says more of its checkpoints than they say themselves; those of its iterations' rounds are found
    below it.

    Raises:
        InputError: there is no checkpoint below it.
    """
    told, path = folder / CONFIG, folder / LINEAGE
    if path.is_file() and not told.is_file():
        known = _read(path)
        places = {one.checkpoint for one in known}
        return known + [one for one in found_in(folder) if one.checkpoint not in places]
    found = found_in(folder, json.loads(told.read_bytes()) if told.is_file() else None)
    if not found:
        raise InputError(
            "there is no checkpoint below this folder; name the output folder of a recipe, an iteration, a"
            " sweep or a training run, e.g. outputs/instructgpt",
            path=folder,
        )
    return found


def _read(path: Path) -> list[Ancestry]:
    try:
        return _ALL.validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"this is no lineage ({error.error_count()} faults); run the recipe again", path=path
        ) from None


def _data(name: str, desk: Desk) -> list[str]:
    """Steps a step learnt from, which are no checkpoints."""
    steps = {found.step for text in desk.done[name].inputs if (found := Reference.read(text))}
    return sorted(one for one in steps if not _is_checkpoint(one, desk))


def _is_checkpoint(name: str, desk: Desk) -> bool:
    place = desk.done[name].places.get("")
    return place is not None and read_lineage(desk.folder.root / place.path) is not None


def _before(name: str, desk: Desk) -> list[str]:
    """The step and all that it was made from, through rows and through reward models, in order."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo += [found.step for text in desk.done[one].inputs if (found := Reference.read(text))]
    return [one for one in desk.done if one in seen]
