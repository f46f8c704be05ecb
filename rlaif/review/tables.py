"""The pairs under a filter as lines of JSON or CSV.

Owns the columns and the guard against cells that a spreadsheet would run. Leaves finding pairs to ``pages``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from rlaif.review.choice import Choice
from rlaif.review.pages import Entry, page
from rlaif.store import Store

FORMATS: Final[Mapping[str, str]] = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
AT_A_TIME: Final = 500
"""Pairs of one piece."""
WHOLE: Final = 10_000_000
"""More characters than a text has: nothing is cut."""
_RUNS: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = tuple(Entry.model_fields)


def rows_of(store: Store, choice: Choice, form: Literal["jsonl", "csv"]) -> Iterator[bytes]:
    """Yield the pairs, some hundred in a piece, in the order they were made.

    Pairs that come while this goes on are part of it. The first piece of a CSV begins with its header.

    Raises:
        InputError: a set or job of the filter does not exist.
    """
    after: str | None = None
    head = form == "csv"
    while True:
        found = page(store, choice, limit=AT_A_TIME, after=after, excerpt=WHOLE)
        piece = _csv(found.data, head=head) if form == "csv" else _jsonl(found.data)
        head = False
        if piece:
            yield piece
        if found.after is None:
            return
        after = found.after


def _jsonl(entries: tuple[Entry, ...]) -> bytes:
    return b"".join(one.model_dump_json().encode() + b"\n" for one in entries)


def _csv(entries: tuple[Entry, ...], *, head: bool) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    if head:
        writer.writerow(_COLUMNS)
    for one in entries:
        writer.writerow([cell(value) for value in one.model_dump().values()])
    return out.getvalue().encode()


def cell(value: object) -> object:
    """A value as a cell: text that a spreadsheet would take for a formula begins with an apostrophe."""
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.startswith(_RUNS) else value
