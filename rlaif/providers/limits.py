"""How many calls may be out at once, decided by what the provider says.

Owns the admission of attempts: slow start, additive increase, one multiplicative cut per cool-down on
rate limits, probes during an outage, and the stop after a fatal error. Leaves retrying, and what an
attempt is, to ``client``. One gate a client; it is touched from one event loop only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rlaif.errors import CallError

FIRST_CALLS: Final = 3
"""Calls out at most until one has succeeded: a bad key costs three calls, not one per task."""
BUSY: Final = 0.8
"""Share of the limit that must have been used for it to grow."""
CUT: Final = 0.8
"""Factor on the limit after a rate limit."""
COOL_DOWN: Final = 15.0
"""Seconds after a cut in which no other one is made."""
OUTAGE_FAILURES: Final = 5
"""Calls failing in a row, each for its first time, that are taken for an outage. Repeated failures of
the same calls are none: that is what requests look like that the provider cannot digest."""
PROBE_SECONDS: Final = 1.0
"""Seconds to the first probe of an outage; each failed one doubles the wait."""
MAX_PROBE_SECONDS: Final = 8.0
"""Longest wait between probes, so that recovery is seen soon."""
HOPELESS_LIMITS: Final = 10
"""Consecutive rate limits, and"""
HOPELESS_SECONDS: Final = 120.0
"""seconds without any success, after which the provider is given up."""


class Limits(BaseModel):
    """Concurrency, attempts and time-outs of one model's calls."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    start: int = Field(default=20, ge=1)
    """Calls in flight to begin with."""
    max: int = Field(default=256, ge=1)
    """Calls in flight at most."""
    attempts: int = Field(default=6, ge=1, le=20)
    """Sends of one call at most, the first included."""
    retry_share: float = Field(default=1.0, ge=0.0)
    """Retries of all calls together, as a share of the calls made; the first hundred are free."""
    backoff: float = Field(default=0.5, ge=0.0, le=60.0)
    """Seconds of the first wait at most; each further one doubles it, up to 30 s."""
    max_wait: float = Field(default=120.0, ge=0.0)
    """Longest ``Retry-After``, seconds, that is sat out."""
    timeout: float = Field(default=600.0, gt=0.0)
    """Seconds one attempt may take in all; a backstop behind the provider's own time-outs."""

    @model_validator(mode="before")
    @classmethod
    def _start_under_max(cls, given: object) -> object:
        """Let ``max`` alone lower the start too: whoever writes ``max: 4`` means 4."""
        if isinstance(given, dict) and "start" not in given and isinstance(given.get("max"), int):
            return {**given, "start": min(given["max"], cls.model_fields["start"].default)}
        return given

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.start > self.max:
            raise ValueError(f"start {self.start} is above max {self.max}; lower start or raise max")
        return self


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the limit, for people to look at."""

    at: float
    """Seconds since the gate was made."""
    limit: int
    """Calls that may be in flight from then on."""
    reason: Literal["start", "grow", "rate_limit", "outage", "recovery"]
    """Why; an outage and a recovery leave the limit as it is."""


class Gate:
    """Admits attempts. Every ``enter`` is followed by exactly one of ``succeeded``, ``failed``,
    ``abandoned``.

    Args:
        limits: where to start and how far to go.
        clock: monotonic seconds.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limits.start
        self.in_flight = 0
        self._limits = limits
        self._clock = clock
        self._born = clock()
        self.history: deque[Change] = deque([Change(0.0, self.limit, "start")], maxlen=1000)
        self._last_success: float | None = None
        self._slow_start = True
        self._round = 0  # successes since the limit was last reconsidered
        self._peak = 0  # most in flight in this round
        self._cool_until = self._born
        self._failures = 0  # calls that failed for their first time since anything was answered
        self._limited = 0  # consecutive rate limits
        self._limited_since = self._born
        self._out = False  # an outage: one probe at a time
        self._next_probe = 0.0
        self._probe_wait = PROBE_SECONDS
        self._stopped: CallError | None = None
        self._queue: deque[asyncio.Future[None]] = deque()
        self._sleepers: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """Wait until an attempt may go out.

        Raises:
            CallError: a fatal error was seen; no attempt can succeed.
        """
        if self._stopped is not None:
            raise _again(self._stopped)
        if not self._queue and self._open():
            self._admit()
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(admitted)
        self._serve()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled() and admitted.exception() is None:
                self.abandoned()  # admitted and cancelled in the same turn of the loop
            raise

    async def pause(self, seconds: float) -> None:
        """Sleep before a retry.

        Raises:
            CallError: a fatal error was seen meanwhile.
        """
        if self._stopped is not None:
            raise _again(self._stopped)
        loop = asyncio.get_running_loop()
        awake: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, awake)
        self._sleepers.add(awake)
        try:
            await awake
        finally:
            timer.cancel()
            self._sleepers.discard(awake)

    def succeeded(self) -> None:
        """An attempt ended with a reply."""
        self.in_flight -= 1
        self._alive()
        self._last_success = self._clock()
        self._round += 1
        if self._round >= self.limit:
            self._reconsider()
        self._serve()

    def failed(self, error: CallError, *, first: bool) -> None:
        """An attempt, the ``first`` of its call or a later one, ended with an error.

        A fatal error stops the gate for good.
        """
        self.in_flight -= 1
        if error.fatal:
            self._stop(error)
        elif error.retry == "no":
            self._alive()  # the provider is there and answers; this one request is at fault
        else:
            self._fail(error, first)
        self._serve()

    def stop(self, reason: CallError) -> None:
        """Admit nothing more: what waits here is refused, attempts that are out end as they will."""
        self._stop(reason)

    def abandoned(self) -> None:
        """An attempt was cancelled or never sent; nothing follows from it."""
        self.in_flight -= 1
        self._serve()

    def now(self) -> float:
        """The gate's clock, monotonic seconds."""
        return self._clock()

    def succeeded_since(self, then: float) -> bool:
        """Whether any attempt ended with a reply at or after ``then``."""
        return self._last_success is not None and self._last_success >= then

    # Admission

    def _open(self) -> bool:
        if self._out:
            return self._clock() >= self._next_probe
        most = self.limit if self._last_success is not None else min(FIRST_CALLS, self.limit)
        return self.in_flight < most

    def _admit(self) -> None:
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        if self._out:
            self._next_probe = self._clock() + self._probe_wait
            self._probe_wait = min(2 * self._probe_wait, MAX_PROBE_SECONDS)

    def _serve(self) -> None:
        """Admit from the head of the queue as far as the limit goes."""
        while self._queue:
            if self._queue[0].done():  # its caller was cancelled
                self._queue.popleft()
            elif self._open():
                self._admit()
                self._queue.popleft().set_result(None)
            else:
                break
        if self._queue and self._out and self._timer is None:
            wait = max(0.0, self._next_probe - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._probe)

    def _probe(self) -> None:
        self._timer = None
        self._serve()

    def _stop(self, error: CallError) -> None:
        self._stopped = self._stopped or error
        for one in (*self._queue, *self._sleepers):
            if not one.done():
                one.set_exception(_again(self._stopped))
        self._queue.clear()

    # What outcomes teach

    def _alive(self) -> None:
        self._failures = self._limited = 0
        if self._out:
            self._out = False
            self._probe_wait = PROBE_SECONDS
            self._note("recovery")

    def _reconsider(self) -> None:
        """A round of successes is over: grow if the limit was what held calls back."""
        busy = self._peak >= BUSY * self.limit
        self._round, self._peak = 0, self.in_flight
        if busy and self.limit < self._limits.max:
            step = self.limit if self._slow_start else max(1, self._limits.start // 10)
            self.limit = min(self._limits.max, self.limit + step)
            self._note("grow")

    def _fail(self, error: CallError, first: bool) -> None:
        now = self._clock()
        wait = min(error.retry_after or 0.0, self._limits.max_wait)
        if error.retry == "rate_limit":
            self._slow_down(now, wait)
        else:
            self._limited = 0
        self._failures += first
        if self._failures >= OUTAGE_FAILURES and not self._out:
            self._out = True
            self._next_probe = now + self._probe_wait
            self._note("outage")
        if self._out:
            self._next_probe = max(self._next_probe, now + wait)

    def _slow_down(self, now: float, wait: float) -> None:
        self._slow_start = False
        if self._limited == 0:
            self._limited_since = now
        self._limited += 1
        if now >= self._cool_until:
            self._cool_until = now + max(COOL_DOWN, wait)
            self.limit = max(1, int(self.limit * CUT))
            self._round, self._peak = 0, self.in_flight
            self._note("rate_limit")
        if self._limited >= HOPELESS_LIMITS and now - self._limited_since >= HOPELESS_SECONDS:
            self._stop(_hopeless(now - self._limited_since))

    def _note(self, reason: Literal["grow", "rate_limit", "outage", "recovery"]) -> None:
        self.history.append(Change(self._clock() - self._born, self.limit, reason))


def _hopeless(seconds: float) -> CallError:
    return CallError(
        f"the provider answered nothing but rate limits for {seconds:.0f} s; wait, or raise the account's"
        " limits, then run: rlaif resume JOB",
        retry="no",
        fatal=True,
    )


def _again(error: CallError) -> CallError:
    """A fresh copy to raise: one instance raised by many tasks would pile up their tracebacks."""
    return CallError(str(error), retry="no", fatal=True)


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
