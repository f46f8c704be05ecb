"""The cap on a job's money, held by reserving before every call.

Owns one invariant: settled + reserved never exceeds the cap. Leaves what an attempt may cost to
``prices`` and the durable record of what was spent to the journal.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from types import TracebackType
from typing import Final, Self

from rlaif.errors import BudgetError, InputError

_PICO: Final = 10**12  # whole pico-dollars: floats would let the cap leak by rounding


class Reservation:
    """Room for one attempt. As a context, it ends settled at its full amount unless settled before:
    an attempt that ended in a way nobody classified may have been billed.
    """

    __slots__ = ("_amount", "_budget", "_open")

    def __init__(self, budget: Budget, amount: int) -> None:
        self._budget = budget
        self._amount = amount
        self._open = True

    def settle(self, actual: float) -> None:
        """Replace the reservation by what was really billed, USD; a second settling does nothing."""
        if self._open:
            self._open = False
            self._budget._close(self._amount, round(actual * _PICO))

    def release(self) -> None:
        """Give the room back: nothing was billed."""
        self.settle(0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(self._amount / _PICO)


class Budget:
    """A cap shared by all calls of a job.

    A reservation that does not fit waits while others, on settling below their worst case, may still
    make room; first come, first served. When none is in flight it is refused.

    A bill above its reservation would break the invariant and cannot arise while ``tokens.ceiling``
    holds. Should a provider do it all the same, it is counted in full, and a capped budget admits no
    further call: its bound has been shown to be wrong.

    Args:
        cap: most USD the job may cost over all its runs; None for no cap.
        spent: USD it has cost, or may have cost, in earlier runs.
        resume: what to type to go on with another cap, for the refusal.

    Raises:
        InputError: the cap is negative or no number.
    """

    def __init__(
        self, cap: float | None, spent: float = 0.0, *, resume: str = "rlaif resume JOB --budget USD"
    ) -> None:
        self._cap = None if cap is None else _checked(cap)
        self._spent = round(spent * _PICO)
        self._resume = resume
        self._reserved = 0
        self._overrun = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def cap(self) -> float | None:
        """The cap, USD."""
        return None if self._cap is None else self._cap / _PICO

    @property
    def spent(self) -> float:
        """Settled so far, earlier runs included, USD."""
        return self._spent / _PICO

    @property
    def reserved(self) -> float:
        """Held for attempts in flight, USD."""
        return self._reserved / _PICO

    def change(self, cap: float) -> None:
        """Put another cap in place of the one there is, while calls are out or wait for room.

        Raises:
            InputError: the cap is no amount, or less than what is spent and held already.
        """
        wanted = _checked(cap)
        if wanted < self._spent + self._reserved:
            least = _dollars(self._spent + self._reserved)
            raise InputError(
                f"a cap of {_dollars(wanted)} is too late: {least} is spent or out for calls in flight; give"
                f" {least} or more",
                field="budget",
            )
        self._cap = wanted
        self._serve()

    async def reserve(self, worst: float) -> Reservation:
        """Hold room for an attempt that may cost ``worst`` USD, waiting for room if need be.

        Raises:
            BudgetError: it does not fit and nothing in flight could make room.
        """
        amount = round(worst * _PICO)
        if not self._queue and self._fits(amount):
            self._reserved += amount
            return Reservation(self, amount)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((amount, granted))
        self._serve()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._close(amount, 0)  # granted and cancelled in the same turn of the loop
            else:
                self._serve()  # the queue may have waited for this one alone
            raise
        return Reservation(self, amount)

    def _fits(self, amount: int) -> bool:
        if self._cap is None:
            return True
        return not self._overrun and self._spent + self._reserved + amount <= self._cap

    def _close(self, amount: int, actual: int) -> None:
        self._reserved -= amount
        self._spent += actual
        self._overrun += max(0, actual - amount)
        self._serve()

    def _serve(self) -> None:
        """Grant or refuse from the head of the queue until one has to wait."""
        while self._queue:
            amount, granted = self._queue[0]
            if granted.done():  # its caller was cancelled
                self._queue.popleft()
            elif self._fits(amount):
                self._queue.popleft()
                self._reserved += amount
                granted.set_result(None)
            elif self._reserved == 0 or self._overrun:
                self._queue.popleft()
                granted.set_exception(self._refusal(amount))
            else:
                return

    def _refusal(self, amount: int) -> BudgetError:
        assert self._cap is not None  # without a cap everything fits
        cap, spent, needed = (_dollars(one) for one in (self._cap, self._spent, amount))
        if self._overrun:
            return BudgetError(
                f"a provider billed {_dollars(self._overrun)} more than the most its calls could cost, so the"
                f" cap of {cap} cannot be held; {spent} is spent; check the bill, then go on with:"
                f" {self._resume}"
            )
        least = _dollars(self._spent + self._reserved + amount)
        return BudgetError(
            f"the cap of {cap} leaves no room: {spent} is spent and the next call may cost {needed};"
            f" go on with at least {least}: {self._resume}"
        )


def _checked(cap: float) -> int:
    """A cap in pico-dollars."""
    if not (cap >= 0 and math.isfinite(cap)):
        raise InputError(f"{cap!r} is no budget; give US dollars, 0 or more, e.g. --budget 2.50")
    return round(cap * _PICO)


def _dollars(pico: int) -> str:
    """An amount for a person, exact, with at least two decimals."""
    whole, rest = divmod(pico, _PICO)
    return f"${whole}.{f'{rest:012d}'.rstrip('0').ljust(2, '0')}"
