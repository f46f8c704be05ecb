"""Recipes on the command line: what ``rlaif run`` does with one, and ``rlaif recipe``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaif.cli import console
from rlaif.cli.make import Json, confirm, print_quote
from rlaif.cli.progress import Bars
from rlaif.errors import InputError

if TYPE_CHECKING:
    from rlaif.recipes import Done, Loaded, Outcome

app = typer.Typer(help="What recipes made.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said about money."""

    budget: float | None
    yes: bool
    dry_run: bool
    allow_unpriced: bool


def run(path: Path, overrides: Sequence[str], asked: Asked, as_json: bool) -> None:
    """Run a recipe, or go on with it; or say what its calls may cost."""
    from rlaif.recipes import load_recipe

    outcome = carried_out(load_recipe(path, overrides), asked, as_json)
    if outcome is not None and as_json:
        console.emit_json(outcome)
    elif outcome is not None:
        _tell(outcome)


def carried_out(loaded: Loaded, asked: Asked, as_json: bool) -> Outcome | None:
    """Run a recipe and return what it came to; None where only the price was asked for."""
    from rlaif.recipes import Money, run_recipe
    from rlaif.recipes.controls import DONE, MUST

    control = loaded.recipe.control
    if control is not None and not as_json:
        console.say(f"this is a control, {control}: {DONE[control]}; {MUST[control]}")
    if asked.dry_run or not (asked.yes or asked.budget is not None):
        _quote(loaded, asked, as_json)
        if asked.dry_run:
            return None
    _agree(loaded, asked)
    money = Money(asked.budget, agreed=asked.yes, allow_unpriced=asked.allow_unpriced)
    with Bars(quiet=as_json) as bars:
        return run_recipe(loaded, money=money, listener=bars, told=None if as_json else _told)


@app.command()
def lineage(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Output folder of a recipe, an iteration, a sweep or a run.")
    ],
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="CHECKPOINT", help="Only this one and what it descends from."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say of every checkpoint what it was made from: parent, data, judges and constitutions."""
    from rlaif.recipes.lineage import read
    from rlaif.training.lineage import line

    found = read(folder) if of is None else line(read(folder), of)
    if as_json:
        console.emit_json(found)
        return
    for one in found:
        console.outline({one.step: one.model_dump(mode="json", exclude={"step"})})


def _quote(loaded: Loaded, asked: Asked, as_json: bool) -> None:
    """Print what the calls may cost, or ask a person before spending."""
    from rlaif.recipes import quote_recipe
    from rlaif.settings import Settings

    quoted = quote_recipe(loaded, Settings.load(), allow_unpriced=asked.allow_unpriced)
    if not asked.dry_run:
        confirm(quoted.lines)
        return
    print_quote(quoted.lines, as_json)
    if quoted.unknown:
        console.say(
            f"not counted, for their prompts or rounds are still to come: {', '.join(quoted.unknown)}"
        )


def _agree(loaded: Loaded, asked: Asked) -> None:
    """Refuse before any training what would end for want of a price or a budget after it."""
    from rlaif.recipes import paid_later
    from rlaif.settings import Settings

    paid = paid_later(loaded, Settings.load(), allow_unpriced=asked.allow_unpriced)
    if paid and asked.budget is None and not asked.yes:
        raise InputError(
            f"what {', '.join(paid)} will ask costs something, and how much depends on steps before; say what"
            " all may cost with --budget USD, or agree with --yes"
        )


def _told(name: str, done: Done | None) -> None:
    if done is None:
        console.say(f"step {name} ...")
        return
    counts = ", ".join(f"{title} {value:.4g}" for title, value in list(done.counts.items())[:4])
    console.say(f"step {name}: {done.work}, {done.seconds:.1f} s" + (f" ({counts})" if counts else ""))


def _tell(outcome: Outcome) -> None:
    """End by naming what was made and what has to be said about it."""
    for said in outcome.raised:
        console.say(f"flag: {said}")
    for step in outcome.steps:
        for notice in step.notices:
            console.say(f"{step.name}: {notice}")
    console.emit(f"folder  {outcome.folder}")
    console.emit(f"report  {outcome.report}")
