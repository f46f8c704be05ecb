"""One read for many readers: those who ask for the same thing at the same time share what one of them reads.

Owns for how long something read may be shown again: two seconds, and not past anything that a request or a
job's change of state has done since. What a running job stores meanwhile may be missing for so long, for its
tables change ten times a second; while none runs nothing may. After one second the next reader has it read
anew and does not wait for it. Leaves what is read to whoever asks. Used from one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")

SECONDS: Final = 2.0
"""Longest time something read is shown again."""
RENEW_SECONDS: Final = 1.0
"""After so long a reader has it read anew."""
MOST: Final = 64
"""Things kept; the one asked for longest ago goes first."""


class Moment(NamedTuple):
    """What has happened so far, as far as readers can tell."""

    changes: Hashable
    """Requests and jobs' states: what was read before one of them is not shown after it."""
    stored: int
    """Commits in the store."""
    busy: bool
    """A job runs."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """Something read, or being read."""

    task: asyncio.Task[Any]
    began: float
    at: Moment
    before: _Reading | None
    """What is shown until this one is there."""


class Readings:
    """What was just read, by name.

    Args:
        now: what has happened so far.
        clock: monotonic seconds.
    """

    def __init__(self, now: Callable[[], Moment], clock: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._clock = clock
        self._kept: OrderedDict[Hashable, _Reading] = OrderedDict()

    async def get(self, name: Hashable, read: Callable[[], T]) -> T:
        """Return what ``read`` gives on a thread, now or a moment ago.

        Args:
            name: tells what is read apart from anything else; equal names share a read.
            read: reads it. What it raises, all who wait for it raise, and it is read anew for the next.
        """
        last = self._kept.get(name)
        if last is None or not self._good(last, RENEW_SECONDS):
            last = self._begin(name, read, last)
        self._kept.move_to_end(name)
        before = None if last.task.done() else last.before
        shown = before if before is not None and self._good(before, SECONDS) else last
        found: T = await asyncio.shield(shown.task)  # one who goes away takes nothing from the others
        return found

    def _begin(self, name: Hashable, read: Callable[[], T], last: _Reading | None) -> _Reading:
        before = replace(last, before=None) if last is not None and last.task.done() else None
        task = asyncio.create_task(asyncio.to_thread(read))
        self._kept[name] = made = _Reading(task, self._clock(), self._now(), before)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return made

    def _good(self, one: _Reading, seconds: float) -> bool:
        failed = one.task.done() and (one.task.cancelled() or one.task.exception() is not None)
        now = self._now()
        return (
            not failed
            and self._clock() - one.began < seconds
            and one.at.changes == now.changes
            and (now.busy or one.at.stored == now.stored)
        )
