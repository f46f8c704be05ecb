"""The queue of jobs: what was handed in runs, a few at a time, and goes on by itself after a crash.

Owns which job runs when, what its state is, and what is told of it. Everything durable is in two records: a
``Submission`` says that a job is wanted and at what price, a ``JobEvent`` how it stands. On start, every job
whose newest event is ``queued`` or ``running`` is queued again; what was answered is in the journal.
Leaves running to ``pipeline`` and files to ``folders``. Used from one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from rlaif.errors import BudgetError, Interrupted, RlaifError, keep_traceback
from rlaif.jobs import Stopped
from rlaif.journal.ledger import Spend
from rlaif.pipeline import Live, Options, Outcome, planned, run_in
from rlaif.records import Job, JobEvent, PreferenceSet, Submission
from rlaif.service import folders
from rlaif.service.events import Hub
from rlaif.service.problems import Problem
from rlaif.service.progress import Meter, Point, Progress
from rlaif.settings import Settings
from rlaif.store import Workspace

log = logging.getLogger(__name__)

JobState = Literal[
    "queued", "running", "paused", "completed", "failed", "interrupted", "budget", "cancelled", "planned"
]
SLOTS: Final = 2
"""Jobs that run at once."""
TICK_SECONDS: Final = 0.25
"""Between two reports of a running job's progress."""
DRAIN_SECONDS: Final = 8.0
"""Given to calls in flight when the service stops; they are paid for."""
RESUMABLE: Final = ("paused", "failed", "interrupted", "budget", "cancelled")
"""States a job can be queued again from."""


@dataclass(frozen=True, slots=True)
class Census:
    """What the store holds of a job."""

    done: int
    """Tasks that made their records."""
    failed: int
    """Tasks that did not."""
    invalid: dict[str, int]
    """Answers of judges without a verdict, by status."""
    reasons: dict[str, int]
    """Failed tasks by reason, most frequent first."""
    sets: tuple[PreferenceSet, ...]
    """The newest set of each axis."""


@dataclass(slots=True)
class Entry:
    """One job as the service knows it."""

    job_id: str
    name: str
    state: JobState
    note: str = ""
    """One clause on the state."""
    submission: Submission | None = None
    """The latest; None for a job that a command ran in this folder."""
    times: dict[str, str] = field(default_factory=dict)
    """When each state was entered last, UTC, ISO 8601; ``created`` is the first of all."""
    stopping: Literal["paused", "cancelled", "queued"] | None = None
    """What it was told to become; it drains."""
    live: Live | None = None
    """Its handle while it runs."""
    meter: Meter | None = None
    """Its figures in the run now or last; None before this service has run it."""
    task: asyncio.Task[Outcome] | None = None
    """Its run."""
    census: Census | None = None
    """What the store says of it; None while it may change, and before anybody asked."""
    reported: Progress | None = None
    """What watchers were told last."""

    def enter(self, state: JobState, at: str, note: str = "") -> None:
        """Note a state."""
        self.state, self.note = state, note
        self.times.setdefault("created", at)
        self.times[state] = at


_Look = Callable[[Callable[[], Census]], Awaitable[Census]]


