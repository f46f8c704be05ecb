"""Opening a database file that may be behind, damaged or from elsewhere.

Owns the comparison of the file with the journal, the setting aside of a file that fails it, and the
replay of commits. Leaves the file itself to ``database`` and the journal's own repair to ``journal``.

DuckDB 2.0 raises on almost all damage, and did not crash in 3,600 trials of flipped bytes, truncations
and zeroed sectors. But a log cut at a transaction's end opens without a word, and a zeroed sector in the
log can open with the right row counts and other values. So every open reads every row and compares: of a
file that is still the one its last checkpoint left behind (see ``seal``), those that the log has added since.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pydantic

from rlaif.errors import StoreError, tell
from rlaif.journal import Journal, Position
from rlaif.records import Fact
from rlaif.store import seal
from rlaif.store.database import TABLES, DamagedError, Store
from rlaif.store.tallies import Tallies, Tally

REPLAY_ROWS: Final = 20_000
"""Records replayed in one transaction."""

Commit = tuple[Position, list[Fact]]


def open_store(path: Path, journal: Journal) -> Store:
    """Open the store at ``path`` holding exactly what ``journal`` says.

    A file that is behind gets the rest; one that cannot be read, or holds anything else, is set aside
    with a line on stderr and rebuilt.

    Raises:
        StoreError: it is in use by another process, cannot be written, or is from a newer version.
    """
    try:
        return _open_checked(path, journal)
    except DamagedError as error:
        aside = set_aside(path)
        tell(
            f"{path} could not be trusted ({error.reason});"
            f" set aside as {aside.name} and rebuilt from the journal"
        )
    return _open_checked(path, journal)


def verify(store: Store, journal: Journal, sealed: Tallies | None = None) -> None:
    """Check that the store holds what the journal's commits up to its position add up to.

    Args:
        store: the store.
        journal: its journal.
        sealed: what is known to be in the file, whatever the log adds to it; None where nothing is.

    Raises:
        DamagedError: it does not, or cannot be read.
    """
    if not journal.holds(store.position):
        raise DamagedError(store.path, f"{store.position!r} is no place in {journal.folder}")
    if sealed is not None and _grown(store, sealed):
        return
    expected, found = store.tallies, store.census()
    for name in sorted(expected.keys() | found.keys()):
        was, now = expected.get(name, Tally()), found.get(name, Tally())
        if was.rows != now.rows:
            raise DamagedError(store.path, f"{name} has {now.rows} rows where {was.rows} were added")
        if was != now:
            raise DamagedError(store.path, f"rows of {name} are not those that were added")


def _grown(store: Store, sealed: Tallies) -> bool:
    """Whether the rows behind the sealed ones are exactly those that were added since.

    Where they are not, that alone accuses nobody: a new version may have emptied and changed the tables.
    """
    now = {name: store.tallies.get(name, Tally()) for name in TABLES}
    if store.counts() != {name: tally.rows for name, tally in now.items()}:
        return False
    added = {name: tally.since(sealed.get(name, Tally())) for name, tally in now.items()}
    return store.census(behind=sealed) == {name: one for name, one in added.items() if one != Tally()}


def catch_up(store: Store, journal: Journal) -> None:
    """Apply the commits the store has not seen.

    Raises:
        StoreError: the disk is full or refuses writes, or a newer version wrote the journal.
    """
    try:
        for group in _grouped(journal.commits(store.position)):
            store.apply(group)
    except pydantic.ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        raise StoreError(
            f"{journal.folder}: a commit after {store.position!r} holds a {error.title} this rlaif cannot"
            f" read ({'.'.join(map(str, first['loc']))}: {first['msg']}); upgrade: pip install -U rlaif"
        ) from error


def set_aside(path: Path) -> Path:
    """Rename a database file and its logs to the first free ``NAME.damaged-N``; return that path.

    The logs go first: a crash in between leaves a file that is merely behind, while a log left
    beside a new file would not belong to it.
    """
    number = 1
    while any(path.parent.glob(f"{path.name}.damaged-{number}*")):
        number += 1
    target = path.with_name(f"{path.name}.damaged-{number}")
    for log in sorted(path.parent.glob(f"{path.name}.wal*")):
        log.rename(target.with_name(target.name + log.name.removeprefix(path.name)))
    if path.exists():
        path.rename(target)
    return target


def _open_checked(path: Path, journal: Journal) -> Store:
    sealed = seal.read(path)  # before the file is opened: a migration writes to it
    store = Store.open(path)
    with ExitStack() as stack:
        stack.callback(_give_up, store)
        verify(store, journal, sealed)
        store.vouch()
        catch_up(store, journal)
        store.index_pairs()  # of a file made before there was an index, all
        stack.pop_all()
    return store


def _give_up(store: Store) -> None:
    with suppress(StoreError):  # what made it unusable is already on its way up
        store.close()


def _grouped(commits: Iterator[Commit]) -> Iterator[list[Commit]]:
    """Cut into transactions: at most one journal segment each, so that their text fits in memory."""
    group: list[Commit] = []
    rows = 0
    for commit in commits:
        position, records = commit
        if group and (rows >= REPLAY_ROWS or position.segment != group[-1][0].segment):
            yield group
            group, rows = [], 0
        group.append(commit)
        rows += len(records)
    if group:
        yield group
