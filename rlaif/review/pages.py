"""Pages of preferences under a filter, whatever their number.

Owns the two steps of a page: places by the store's index of pairs, then the texts at those places alone. A
filter on words has to read texts, which no index spares: each page reads on for a moment, stretch by stretch,
and says how far it came, so that no page waits for a million texts and nobody takes a part for the whole.
Places only grow, and pairs are only ever added, so a page's cursor stays good while a job goes on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from rlaif.records import Flag, HumanLabel, Margin, PreferenceSet, Record, Split
from rlaif.review.choice import Choice, cursor_of, place_of, sets_of
from rlaif.store import Store

STRETCH: Final = 4_000
"""Pairs whose texts are read at first; each further stretch is twice as long while time allows."""
SECONDS: Final = 0.15
"""Time a look takes: no further stretch is begun that would take longer than is left."""
EXCERPT: Final = 280
"""Characters shown of a text in a list."""


class Entry(Record):
    """One preference in a list, with the beginnings of its texts."""

    id: str
    """Id of the preference."""
    set: str
    """Id of its set."""
    set_name: str
    """``JOB/axis``; empty where the set is not stored yet."""
    prompt_id: str
    """The prompt."""
    axis: str
    """The dimension judged."""
    split: Split
    """The prompt's side of the split."""
    chosen_id: str
    """The preferred sample."""
    rejected_id: str
    """The other one."""
    p: float
    """Order-averaged probability that chosen beats rejected."""
    margin: Margin
    """Strength."""
    p_chosen_first: float | None
    """Probability of chosen, shown first."""
    p_chosen_second: float | None
    """Probability of chosen, shown second."""
    judge: str
    """Who judged."""
    principle_id: str | None
    """The principle, where one was drawn."""
    agreement: float | None
    """Share of a panel that sides with chosen."""
    prompt: str
    """The conversation's beginning."""
    chosen: str
    """The preferred response's beginning."""
    rejected: str
    """The other response's beginning."""
    chosen_length: int
    """Characters of the preferred response."""
    rejected_length: int
    """Characters of the other one."""
    flags: tuple[str, ...]
    """Flags of either response, as ``chosen:NAME`` and ``rejected:NAME``."""
    labels: int
    """People who have labelled the pair."""


class Page(Record):
    """One page of a list."""

    data: tuple[Entry, ...]
    """The pairs, in the order they were made."""
    after: str | None
    """Cursor of the next page; None at the end."""
    counted: int | None
    """Pairs under the filter; None for a filter on words, for which no page reads every text."""
    looked_at: int
    """Pairs looked at for this page; a filter on words may pass few of them, or none, and go on after."""
    reached: int
    """Pairs looked at by this page and all before it."""
    among: int
    """Pairs there are to look at: those that pass the filter but for its words."""


def page(
    store: Store,
    choice: Choice,
    *,
    limit: int = 50,
    after: str | None = None,
    excerpt: int = EXCERPT,
) -> Page:
    """Read one page.

    Args:
        store: where the pairs are.
        choice: which.
        limit: most pairs of a page.
        after: the cursor of the page before.
        excerpt: most characters of a text.

    Raises:
        InputError: the cursor, set or job does not exist.
        StoreError: the store cannot be read.
    """
    start = place_of(after)
    found = _Search(store, choice, start, back=False).find(limit)
    rows = _rows(store, found.places, excerpt)
    passed = found.counted - found.ahead
    return Page(
        data=tuple(_entries(store, rows)),
        after=cursor_of(found.last) if found.looked_at < found.ahead else None,
        counted=found.counted if choice.text is None else None,
        looked_at=found.looked_at,
        reached=passed + found.looked_at,
        among=found.counted,
    )


def beside(store: Store, choice: Choice, id: str, *, back: bool) -> str | None:
    """The pair next to another under a filter; None where none is found in the time of a page.

    Args:
        store: where the pairs are.
        choice: which.
        id: the pair to start from; it need not pass the filter itself.
        back: look before it instead of behind it.
    """
    [*start] = store.query("pair_place", id=id).column("place").to_pylist()
    if not start:
        return None
    found = _Search(store, choice, start[0], back=back).find(1)
    return None if not found.places else str(_rows(store, found.places, 0)[0]["id"])


@dataclass(frozen=True, slots=True)
class _Found:
    """What a search came to."""

    places: list[int]
    """Pairs that pass, nearest first."""
    last: int
    """Place of the last pair looked at."""
    looked_at: int
    """Pairs looked at."""
    ahead: int
    """Pairs there were to look at from the start on."""
    counted: int
    """The same, from the very first on."""


