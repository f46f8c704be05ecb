"""Runs a loaded pipeline in its output folder, from the first prompt to the last file.

Owns the order of things: read, price, open, commit what the job is, run the stages, say how it
ended. Leaves each stage to ``stages`` and the task loop to ``jobs``.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rlaif.errors import BudgetError, InputError, Interrupted, RlaifError
from rlaif.jobs import Done, Listener, Runner, StageResult, Stopped, Task, resume_command
from rlaif.pipeline.config import Loaded
from rlaif.pipeline.live import Live
from rlaif.pipeline.lookup import OUTPUTS, opened
from rlaif.pipeline.models import Models, prices, probe
from rlaif.pipeline.stages import CHUNK, Run, model_specs, run_stage
from rlaif.prompts import PromptFile
from rlaif.providers.budget import Budget
from rlaif.records import Fact, Job, JobEvent, Prompt, canonical, digest
from rlaif.settings import Settings
from rlaif.store import Workspace


@dataclass(frozen=True, slots=True)
class Options:
    """How to run, as opposed to what to run."""

    budget: float | None = None
    """Cap on the job's spend in USD."""
    allow_unpriced: bool = False
    """Call models whose price is unknown."""
    folder: Path | None = None
    """Output folder; the pipeline's own when None."""
    expect_job: str | None = None
    """On resume, the job the inputs must still describe."""

    def __post_init__(self) -> None:
        """Refuse a budget that is none before a folder is made."""
        Budget(self.budget)


@dataclass(slots=True)
class Outcome:
    """What a run made, for the last lines on the screen and for ``--json``."""

    job_id: str
    folder: Path
    stages: list[StageResult] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    """``store``, ``export`` and ``report``, where made."""
    sets: dict[str, dict[str, int]] = field(default_factory=dict)
    """Census by set name."""
    spent: float = 0.0
    """USD the job has cost over all its runs."""
    calls: int = 0
    """Calls sent in this run."""
    cached: int = 0
    """Calls answered from the journal in this run."""
    answered: int = 0
    """Calls of the job that were answered over all its runs."""
    resume: str = ""
    """What to type to try failed tasks again."""

    @property
    def failed(self) -> int:
        """Tasks that ended without records."""
        return sum(stage.failed for stage in self.stages)

    @property
    def reasons(self) -> Counter[str]:
        """Why tasks failed."""
        return sum((stage.failures for stage in self.stages), Counter())


def describe(loaded: Loaded, prompts: PromptFile) -> Job:
    """Name the job: the same pipeline, files and prompts give the same id."""
    fingerprint = hashlib.sha256(canonical([loaded.fingerprint, prompts.digest])).hexdigest()
    return Job(
        id=f"{loaded.pipeline.name}-{fingerprint[:10]}",
        name=loaded.pipeline.name,
        pipeline=loaded.document().id,
        prompts=prompts.digest,
        seed=loaded.pipeline.seed,
        test_share=loaded.pipeline.prompts.test_share,
    )


async def run(loaded: Loaded, options: Options, settings: Settings, listener: Listener) -> Outcome:
    """Run, or continue, the job a pipeline describes.

    Raises:
        InputError: prompts, constitution, model or price are not usable.
        StoreError: another process owns the folder, or it cannot be written.
        BudgetError: the cap was reached; everything bought is kept.
        Interrupted: a signal stopped the job.
        JobError: too many tasks failed, or no call can succeed.
    """
    prompts = await asyncio.to_thread(loaded.read_prompts)
    job = describe(loaded, prompts)
    _expect(job, options)
    await _usable(loaded, options, settings)
    folder = options.folder or Path(loaded.pipeline.output or OUTPUTS / loaded.pipeline.name)
    async with opened(folder) as workspace:
        live = Live()
        with _signals(live):
            return await _run(workspace, loaded, prompts, options, settings, listener, live)


async def run_in(
    workspace: Workspace,
    loaded: Loaded,
    options: Options,
    settings: Settings,
    listener: Listener,
    live: Live,
) -> Outcome:
    """Run, or continue, the job a pipeline describes in a workspace that is open already.

    Nothing of the process is touched: whoever owns the workspace stops the job by ``live``.

    Args:
        workspace: where calls and records go; ``options.folder`` says nothing here.
        loaded: the pipeline.
        options: how to run.
        settings: keys, servers and prices.
        listener: hears of stages and tasks.
        live: the handle to fill in.

    Raises:
        InputError: prompts, constitution, model or price are not usable.
        StoreError: the folder cannot be written.
        BudgetError: the cap was reached; everything bought is kept.
        Interrupted: ``live`` was told to stop the job.
        JobError: too many tasks failed, or no call can succeed.
    """
    prompts = await asyncio.to_thread(loaded.read_prompts)
    _expect(describe(loaded, prompts), options)
    await _usable(loaded, options, settings)
    return await _run(workspace, loaded, prompts, options, settings, listener, live)


