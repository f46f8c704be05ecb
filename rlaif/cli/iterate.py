"""The verb that closes the loop: ``iterate``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaif.cli import console
from rlaif.cli.make import Budget, Json, Overrides
from rlaif.cli.progress import Bars
from rlaif.decimals import measured

if TYPE_CHECKING:
    from rlaif.iterations import Opinion, Row

_HEAD = (
    "round", "policy", "proxy", "second", "gold", "KL", "tokens", "symptoms", "pairs", "ties", "unreadable",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(iterate)


def iterate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml")],
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the rounds in the output folder.")
    ] = False,
    budget: Budget = None,
    as_json: Json = False,
) -> None:
    """Draw, choose, train and measure in rounds, each from the policy of the one before."""
    from rlaif.iterations import Money, iterate, load_iteration

    loaded = load_iteration(config, overrides or [])
    with Bars(quiet=as_json) as bars:
        outcome = iterate(
            loaded, resume=resume, money=Money(budget), listener=bars, watch=None if as_json else _evaluated
        )
    if as_json:
        console.emit_json(outcome)
        return
    console.table(_HEAD, [list(_cells(row)) for row in outcome.rows], whole=1)
    for row in outcome.rows:
        for notice in row.notices:
            console.say(f"round {row.round}: {notice}")
    console.emit(f"policy  {outcome.policy}")
    if outcome.best is not None:
        console.emit(f"best    {outcome.rows[outcome.best].policy.name} (round {outcome.best})")


def _evaluated(step: int, values: Mapping[str, float]) -> None:
    """Say what a training run measured beside its updates, which are in its own ``metrics.jsonl``."""
    if "loss" not in values:
        console.say(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))


def _cells(row: Row) -> Iterator[object]:
    """Yield a row's cells, as many as there are columns."""
    figures, made = row.figures, row.made
    yield row.round
    yield row.policy.name
    for opinion in (figures.proxy, figures.second, figures.gold):
        yield _mean(opinion)
    yield f"{figures.kl:.3g}"
    yield f"{figures.tokens:.1f}"
    worst = sorted(((share, name) for name, share in figures.symptoms.items() if share > 0.0), reverse=True)
    yield ", ".join(f"{name} {share:.0%}" for share, name in worst[:3]) or "none"
    yield from (None, None, None) if made is None else (
        made.pairs, made.ties, f"{made.unreadable / max(made.replies, 1):.1%}",
    )  # fmt: skip


def _mean(opinion: Opinion | None) -> str | None:
    if opinion is None or opinion.mean is None:
        return None
    return measured(opinion.mean, opinion.error)
