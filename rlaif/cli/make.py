"""The verbs that make data: ``demo``, ``run``, ``resume``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaif.cli import console, remote
from rlaif.cli.progress import Bars
from rlaif.errors import InputError, Interrupted

if TYPE_CHECKING:
    from rlaif.pipeline import Line, Loaded, Options, Outcome
    from rlaif.service.api.jobs import BatchJob

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, e.g. prompts.limit=10.")
]
Budget = Annotated[float | None, typer.Option("--budget", metavar="USD", help="Most to spend.")]
Unpriced = Annotated[
    bool, typer.Option("--allow-unpriced", help="Call models whose price is unknown; no cap can hold.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(demo)
    app.command()(run)
    app.command()(resume)


def demo(overrides: Overrides = None, as_json: Json = False) -> None:
    """Sample and judge with the bundled 135M model: no key, no GPU, no hub."""
    from rlaif.pipeline import Options, bundled, load_pipeline

    loaded = load_pipeline(bundled("quickstart.yaml"), overrides or [])
    _execute(loaded, Options(), as_json)


def run(
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE.yaml")],
    overrides: Overrides = None,
    budget: Budget = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print calls, tokens and dollars; send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before spending.")] = False,
    allow_unpriced: Unpriced = False,
    as_json: Json = False,
) -> None:
    """Run a pipeline or a recipe; running it again continues where it stopped."""
    from rlaif.cli import recipe
    from rlaif.pipeline import Options, load_pipeline, quote
    from rlaif.recipes.reading import is_recipe
    from rlaif.settings import Settings

    if is_recipe(pipeline):
        asked = recipe.Asked(budget, yes=yes, dry_run=dry_run, allow_unpriced=allow_unpriced)
        recipe.run(pipeline, overrides or [], asked, as_json)
        return

    loaded = load_pipeline(pipeline, overrides or [])
    if dry_run or not (yes or budget is not None):
        lines = quote(loaded, Settings.load(), allow_unpriced=allow_unpriced)
        if dry_run:
            print_quote(lines, as_json)
            return
        confirm(lines)
    _execute(loaded, Options(budget=budget, allow_unpriced=allow_unpriced), as_json)


def resume(
    job: Annotated[str, typer.Argument(metavar="JOB")],
    budget: Budget = None,
    store: Annotated[Path | None, typer.Option("--store", help="Output folder; default: the job's.")] = None,
    allow_unpriced: Unpriced = False,
    as_json: Json = False,
) -> None:
    """Continue a job: nothing that was answered is asked again; failed tasks get another try."""
    from rlaif.pipeline import Options, find_job

    found = asyncio.run(
        remote.here_or_there(
            lambda: find_job(job, store), lambda service: remote.resume(service, job, budget)
        )
    )
    if not isinstance(found, tuple):
        _tell_remote(found, as_json)
        return
    loaded, folder = found
    options = Options(budget=budget, allow_unpriced=allow_unpriced, folder=folder, expect_job=job)
    _execute(loaded, options, as_json)


def print_quote(lines: list[Line], as_json: bool) -> None:
    """Print what calls may cost, a line a stage and model."""
    if as_json:
        console.emit_json({"calls": sum(one.calls for one in lines), "lines": lines})
        return
    head = ("stage", "model", "calls", "input tokens", "output tokens, at most", "USD, at most")
    console.table(
        head,
        [
            (
                one.stage,
                one.model,
                _calls([one]),
                f"{one.input_tokens:,}",
                f"{one.output_tokens:,}",
                _usd(one.usd),
            )
            for one in lines
        ],
    )
    console.emit(f"{_total(lines)}; nothing was sent")


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:,.4f}"


def _calls(lines: list[Line]) -> str:
    bound = "at most " if any(one.at_most for one in lines) else ""
    return f"{bound}{sum(one.calls for one in lines):,}"


def _total(lines: list[Line]) -> str:
    unpriced = sum(one.calls for one in lines if one.usd is None)
    unknown = f" and {unpriced:,} of them at an unknown price" if unpriced else ""
    return f"{_calls(lines)} calls, at most ${sum(one.usd or 0.0 for one in lines):,.4f}{unknown}"


def confirm(lines: list[Line]) -> None:
    """Ask a person before spending; a script has to say ``--yes`` or ``--budget``."""
    if all(one.usd == 0.0 for one in lines):
        return
    if not sys.stdin.isatty():
        raise InputError(
            f"this would make {_total(lines)}, and nobody is there to ask; add --yes or --budget USD"
        )
    if not typer.confirm(f"{_total(lines)}. Go on?", err=True):
        raise Interrupted("not confirmed; nothing was sent")


def _execute(loaded: Loaded, options: Options, as_json: bool) -> None:
    from rlaif.pipeline import Outcome
    from rlaif.pipeline import run as run_pipeline
    from rlaif.settings import Settings

    with Bars(quiet=as_json) as bars:
        outcome = asyncio.run(
            remote.here_or_there(
                lambda: run_pipeline(loaded, options, Settings.load(), bars),
                lambda service: remote.run(service, loaded, options.budget),
            )
        )
    if not isinstance(outcome, Outcome):
        _tell_remote(outcome, as_json)
        return
    if as_json:
        console.emit_json(outcome)
    else:
        _tell(outcome)


def _tell_remote(job: BatchJob, as_json: bool) -> None:
    """Say what a service made of a job, and where it is read."""
    if as_json:
        console.emit_json(job)
        return
    for made in job.sets:
        console.say(f"{made.axis}: {made.counts.get('preferred', 0)} preferences")
    console.say(f"spent ${job.spent:,.4f}, {job.request_counts.failed:,} tasks failed")
    console.emit(f"job     {job.id}")
    console.emit(f"output  {job.output_file}")


def _tell(outcome: Outcome) -> None:
    """End by naming what was made, what it cost, what failed, and how to go on."""
    for name, counts in outcome.sets.items():
        rest = ", ".join(f"{count} {fate}" for fate, count in counts.items() if fate != "preferred")
        made = counts.get("preferred", 0)
        console.say(f"{name}: {made} preferences" + (f" ({rest})" if rest else ""))
    cached = f" ({outcome.cached:,} answered from the journal)" if outcome.cached else ""
    console.say(f"calls: {outcome.calls:,}{cached}, spent ${outcome.spent:,.4f}")
    if outcome.failed:
        (reason, times), *_ = outcome.reasons.most_common(1)
        console.say(f"failed: {outcome.failed:,} tasks, most often ({times}x) {reason}")
        console.say(f"try those again: {outcome.resume}")
    console.emit(f"job     {outcome.job_id}")
    for name, path in outcome.files.items():
        console.emit(f"{name:7} {path}")
