"""Pipelines from Python: what one will ask for, and running it.

Owns which budget a run needs. Leaves running to ``pipeline``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlaif import pipeline
from rlaif.jobs import Listener
from rlaif.pipeline import Line, Options, Outcome, load_pipeline
from rlaif.settings import Settings
from rlaif.verbs.waiting import finish, need_budget


def quote(
    pipeline_file: str | Path, overrides: Sequence[str] = (), *, allow_unpriced: bool = False
) -> list[Line]:
    """Count the calls of a pipeline and price them; nothing is sent.

    Args:
        pipeline_file: the YAML file.
        overrides: ``dotted.key=value`` strings, as on the command line.
        allow_unpriced: leave the price of models open whose price is unknown.

    Raises:
        InputError: the file, its prompts or its models are not usable.
        UnpricedError: no price is known for a model.
    """
    loaded = load_pipeline(Path(pipeline_file), overrides)
    return pipeline.quote(loaded, Settings.load(), allow_unpriced=allow_unpriced)


def run(
    pipeline_file: str | Path,
    overrides: Sequence[str] = (),
    *,
    budget: float | None = None,
    allow_unpriced: bool = False,
    store: str | Path | None = None,
    listener: Listener | None = None,
) -> Outcome:
    """Run a pipeline; running it again continues where it stopped.

    Args:
        pipeline_file: the YAML file.
        overrides: ``dotted.key=value`` strings, as on the command line.
        budget: most USD the job may cost over all its runs; needed when a model costs anything.
        allow_unpriced: call models whose price is unknown; no cap can hold for them.
        store: output folder; the pipeline's own when None.
        listener: hears how the stages go on.

    Raises:
        InputError: the file, its prompts or its models are not usable, or a model costs and no budget.
        BudgetError: the budget was reached; everything bought is kept.
        Interrupted: a signal stopped the job.
        JobError: too many tasks failed, or no call can succeed.
        StoreError: another process uses the folder.
    """
    return finish(
        run_async(
            pipeline_file,
            overrides,
            budget=budget,
            allow_unpriced=allow_unpriced,
            store=store,
            listener=listener,
        )
    )


async def run_async(
    pipeline_file: str | Path,
    overrides: Sequence[str] = (),
    *,
    budget: float | None = None,
    allow_unpriced: bool = False,
    store: str | Path | None = None,
    listener: Listener | None = None,
) -> Outcome:
    """Run a pipeline as ``run`` does, from a coroutine."""
    loaded = load_pipeline(Path(pipeline_file), overrides)
    settings = Settings.load()
    lines = pipeline.quote(loaded, settings, allow_unpriced=allow_unpriced)
    most = sum(one.usd or 0.0 for one in lines)
    if most:
        need_budget(budget, f"{sum(one.calls for one in lines):,} calls may cost up to ${most:,.4f}")
    options = Options(budget, allow_unpriced, None if store is None else Path(store))
    return await pipeline.run(loaded, options, settings, listener or _Quiet())


class _Quiet:
    """A listener that says nothing."""

    def stage(self, name: str, total: int) -> None:
        """Hear of a stage."""

    def task(self, ok: bool) -> None:
        """Hear of a task."""
