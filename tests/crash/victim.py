"""Runs the ``rlaif`` command and kills it, as ``kill -9`` does, when it reaches a named point.

    python -m tests.crash.victim POINT NTH ARGUMENT...

It dies when POINT is reached for the NTH time. The package itself knows nothing of points: each one
wraps a function of it here.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb


@dataclass
class Strike:
    """Kills this process at the n-th call."""

    left: int

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def always(*_: object) -> bool:
    return True


@dataclass(frozen=True)
class Around:
    """A point just before or just after a function of the package."""

    module: str
    name: str
    after: bool = False
    when: Callable[..., bool] = field(default=always)
    """Which calls count, by their arguments."""

    def arm(self, strike: Strike) -> None:
        owner: Any = import_module(self.module)
        *path, name = self.name.split(".")
        for part in path:
            owner = getattr(owner, part)
        original = getattr(owner, name)
        wrap = self._awaited if inspect.iscoroutinefunction(original) else self._called
        setattr(owner, name, functools.wraps(original)(wrap(original, strike)))

    def _called(self, original: Callable[..., Any], strike: Strike) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            counts = self.when(*args)
            if counts and not self.after:
                strike()
            result = original(*args, **named)
            if counts and self.after:
                strike()
            return result

        return wrapped

    def _awaited(self, original: Callable[..., Any], strike: Strike) -> Callable[..., Any]:
        async def wrapped(*args: Any, **named: Any) -> Any:
            if not self.after:
                strike()
            result = await original(*args, **named)
            if self.after:
                strike()
            return result

        return wrapped


class SentNotAnswered:
    """The request is on its way and the upstream takes longer than this process lives."""

    def arm(self, strike: Strike) -> None:
        from rlaif.providers.compatible import Compatible

        original = Compatible.send

        async def send(self: Compatible, body: Any) -> Any:
            asyncio.get_running_loop().call_later(0.01, strike)
            return await original(self, body)

        Compatible.send = send  # type: ignore[method-assign]


class HalfALine:
    """The journal's line is cut in the middle of its ``write``."""

    def arm(self, strike: Strike) -> None:
        from rlaif.journal import Journal

        original = Journal._write

        def write(self: Journal, line: bytes) -> None:
            if strike.left == 1:
                os.write(self._files[self._segment], line[: len(line) // 2])
            strike()
            original(self, line)

        Journal._write = write  # type: ignore[method-assign]


class NewSegment:
    """The journal has gone on to a new segment and written nothing there."""

    def arm(self, strike: Strike) -> None:
        from rlaif.journal import journal

        journal.SEGMENT_BYTES = 50_000  # type: ignore[misc]
        Around("rlaif.journal.journal", "Journal._attach", True, when=self._fresh).arm(strike)

    @staticmethod
    def _fresh(journal: Any, segment: int) -> bool:
        return segment > 1 and not (journal.folder / f"{segment:06d}.jsonl").exists()


@dataclass(frozen=True)
class Checkpoint:
    """DuckDB's own abort points inside a checkpoint, reached when the store is closed."""

    point: str

    def arm(self, strike: Strike) -> None:
        from rlaif.store import Store

        def close(self: Store) -> None:
            self._writer.execute(f"PRAGMA debug_checkpoint_abort = '{strike_at}'")
            try:
                self._writer.execute("CHECKPOINT")
            except duckdb.Error:
                die()

        strike_at = self.point
        Store.close = close  # type: ignore[method-assign]


class Committed:
    """A transaction has been committed; the first one of a new store is its migration."""

    def arm(self, strike: Strike) -> None:
        from rlaif.store import Store

        original = Store._transaction

        @contextmanager
        def transaction(self: Store) -> Iterator[None]:
            with original(self):
                yield
            strike()

        Store._transaction = transaction  # type: ignore[method-assign]


def renaming(name: str) -> Callable[..., bool]:
    """Calls of ``Path.rename`` on a path whose name ends so."""

    def when(path: Path, *_: object) -> bool:
        return path.name.endswith(name)

    return when


def exporting(path: Path, target: Path) -> bool:
    """The old export steps aside."""
    return Path(target).name.endswith(".old")


def pointing(path: Path, _: Path) -> bool:
    """``latest`` is about to point at the new export."""
    return path.name.startswith(".latest-")


def noting(name: str, **_: str) -> bool:
    return name == "note_migration"


JOURNAL, STORE, DATABASE = "rlaif.journal.journal", "rlaif.store.workspace", "rlaif.store.database"

CALLS = {
    "before the request is journalled": Around(JOURNAL, "Journal.intent"),
    "after the request is journalled": Around(JOURNAL, "Journal.intent", True),
    "sent, not answered": SentNotAnswered(),
    "answered, not journalled": Around(JOURNAL, "Journal.reply"),
    "half a line written": HalfALine(),
    "during group commit, before the fsync": Around(JOURNAL, "Journal._fsync"),
    "during group commit, after the fsync": Around(JOURNAL, "Journal._fsync", True),
    "journalled, not parsed": Around(JOURNAL, "Journal.reply", True),
    "parsed, not committed": Around(STORE, "Workspace.commit"),
    "committed, not applied": Around(DATABASE, "Store.apply"),
    "in the store's transaction": Around(DATABASE, "Store._note_applied"),
    "applied, not indexed": Around(DATABASE, "Store.index_pairs"),
    "applied": Around(DATABASE, "Store.apply", True),
    "a new segment begun": NewSegment(),
}
EXPORT = {
    "export, before the manifest": Around("rlaif.exports.write", "_seal"),
    "export, before the rename": Around("pathlib", "Path.rename", when=renaming(".partial")),
    "export, between the renames": Around("pathlib", "Path.rename", True, when=exporting),
    "export, after the rename": Around("pathlib", "Path.rename", True, when=renaming(".partial")),
    "export, before latest moves": Around("pathlib", "Path.replace", when=pointing),
}
CHECKPOINTS = {
    f"checkpoint, {point.replace('_', ' ')}": Checkpoint(point)
    # DuckDB has two more, which only a checkpoint beside a writing transaction reaches: never here.
    for point in ("before_truncate", "before_header", "after_free_list_write", "before_wal_finish")
}
MIGRATION = {
    "migration, in its transaction": Around(DATABASE, "sql", when=noting),
    "migration, before its checkpoint": Committed(),
}
QUARANTINE = {
    "quarantine, before the log moves": Around("pathlib", "Path.rename", when=renaming(".wal")),
    "quarantine, before the file moves": Around("pathlib", "Path.rename", when=renaming(".duckdb")),
    "quarantine, before the rebuild": Around("pathlib", "Path.rename", True, when=renaming(".duckdb")),
    "quarantine, in the rebuild": Around(DATABASE, "Store._note_applied"),
}
MENDING = {
    "mending the journal, before the copy": Around("rlaif.journal.lines", "_set_aside"),
    "mending the journal, before the rename": Around("rlaif.journal.lines", "_set_aside", True),
}
POINTS: dict[str, Any] = {**CALLS, **EXPORT, **CHECKPOINTS, **MIGRATION, **QUARANTINE, **MENDING}


if __name__ == "__main__":
    POINTS[sys.argv[1]].arm(Strike(int(sys.argv[2])))
    from rlaif.cli import main

    main(sys.argv[3:])
