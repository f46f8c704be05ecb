"""Rows from elsewhere that a train step is to learn from: are they what its method reads?

Owns the look at the first row of a file, before anything runs. Leaves rows of earlier steps to ``leaving``
and every further row to the trainer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from rlaif.recipes.config import Step
from rlaif.recipes.kinds import LEARNT, MAKERS, SAID, Kind
from rlaif.recipes.leaving import Reference
from rlaif.training.config import DataConfig
from rlaif.training.files import read_split_rows

_NEEDED: Final[Mapping[Kind, tuple[frozenset[str], ...]]] = {
    "pairs": (frozenset({"chosen", "rejected"}),),
    "unpaired": (frozenset({"prompt", "completion", "label"}),),
    "responses": (frozenset({"prompt", "completion", "score"}),),
    "demonstrations": (frozenset({"prompt", "completion"}), frozenset({"messages"})),
    "prompts": (frozenset({"prompt"}),),
}
"""Columns that rows of a kind have at least, the most telling kind first."""


def wrong(step: Step) -> str | None:
    """Say what is wrong with a file that a train step names; None where nothing is, or no file is named.

    Raises:
        InputError: the file cannot be read.
    """
    data = None if step.train is None else step.train.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    if step.train is None or not isinstance(path, str) or Reference.read(path):
        return None
    if not Path(path).exists():
        return f"there is no {path!r}; check the name, which is relative to where the command runs"
    wanted = LEARNT[str(step.train["method"])]
    columns = _columns(DataConfig.model_validate(data))
    if columns == frozenset():
        return f"there is no row in {path!r}; name a file with rows"
    if columns is None or any(_has(columns, kind) for kind in wanted):
        return None
    found = next(
        (SAID[kind] for kind in _NEEDED if _has(columns, kind)), "rows that nothing here learns from"
    )
    needs = " or ".join(SAID[kind] for kind in wanted)
    listed = ", ".join(sorted(columns))
    return (
        f"{path!r} has the columns {listed}: {found}, where {needs} belong; name a file of those, or add"
        f" {MAKERS[wanted[0]]} before this one"
    )


def _has(columns: Collection[str], kind: Kind) -> bool:
    return any(some <= set(columns) for some in _NEEDED.get(kind, ()))


def _columns(config: DataConfig) -> frozenset[str] | None:
    first = next(iter(read_split_rows(config.model_copy(update={"limit": 1}))), None)
    if first is None:
        return frozenset()
    if not isinstance(first[0].value, dict):
        return None
    return frozenset(name for name, value in first[0].value.items() if value is not None)