async def _usable(loaded: Loaded, options: Options, settings: Settings) -> None:
    """Refuse what cannot be called or priced before anything is made or sent."""
    prices(model_specs(loaded), settings, allow_unpriced=options.allow_unpriced)
    await probe(model_specs(loaded), settings)


async def _run(
    workspace: Workspace,
    loaded: Loaded,
    prompts: PromptFile,
    options: Options,
    settings: Settings,
    listener: Listener,
    live: Live,
) -> Outcome:
    pipeline, job = loaded.pipeline, describe(loaded, prompts)
    outcome = Outcome(job.id, workspace.folder)
    spend = workspace.journal.spend(job.id)
    again = f"{resume_command(workspace, job.id)} --budget USD"
    _expect_cap(workspace, options, again)
    budget = Budget(options.budget, spend.settled + spend.pending, resume=again)
    models = Models(
        settings,
        workspace.journal,
        job_id=job.id,
        budget=budget,
        limits=pipeline.limits,
        prices=prices(model_specs(loaded), settings, allow_unpriced=options.allow_unpriced),
    )
    done = await asyncio.to_thread(Done.load, workspace, job.id)
    runner = Runner(
        workspace,
        job.id,
        window=2 * min(pipeline.limits.max, settings.concurrency),
        max_failed_share=pipeline.max_failed_share,
        listener=listener,
        halt=models.stop,
        told=live.told,
    )
    state = Run(loaded, job, prompts.prompts, workspace, runner, models, done, outcome.files)
    live.begin(runner, budget, models)
    try:
        async with _recorded(workspace, job):
            await _describe(state)
            for index in range(len(pipeline.stages)):
                runner.check()
                live.at = index
                outcome.stages.append(await run_stage(state, index))
    finally:
        await models.close()
    _conclude(outcome, state)
    return outcome


def _expect(job: Job, options: Options) -> None:
    if options.expect_job not in (None, job.id):
        raise InputError(
            f"job {options.expect_job!r} cannot go on: its pipeline, constitutions or prompts have changed"
            f" since (they now describe {job.id!r}); restore them, or start the new job with: rlaif run"
        )


def _expect_cap(workspace: Workspace, options: Options, again: str) -> None:
    """A job that stopped at its cap does not go on without one because nobody thought of it."""
    if options.expect_job is None or options.budget is not None:
        return
    events = list(workspace.store.read(JobEvent, "job_id = ?", [options.expect_job], order="rowid"))
    if events and events[-1].state == "budget":
        raise InputError(
            f"job {options.expect_job!r} stopped at its budget; say what it may cost in all: {again}"
        )


def _conclude(outcome: Outcome, state: Run) -> None:
    workspace, clients = state.workspace, state.models.clients.values()
    outcome.files["store"] = workspace.store.path
    outcome.resume = resume_command(workspace, state.job.id)
    outcome.sets = {one.name: one.counts for one in state.sets.values()}
    spend = workspace.journal.spend(state.job.id)
    outcome.spent, outcome.answered = spend.settled, spend.replies
    outcome.calls = sum(client.stats.sent for client in clients)
    outcome.cached = sum(client.stats.cached for client in clients)


@asynccontextmanager
async def _recorded(workspace: Workspace, job: Job) -> AsyncIterator[None]:
    """Append the job's states around a run, whatever ends it."""

    async def event(state: str, note: str = "") -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        made = JobEvent.make(job_id=job.id, state=state, at=at, note=note)
        await workspace.commit([made], job_id=job.id)

    await event("running")
    try:
        yield
    except RlaifError as error:
        state = {BudgetError: "budget", Interrupted: "interrupted"}.get(type(error), "failed")
        await event(error.state if isinstance(error, Stopped) else state, str(error))
        raise
    await event("completed")
    await workspace.flush()


async def _describe(state: Run) -> None:
    """Commit what the job is; its prompts are the outputs of a first stage of their own."""
    loaded, job = state.loaded, state.job
    documents = [loaded.document(), *(one.document() for one in loaded.constitutions if one is not None)]
    if not any(state.workspace.store.read(Job, "id = ?", [job.id])):
        await state.workspace.commit([*documents, job], job_id=job.id)
    tasks = [_reading(state.prompts[at : at + CHUNK]) for at in range(0, len(state.prompts), CHUNK)]
    await state.runner.stage("prompts", tasks, len(tasks), state.done)


def _reading(prompts: Sequence[Prompt]) -> Task:
    """The task that brings some prompts into the store."""

    async def records() -> Sequence[Fact]:
        return prompts

    return Task(digest("task", "prompts", [one.id for one in prompts]), records)


@contextmanager
def _signals(live: Live) -> Iterator[None]:
    """SIGINT and SIGTERM drain; a second one cancels what is in flight."""
    if threading.current_thread() is not threading.main_thread():  # no other thread may catch signals
        yield
        return
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    for number in caught:
        loop.add_signal_handler(number, live.stop)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
