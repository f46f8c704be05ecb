"""The one way to buy a reply: cached, journalled, capped, bounded in flight and retried.

Owns the order of one call: key, journal look-up, reservation, intent, send, reply on disk, answer. Retry
exists here and nowhere else. Leaves wire formats and the classing of errors to providers, admission to
``limits``, the cap to ``budget``, rates to ``prices``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from rlaif.errors import CallError, RlaifError
from rlaif.journal import Journal
from rlaif.providers.base import Provider, RawReply, Reply, Request, request_key
from rlaif.providers.budget import Budget
from rlaif.providers.limits import Change, Gate, Limits
from rlaif.providers.prices import Price, cost, worst_case
from rlaif.providers.tokens import ceiling

__all__ = ["Answer", "Client", "Limits", "Stats"]

MAX_BACKOFF: Final = 30.0
"""Longest wait, seconds, that the client chooses by itself."""
FREE_RETRIES: Final = 100
"""Retries a client may make whatever their share: a short job has bad minutes too."""

# Waits are drawn apart from every other draw: they decide when, never what.
_jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply and how it was come by."""

    reply: Reply
    """The reply."""
    key: str
    """Request key, under which the journal holds the raw reply."""
    cached: bool
    """It was in the journal, or another call was just buying it: this call cost nothing."""


@dataclass(slots=True)
class Stats:
    """Counts of one client since it was opened. Money in USD."""

    gate: Gate = field(repr=False)
    calls: int = 0
    """Calls asked for."""
    cached: int = 0
    """Calls answered without sending."""
    sent: int = 0
    """Attempts sent."""
    retries: int = 0
    """Attempts that followed a failed one."""
    rate_limited: int = 0
    """Attempts refused for coming too fast."""
    faults: Counter[str] = field(default_factory=Counter)
    """Failed attempts by reason."""
    input_tokens: int = 0
    """Tokens read by calls that were answered."""
    output_tokens: int = 0
    """Tokens drawn by calls that were answered."""
    spent: float = 0.0
    """Cost of the replies."""
    billed_uncertain: float = 0.0
    """Worst case of attempts that may have been billed without a usable reply."""

    @property
    def in_flight(self) -> int:
        """Attempts out now."""
        return self.gate.in_flight

    @property
    def limit(self) -> int:
        """Attempts that may be out now."""
        return self.gate.limit

    @property
    def history(self) -> tuple[Change, ...]:
        """How the limit moved."""
        return tuple(self.gate.history)


@dataclass(frozen=True, slots=True)
class _Order:
    """One call to be bought."""

    request: Request
    body: Mapping[str, JsonValue]
    key: str
    worst: float  # USD one attempt may cost


@dataclass(slots=True)
class _Outcome:
    """How an attempt ended: with a reply, or with an error; a body came back in the first case and,
    where it could not be read, in the second.
    """

    raw: RawReply | None
    reply: Reply | None
    error: CallError | None
    cost: float  # USD billed, or the worst case where that is unknown


