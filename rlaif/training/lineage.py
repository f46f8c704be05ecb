"""Every checkpoint below a folder, and what made it: parent, data, and what else had a say.

Owns the row of a checkpoint, the search for them and the line of a checkpoint's parents. Leaves the manifest
of a single training run to ``checkpoints``, and what recipes know besides to ``recipes.lineage``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from rlaif.checkpoints import Lineage, identity, read_lineage
from rlaif.errors import InputError
from rlaif.records import Record

MANIFEST: Final = "lineage.json"
_TOLD: Final = ("model", "constitution", "safety", "helpfulness")
"""Names of settings that say who or what had a say in a run's data."""
_ASKED: Final = ("judge", "reward", "second", "proxy", "held_out")
"""Where such settings stand."""


class Ancestry(Record):
    """One checkpoint."""

    step: str
    """The step, round or point that made it."""
    checkpoint: str
    """Where it lies, relative to the folder that was searched."""
    digest: str
    """Content of its weights, configuration, tokenizer and template."""
    method: str
    """What trained it last."""
    parent: str
    """What it began as: a step, round or point, or a model's name."""
    parent_digest: str
    """Content of that."""
    data: tuple[str, ...]
    """Steps whose rows it learnt from; or its file."""
    data_digest: str
    """Content of all it was trained on, as token ids and labels."""
    models: dict[str, str]
    """Judges, constitutions, scores and reward models that had a say in its data, by step or setting."""
    seed: int
    """Of the run."""


def found_in(root: Path, told: Mapping[str, JsonValue] | None = None) -> list[Ancestry]:
    """Find every checkpoint below a folder, parents before what began as them.

    Args:
        root: the folder.
        told: settings of what made all of them: an iteration or a sweep.

    Raises:
        InputError: a manifest cannot be read.
    """
    folders = sorted(one.parent for one in root.rglob(MANIFEST) if (one.parent / "config.json").is_file())
    known = [(one, lineage) for one in folders if (lineage := read_lineage(one)) is not None]
    digests = {one: identity(str(one)) for one, _ in known}
    names = {digests[one]: _named(one, root) for one, _ in known}
    shared = _say(told or {})
    rows = [_row(one, root, lineage, (digests[one], names, shared)) for one, lineage in known]
    return list(_ordered(rows))


def _row(
    folder: Path, root: Path, lineage: Lineage, about: tuple[str, Mapping[str, str], Mapping[str, str]]
) -> Ancestry:
    digest, names, shared = about
    data, seed = lineage.config.get("data"), lineage.config.get("seed")
    path = str(data.get("path", "")) if isinstance(data, dict) else ""
    return Ancestry(
        step=_named(folder, root), checkpoint=str(folder.relative_to(root)), digest=digest,
        method=lineage.method, parent=names.get(lineage.parent_digest, lineage.parent),
        parent_digest=lineage.parent_digest, data=(Path(path).name,) if path else (),
        data_digest=lineage.data_digest, seed=seed if isinstance(seed, int) else 0,
        models={**shared, **_say(lineage.config)},
    )  # fmt: skip


def line(rows: Sequence[Ancestry], of: str) -> list[Ancestry]:
    """Return a checkpoint and all it descends from, the eldest first.

    Args:
        rows: of a folder.
        of: its step, round or point, its place, or how its digest begins.

    Raises:
        InputError: none or several are meant.
    """
    place = of.rstrip("/")
    meant = [one for one in rows if place in (one.step, one.checkpoint)]
    meant = meant or [one for one in rows if place.endswith(f"/{one.checkpoint}")]
    meant = meant or [one for one in rows if len(of) >= 6 and one.digest.startswith(of)]
    if len(meant) != 1:
        there = ", ".join(one.step for one in meant or rows) or "none"
        raise InputError(
            f"found {of!r}, and {'several checkpoints' if meant else 'no checkpoint'} here"
            f" {'are' if meant else 'is'} called so; there are: {there}",
            field="--of",
        )
    by_digest = {one.digest: one for one in rows}
    found = meant
    while (before := by_digest.get(found[0].parent_digest)) is not None and before not in found:
        found = [before, *found]
    return found


def sheet(rows: Sequence[Ancestry]) -> list[dict[str, str | float | int | None]]:
    """Return checkpoints as a table of DuckDB has them: lists and mappings in one cell each."""
    return [
        {
            "step": one.step, "checkpoint": one.checkpoint, "digest": one.digest, "method": one.method,
            "parent": one.parent, "parent_digest": one.parent_digest, "data": ", ".join(one.data),
            "data_digest": one.data_digest, "seed": one.seed,
            "models": "; ".join(f"{name} {said}" for name, said in one.models.items()),
        }
        for one in rows
    ]  # fmt: skip


def _ordered(rows: Sequence[Ancestry]) -> Iterator[Ancestry]:
    """Put parents first, and otherwise keep the order of folders."""
    left = list(rows)
    while left:
        waiting = {one.digest for one in left}
        # Weights that did not change are their own parents.
        ready = [one for one in left if one.parent_digest not in waiting - {one.digest}] or left
        yield from ready
        left = [one for one in left if one not in ready]


def _named(folder: Path, root: Path) -> str:
    """What a checkpoint is called: its place without what all of them end in."""
    parts = [one for one in folder.relative_to(root).parts if one not in ("final", "policy", "run", "points")]
    return "/".join(parts) or folder.parent.name


def _say(told: Mapping[str, JsonValue], within: tuple[str, ...] = ()) -> dict[str, str]:
    """Name the settings that say who judged by what: their place, and what stands there."""
    found: dict[str, str] = {}
    for key, value in told.items():
        place = (*within, key)
        if isinstance(value, dict):
            found |= _say(value, place)
        elif isinstance(value, str) and _has_a_say(place):
            found[".".join(place)] = value
    return found


def _has_a_say(place: tuple[str, ...]) -> bool:
    *within, key = place
    if key in _TOLD and any(one in _ASKED for one in within):
        return True
    return key.endswith(".constitution") or place in (("world",), ("proxy", "kind"))
