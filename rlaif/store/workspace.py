"""One folder of work: its lock, its journal, its store, and the way records take into both.

Owns ``outputs/NAME``: which process may write there, and the writer thread that projects commits into
the store a group at a time. Leaves durability to ``journal``, tables to ``database`` and what to do
about a damaged store to ``recovery``.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rlaif.errors import StoreError, tell
from rlaif.journal import Journal, Position
from rlaif.records import Fact
from rlaif.store.database import Store
from rlaif.store.recovery import open_store
from rlaif.store.tables import check_storable

GROUP_SECONDS: Final = 0.1
"""Longest time a commit waits for others to share its transaction."""
GROUP_ROWS: Final = 5_000
"""As many records waiting start a transaction at once."""
WAITING_ROWS: Final = 50_000
"""With as many records waiting, a commit waits for the writer; bounds memory."""


@dataclass(frozen=True, slots=True)
class _Commit:
    """A commit on its way from the journal to the store."""

    records: Sequence[Fact]
    position: asyncio.Task[Position]
    """Ends when the journal has it on disk."""


class InUse(StoreError):
    """Another process owns the folder.

    Args:
        message: who, and what to do.
        address: where that process serves the folder; empty when it does not.
    """

    def __init__(self, message: str, address: str = "") -> None:
        super().__init__(message)
        self.address = address


class Lock:
    """The right of one process to write in a folder; the system takes it back when the process ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            InUse: another process has it.
            OSError: the lock file cannot be written.
        """
        path = folder / "lock"
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.sign()
        except BlockingIOError:
            self.release()
            raise _in_use(folder, path.read_text()) from None
        except OSError:
            self.release()
            raise

    def sign(self, address: str = "") -> None:
        """Write into the file who holds the lock, and where it answers.

        Raises:
            OSError: the lock file cannot be written.
        """
        assert self._descriptor is not None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()} {now} {address}".rstrip().encode() + b"\n", 0)

    def release(self) -> None:
        """Give the lock back. Doing so twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Workspace:
    """An open folder of work; used from one event loop.

    Its `commit` is the only way records enter its journal: the store takes a commit that it was not
    told of for one it has applied, once a later one arrives.
    """

    def __init__(self, folder: Path, lock: Lock, journal: Journal, store: Store) -> None:
        """Put the parts together; use `open`."""
        self.folder = folder
        self.journal = journal
        self.store = store
        self._lock = lock
        self._queue: deque[_Commit] = deque()  # in the journal's order
        self._waiting_rows = 0
        self._committed = 0
        self._applied = 0
        self._hurry = asyncio.Event()
        self._moved = asyncio.Event()  # set, and replaced, whenever the writer gets on or gives up
        self._projection: asyncio.Task[None] | None = None
        # The one writer thread: a DuckDB transaction takes milliseconds and must not stall the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rlaif-store")

    @classmethod
    def open(cls, folder: Path) -> Workspace:
        """Open or create the workspace in ``folder``; its store then holds all that was committed.

        Raises:
            StoreError: another process uses it, it cannot be written, or a newer version wrote it.
        """
        with usable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                lock = Lock(folder)
                stack.callback(lock.release)
                journal = Journal.open(folder / "journal")
                _tell(journal)
                workspace = cls(folder, lock, journal, open_store(folder / "store.duckdb", journal))
                stack.pop_all()
        return workspace

    @property
    def applied(self) -> int:
        """Commits of this process that have reached the store."""
        return self._applied

    def announce(self, address: str) -> None:
        """Tell other processes that want the folder where this one serves it.

        Raises:
            StoreError: the lock file cannot be written.
        """
        with usable(self.folder):
            self._lock.sign(address)

    async def commit(self, records: Sequence[Fact], *, job_id: str) -> None:
        """Record what a task concluded, all of it or nothing; durable on return.

        The store follows within moments; `flush` waits for it. Once begun, a commit is carried
        through even when its caller is cancelled.

        Raises:
            InputError: a record could not be read back as it is.
            StoreError: the disk is full or refuses writes, now or when an earlier commit reached the store.
        """
        check_storable(records)
        while self._waiting_rows >= WAITING_ROWS:
            await self._moving()
        self._raise_failure()
        # Tasks start in the order they are made, so the queue has the order of the journal's lines.
        position = asyncio.create_task(self.journal.commit(records, job_id=job_id))
        self._queue.append(_Commit(records, position))
        self._committed += 1
        self._waiting_rows += len(records)
        if self._waiting_rows >= GROUP_ROWS:
            self._hurry.set()
        if self._projection is None or self._projection.done():
            self._projection = asyncio.create_task(self._project())
        await asyncio.shield(position)

    async def flush(self) -> None:
        """Return when the store has everything committed before.

        Raises:
            StoreError: a commit is in the journal but could not be added to the store.
        """
        goal = self._committed
        while self._applied < goal:
            self._hurry.set()
            await self._moving()
        self._raise_failure()

    async def close(self) -> None:
        """Bring the store up to date and give everything back. Closing twice is harmless.

        Raises:
            StoreError: the disk is full or refuses writes; what is journalled is safe.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self._lock.release)
            stack.push_async_callback(self.journal.close)
            stack.callback(self.store.close)
            stack.callback(self._thread.shutdown)
            await self.flush()

    # Inside: the projection into the store

    async def _project(self) -> None:
        """Apply what is queued, a group at a time, until nothing is; what it raises, `commit` raises."""
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                await self._gather()
                taken = self._take()
                group = [
                    (one.position.result(), one.records) for one in taken if not one.position.exception()
                ]
                if group:
                    await loop.run_in_executor(self._thread, self.store.apply, group)
                self._applied += len(taken)
                self._waiting_rows -= sum(len(one.records) for one in taken)
                self._announce()
        finally:
            self._announce()

    async def _gather(self) -> None:
        """Wait until a group is worth a transaction: it is large, a while has passed, or a flush waits."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), GROUP_SECONDS)
        self._hurry.clear()
        await asyncio.wait([self._queue[0].position])

    def _take(self) -> list[_Commit]:
        """The commits the journal has on disk, up to the first it has not: order is never broken."""
        taken = []
        while self._queue and self._queue[0].position.done():
            taken.append(self._queue.popleft())
        return taken

    def _announce(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _moving(self) -> None:
        self._raise_failure()
        await self._moved.wait()

    def _raise_failure(self) -> None:
        if self._projection is not None and self._projection.done():
            self._projection.result()


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turn what the system refuses about a workspace folder into a sentence.

    Raises:
        StoreError: instead of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be used: {error.strerror or error} ({error.filename or folder});"
            " make room or allow writing there, or choose another folder"
        ) from error


def _tell(journal: Journal) -> None:
    """Say on stderr what of the journal was lost; a torn last line was never acknowledged and goes unsaid."""
    repair = journal.repair
    if repair.damaged_lines:
        tell(
            f"{repair.damaged_lines} damaged lines of {journal.folder} were moved to"
            f" {', '.join(path.name for path in repair.moved_to)}; what they held will be asked for again"
        )


def _in_use(folder: Path, holder: str) -> InUse:
    """Who has the lock; ``holder`` is what the lock file says."""
    pid, since, address = (*holder.split(), "", "", "")[:3]
    if address:
        return InUse(
            f"{folder} is served by process {pid}, already running at {address}: go on there, or stop it",
            address,
        )
    by = f"process {pid} (since {since})" if pid else "another process"
    return InUse(f"{folder} is already in use by {by}; wait until it ends, or stop it")
