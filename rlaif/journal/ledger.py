"""Sums of money and of replies over a journal's call entries.

Owns the rule of what counts as settled and what as pending. Leaves prices to ``providers.prices`` and
caps to ``providers.budget``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_PICO: Final = 10**12  # money is summed in whole pico-dollars, so that sums are exact


@dataclass(frozen=True, slots=True)
class Spend:
    """What one job took; money in USD."""

    settled: float
    """Cost of replies plus what failed attempts were billed."""
    pending: float
    """Worst case of intents with neither reply nor fault: cut off while in flight, perhaps billed."""
    replies: int = 0
    """Calls that were answered."""


@dataclass(slots=True)
class Ledger:
    """Running sums over intents, replies and faults, fed in the order of the log."""

    _settled: dict[str, int] = field(default_factory=dict)
    _replies: Counter[str] = field(default_factory=Counter)
    # What is reserved and unanswered, by job and key; a list because a cut-off attempt stays so.
    _open: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def intend(self, job_id: str, key: str, reserved: float) -> None:
        """An attempt begins that costs at most ``reserved`` USD."""
        self._open.setdefault((job_id, key), []).append(round(reserved * _PICO))

    def settle(self, job_id: str, key: str, cost: float, *, answered: bool) -> None:
        """The newest attempt of a call has ended and cost so many USD; attempts never overlap."""
        self._replies[job_id] += answered
        waiting = self._open.get((job_id, key))
        if waiting:
            waiting.pop()
            if not waiting:
                del self._open[job_id, key]
        self._settled[job_id] = self._settled.get(job_id, 0) + round(cost * _PICO)

    def spend(self, job_id: str) -> Spend:
        """Sums of one job so far."""
        held = list(self._open.items())  # a copy made in one step: readers may be on other threads
        pending = sum(sum(amounts) for (job, _), amounts in held if job == job_id)
        return Spend(self._settled.get(job_id, 0) / _PICO, pending / _PICO, self._replies.get(job_id, 0))
