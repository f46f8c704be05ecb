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
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final, Protocol, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from rlaif.errors import StoreError
from rlaif.journal import START, Position
from rlaif.records import RECORDS, Fact, Preference, Prompt, Sample
from rlaif.store import seal
from rlaif.store.tables import NAMES, R, decode, encode, table
from rlaif.store.tallies import Tallies, Tally, from_json, to_json

CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": 2,
    # A bound that replaying a write-ahead log of LOG_BYTES always fits.
    "memory_limit": "2GB",
    # Never by itself while open: every checkpoint is `Store.checkpoint`, which seals what it leaves behind.
    "checkpoint_threshold": "1TiB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
LOG_BYTES: Final = 16 * 2**20
"""A write-ahead log of this size is moved into the file."""
CHUNK_ROWS: Final = 50_000
"""Rows turned into Arrow columns at a time; bounds the memory of an add."""
PAIR_INDEX: Final = "pair_index"
"""The one table that holds no records: what pairs are looked for by, derived from those that do."""
TABLES: Final = (*NAMES.values(), PAIR_INDEX)
"""Every table whose rows are counted."""
_INDEXED: Final = (NAMES[Prompt], NAMES[Sample], NAMES[Preference])  # what the index follows from
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
        self._vouched = False

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
        before, self._position, self._tallies = self._tallies, position, tallies
        if any(tallies.get(name) != before.get(name) for name in _INDEXED):
            self.index_pairs(_indexed_rows(before))
        if self._log_bytes() >= LOG_BYTES:
            self.checkpoint()

    def index_pairs(self, start: int = 0) -> None:
        """Index the pairs that are not indexed yet, as far as their texts are here.

        This is a transaction after the records' own, for rows have their places only then. A crash in between
        leaves pairs for the next one; nothing else is lost.

        Args:
            start: how many pairs are known to be indexed, from the first on.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        if self._rows(NAMES[Preference]) == self._rows(PAIR_INDEX):
            return
        with translated(self.path), self._transaction():
            added = self._writer.execute(sql("index_pairs"), {"start": start}).fetchnumpy()["row_hash"]
            tallies = {**self._tallies, PAIR_INDEX: self._tallies.get(PAIR_INDEX, Tally()).with_rows(added)}
            if len(added):
                self._note_applied(self._position, tallies)
        if len(added):
            self._tallies = tallies

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        with translated(self.path):
            self._writer.execute("CHECKPOINT")
        self._seal()

    def vouch(self) -> None:
        """Take what the file holds for compared with the journal: it is sealed whenever no log is left."""
        self._vouched = True
        if self._tallies:
            self._seal()

    def close(self) -> None:
        """Close the file, and with it every read still open. Closing twice is harmless.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        with translated(self.path):
            self._disconnect()
        self._seal()
        self._vouched = False  # from now on the file is anybody's

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
        """Run ``queries/NAME.sql`` and return its rows.

        Args:
            name: of the query.
            params: what its ``$slots`` take; an Arrow table stands in it as a table of its name.

        Raises:
            StoreError: the file cannot be read; run: rlaif db rebuild.
        """
        given = {slot: value for slot, value in params.items() if not isinstance(value, pa.Table)}
        with translated(self.path), self._holding(self._root.cursor()) as cursor:
            for slot in params.keys() - given.keys():
                cursor.register(slot, params[slot])
            return cursor.sql(_text(f"queries/{name}.sql"), params=given).to_arrow_table()

    def count(self, model: type[Fact]) -> int:
        """Number of records of one kind.

        Raises:
            StoreError: the file cannot be read; run: rlaif db rebuild.
        """
        with translated(self.path), self._holding(self._root.cursor()) as cursor:
            ((count,),) = cursor.execute(sql("count", table=NAMES[model])).fetchall()
        return int(count)

    def counts(self) -> dict[str, int]:
        """Number of rows of every table.

        Raises:
            DamagedError: a table is not there.
        """
        with translated(self.path, opening=True), self._holding(self._root.cursor()) as cursor:
            return {name: cursor.execute(sql("count", table=name)).fetchall()[0][0] for name in TABLES}

    def census(self, behind: Tallies | None = None) -> Tallies:
        """Read every value of every row and tally what is really there.

        Args:
            behind: leave out as many rows of each table, the oldest ones.

        Raises:
            DamagedError: a block cannot be read.
        """
        found = {}
        with translated(self.path, opening=True), self._holding(self._root.cursor()) as cursor:
            for name in TABLES:
                first = (behind or {}).get(name, Tally()).rows
                ((rows, content),) = cursor.execute(sql("census", table=name), [first]).fetchall()
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
        self._tallies = from_json(json.loads(tallies))

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
        return before.with_rows(added)

    def _rows(self, name: str) -> int:
        return self._tallies.get(name, Tally()).rows

    def _note_applied(self, position: Position, tallies: Tallies) -> None:
        self._writer.execute(
            sql("note_applied"),
            {
                "segment": position.segment,
                "offset": position.offset,
                "crc": position.crc,
                "tallies": json.dumps(to_json(tallies)),
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

    def _log_bytes(self) -> int:
        log = self.path.with_name(f"{self.path.name}.wal")
        return log.stat().st_size if log.exists() else 0

    def _seal(self) -> None:
        if self._vouched and not self._log_bytes() and seal.read(self.path) != self._tallies:
            seal.write(self.path, self._tallies)

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


def _indexed_rows(tallies: Tallies) -> int:
    """How many pairs, from the first on, are surely indexed: all of them, or none."""
    pairs = tallies.get(NAMES[Preference], Tally()).rows
    return pairs if pairs == tallies.get(PAIR_INDEX, Tally()).rows else 0


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
