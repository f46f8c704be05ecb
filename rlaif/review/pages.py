"""Pages of preferences under a filter, whatever their number.

Owns the two steps of a page: places by narrow columns, then the texts at those places alone. A filter on
texts looks at a bounded stretch of pairs for each page and says how far it came, so that no page waits for
a million texts. Places only grow, and pairs are only ever added, so a page's cursor stays good while a job
goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rlaif.records import Flag, Margin, PreferenceSet, Record, Split
from rlaif.review.choice import Choice, cursor_of, place_of, sets_of
from rlaif.store import Store

STRETCH: Final = 10_000
"""Pairs looked at for one page under a filter on texts."""
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
    """Pairs under the filter; None for a filter on texts, which are not all read."""
    looked_at: int
    """Pairs looked at for this page; a filter on texts may pass few of them, or none, and go on after."""


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
    most = STRETCH if choice.reads_texts else limit
    counted, places = _places(store, choice, place_of(after), most + 1)
    more = len(places) > most
    rows = _rows(store, choice, places[:most], limit + 1, excerpt)
    last: int | None = places[most - 1] if more else None
    if len(rows) > limit:
        rows = rows[:limit]
        last = rows[-1]["place"]
    return Page(
        data=tuple(_entries(store, rows)),
        after=None if last is None else cursor_of(last),
        counted=None if choice.reads_texts else counted,
        looked_at=len(places[:most]),
    )


def beside(store: Store, choice: Choice, id: str, *, back: bool) -> str | None:
    """The pair next to another under a filter; None where there is none within one stretch.

    Args:
        store: where the pairs are.
        choice: which.
        id: the pair to start from; it need not pass the filter itself.
        back: look before it instead of behind it.
    """
    [*start] = store.query("pair_place", id=id).column("place").to_pylist()
    if not start:
        return None
    most = STRETCH if choice.reads_texts else 1
    _, places = _places(store, choice, start[0], most, back=back)
    rows = _rows(store, choice, places, most, 0)
    return None if not rows else str(rows[-1 if back else 0]["id"])


def _places(
    store: Store, choice: Choice, start: int, most: int, *, back: bool = False
) -> tuple[int, list[int]]:
    """How many pairs there are, and the places of the next of them, nearest first."""
    found = store.query(
        "pairs_matching",
        sets=sets_of(store, choice),
        axis=choice.axis,
        judge=choice.judge,
        principle=choice.principle,
        margin=choice.margin,
        orders_differ=choice.disagreement == "orders",
        people_differ=choice.disagreement == "human",
        flag=choice.flag,
        labelled=None if choice.label is None else choice.label == "any",
        backwards=back,
        start=start,
        most=most,
    )
    places = [one for one in found.column("place").to_pylist() if one is not None]
    return int(found.column("counted")[0].as_py()), places


def _rows(
    store: Store, choice: Choice, places: Sequence[int], limit: int, excerpt: int
) -> list[dict[str, Any]]:
    """The pairs at some places that pass the filter on texts, in the order of places."""
    if not places:
        return []
    found: list[dict[str, Any]] = store.query(
        "pairs_at",
        places=list(places),
        gap=choice.min_length_gap,
        text=None if choice.text is None else choice.text.lower(),
        excerpt=excerpt,
        limit=limit,
    ).to_pylist()
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
    if not sample_ids:
        return {}
    rows = store.query("labels_of_samples", sample_ids=list(sample_ids)).to_pylist()
    return {(one["axis"], frozenset((one["low_id"], one["high_id"]))): one["people"] for one in rows}
