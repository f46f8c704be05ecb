"""Where a control touches a running recipe: rewards, files from elsewhere, what a judge said.

Owns the places, and that each is touched once. Leaves what a control makes of rows to ``controls`` and of
scores to ``scores``. Without a control everything stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from rlaif.recipes.bodies import axes, own
from rlaif.recipes.config import Step
from rlaif.recipes.controls import spoiled, tables
from rlaif.recipes.desk import Desk
from rlaif.recipes.folder import put_rows
from rlaif.recipes.kinds import LEARNT
from rlaif.recipes.leaving import references
from rlaif.recipes.rows import Row
from rlaif.recipes.scores import Source, learned, source
from rlaif.recipes.worth import AnyScore, AtRandom, OfWorld
from rlaif.training.config import DataConfig
from rlaif.training.files import read_split_rows
from rlaif.training.methods import AnyConfig
from rlaif.training.ppo import PpoConfig


def reward(step: Step, config: AnyConfig, desk: Desk) -> Source | None:
    """Return what scores responses in place of the body's own reward; None where that stands."""
    if step.reward is not None:
        return learned(step.reward, desk)
    if desk.recipe.control in (None, "still") or not isinstance(config, PpoConfig) or config.reward is None:
        return None
    return None if own((step.train or {}).get("reward")) else learned(config.reward, desk)


def taught(step: Step, data: DataConfig, desk: Desk, folder: Path) -> DataConfig:
    """Return the data of a train step; files from elsewhere are spoiled here, under a control."""
    assert step.train is not None
    control, kind = desk.recipe.control, LEARNT[str(step.train["method"])][0]
    ours = any(one.loc[1:] == ("data", "path") for one in references(step))
    if control in (None, "still") or ours or kind not in ("pairs", "unpaired", "demonstrations"):
        return data
    sides: dict[str, list[Row]] = {}
    for row, side in read_split_rows(data):
        if isinstance(row.value, dict):
            sides.setdefault(side or "rows", []).append(row.value)
    for name, rows in sides.items():
        put_rows(folder / "control" / f"{name}.jsonl", spoiled(rows, kind, control, desk.recipe.seed))
    return data.model_copy(update={"path": str(folder / "control"), "table": None, "limit": None})


def exported(step: Step, export: Path, desk: Desk, folder: Path) -> dict[str, tuple[Path, str | None]]:
    """Write the tables of an export as the control has them, and return where they lie."""
    control, made = desk.recipe.control, dict[str, list[Row]]()
    assert control is not None
    for one in sorted(export.iterdir()):
        rows = _table(export, one.name) if one.is_dir() else []
        if one.name in axes(step):
            made |= tables(one.name, rows, control, desk.recipe.seed)
        elif one.name.endswith("-revised"):
            made[one.name] = spoiled(rows, "demonstrations", control, desk.recipe.seed)
    return {name: (put_rows(folder / f"control-{name}.jsonl", rows), None) for name, rows in made.items()}


def choosing(score: AnyScore, desk: Desk) -> Source:
    """Return what chooses in an iterate step; among equal scores chance decides, or nothing were learned."""
    tied = desk.recipe.control == "constant" and isinstance(score, OfWorld)
    return source(AtRandom(kind="random"), desk) if tied else learned(score, desk)


def _table(export: Path, name: str) -> list[Row]:
    data = DataConfig(path=str(export), table=name)
    return [row.value for row, _ in read_split_rows(data) if isinstance(row.value, dict)]
