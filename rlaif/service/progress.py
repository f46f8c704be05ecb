"""How a running job gets on: counts, rate, time left and a history to draw.

Owns the arithmetic over what the job's runner and its clients say. Leaves telling it to ``engine``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal

from rlaif.pipeline import Live, Planned
from rlaif.records import Record

RATE_SECONDS: Final = 30.0
"""Stretch of time the rate is taken over."""
POINTS: Final = 600
"""Points of a history; when they are full, every other one goes and the next come half as often."""


class StageProgress(Record):
    """How one stage of a job stands."""

    stage: str
    """Its name, e.g. ``judge helpfulness``."""
    state: Literal["waiting", "running", "done"]
    """Whether it has begun, and ended."""
    total: int
    """Tasks, at most until the stage has ended."""
    ended: int
    """Tasks that ended, in this run or an earlier one."""
    failed: int
    """Those of them that failed."""


class Progress(Record):
    """How a job stands at one moment. Counts of calls are of this run; money is in USD over all runs."""

    job: str
    """The job's id."""
    stage: str
    """The stage that runs; empty before the first and after the last."""
    total: int
    """Tasks of all stages that call models, at most."""
    ended: int
    """Tasks that ended."""
    failed: int
    """Tasks that failed."""
    stages: tuple[StageProgress, ...]
    """Every stage, in order."""
    rate: float
    """Tasks a second over the last 30 s."""
    eta: float | None
    """Seconds left at this rate; None while there is none."""
    spent: float
    """Settled."""
    reserved: float
    """Held for attempts in flight."""
    cap: float | None
    """Most the job may cost."""
    in_flight: int
    """Attempts out."""
    limit: int
    """Attempts that may be out."""
    sent: int
    """Attempts sent."""
    cached: int
    """Calls answered from the journal."""
    retries: int
    """Attempts that followed a failed one."""
    rate_limited: int
    """Attempts refused for coming too fast."""
    faults: dict[str, int]
    """Failed attempts by reason."""
    invalid: int
    """Answers of judges that hold no verdict."""
    invalid_by: dict[str, int]
    """The same by status."""
    failures: dict[str, int]
    """Failed tasks by reason, the twenty most frequent."""


class Point(Record):
    """One moment of a job's history."""

    at: float
    """Seconds since the run began."""
    rate: float
    """Tasks a second."""
    in_flight: int
    """Attempts out."""
    limit: int
    """Attempts that may be out."""
    spent: float
    """USD settled."""


class Meter:
    """Listens to one run of a job and says how it gets on.

    Args:
        job_id: the job.
        stages: what it will do.
        live: its handle.
        clock: monotonic seconds.
    """

    def __init__(
        self, job_id: str, stages: Sequence[Planned], live: Live, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._job_id = job_id
        self._live = live
        self._clock = clock
        self._began = clock()
        self._stages = stages
        self._totals = [one.tasks for one in stages]
        self._ended = [0] * len(stages)
        self._failed = [0] * len(stages)
        self._finished = False
        self._seen: deque[tuple[float, int]] = deque([(self._began, 0)])
        self._every = 1.0  # seconds between points
        self._points: list[Point] = []

    # What the runner says; see ``jobs.Listener``

    def stage(self, name: str, total: int) -> None:
        """A stage begins."""
        if 0 <= self._live.at < len(self._stages):
            self._totals[self._live.at] = total

    def task(self, ok: bool) -> None:
        """A task ended, now or in an earlier run."""
        if self._live.at >= 0:
            self._ended[self._live.at] += 1
            self._failed[self._live.at] += not ok

    def finish(self) -> None:
        """The job completed."""
        self._finished = True

    # What is asked of it

    @property
    def finalizing(self) -> bool:
        """All calls are made: sets, files and the report are left."""
        rest = self._stages[max(self._live.at, 0) :]
        return self._live.at >= 0 and not any(one.asks for one in rest)

    def progress(self) -> Progress:
        """Where the job stands now."""
        figures, live, rate = self._live.figures(), self._live, self._rate()
        stages = tuple(self._standing(at) for at in range(len(self._stages)))
        asked = [one for one, stage in zip(stages, self._stages, strict=True) if stage.asks]
        total, ended = sum(one.total for one in asked), sum(one.ended for one in asked)
        return Progress(
            job=self._job_id,
            stage=next((one.stage for one in stages if one.state == "running"), ""),
            total=total,
            ended=ended,
            failed=sum(self._failed),
            stages=stages,
            rate=round(rate, 3),
            eta=round((total - ended) / rate, 1) if rate else None,
            spent=figures.spent,
            reserved=figures.reserved,
            cap=figures.cap,
            in_flight=figures.in_flight,
            limit=figures.limit,
            sent=figures.sent,
            cached=figures.cached,
            retries=figures.retries,
            rate_limited=figures.rate_limited,
            faults=figures.faults,
            invalid=live.invalid.total(),
            invalid_by=dict(live.invalid),
            failures=dict(live.failures.most_common(20)),
        )

    def tick(self) -> None:
        """Note the moment; called a few times a second."""
        now = self._clock()
        self._seen.append((now, self._live.ended))
        while len(self._seen) > 2 and self._seen[1][0] <= now - RATE_SECONDS:
            self._seen.popleft()
        at = now - self._began
        if not self._points or at - self._points[-1].at >= self._every:
            self._note(at)

    def history(self) -> tuple[Point, ...]:
        """The run so far, at most ``POINTS`` moments of it."""
        return tuple(self._points)

    def _note(self, at: float) -> None:
        if len(self._points) == POINTS:
            self._points = self._points[::2]
            self._every *= 2
        figures = self._live.figures()
        self._points.append(
            Point(
                at=round(at, 2),
                rate=round(self._rate(), 3),
                in_flight=figures.in_flight,
                limit=figures.limit,
                spent=figures.spent,
            )
        )

    def _rate(self) -> float:
        """Tasks of this run a second: those that earlier runs ended say nothing about now."""
        (then, before), (now, after) = self._seen[0], (self._clock(), self._live.ended)
        return (after - before) / (now - then) if now > then else 0.0

    def _standing(self, at: int) -> StageProgress:
        stage = self._stages[at]
        done = self._finished or at < self._live.at
        ended = self._ended[at] if stage.asks else int(done)
        return StageProgress(
            stage=stage.stage,
            state="done" if done else "running" if at == self._live.at else "waiting",
            # A stage that is over had as many tasks as ended: pairs that turned out identical need none.
            total=ended if done else self._totals[at],
            ended=ended,
            failed=self._failed[at],
        )
