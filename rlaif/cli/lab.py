"""``rlaif lab``: worlds where the truth is known, sweeps that show where optimising hurts, and the trace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rlaif.cli import console
from rlaif.cli.data import StoreOption
from rlaif.cli.make import Budget, Json, Overrides
from rlaif.decimals import measured

if TYPE_CHECKING:
    from rlaif.iterations.records import Opinion
    from rlaif.lab.curve import Curve, Estimate, Point
    from rlaif.lab.gold_judge import Temper
    from rlaif.lab.tracing import Share, Trace
    from rlaif.recipes.measuring import Rate
    from rlaif.recipes.table import Table, Wins

app = typer.Typer(help="Try a recipe where the truth is known.", no_args_is_help=True)
_WORLDS = (
    ("cover", "GW1", "use the three nouns of the prompt, do not repeat, be brief", "the truth"),
    ("exploit", "GW2", "the same", "pays for every word and forgets the limit"),
    ("harm", "GW3", "the same on safe prompts; on unsafe ones, decline and say why", "helpfulness alone"),
    ("features", "GW4", "more of one feature, and of another up to a point", "a linear reward model"),
)
_SHOWN = 10


@app.command()
def worlds(as_json: Json = False) -> None:
    """List the worlds: what counts in each, and what its flawed proxy counts instead."""
    head = ("world", "known as", "gold", "proxy")
    if as_json:
        console.emit_json([dict(zip(head, one, strict=True)) for one in _WORLDS])
    else:
        console.table(head, _WORLDS, whole=1)


@app.command()
def overopt(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml")],
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the sweep in the output folder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Optimise a proxy further and further, and say where the truth turns down."""
    from rlaif.lab.config import load_sweep
    from rlaif.lab.overoptimisation import overoptimise

    loaded = load_sweep(config, overrides or [])
    curve = overoptimise(loaded, resume=resume, watch=None if as_json else _evaluated, told=_finished)
    if as_json:
        console.emit_json(curve)
        return
    _show(curve)
    console.emit(f"page    {loaded.folder / 'curve.html'}")


def _evaluated(step: int, values: Mapping[str, float]) -> None:
    """Say what a run measured beside its updates, which are in its own ``metrics.jsonl``."""
    if "loss" not in values:
        console.say(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in values.items()))


def _finished(point: Point) -> None:
    console.say(f"{point.name}: KL {point.kl:.3g} nats")


def _show(curve: Curve) -> None:
    asked = curve.start.judged is not None
    head = (
        "point", "KL", "d", "proxy gain", "gold gain", *(["judge"] if asked else []), "length", "responses",
    )  # fmt: skip
    rows = [
        (
            one.name, f"{one.kl:.3g}", f"{one.d:.3g}", _estimate(one.gain(curve.start, by="proxy")),
            _estimate(one.gain(curve.start)), *([_estimate(one.mean("judged"))] if asked else []),
            "-" if one.length is None else f"{one.length:.1f}", one.responses,
        )
        for one in curve.points
    ]  # fmt: skip
    console.table(head, rows, whole=1)
    for fit in curve.fits:
        peak = "no peak"
        if fit.peak is not None:
            peak = f"peak at d {measured(fit.peak.d, fit.peak.d_error)}"
        console.emit(
            f"{fit.form}: alpha {measured(fit.alpha, fit.alpha_error)},"
            f" beta {measured(fit.beta, fit.beta_error)}, R² {fit.r2:.3f}, {peak}"
        )
    if curve.unfitted:
        console.say(f"no fit: {curve.unfitted}")
    for notice in curve.notices:
        console.say(notice)
    choice = curve.choice
    console.emit(f"use     {choice.point}" + (f"  {choice.checkpoint}" if choice.checkpoint else ""))
    console.emit(
        f"{'gold ' if choice.by == 'gold' else 'judge'}   {_estimate(choice.over_start)} over the start,"
        f" {_estimate(choice.over_last)} over the farthest point, from prompts that did not choose it"
    )


def _estimate(one: Estimate) -> str:
    return measured(one.mean, one.error, "+")


@app.command()
def compare(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="A recipe with a compare step.")],
    overrides: Overrides = None,
    budget: Budget = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before spending.")] = False,
    as_json: Json = False,
) -> None:
    """Put methods side by side on the same pairs: wins, raw and at equal length, gold, KL, length, cost."""
    from rlaif.cli import recipe
    from rlaif.errors import InputError
    from rlaif.recipes import load_recipe
    from rlaif.recipes.table import Table

    loaded = load_recipe(config, overrides or [])
    if not any(one.compare for one in loaded.recipe.steps):
        raise InputError(
            "this recipe has no step that compares; add compare: {of: [\"@MEASURE_STEP\"]} behind its measure"
            " step, or begin with pipelines/lab_compare.yaml",
            path=config, field="steps",
        )  # fmt: skip
    asked = recipe.Asked(budget, yes, dry_run=False, allow_unpriced=False)
    outcome = recipe.carried_out(loaded, asked, as_json)
    assert outcome is not None  # only a dry run has none
    places = [Path(outcome.folder, one.folder) for one in outcome.steps if one.work == "compare"]
    tables = [Table.model_validate_json((one / "table.json").read_bytes()) for one in places]
    if as_json:
        console.emit_json(tables)
        return
    for place, table in zip(places, tables, strict=True):
        _contest(table)
        console.emit(f"page    {place / 'compare.html'}")


