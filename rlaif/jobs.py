"""Runs content-keyed tasks: bounded in flight, committed with their state, resumable.

Owns the job loop: skipping what is done, draining on a signal, the failure quota. Leaves what a
task does to its caller, money and retry to ``providers.client``, and durability to the workspace.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from rlaif.errors import CallError, Interrupted, JobError, RlaifError
from rlaif.heap import seldom_collected
from rlaif.records import Fact, TaskState
from rlaif.store import Workspace

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
QUOTA_FLOOR = 20
"""Tasks that must have ended before the failure quota is looked at."""


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of resumable work."""

    id: str
    """Digest of the stage's settings and the task's inputs."""
    run: Callable[[], Awaitable[Sequence[Fact]]]
    """Produces the task's records; raises ``CallError`` when it could not."""


@dataclass(slots=True)
class Done:
    """Finished tasks of a store: a task another job has finished need not run again."""

    outputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of the records produced, by task id."""
    foreign: set[str] = field(default_factory=set)
    """Tasks finished by other jobs only."""

    @classmethod
    def load(cls, workspace: Workspace, job_id: str) -> Done:
        """Read what is finished, as seen from one job."""
        found = workspace.store.query("finished", job_id=job_id)
        columns = (found.column(name).to_pylist() for name in ("task_id", "outputs", "own"))
        done = cls()
        for task_id, outputs, own in zip(*columns, strict=True):
            done.outputs[task_id] = tuple(outputs)
            if not own:
                done.foreign.add(task_id)
        return done

    def get(self, task_id: str) -> tuple[str, ...]:
        """Ids of the records a task produced; none when it has not finished."""
        return self.outputs.get(task_id, ())


@dataclass(slots=True)
class StageResult:
    """What became of one stage's tasks."""

    stage: str
    planned: int = 0
    skipped: int = 0
    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Tasks that ended without records."""
        return self.failures.total()


class Listener(Protocol):
    """Hears how a job goes on; the CLI draws bars from it."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins with ``total`` tasks."""
        ...

    def task(self, ok: bool) -> None:
        """A task ended, now or in an earlier run."""
        ...


class Stopped(Interrupted):
    """The job's owner stopped it; ``state`` is what it is to be called from then on."""

    def __init__(self, message: str, state: Literal["paused", "cancelled", "queued"]) -> None:
        super().__init__(message)
        self.state: Literal["paused", "cancelled", "queued"] = state


Told = Callable[[TaskState, Sequence[Fact]], None]
"""Hears of every task that ended in this run, with the records it made."""


def resume_command(workspace: Workspace, job_id: str) -> str:
    """What to type to continue a job."""
    usual = Path("outputs") / job_id.rpartition("-")[0]
    store = "" if workspace.folder == usual else f" --store {workspace.folder}"
    return f"rlaif resume {job_id}{store}"


