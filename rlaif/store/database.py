"""The DuckDB file that the journal's commits are projected into.

Owns connections, migrations, columnar adds, typed reads and named queries, and says when the file
cannot be trusted. Leaves mending to ``recovery``, the journal and the writer thread to ``workspace``.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final, Protocol, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from rlaif.errors import StoreError
from rlaif.journal import START, Position
from rlaif.records import RECORDS, Fact
from rlaif.store.tables import NAMES, R, decode, encode, table

CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": 2,
    # A bound that replaying a write-ahead log always fits: DuckDB starts a checkpoint at 16 MiB of it.
    "memory_limit": "2GB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
CHUNK_ROWS: Final = 50_000
"""Rows turned into Arrow columns at a time; bounds the memory of an add."""
READ_ROWS: Final = 10_000
"""Rows turned into records at a time; bounds the memory of a read."""

_BUGS: Final = (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError)
_REFUSALS: Final = tuple(
    os.strerror(code)
    for code in (
        errno.ENOSPC,
        errno.EFBIG,
        errno.EDQUOT,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
    )
)
_HOLDER: Final = re.compile(r"\(PID (\d+)\)")


class _Closable(Protocol):
    def close(self) -> None: ...


_C = TypeVar("_C", bound=_Closable)


class DamagedError(StoreError):
    """The file does not hold what it should; `recovery.open_store` rebuilds it from the journal."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{path}: {reason}; the journal holds everything, run: rlaif db rebuild")


@dataclass(frozen=True, slots=True)
class Tally:
    """What a table holds, in two numbers."""

    rows: int = 0
    """Rows."""
    content: int = 0
    """XOR over DuckDB's 64-bit hashes of all columns of each row: the order does not matter."""


Tallies = dict[str, Tally]
"""Tally by table name; an empty table has no entry."""