class Client:
    """Calls one model provider for one job.

    Calls with equal keys made at the same time, by any client of the journal, share one send. Nothing is
    sent for a key whose reply is in the journal. A call cut off in flight (a cancelled task, a killed
    process) counts as billed at its worst case until its job ends.

    Args:
        provider: translates, sends once, reads.
        journal: where calls are kept and found again.
        job_id: the job that pays.
        budget: the job's cap, shared with its other clients.
        price: rates of the model; None when unpriced calls are allowed, which then count as free.
        limits: concurrency, attempts, time-outs.
        clock: monotonic seconds, by which outages and cool-downs are told.
    """

    def __init__(
        self,
        provider: Provider,
        journal: Journal,
        *,
        job_id: str,
        budget: Budget,
        price: Price | None,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._journal = journal
        self._job_id = job_id
        self._budget = budget
        self._price = price
        self._limits = limits
        self._gate = Gate(limits, clock)
        self.stats = Stats(self._gate)

    async def call(self, request: Request) -> Answer:
        """Answer a request from the journal or by buying it.

        Raises:
            CallError: it gave up, or no call of this client can succeed (``fatal``).
            BudgetError: the worst case does not fit under the cap.
            InputError: the provider does not offer what is asked.
            StoreError: the journal cannot be written.
        """
        body = self._provider.body(request)
        key = request_key(self._provider.name, request.model, body, request.sample_index)
        self.stats.calls += 1
        while True:
            raw = self._journal.raw(key)
            if raw is not None:
                self.stats.cached += 1
                return Answer(self._provider.read(request, raw), key, cached=True)
            leader, flight = self._journal.flights.get(key, (None, None))
            if flight is None:
                return Answer(await self._lead(request, body, key), key, cached=False)
            if leader is self:
                # Shielded: a follower that is cancelled must not take the leader's others with it.
                await asyncio.shield(flight)
            else:  # another job's: its cap, its pause and its end are not ours
                await asyncio.wait([flight])

    def stop(self) -> None:
        """Send nothing more; calls that are out still get their replies on disk, all others a fatal error."""
        self._gate.stop(CallError("the job is stopping", retry="no", fatal=True))

    async def close(self) -> None:
        """Release the provider's connections."""
        await self._provider.close()

    async def _lead(self, request: Request, body: Mapping[str, JsonValue], key: str) -> Reply:
        """Buy a reply, and let the calls that wait for the same key know how it went."""
        flight: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._journal.flights[key] = (self, flight)
        try:
            worst = 0.0 if self._price is None else worst_case(self._price, ceiling(request))
            return await self._buy(_Order(request, body, key, worst))
        except RlaifError as error:
            flight.set_exception(error)
            flight.exception()  # mark it seen: there may be no follower to look
            raise
        finally:
            del self._journal.flights[key]
            if not flight.done():  # bought; or cut off, and then a follower takes over
                flight.set_result(None)

    async def _buy(self, order: _Order) -> Reply:
        attempt = 1
        while True:
            began = self._gate.now()
            outcome = await self._attempt(order, attempt)
            await self._record(order, outcome, attempt)
            if outcome.reply is not None:
                return outcome.reply
            assert outcome.error is not None
            wait = self._wait(outcome.error, attempt, began)
            self.stats.retries += 1
            attempt += 1
            await self._gate.pause(wait)

    async def _attempt(self, order: _Order, attempt: int) -> _Outcome:
        """Send once, within the limit and the cap.

        The reservation is taken inside the gate: only attempts about to be sent hold money, and one
        that waits for room waits for others that hold both and so can finish.
        """
        await self._gate.enter()
        outcome: _Outcome | None = None
        try:
            with await self._budget.reserve(order.worst) as reservation:
                outcome = await self._exchange(order)
                reservation.settle(outcome.cost)
        finally:
            if outcome is None:
                self._gate.abandoned()
            elif outcome.error is None:
                self._gate.succeeded()
            else:
                self._gate.failed(outcome.error, first=attempt == 1)
        return outcome

    async def _exchange(self, order: _Order) -> _Outcome:
        """Intent, send, and a first reading in memory: only a readable reply becomes the reply."""
        self._journal.intent(
            order.key,
            job_id=self._job_id,
            provider=self._provider.name,
            model=order.request.model,
            body=order.body,
            reserved=order.worst,
        )
        self.stats.sent += 1
        raw = None
        try:
            async with asyncio.timeout(self._limits.timeout):
                raw = await self._provider.send(order.body)
            reply = self._provider.read(order.request, raw)
        except TimeoutError:
            said = f"no reply within {self._limits.timeout:g} s"
            error = CallError(said, retry="transient", billed=True)
            return _Outcome(None, None, error, order.worst)
        except CallError as error:
            # A body that cannot be read was paid for all the same.
            unclear = error.billed or raw is not None
            return _Outcome(raw, None, error, order.worst if unclear else 0.0)
        except asyncio.CancelledError:
            self.stats.billed_uncertain += order.worst
            raise
        billed = 0.0 if self._price is None else cost(self._price, reply.usage)
        return _Outcome(raw, reply, None, billed)

    async def _record(self, order: _Order, outcome: _Outcome, attempt: int) -> None:
        """Put the outcome on disk, and count it."""
        stats, error = self.stats, outcome.error
        if error is None:
            assert outcome.raw is not None
            assert outcome.reply is not None
            stats.spent += outcome.cost
            stats.input_tokens += outcome.reply.usage.input_tokens
            stats.output_tokens += outcome.reply.usage.output_tokens
            await self._journal.reply(
                order.key, outcome.raw, job_id=self._job_id, attempt=attempt, cost=outcome.cost
            )
            return
        stats.faults[str(error).partition(":")[0]] += 1
        stats.rate_limited += error.retry == "rate_limit"
        stats.billed_uncertain += outcome.cost
        await self._journal.fault(
            order.key,
            job_id=self._job_id,
            attempt=attempt,
            reason=str(error),
            billed=outcome.cost,
            text=None if outcome.raw is None else outcome.raw.text,
        )

    def _wait(self, error: CallError, attempt: int, began: float) -> float:
        """Seconds to wait before the next attempt.

        Full jitter over an exponentially growing span, on top of what the provider asked for. A longer
        wait than ``max_wait`` is not sat out: while other calls get through it cannot be meant for
        all, and the call is tried again soon; else it gives up.

        Raises:
            CallError: there will be no next attempt.
        """
        limits = self._limits
        if error.fatal or error.retry == "no":
            raise error
        if attempt >= limits.attempts:
            raise _given_up(error, f"after {attempt} attempts")
        if self.stats.retries >= FREE_RETRIES + limits.retry_share * self.stats.calls:
            raise _given_up(error, f"as the job has used up its {self.stats.retries} retries")
        asked = error.retry_after or 0.0
        if asked > limits.max_wait:
            if not self._gate.succeeded_since(began):
                raise _given_up(error, f"as waiting {asked:.0f} s is longer than {limits.max_wait:.0f} s")
            asked = 0.0
        span = min(MAX_BACKOFF, limits.backoff * 2.0 ** (attempt - 1))
        return asked + _jitter.uniform(0.0, span)


def _given_up(error: CallError, why: str) -> CallError:
    return CallError(f"gave up {why}: {error}", retry=error.retry, retry_after=error.retry_after)