class Runner:
    """Runs the stages of one job in one workspace.

    Args:
        workspace: where records and task states are committed.
        job_id: the job.
        window: most tasks in flight.
        max_failed_share: share of a stage's ended tasks that may fail before the job stops.
        listener: hears of progress.
        halt: stops sending; called once, when tasks in flight are all that is still waited for.
        told: hears of every task that ended, with its records.
    """

    def __init__(
        self,
        workspace: Workspace,
        job_id: str,
        *,
        window: int,
        max_failed_share: float,
        listener: Listener,
        halt: Callable[[], None],
        told: Told | None = None,
    ) -> None:
        self._workspace = workspace
        self._job_id = job_id
        self._window = window
        self._max_failed_share = max_failed_share
        self._listener = listener
        self._halt = halt
        self._told = told
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._stopped_by: RlaifError | None = None

    async def stage(self, name: str, tasks: Iterable[Task], total: int, done: Done) -> StageResult:
        """Run a stage's tasks, skipping those in ``done``, and return when all have ended.

        Args:
            name: the stage.
            tasks: taken one at a time, so a plan may read what it needs as it goes.
            total: how many there are.
            done: what need not run again; finished tasks are added to it.

        Raises:
            Interrupted: ``stop`` was called; everything answered is committed.
            BudgetError: the cap leaves no room for the next call.
            CallError: no call of this provider can succeed.
            JobError: more tasks failed than the quota allows.
        """
        result = StageResult(name, planned=total)
        self._listener.stage(name, total)
        pending = iter(tasks)
        count = min(self._window, total)
        self._workers = [asyncio.create_task(self._work(pending, result, done)) for _ in range(count)]
        if self._stopping:
            self._cancel()
        with seldom_collected():
            ended = await asyncio.gather(*self._workers, return_exceptions=True)
            await self._workspace.flush()
        self._raise(ended)
        return result

    def stop(self, reason: RlaifError | None = None) -> None:
        """Stop admitting tasks; those in flight get ten seconds, or none if the job is stopping already.

        Args:
            reason: what ``stage`` shall raise; when None, that a signal came.
        """
        if self._stopping:
            self._cancel()
        again = resume_command(self._workspace, self._job_id)
        signalled = f"stopped by a signal; nothing answered so far is lost, go on with: {again}"
        self._drain(reason or Interrupted(signalled))

    def check(self) -> None:
        """Raise what stopped the job, if anything has: between stages nobody else would."""
        if self._stopped_by is not None:
            raise self._stopped_by

    def _drain(self, reason: RlaifError) -> None:
        """Let tasks in flight end: what they asked is paid for. The first of many tasks' reasons counts."""
        if self._stopping:
            return
        self._stopping = True
        self._stopped_by = reason
        self._halt()
        asyncio.get_running_loop().call_later(DRAIN_SECONDS, self._cancel)

    def _cancel(self) -> None:
        for worker in self._workers:
            worker.cancel()

    def _raise(self, ended: Sequence[BaseException | None]) -> None:
        if self._stopped_by is not None:
            raise self._stopped_by
        for outcome in ended:
            if outcome is not None:
                raise outcome

    async def _work(self, pending: Iterator[Task], result: StageResult, done: Done) -> None:
        for task in pending:  # one iterator shared by all workers: each task is taken once
            if self._stopping:
                return
            if task.id in done.outputs:
                await self._adopt(task, result.stage, done)
                result.skipped += 1
                self._listener.task(True)
                continue
            state = await self._one(task, result.stage)
            if state is None:
                return
            if state.state == "done":
                done.outputs[task.id] = state.outputs
            self._count(result, state)

    async def _adopt(self, task: Task, stage: str, done: Done) -> None:
        """Make a task that another job finished this job's own as well."""
        if task.id in done.foreign:
            done.foreign.discard(task.id)
            state = self._state(task, stage, done.outputs[task.id], "")
            await self._workspace.commit([state], job_id=self._job_id)

    async def _one(self, task: Task, stage: str) -> TaskState | None:
        """Run and commit one task; None when the job has to stop instead."""
        reason = ""
        records: Sequence[Fact] = ()
        try:
            records = await task.run()
        except CallError as error:
            if error.fatal:
                self._drain(
                    JobError(f"{error}; fix it, then: {resume_command(self._workspace, self._job_id)}")
                )
                return None
            reason = str(error)
        except RlaifError as error:  # no money, no disk: nothing more can be done by any task
            self._drain(error)
            return None
        except Exception as error:  # one poisoned row must not end a paid job
            log.exception("task %s of stage %s failed", task.id, stage)
            reason = f"internal error: {type(error).__name__}: {error}"
        state = self._state(task, stage, [record.id for record in records], reason)
        await self._workspace.commit([*records, state], job_id=self._job_id)
        if self._told is not None:
            self._told(state, records)
        return state

    def _state(self, task: Task, stage: str, outputs: Sequence[str], reason: str) -> TaskState:
        return TaskState.make(
            job_id=self._job_id,
            task_id=task.id,
            stage=stage,
            state="failed" if reason else "done",
            reason=reason,
            outputs=tuple(outputs),
        )

    def _count(self, result: StageResult, state: TaskState) -> None:
        if state.state == "done":
            result.done += 1
        else:
            result.failures[state.reason] += 1
        self._listener.task(state.state == "done")
        ended = result.done + result.failed
        if ended >= QUOTA_FLOOR and result.failed > self._max_failed_share * ended:
            (reason, times), *_ = result.failures.most_common(1)
            again = resume_command(self._workspace, self._job_id)
            self._drain(
                JobError(
                    f"stage {result.stage!r}: {result.failed} of {ended} tasks failed, most often"
                    f" ({times}x) {reason!r}; at most {self._max_failed_share:.0%} may fail"
                    f" (max_failed_share). Fix the cause, then: {again}"
                )
            )