class Store:
    """An open database file.

    Adds (`apply`) come from one thread; reads and queries may come from any, beside it.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file; use `open`."""
        self.path = path
        # Stays idle: only gives out cursors, so that no read waits for the writer's statement.
        self._root = duckdb.connect(str(path), config=CONFIG)
        self._writer = self._root.cursor()
        self._held: list[_Closable] = []  # cursors and readers in use; any left open would keep the file open
        self._position = START
        self._tallies: Tallies = {}

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open or create a store and bring its tables to this version.

        Raises:
            DamagedError: the file cannot be read.
            StoreError: it is in use by another process, cannot be written, or is from a newer version.
        """
        with translated(path, opening=True):
            store = cls(path)
            with ExitStack() as stack:
                stack.callback(store._disconnect)
                store._migrate()
                store._load_applied()
                stack.pop_all()
        return store

    @property
    def position(self) -> Position:
        """The journal position up to which commits have been applied."""
        return self._position

    @property
    def tallies(self) -> Tallies:
        """What the tables should hold, by what has been added."""
        return dict(self._tallies)

    # Writing

    def apply(self, batches: Iterable[tuple[Position, Sequence[Fact]]]) -> None:
        """Add the records of some commits, and how far that is, in one transaction.

        Of records with one id, the first committed stays. Called from one thread at a time.

        Args:
            batches: commits as ``Journal.commits`` gives them, in the journal's order.

        Raises:
            StoreError: the disk is full or refuses writes; nothing of the batches was added.
        """
        position, groups = self._collect(batches)
        tallies = dict(self._tallies)
        with translated(self.path), self._transaction():
            for model in RECORDS:
                records, name = list(groups[model].values()), NAMES[model]
                for start in range(0, len(records), CHUNK_ROWS):
                    chunk = records[start : start + CHUNK_ROWS]
                    tallies[name] = self._add(model, chunk, tallies.get(name, Tally()))
            self._note_applied(position, tallies)
        self._position, self._tallies = position, tallies

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        with translated(self.path):
            self._writer.execute("CHECKPOINT")

    def close(self) -> None:
        """Close the file, and with it every read still open. Closing twice is harmless.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        with translated(self.path):
            self._disconnect()

    # Reading

    def read(
        self, model: type[R], where: str = "", params: Sequence[object] = (), order: str = "id"
    ) -> Iterator[R]:
        """Yield the records of one kind, as they stood when the first was asked for.

        Args:
            model: the kind, one of ``records.RECORDS``.
            where: condition in SQL with a ``?`` for each value; all records when empty. It is program
                text: values from outside go through ``params``.
            params: the values.
            order: columns to sort by, in SQL.

        Raises:
            StoreError: the file cannot be read; run: rlaif db rebuild.
        """
        columns = ", ".join(f'"{column.name}"' for column in table(model).columns)
        statement = sql("read", table=NAMES[model], columns=columns, where=where or "true", order=order)
        with translated(self.path), self._holding(self._root.cursor()) as cursor:
            rows = cursor.sql(statement, params=list(params)).to_arrow_reader(READ_ROWS)
            with self._holding(rows) as batches:
                for batch in batches:
                    yield from decode(model, batch)

    def find(self, id: str) -> Fact | None:
        """The record with this id, of whatever kind, or None.

        Raises:
            StoreError: the file cannot be read; run: rlaif db rebuild.
        """
        likely = sorted(RECORDS, key=lambda model: model.kind != id.partition("_")[0])
        for model in likely:
            for record in self.read(model, "id = ?", [id]):
                return record
        return None

    def query(self, name: str, **params: object) -> pa.Table:
        """Run ``queries/NAME.sql``, whose ``$slots`` take ``params``, and return its rows.

        Raises:
            StoreError: the file cannot be read; run: rlaif db rebuild.
        """
        with translated(self.path), self._holding(self._root.cursor()) as cursor:
            return cursor.sql(_text(f"queries/{name}.sql"), params=params).to_arrow_table()

    def count(self, model: type[Fact]) -> int:
        """Number of records of one kind.

        Raises:
            StoreError: the file cannot be read; run: rlaif db rebuild.
        """
        with translated(self.path), self._holding(self._root.cursor()) as cursor:
            ((count,),) = cursor.execute(sql("count", table=NAMES[model])).fetchall()
        return int(count)

    def census(self) -> Tallies:
        """Read every value of every row and tally what is really there.

        Raises:
            DamagedError: a block cannot be read.
        """
        found = {}
        with translated(self.path, opening=True), self._holding(self._root.cursor()) as cursor:
            for name in NAMES.values():
                ((rows, content),) = cursor.execute(sql("census", table=name)).fetchall()
                if rows:
                    found[name] = Tally(rows, content)
        return found

    # Inside

    def _migrate(self) -> None:
        migrations = _migrations()
        self._writer.execute(sql("ledger"))
        ((version,),) = self._writer.execute(sql("migrated")).fetchall()
        if version > len(migrations):
            raise StoreError(
                f"{self.path}: the store has schema {version}, and this rlaif knows schemas up to"
                f" {len(migrations)}; upgrade: pip install -U rlaif"
            )
        for number, name in enumerate(migrations[version:], start=version + 1):
            with self._transaction():
                self._writer.execute(_text(f"migrations/{name}"))
                self._writer.execute(sql("note_migration"), {"version": number, "name": name})
            self._writer.execute("CHECKPOINT")

    def _load_applied(self) -> None:
        rows = self._writer.execute(sql("applied")).fetchall()
        if not rows:
            return
        ((segment, offset, crc, tallies, library),) = rows
        if library != duckdb.__version__:
            raise DamagedError(
                self.path, f"its checksums are those of DuckDB {library}, and this is {duckdb.__version__}"
            )
        self._position = Position(segment, offset, crc)
        self._tallies = {name: Tally(*tally) for name, tally in json.loads(tallies).items()}

    def _collect(
        self, batches: Iterable[tuple[Position, Sequence[Fact]]]
    ) -> tuple[Position, dict[type[Fact], dict[str, Fact]]]:
        """Sort the records by kind, first of each id only; the last position comes with them."""
        position, groups = self._position, defaultdict[type[Fact], dict[str, Fact]](dict)
        for after, records in batches:
            if (after.segment, after.offset) <= (position.segment, position.offset):
                # Later commits would count as applied and never be looked at again.
                raise StoreError(f"commits applied out of order: {after!r} after {position!r}")
            position = after
            for record in records:
                groups[type(record)].setdefault(record.id, record)
        return position, groups

    def _add(self, model: type[Fact], records: Sequence[Fact], before: Tally) -> Tally:
        """Insert the records not there yet; return the table's tally with them."""
        batch = encode(model, records).append_column("ordinal", pa.array(np.arange(len(records))))
        self._writer.register("batch", batch)
        try:
            added = self._writer.execute(sql("add", table=NAMES[model])).fetchnumpy()["row_hash"]
        finally:
            self._writer.unregister("batch")
        return Tally(before.rows + len(added), before.content ^ int(np.bitwise_xor.reduce(added)))

    def _note_applied(self, position: Position, tallies: Tallies) -> None:
        self._writer.execute(
            sql("note_applied"),
            {
                "segment": position.segment,
                "offset": position.offset,
                "crc": position.crc,
                "tallies": json.dumps({name: [one.rows, one.content] for name, one in tallies.items()}),
                "library": duckdb.__version__,
            },
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.begin()
        with ExitStack() as stack:
            stack.callback(self._roll_back)
            yield
            self._writer.commit()
            stack.pop_all()

    def _roll_back(self) -> None:
        # A commit that failed has ended its transaction, and after a fatal error nothing can be asked.
        with suppress(duckdb.Error):
            self._writer.rollback()

    @contextmanager
    def _holding(self, one: _C) -> Iterator[_C]:
        self._held.append(one)
        try:
            yield one
        finally:
            if one in self._held:
                self._held.remove(one)
            one.close()

    def _disconnect(self) -> None:
        while self._held:
            self._held.pop().close()
        self._writer.close()
        self._root.close()


@contextmanager
def translated(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Turn what DuckDB raises over a file into a sentence.

    Args:
        path: the file.
        opening: the file's own content is in question, so whatever goes wrong is damage; otherwise
            an error in our SQL or in the values stays the bug it is.

    Raises:
        DamagedError: the file cannot be read.
        StoreError: another process has it open, or the disk is full or refuses writes.
    """
    try:
        yield
    except duckdb.Error as error:
        if isinstance(error, _BUGS) and not opening:
            raise
        raise _sentence(path, error) from error
    except ValueError as error:
        if not opening:
            raise
        raise DamagedError(path, str(error)) from error


def _sentence(path: Path, error: duckdb.Error) -> StoreError:
    message = str(error)
    if isinstance(error, duckdb.ConnectionException):  # open in this process with other settings, or closed
        return StoreError(f"{path} is already in use by this process, or closed; close it there first")
    if "Could not set lock" in message:
        holder = _HOLDER.search(message)
        by = f"process {holder[1]}" if holder else "another process"
        return StoreError(f"{path} is already in use by {by}; wait until it ends, or stop it")
    for refusal in _REFUSALS:
        if refusal in message:
            return StoreError(
                f"{path} cannot be used: {refusal}; nothing answered so far is lost:"
                " make room or allow writing there, then run the command again"
            )
    (first, *_) = message.splitlines() or [""]
    return DamagedError(path, first)


def sql(name: str, **slots: str) -> str:
    """The text of ``statements/NAME.sql`` with its identifiers filled in.

    Slots take names of our own tables and columns and conditions written in this program, never data:
    data is bound.
    """
    return _text(f"statements/{name}.sql").format(**slots)


@cache
def _text(name: str) -> str:
    return (resources.files("rlaif.store") / name).read_text()


@cache
def _migrations() -> tuple[str, ...]:
    """File names of the migrations; the n-th brings a store to schema n."""
    folder = resources.files("rlaif.store") / "migrations"
    return tuple(sorted(one.name for one in folder.iterdir() if one.name.endswith(".sql")))