class Engine:
    """Runs the jobs of one service.

    Args:
        workspace: the folder; jobs share its journal, so none buys what another has bought.
        settings: keys, servers and prices.
        hub: told of states (``state``) and progress (``progress``), topic ``job/ID``.
        slots: jobs that run at once.
    """

    def __init__(self, workspace: Workspace, settings: Settings, hub: Hub, slots: int = SLOTS) -> None:
        self._workspace = workspace
        self._settings = settings
        self._hub = hub
        self._slots = slots
        self._entries: dict[str, Entry] = {}
        self._queue: deque[str] = deque()
        self._asked: dict[str, Submission] = {}  # by digest of caller and Idempotency-Key
        self._deciding = asyncio.Lock()  # invariant: one request at a time decides what becomes of a job
        self._ticker: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._closing = False

    # Life

    async def start(self) -> None:
        """Read how the jobs stand and let those go on that were queued or running.

        Raises:
            StoreError: the store cannot be read or written.
        """
        await asyncio.to_thread(self.recall)
        waiting = [one for one in self._entries.values() if one.state in ("queued", "running")]
        for entry in sorted(waiting, key=lambda one: one.times[one.state]):
            if entry.submission is not None:
                await self._enqueue(entry, "goes on after the service was stopped")
            else:
                entry.enter("interrupted", entry.times["running"], "its process was killed")
        self._ticker = asyncio.create_task(self._tick())
        self._fill()

    async def close(self) -> None:
        """Stop all jobs: calls in flight get a while, and the jobs stay queued for the next start."""
        self._closing = True
        running = [one for one in self._entries.values() if one.task is not None]
        for entry in running:
            self._halt(entry, "queued", "the service was stopped; it goes on when the service does")
        tasks = [one.task for one in running if one.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
            for entry in running:
                if entry.live is not None:
                    entry.live.stop()
            await asyncio.wait(tasks, timeout=1.0)
        if self._ticker is not None:
            self._ticker.cancel()
        await asyncio.gather(*self._endings)

    # What is asked of it

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every job, the one handed in last first."""
        return tuple(sorted(self._entries.values(), key=_age, reverse=True))

    def entry(self, job_id: str) -> Entry | None:
        """One job."""
        return self._entries.get(job_id)

    def running(self) -> tuple[Entry, ...]:
        """The jobs that run now."""
        return tuple(one for one in self._entries.values() if one.task is not None)

    def progress(self, job_id: str) -> Progress | None:
        """How a job gets on, or got on at the end of its run; None before this service has run it."""
        entry = self._entries.get(job_id)
        if entry is None or entry.meter is None:
            return None
        return entry.reported if entry.task is None else entry.meter.progress()

    def history(self, job_id: str) -> tuple[Point, ...]:
        """Rate and concurrency of a job's run, at most 600 moments of it."""
        entry = self._entries.get(job_id)
        return () if entry is None or entry.meter is None else entry.meter.history()

    def earlier(self, idempotency: str, request: str) -> Entry | None:
        """The job that a request with this key has made before.

        Raises:
            Problem: 409 when that request was another one.
        """
        found = self._asked.get(idempotency) if idempotency else None
        if found is None:
            return None
        if found.request != request:
            raise Problem(
                409,
                f"this Idempotency-Key came with another body before, for job {found.job_id!r}; send that"
                " body again or choose a new key",
            )
        return self._entries[found.job_id]

    async def submit(self, made: folders.Prepared, submission: Submission) -> Entry:
        """Take a job in: durable on return. A job that is there already is not made twice; one that
        stopped short goes on, under the budget given.

        Raises:
            Problem: 409, see ``earlier``; 503 when the service is stopping.
            StoreError: the disk is full or refuses writes.
        """
        async with self._deciding:
            self._refuse_closing()
            known = self.earlier(submission.idempotency, submission.request)
            if known is not None:
                return known
            await asyncio.to_thread(folders.keep, self._workspace.folder, made)
            entry = self._entries.get(made.job_id)
            if entry is None:
                entry = Entry(made.job_id, made.loaded.pipeline.name, "planned")
            await self._commit(submission)
            self._entries[made.job_id] = entry
            if entry.state in ("planned", *RESUMABLE):
                self._remember(entry, submission)
                await self._enqueue(entry)
            elif submission.idempotency:
                self._asked[submission.idempotency] = submission
            self._fill()
            return entry

    async def pause(self, job_id: str) -> Entry:
        """Stop a job until it is resumed; calls in flight are waited for."""
        return await self._stop(job_id, "paused", "paused; go on with: resume")

    async def cancel(self, job_id: str) -> Entry:
        """End a job; what it made stays."""
        return await self._stop(job_id, "cancelled", "cancelled; what was made stays")

    async def resume(self, job_id: str) -> Entry:
        """Queue a job that stopped short; failed tasks get another try.

        Raises:
            Problem: 404, or 409 where it runs, has completed, or stopped at a cap that still stands.
        """
        async with self._deciding:
            self._refuse_closing()
            entry = self._known(job_id)
            if entry.submission is None:
                raise _unfit(f"job {job_id!r} was run by a command; go on with: rlaif resume {job_id}")
            if entry.state not in RESUMABLE:
                raise _unfit(f"job {job_id!r} is {entry.state}; there is nothing to resume")
            if entry.state == "budget":
                raise _unfit(f"job {job_id!r} stopped at its cap; raise it, and the job goes on by itself")
            await self._enqueue(entry)
            self._fill()
            return entry

    async def change_cap(self, job_id: str, budget: float, caller: str) -> Entry:
        """Let a job cost so many USD in all; one that stopped at its cap goes on.

        Raises:
            Problem: 404, or 409 for a job that has ended.
            InputError: less than what is spent or out for calls in flight.
            StoreError: the disk is full or refuses writes.
        """
        async with self._deciding:
            self._refuse_closing()
            entry = self._known(job_id)
            if entry.submission is None or entry.state in ("completed", "cancelled"):
                raise _unfit(f"job {job_id!r} is {entry.state}; its cap can no longer be changed")
            fields = entry.submission.model_dump(exclude={"id"})
            # The moment tells this change from an equal one before it, whose record would be this one's.
            fields |= {"budget": budget, "caller": caller, "request": _now(), "idempotency": ""}
            submission = Submission.make(**fields)
            if entry.live is not None:
                entry.live.change_cap(budget)
            await self._commit(submission)
            entry.submission = submission
            if entry.state == "budget":
                await self._enqueue(entry)
                self._fill()
            self._publish(entry)
            return entry

    async def census(self, entry: Entry, look: _Look = asyncio.to_thread) -> Census:
        """What the store holds of a job, read once for one that does not run.

        Args:
            entry: the job.
            look: runs the read on a thread; it takes a while for a job of many tasks.

        Raises:
            StoreError: the store cannot be read.
        """
        if entry.census is not None:
            return entry.census
        running = entry.task
        found = await look(lambda: self._count(entry.job_id))
        if running is None and entry.task is None:
            entry.census = found
        return found

    def spend(self, job_id: str) -> Spend:
        """What a job has cost."""
        return self._workspace.journal.spend(job_id)

    # Inside: states

    def _count(self, job_id: str) -> Census:
        store = self._workspace.store
        tasks = store.query("task_census", job_id=job_id).to_pylist()
        asked = [one for one in tasks if one["stage"] != "prompts"]
        failed = [one for one in asked if one["state"] == "failed"]
        verdicts = store.query("job_verdicts", job_id=job_id).to_pylist()
        sets = store.read(PreferenceSet, "job_id = ?", [job_id], order="rowid")
        newest = {one.axis: one for one in sets}
        return Census(
            done=sum(one["tasks"] for one in asked if one["state"] == "done"),
            failed=sum(one["tasks"] for one in failed),
            invalid={one["status"]: one["answers"] for one in verdicts},
            reasons={f"{one['stage']}: {one['reason']}": one["tasks"] for one in failed},
            sets=tuple(newest[axis] for axis in sorted(newest)),
        )

    def recall(self) -> None:
        """Read every job of the store; runs on a thread, before anything else does."""
        store = self._workspace.store
        folders.sweep(self._workspace.folder)
        self._workspace.journal.spend("")  # the ledger is added up once, here
        names = {one.id: one.name for one in store.read(Job, order="rowid")}
        for submission in store.read(Submission, order="rowid"):
            name = submission.job_id.rpartition("-")[0]
            entry = self._entries.setdefault(submission.job_id, Entry(submission.job_id, name, "planned"))
            self._remember(entry, submission)
        for job_id, name in names.items():
            self._entries.setdefault(job_id, Entry(job_id, name, "planned"))
        for event in store.read(JobEvent, order="rowid"):
            if event.job_id in self._entries:
                self._entries[event.job_id].enter(event.state, event.at, event.note)

    def _remember(self, entry: Entry, submission: Submission) -> None:
        entry.submission = submission
        if submission.idempotency:
            self._asked[submission.idempotency] = submission

    def _known(self, job_id: str) -> Entry:
        entry = self._entries.get(job_id)
        if entry is None:
            raise Problem(404, f"there is no job {job_id!r}; those there are stand under /v1/jobs")
        return entry

    def _refuse_closing(self) -> None:
        if self._closing:
            raise Problem(
                503, "the service is stopping; try again when it is back", headers={"Retry-After": "5"}
            )

    async def _enqueue(self, entry: Entry, note: str = "") -> None:
        await self._record(entry, "queued", note)
        self._queue.append(entry.job_id)

    async def _record(self, entry: Entry, state: JobState, note: str = "") -> None:
        """Enter a state, on disk first."""
        at = _now()
        await self._commit(JobEvent.make(job_id=entry.job_id, state=state, at=at, note=note))
        entry.enter(state, at, note)
        self._publish(entry)

    async def _commit(self, record: Submission | JobEvent) -> None:
        await self._workspace.commit([record], job_id=record.job_id)

    async def _stop(self, job_id: str, state: Literal["paused", "cancelled"], note: str) -> Entry:
        async with self._deciding:
            entry = self._known(job_id)
            if entry.task is not None:
                self._halt(entry, state, note)
                self._publish(entry)
            elif entry.submission is not None and entry.state in _STOPPABLE[state]:
                if job_id in self._queue:
                    self._queue.remove(job_id)
                await self._record(entry, state, note)
            else:
                raise _unfit(f"job {job_id!r} is {entry.state}; it cannot be {state} now")
            return entry

    def _halt(self, entry: Entry, state: Literal["paused", "cancelled", "queued"], note: str) -> None:
        """Tell a running job to stop; asking twice does not cut off what is in flight."""
        if entry.stopping is None and entry.live is not None:
            entry.stopping = state
            entry.live.stop(Stopped(note, state))

    # Inside: running

    def _fill(self) -> None:
        """Start jobs from the head of the queue while there is room."""
        while self._queue and len(self.running()) < self._slots and not self._closing:
            entry = self._entries[self._queue.popleft()]
            entry.live, entry.stopping, entry.reported, entry.census = Live(), None, None, None
            entry.task = asyncio.create_task(self._run(entry, entry.live))
            entry.task.add_done_callback(partial(self._end, entry))

    async def _run(self, entry: Entry, live: Live) -> Outcome:
        assert entry.submission is not None  # only such jobs are queued
        folder = self._workspace.folder / entry.submission.folder
        loaded = await asyncio.to_thread(folders.load, folder)
        prompts = await asyncio.to_thread(loaded.read_prompts)
        meter = entry.meter = Meter(entry.job_id, planned(loaded, len(prompts.prompts)), live)
        entry.enter("running", _now())
        self._publish(entry)
        options = Options(budget=entry.submission.budget, expect_job=entry.job_id)
        outcome = await run_in(self._workspace, loaded, options, self._settings, meter, live)
        meter.finish()
        return outcome

    def _end(self, entry: Entry, _: asyncio.Task[Outcome]) -> None:
        """A run is over, one way or the other."""
        ending = asyncio.create_task(self._settle(entry))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _settle(self, entry: Entry) -> None:
        task, live = entry.task, entry.live
        assert task is not None
        assert live is not None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        state, note = _outcome(error)
        if isinstance(error, RlaifError | None) and live.under_way:
            entry.enter(state, _now(), note)  # the run has recorded it itself
        else:
            if error is not None and not isinstance(error, RlaifError | asyncio.CancelledError):
                note = f"internal error; the traceback is in {keep_traceback(error)} on the server"
                log.error("job %s ended in an internal error: %s", entry.job_id, note)
            await self._try_record(entry, state, note)
        self._report(entry)
        entry.task = entry.live = entry.stopping = entry.census = None
        self._publish(entry)
        self._fill()

    async def _try_record(self, entry: Entry, state: JobState, note: str) -> None:
        """Record how a job ended; where the disk refuses even that, the job goes on at the next start."""
        try:
            await self._record(entry, state, note)
        except RlaifError as error:
            entry.enter(state, _now(), f"{note}; {error}")

    # Inside: telling

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for entry in self.running():
                if entry.meter is not None:
                    entry.meter.tick()
                    self._report(entry)

    def _report(self, entry: Entry) -> None:
        """Tell watchers how a job gets on, where that has changed."""
        if entry.meter is None:
            return
        progress = entry.meter.progress()
        if progress != entry.reported:
            entry.reported = progress
            self._hub.publish(f"job/{entry.job_id}", "progress", progress.model_dump(mode="json"))

    def _publish(self, entry: Entry) -> None:
        said = {"job": entry.job_id, "state": entry.state, "note": entry.note, "stopping": entry.stopping}
        self._hub.publish(f"job/{entry.job_id}", "state", said)


_STOPPABLE: Final = {
    "paused": ("queued",),
    "cancelled": ("queued", "paused", "budget", "failed", "interrupted"),
}


def _outcome(error: BaseException | None) -> tuple[JobState, str]:
    match error:
        case None:
            return "completed", ""
        case Stopped():
            return error.state, str(error)
        case BudgetError():
            return "budget", str(error)
        case Interrupted():
            return "interrupted", str(error)
        case asyncio.CancelledError():
            return "queued", "cut off as the service stopped"
        case _:
            return "failed", str(error)


def _unfit(said: str) -> Problem:
    """What is asked of a job does not fit the state it is in."""
    return Problem(409, said, kind="job")


def _age(entry: Entry) -> tuple[str, str]:
    return entry.times.get("created", ""), entry.job_id


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