def _contest(table: Table) -> None:
    """Print a table of methods, and what to look at in it."""
    head = (
        "method", "gold ± s.e.", "wins", "equal length", "judge", "equal length", "KL k1", "k3", "tokens",
        "CPU s", "calls", "draws",
    )  # fmt: skip
    rows = [
        (
            one.name, _opinion(one.gold), *_wins(one.wins),
            *_wins(one.judged), f"{one.kl:.3g}", "" if one.kl_k3 is None else f"{one.kl_k3:.3g}",
            f"{one.tokens:.1f}", f"{one.cost.seconds:.0f}", one.cost.calls, one.cost.draws,
        )
        for one in table.rows
    ]  # fmt: skip
    console.table(head, rows, whole=1)
    for notice in table.notices:
        console.say(notice)
    console.say(
        f"on {table.prompts} prompts; all but {table.start.name} have {table.common.seconds:.0f} CPU s and"
        f" {table.common.calls} calls in common"
        + (f"; the judge was asked {table.judge_calls} times" if table.judge else "")
    )


def _wins(wins: Wins | None) -> tuple[str, str]:
    return ("", "") if wins is None else (_rate(wins.raw), _rate(wins.even))


def _rate(one: Rate | None) -> str:
    return "" if one is None else f"{one.mean:.0%} [{one.low:.0%}, {one.high:.0%}]"


def _opinion(one: Opinion) -> str:
    return "" if one.mean is None else measured(one.mean, one.error)


@app.command()
def trace(
    made: Annotated[
        str, typer.Option("--set", metavar="JOB/AXIS", help="The set; or a job, for all of its.")
    ],
    symptom: Annotated[
        str | None, typer.Option("--symptom", metavar="NAME", help="Left out, all are compared.")
    ] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Find the pairs, clauses and judge that taught a symptom."""
    from rlaif.exports import stored
    from rlaif.lab.tracing import suspects
    from rlaif.lab.tracing import trace as traced
    from rlaif.pipeline import find_folder, opened

    async def read() -> list[Trace] | dict[str, list[Share]]:
        async with opened(find_folder(store)) as workspace:
            source = stored(workspace, made)
            return suspects(source) if symptom is None else traced(source, symptom)

    found = asyncio.run(read())
    if as_json:
        console.emit_json(found)
    elif isinstance(found, dict):
        for name, shares in found.items():
            console.emit(name)
            _table("symptom", shares)
    else:
        for one in found:
            _traced(one)


def _traced(one: Trace) -> None:
    console.emit(f"{one.set}: {one.base:.1%} of responses show {one.symptom}")
    _table("clause", (one.whole, *one.clauses))
    _table("judge", one.judges)
    head = ("pair", "clause", "p")
    console.table(head, [(told.preference, told.clause, f"{told.p:.3f}") for told in one.taught[:_SHOWN]])
    if one.taught:
        console.say(f"look at a pair with: rlaif show {one.taught[0].preference}")


def _table(what: str, shares: Sequence[Share]) -> None:
    head = (what, "pairs", "chosen shows", "rejected shows", "taught", "against", "won", "lift")
    console.table(head, [_cells(one) for one in shares])


def _cells(one: Share) -> tuple[object, ...]:
    won = ""
    if one.won is not None and one.won_ci is not None:
        won = f"{one.won:.0%} [{one.won_ci[0]:.0%}, {one.won_ci[1]:.0%}]"
    lift = "" if one.lift is None else f"{one.lift:.2f}"
    return one.name, one.pairs, one.chosen, one.rejected, one.taught, one.against, won, lift


@app.command(name="gold-judge")
def gold_judge(
    world: Annotated[
        Literal["cover", "exploit", "harm"], typer.Option("--world", help="Whose truth it knows.")
    ],
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where it listens; 0 for any.")
    ] = 8021,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the world and the verdicts.")] = 0,
    faults: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FAULT=VALUE]...",
            help="sharpness, slot_bias, noise, reasons, malformed, limited, failing, latency.",
        ),
    ] = None,
) -> None:
    """Serve a judge that knows the truth, with faults of a known size, until interrupted."""
    asyncio.run(_serve(world, _temper(faults or []), port, seed))


def _temper(faults: Sequence[str]) -> Temper:
    from pydantic import TypeAdapter

    from rlaif.lab.gold_judge import Temper
    from rlaif.yamlfile import YamlFile, apply_overrides, validate

    told = apply_overrides({}, faults)
    return validate(TypeAdapter(Temper), YamlFile(Path("gold-judge"), told, {(): 1}, {}))


async def _serve(world: Literal["cover", "exploit", "harm"], temper: Temper, port: int, seed: int) -> None:
    from rlaif.lab.gold_judge import GoldJudge, listening
    from rlaif.lab.worlds import World

    async with listening(GoldJudge(World.drawn(world, seed), temper, seed), port) as address:
        console.emit("[compatible.gold]")
        console.emit(f'base_url = "{address}"')
        console.say(
            "put these lines into rlaif.toml, and judge with model: compatible:gold/judge; ^C ends it"
        )
        await asyncio.Event().wait()
