"""Runs a recipe, or goes on with it: one step after another, none twice.

Owns the order, the decision whether a step is done, and what is written when it is. Leaves the work to
``making`` and the page to ``page``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rlaif.checkpoints import identity
from rlaif.errors import BudgetError, InputError, Interrupted, JobError
from rlaif.jobs import Listener
from rlaif.providers.budget import Budget
from rlaif.recipes.config import Step
from rlaif.recipes.desk import Desk, Money
from rlaif.recipes.digests import digest, inputs
from rlaif.recipes.folder import LINEAGE, REPORT, STEP, Done, Folder, Place, content
from rlaif.recipes.lineage import ancestry, as_json
from rlaif.recipes.making import Left, make
from rlaif.recipes.page import render
from rlaif.recipes.reading import Loaded
from rlaif.records import Record
from rlaif.training.reporting import Watch
from rlaif.wholefile import put

Told = Callable[[str, Done | None], None]
"""Called with a step's name when it begins, and with what it left when it is done."""


class Outcome(Record):
    """What a recipe came to."""

    folder: str
    """The output folder."""
    report: str
    """The page."""
    steps: tuple[Done, ...]
    """What every step left, in order."""
    spent: float
    """USD of all calls."""

    @property
    def raised(self) -> list[str]:
        """What the recipe has to say of itself."""
        return [f"{one.title}: {one.said}" for step in self.steps for one in step.raised if one.raised]


def run_recipe(
    loaded: Loaded,
    *,
    money: Money | None = None,
    listener: Listener | None = None,
    watch: Watch | None = None,
    told: Told | None = None,
) -> Outcome:
    """Run a recipe, or go on with it where it was stopped or changed.

    Call it where no event loop runs.

    Args:
        loaded: what to do.
        money: what calls may cost.
        listener: hears of the stages of pipelines.
        watch: told every metric of training.
        told: told of every step.

    Raises:
        InputError: something asked for cannot be used.
        BudgetError: the cap was reached; everything bought is kept.
        Interrupted: a signal stopped it.
        JobError: too many calls failed, or a loss stayed not a number.
        StoreError: another process uses the folder.
    """
    money = money or Money()
    Budget(money.budget)
    folder = Folder(loaded.output)
    with folder.held():
        folder.claim(loaded.recipe.model_dump(mode="json", exclude_none=True))
        desk = Desk(loaded.recipe, loaded.path.parent, folder, money, listener or _Quiet(), watch)
        _steps(loaded, desk, told or (lambda name, done: None))
    steps = tuple(desk.done.values())
    return Outcome(
        folder=str(folder.root), report=str(folder.root / REPORT), steps=steps,
        spent=sum(one.spent for one in steps),
    )  # fmt: skip


def _steps(loaded: Loaded, desk: Desk, told: Told) -> None:
    """Do every step that is not done, in order; an error names the step and how to go on."""
    for at, step in enumerate(loaded.recipe.steps):
        told(step.name, None)
        try:
            done = _step(at, step, desk)
        except (BudgetError, Interrupted, JobError) as error:
            raise type(error)(f"step {step.name!r}: {error}; go on with: {loaded.again}") from None
        except InputError as error:
            if error.path is not None:  # it names its place
                raise
            raise InputError(error.message, path=loaded.path, field=f"steps.{at} ({step.name})") from None
        desk.done[step.name] = done
        told(step.name, done)
        _report(loaded, desk)


def _step(at: int, step: Step, desk: Desk) -> Done:
    """Do a step, unless it is done."""
    made_from = inputs(step, desk)
    wanted = digest(step, desk, made_from)
    folder = desk.folder.step(at, step.name, wanted)
    done = desk.folder.done(folder)
    if done is not None and done.digest == wanted and _there(done, desk):
        desk.money.spent += done.spent
        return done
    began, worked = time.perf_counter(), time.process_time()
    left = make(step, desk, folder)
    control = desk.recipe.control
    spoiling = {} if control is None else {"control": control}
    record = Done(
        name=step.name, work=titled(step), digest=wanted, inputs=made_from,
        folder=str(folder.relative_to(desk.folder.root)), places=_places(left, desk.folder.root),
        counts=left.counts, notices=left.notices, raised=left.raised, models=left.models | spoiling,
        spent=left.spent,
        seconds=time.perf_counter() - began, cpu=time.process_time() - worked,
    )  # fmt: skip
    put(folder / STEP, record.model_dump_json(indent=1) + "\n")
    return record


def titled(step: Step) -> str:
    """Return what a step does, in two words."""
    if step.train is not None:
        return f"train {step.train.get('method')}"
    return f"rows {step.rows.kind}" if step.rows is not None else step.work


def _places(left: Left, root: Path) -> dict[str, Place]:
    """Take the digests of what a step left: of checkpoints by weights, of rows by bytes."""
    found = {}
    for name, (path, table) in left.places.items():
        weights = table is None and path.is_dir()
        told = identity(str(path)) if weights else content(path / table if table else path)
        found[name] = Place(path=_within(path, root), table=table, content=told)
    return found


def _within(path: Path, root: Path) -> str:
    return str(path.resolve().relative_to(root.resolve()))


def _there(done: Done, desk: Desk) -> bool:
    """Tell whether all that a finished step left is still there."""
    return all((desk.folder.root / one.path).exists() for one in done.places.values())


def _report(loaded: Loaded, desk: Desk) -> None:
    """Write lineage and page as far as the recipe has come, so that a stopped one has them too."""
    root = desk.folder.root
    put(root / LINEAGE, as_json(ancestry(desk)))
    put(root / REPORT, render(loaded, desk))


class _Quiet:
    """A listener that says nothing."""

    def stage(self, name: str, total: int) -> None:
        """Hear of a stage."""

    def task(self, ok: bool) -> None:
        """Hear of a task."""
