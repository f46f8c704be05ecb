"""The page of a recipe: what it is, what was done, what came of it beside what to expect, and how to go on.

Owns the choice of what is shown. Leaves the look and the page's safety to ``reports.frame``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from rlaif.recipes.config import Step
from rlaif.recipes.controls import DONE, MUST
from rlaif.recipes.desk import Desk
from rlaif.recipes.folder import Done
from rlaif.recipes.lineage import ancestry
from rlaif.recipes.measuring import Measured
from rlaif.recipes.reading import Loaded
from rlaif.reports.frame import framed

_SHOWN: Final = 8
"""Numbers of a step that are shown."""
_FIGURES: TypeAdapter[list[Measured]] = TypeAdapter(list[Measured])


@dataclass(frozen=True, slots=True)
class Line:
    """One step of the table."""

    step: Step
    done: Done | None
    """None where the recipe has not come so far."""

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """What it came to."""
        counts = {} if self.done is None else self.done.counts
        shown = list(counts.items())[:_SHOWN]
        return [(name, f"{value:,.0f}" if value == int(value) else f"{value:.4g}") for name, value in shown]


def render(loaded: Loaded, desk: Desk) -> str:
    """Render the page as far as the recipe has come."""
    lines = [Line(step, desk.done.get(step.name)) for step in loaded.recipe.steps]
    done = list(desk.done.values())
    said = loaded.recipe.control
    control = None if said is None else (DONE[said], MUST[said])
    return framed(
        "recipe.html", title=f"Recipe: {loaded.recipe.name}", package="rlaif.recipes",
        r=loaded.recipe, about=loaded.about, control=control, lines=lines, again=loaded.again,
        root=str(desk.folder.root),
        tables=[(one.name, measured(one, desk)) for one in done if one.work == "measure"],
        raised=[flag for one in done for flag in one.raised],
        notices=[f"{one.name}: {said}" for one in done for said in one.notices],
        checkpoints=ancestry(desk), seconds=sum(one.seconds for one in done),
        spent=sum(one.spent for one in done),
    )  # fmt: skip


def measured(done: Done, desk: Desk) -> list[Measured]:
    """Return the rows of a measure step."""
    return _FIGURES.validate_json((desk.folder.root / done.places[""].path).read_bytes())
