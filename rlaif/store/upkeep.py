"""Asking whether a store is right, and making it anew.

Owns ``rlaif db check`` and ``rlaif db rebuild``, for callers outside any event loop. Leaves replay to
``recovery`` and printing to the command line.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlaif.errors import StoreError
from rlaif.journal import Journal, Repair
from rlaif.store.database import DamagedError, Store
from rlaif.store.recovery import catch_up, open_store, set_aside
from rlaif.store.tables import NAMES
from rlaif.store.tallies import Tallies, Tally
from rlaif.store.workspace import Lock, usable


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table."""

    journal: int
    """As replaying the journal gives them."""
    store: int
    """As the store has them."""


@dataclass(frozen=True, slots=True)
class Report:
    """What comparing a store with its journal found."""

    commits: int
    """Commits in the journal."""
    repair: Repair
    """What opening the journal mended."""
    tables: Mapping[str, Rows]
    """Rows by table."""
    problem: str
    """What is wrong, in a clause; empty when all values of all rows are equal."""

    @property
    def equal(self) -> bool:
        """Whether the store holds exactly what the journal says."""
        return not self.problem


def check(folder: Path) -> Report:
    """Replay the journal of a workspace into a fresh store and compare every value with the one there.

    A store that is merely behind is brought up to date first, as every opening does.

    Raises:
        StoreError: there is no journal, or another process uses the workspace.
    """
    with _locked(folder) as journal:
        with tempfile.TemporaryDirectory(prefix=".check-", dir=folder) as scratch:
            expected = _replayed(Path(scratch) / "store.duckdb", journal)
        found, problem = _found(folder / "store.duckdb", journal)
        return Report(
            commits=sum(1 for _ in journal.commits()),
            repair=journal.repair,
            tables=_side_by_side(expected, found),
            problem=problem or _difference(expected, found),
        )


def rebuild(folder: Path) -> Report:
    """Set the store of a workspace aside, make it anew from the journal, and check it.

    Raises:
        StoreError: there is no journal, another process uses the workspace, or the disk refuses writes.
    """
    path = folder / "store.duckdb"
    with _locked(folder) as journal:
        if path.exists():
            set_aside(path)
        open_store(path, journal).close()
    return check(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[Journal]:
    """The journal of a workspace that no other process uses meanwhile."""
    if not (folder / "journal").is_dir():
        raise StoreError(f"{folder} has no journal; name the output folder of a run, e.g. outputs/NAME")
    with usable(folder):
        with ExitStack() as stack:
            lock = Lock(folder)
            stack.callback(lock.release)
            journal = Journal.open(folder / "journal")
            stack.callback(lambda: asyncio.run(journal.close()))
            yield journal


def _replayed(path: Path, journal: Journal) -> Tallies:
    with closing(Store.open(path)) as store:
        catch_up(store, journal)
        return store.census()


def _found(path: Path, journal: Journal) -> tuple[Tallies, str]:
    """What the store holds, and what kept it from being read."""
    if not path.exists():
        return {}, f"{path.name} does not exist"
    try:
        with closing(Store.open(path)) as store:
            if not journal.holds(store.position):
                return store.census(), f"{store.position!r} is no place in the journal"
            catch_up(store, journal)
            return store.census(), ""
    except DamagedError as error:
        return {}, error.reason


def _difference(expected: Tallies, found: Tallies) -> str:
    wrong = [name for name in NAMES.values() if expected.get(name) != found.get(name)]
    return f"{', '.join(wrong)}: rows differ from the journal's" if wrong else ""


def _side_by_side(expected: Tallies, found: Tallies) -> dict[str, Rows]:
    return {
        name: Rows(expected.get(name, Tally()).rows, found.get(name, Tally()).rows) for name in NAMES.values()
    }
