"""Group commit: many waiting entries, one fsync.

Owns when the disk is told to keep what was written, and who is told that it did. Leaves what is
written, and to which file, to `journal`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

MIN_GAP: Final = 0.005
"""Shortest time, seconds, between the starts of two fsyncs; bounds their share of a core. The promise to
callers is 50 ms; a lone caller on an idle journal waits for its fsync alone."""
FULL_GROUP: Final = 100
"""As many entries waiting start an fsync at once."""


class GroupSync:
    """Awaitable durability over a blocking ``sync`` function.

    One fsync runs at a time; whoever asks meanwhile is served by the next one.

    Args:
        sync: makes everything written before it was called durable; runs in the group's own thread.
    """

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        # The one thread: fsync blocks for milliseconds and must not stall the event loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rlaif-fsync")
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        self._last = 0.0  # loop time at which the last fsync began

    async def durable(self) -> None:
        """Return once everything written before the call is on disk.

        Raises:
            OSError: the disk refused; nothing written since the last success can be trusted.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(done)
        if not self._running:
            self._plan(loop)
        await done

    def close(self) -> None:
        """End the thread; call it when nobody waits."""
        self._thread.shutdown()

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start now if the group is full, else when the last fsync is long enough ago."""
        if len(self._waiting) >= FULL_GROUP:
            if self._timer is not None:
                self._timer.cancel()
            self._start(loop)
        elif self._timer is None:
            self._timer = loop.call_at(max(self._last + MIN_GAP, loop.time()), self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, self._running, self._last = None, True, loop.time()
        group, self._waiting = self._waiting, []
        running = loop.run_in_executor(self._thread, self._sync)
        running.add_done_callback(lambda ended: self._finish(loop, group, ended))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        group: list[asyncio.Future[None]],
        ended: asyncio.Future[None],
    ) -> None:
        self._running = False
        error = ended.exception()
        for one in group:
            if one.done():  # its caller was cancelled
                continue
            if error is None:
                one.set_result(None)
            else:
                one.set_exception(error)
        if self._waiting:
            self._plan(loop)
