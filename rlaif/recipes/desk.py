"""What every step of a running recipe works with: what earlier steps left, the world, the budget.

Owns the step from a reference to the path, the rows or the model it stands for. Leaves running to
``running``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rlaif.errors import InputError
from rlaif.jobs import Listener
from rlaif.lab.worlds import World
from rlaif.recipes.config import Recipe
from rlaif.recipes.folder import Done, Folder, Place
from rlaif.recipes.leaving import LOCAL, Reference
from rlaif.training.config import DataConfig
from rlaif.training.files import read_split_rows
from rlaif.training.reporting import Watch
from rlaif.training.rollouts import Rollout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Drawn = tuple["PreTrainedTokenizerBase", list[Rollout], tuple[float, float]]
"""A policy's tokenizer, what it drew, and its KL from the first policy by both estimators."""


@dataclass(slots=True)
class Money:
    """What calls may cost."""

    budget: float | None = None
    """Most USD in all; None is no cap."""
    agreed: bool = False
    """Whether somebody agreed to spend without a cap."""
    allow_unpriced: bool = False
    """Whether models may be called whose price is unknown."""
    spent: float = 0.0
    """USD so far, those of finished steps included."""

    @property
    def left(self) -> float | None:
        """What may still be spent."""
        return None if self.budget is None else max(0.0, self.budget - self.spent)


@dataclass(slots=True)
class Desk:
    """A recipe under way."""

    recipe: Recipe
    home: Path
    """Folder of the recipe's file."""
    folder: Folder
    money: Money
    listener: Listener
    watch: Watch | None = None
    done: dict[str, Done] = field(default_factory=dict)
    """Finished steps, by name."""
    world: World | None = None
    drawn: dict[object, Drawn] = field(default_factory=dict)
    """What was drawn to be measured, by policies and prompts; several steps may look at it."""

    def __post_init__(self) -> None:
        if self.recipe.world is not None:
            self.world = World.drawn(self.recipe.world.name, self.recipe.seed)

    def place(self, reference: Reference) -> Place:
        """Return where something lies that a step left."""
        return self.done[reference.step].places[reference.table]

    def path(self, reference: Reference) -> str:
        """Return its path as this process finds it."""
        return str(self.folder.root / self.place(reference).path)

    def rows(self, text: str) -> list[dict[str, Any]]:
        """Read the rows a reference stands for.

        Raises:
            InputError: they cannot be read, or there are none.
        """
        found = self.read(text)
        if not found:
            reference = Reference.read(text)
            assert reference is not None
            raise self._empty(reference)
        return found

    def read(self, text: str) -> list[dict[str, Any]]:
        """Read the rows a reference stands for, of which there may be none.

        Raises:
            InputError: they cannot be read.
        """
        reference = Reference.read(text)
        assert reference is not None  # checked when the recipe was read
        return list(self._rows(reference))

    def expect(self, reference: Reference) -> None:
        """See to it that there is a row to learn from.

        Raises:
            InputError: there is none.
        """
        if next(self._rows(reference), None) is None:
            raise self._empty(reference)

    def _rows(self, reference: Reference) -> Iterator[dict[str, Any]]:
        config = DataConfig(path=self.path(reference), table=self.place(reference).table)
        return (row.value for row, _ in read_split_rows(config) if isinstance(row.value, dict))

    def _empty(self, reference: Reference) -> InputError:
        counts = self.done[reference.step].counts.items()
        made = ", ".join(f"{name} {count:g}" for name, count in counts)
        return InputError(
            f"{reference.text!r} holds no row (its step came to: {made or 'nothing'}); take a larger size, or"
            " draw more or longer responses"
        )

    def model(self, text: str) -> str:
        """Return a policy's name: the one given, or the folder a reference stands for."""
        reference = Reference.read(text)
        return text if reference is None else self.path(reference)

    def resolved(self, value: JsonValue) -> JsonValue:
        """Return a body with every reference replaced; a ``path`` to a table of an export brings it along."""
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        if isinstance(value, dict):
            made = {key: self.resolved(one) for key, one in value.items()}
            rows = Reference.read(value.get("path"))
            table = None if rows is None else self.place(rows).table
            return made if table is None else {**made, "table": table}
        reference = Reference.read(value)
        if reference is None:
            return value
        return (LOCAL if str(value).startswith(LOCAL) else "") + self.path(reference)


def label(text: str) -> str:
    """Return what a policy is called in tables: its step, or the end of its name."""
    reference = Reference.read(text)
    return Path(text).name if reference is None else reference.step


def counted(rows: Mapping[str, int]) -> dict[str, float]:
    """Return counts as records hold them."""
    return {name: float(count) for name, count in rows.items()}