class _Search:
    """One look for pairs under a filter, from a place on or back."""

    def __init__(self, store: Store, choice: Choice, start: int, *, back: bool) -> None:
        self._store = store
        self._choice = choice
        self._start = start
        self._back = back

    def find(self, limit: int) -> _Found:
        """Look until there are enough pairs, none is left, or time is up."""
        if self._choice.text is None:
            counted, ahead, places = self._places(limit)
            last = places[-1].as_py() if len(places) else self._start
            return _Found(places.to_pylist(), last, len(places), ahead, counted)
        until = time.monotonic() + SECONDS
        counted, ahead, places = self._places(None)
        passed, at = self._read(places, limit, until)
        if len(passed) >= limit:  # the page ends with its last pair, not with the stretch
            passed = passed[:limit]
            at = places.index(passed[-1]).as_py() + 1
        return _Found(passed, places[at - 1].as_py() if at else self._start, at, ahead, counted)

    def _read(self, places: pa.Array, limit: int, until: float) -> tuple[list[int], int]:
        """Read texts at some places, stretch by stretch; those that pass, and how many were read."""
        length, at = STRETCH, 0
        passed: list[int] = []
        while at < len(places) and len(passed) < limit:
            began = time.monotonic()
            stretch = places[at : at + length]
            passed += self._saying(stretch)
            at += len(stretch)
            now = time.monotonic()
            rate = len(stretch) / max(now - began, 1e-6)
            length = min(2 * length, int(rate * (until - now)))
            if length < STRETCH:
                break
        return passed, at

    def _saying(self, stretch: pa.Array) -> list[int]:
        """Those of some places whose texts have the words, in the same direction."""
        assert self._choice.text is not None
        among = pa.table({"place": stretch})
        found = self._store.query("pairs_saying", among=among, text=self._choice.text.lower())
        passed: list[int] = found.column("place").to_pylist()
        return passed[::-1] if self._back else passed

    def _places(self, most: int | None) -> tuple[int, int, pa.Array]:
        """How many pairs there are, how many from the start on, and the places of the nearest of these."""
        choice = self._choice
        found = self._store.query(
            "pairs_matching",
            sets=sets_of(self._store, choice),
            axis=choice.axis,
            judge=choice.judge,
            principle=choice.principle,
            margin=choice.margin,
            gap=choice.min_length_gap,
            orders_differ=choice.disagreement == "orders",
            people_differ=choice.disagreement == "human",
            flag=choice.flag,
            labelled=None if choice.label is None else choice.label == "any",
            backwards=self._back,
            start=self._start,
            most=most,
        )
        counted, ahead = (int(found.column(name)[0].as_py()) for name in ("counted", "ahead"))
        return counted, ahead, found.column("place").combine_chunks().drop_null()


def _rows(store: Store, places: Sequence[int], excerpt: int) -> list[dict[str, Any]]:
    """The pairs at some places, in the order of places."""
    if not places:
        return []
    found: list[dict[str, Any]] = store.query("pairs_at", places=list(places), excerpt=excerpt).to_pylist()
    return found


def _entries(store: Store, rows: Sequence[Mapping[str, Any]]) -> list[Entry]:
    names = {one.id: one.name for one in store.read(PreferenceSet)} if rows else {}
    ids = sorted({one[side] for one in rows for side in ("chosen_id", "rejected_id")})
    flags = {(one.set, one.sample_id): one.names for one in _flags(store, ids)}
    labels = _labelled(store, ids)
    made = []
    for row in rows:
        flagged = [
            f"{side}:{name}"
            for side in ("chosen", "rejected")
            for name in flags.get((row["set"], row[f"{side}_id"]), ())
        ]
        pair = frozenset((row["chosen_id"], row["rejected_id"]))
        made.append(
            Entry.model_validate(
                {name: row[name] for name in row if name != "place"}
                | {
                    "set_name": names.get(row["set"], ""),
                    "flags": tuple(flagged),
                    "labels": labels.get((row["axis"], pair), 0),
                }
            )
        )
    return made


def _flags(store: Store, sample_ids: Sequence[str]) -> list[Flag]:
    return list(store.read(Flag, "sample_id IN (SELECT unnest(?))", [list(sample_ids)])) if sample_ids else []


def _labelled(store: Store, sample_ids: Sequence[str]) -> dict[tuple[str, frozenset[str]], int]:
    if not sample_ids or not store.count(HumanLabel):  # planning that query costs six counts
        return {}
    rows = store.query("labels_of_samples", sample_ids=list(sample_ids)).to_pylist()
    return {(one["axis"], frozenset((one["low_id"], one["high_id"]))): one["people"] for one in rows}
