"""What people say about pairs: kept as facts, the latest of a person standing.

Owns making a label about a pair, and reading what stands. A person is one more judge, ``human:NAME``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypedDict, Unpack

from rlaif.complaints import shown
from rlaif.errors import InputError
from rlaif.records import HumanLabel, Preference, Record, Verdict, digest
from rlaif.store import Store, Workspace

LabelSource = Literal["page", "api", "argilla", "label_studio"]
MOST_NAME = 100
"""Characters of a person's name."""


class Label(Record):
    """What one person says of one pair now."""

    id: str
    """Id of the label."""
    judge: str
    """``human:PERSON``."""
    person: str
    """Who says so."""
    prompt_id: str
    """The prompt both responses answer."""
    axis: str
    """The dimension."""
    first_id: str
    """Sample shown first."""
    second_id: str
    """Sample shown second."""
    verdict: Verdict
    """The better one as shown."""
    source: LabelSource
    """How it came here."""
    blind: bool
    """Whether the judge's verdict was hidden."""
    at: str
    """UTC time, ISO 8601."""
    note: str
    """What the person wrote beside it."""

    @property
    def winner(self) -> str | None:
        """Id of the better sample; None for a tie."""
        return {"first": self.first_id, "second": self.second_id, "tie": None}[self.verdict]


class More(TypedDict, total=False):
    """What may be known of a label."""

    blind: bool
    """Whether the judge's verdict was hidden."""
    note: str
    """What the person wrote."""
    at: str | None
    """When; now if None."""


def now() -> str:
    """The moment, fine enough that two labels of one person differ in it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def moment(text: str) -> str:
    """A time of another program in our form; a time without a zone is UTC.

    Raises:
        ValueError: it is no ISO 8601 time.
    """
    found = datetime.fromisoformat(text)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.isoformat(timespec="microseconds")


def check_person(name: str) -> str:
    """Check a person's name.

    Raises:
        InputError: it is empty, too long, or has characters that are not drawn.
    """
    name = name.strip()
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise InputError(
            f"found the name {shown(name)}; allowed: 1 to {MOST_NAME} printable characters", field="person"
        )
    return name


def new_label(
    pair: Preference,
    person: str,
    verdict: Verdict | None,
    *,
    first: str,
    source: LabelSource,
    **more: Unpack[More],
) -> HumanLabel:
    """Make a label about a preference.

    Args:
        pair: the preference.
        person: who says so.
        verdict: the better one as shown; None takes back.
        first: id of the sample shown first.
        source: how it came here.
        more: what else is known of it.

    Raises:
        InputError: the name cannot be used, or ``first`` is not of the pair.
    """
    both = (pair.chosen_id, pair.rejected_id)
    if first not in both:
        raise InputError(
            f"{shown(first)} is no sample of the pair; allowed: {both[0]}, {both[1]}", field="first"
        )
    second = both[1] if first == both[0] else both[0]
    return HumanLabel.make(
        person=check_person(person),
        prompt_id=pair.prompt_id,
        axis=pair.axis,
        first_id=first,
        second_id=second,
        verdict=verdict,
        source=source,
        **{"at": now(), **{name: value for name, value in more.items() if value is not None}},
    )


async def keep(workspace: Workspace, labels: Sequence[HumanLabel]) -> None:
    """Keep labels, durably, so that the next read sees them.

    Raises:
        StoreError: the disk is full or refuses writes.
    """
    if labels:
        await workspace.commit(labels, job_id=digest("review", sorted(one.id for one in labels)))
        await workspace.flush()


def standing(
    store: Store,
    *,
    sets: Sequence[str] | None = None,
    person: str | None = None,
    start: int = -1,
    limit: int = 1_000_000,
) -> list[tuple[int, Label]]:
    """What people say now, with each label's place, in order of place.

    Args:
        store: where the labels are.
        sets: only about preferences of these sets.
        person: only of this person.
        start: only behind this place.
        limit: most labels.
    """
    rows = store.query(
        "labels_standing",
        sets=None if sets is None else list(sets),
        person=person,
        start=start,
        limit=limit,
    ).to_pylist()
    return [(int(one["place"]), _label(one)) for one in rows]


def of_pair(store: Store, axis: str, one: str, other: str) -> list[Label]:
    """What people say now of one pair, oldest first."""
    return [_label(row) for row in store.query("labels_of_pair", axis=axis, one=one, other=other).to_pylist()]


def _label(row: dict[str, object]) -> Label:
    plain = {name: value for name, value in row.items() if name != "place"}
    return Label.model_validate({**plain, "judge": f"human:{row['person']}"})
