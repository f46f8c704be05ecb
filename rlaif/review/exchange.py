"""Pairs on their way to another program's annotators, and their answers on the way back.

Owns what every such program is told (texts, sides drawn by digest, our ids; nothing of the judge) and the
match of what comes back: by id, with the texts checked, and whatever does not match counted and named rather
than guessed. Leaves each program's shape to ``argilla`` and ``label_studio``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rlaif.errors import InputError
from rlaif.records import HumanLabel, Message, Preference, Prompt, Record, Sample, Verdict, digest
from rlaif.review.choice import Choice
from rlaif.review.labels import LabelSource, moment, new_label, standing
from rlaif.review.pages import page
from rlaif.store import Store

AT_A_TIME: Final = 500
NAMED: Final = 20
"""Ids named of each thing that went wrong; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Task:
    """One pair as an annotator sees it."""

    preference: str
    """Our id of it."""
    set: str
    """Name of its set."""
    axis: str
    """What it is judged on."""
    prompt: str
    """The conversation; a single turn stands alone, more of them with their roles."""
    a: str
    """Response shown as A."""
    b: str
    """Response shown as B."""
    a_id: str
    """Sample shown as A."""
    b_id: str
    """Sample shown as B."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person says of one pair, read from another program's file."""

    where: str
    """Place in the file, for people."""
    preference: str | None
    """Our id, where the record has one."""
    a_id: str | None
    """Sample shown as A, where the record says."""
    texts: tuple[str | None, str | None, str | None]
    """Prompt, A and B as the record has them."""
    person: str
    """Who says so, as that program names them."""
    verdict: Verdict | None
    """``first`` for A; None where the answer could not be read as one of A, B and tie."""
    at: str | None = None
    """When, where the file says; ISO 8601."""


class Brought(Record):
    """What became of a file of answers."""

    kept: int
    """Labels that were kept."""
    known: int
    """Answers that already stood, word for word."""
    people: dict[str, int]
    """Kept labels by person."""
    unknown: tuple[str, ...]
    """Ids that no pair here has, and places of records without an id; the first of them."""
    unknown_count: int
    """How many there are."""
    changed: tuple[str, ...]
    """Pairs whose texts in the file are not ours: their answers are about something else; the first."""
    changed_count: int
    """How many there are."""
    unread: tuple[str, ...]
    """Places of answers that are none of A, B and tie; the first of them."""
    unread_count: int
    """How many there are."""


def tasks(store: Store, choice: Choice, limit: int | None = None) -> Iterator[Task]:
    """Yield the pairs under a filter as annotators see them.

    Args:
        store: where the pairs are.
        choice: which.
        limit: most pairs; all when None.

    Raises:
        InputError: a set or job of the filter does not exist.
    """
    after: str | None = None
    left = limit
    while left is None or left > 0:
        found = page(store, choice, limit=min(AT_A_TIME, left or AT_A_TIME), after=after, excerpt=0)
        ids = [one.id for one in found.data]
        names = {one.id: one.set_name for one in found.data}
        by_id = {one.preference: one for one in _tasks(store, ids, names)}
        yield from (by_id[id] for id in ids)
        left = None if left is None else left - len(ids)
        if found.after is None:
            return
        after = found.after


def conversation(messages: Sequence[Message]) -> str:
    """A prompt as one text."""
    if len(messages) == 1:
        return messages[0].content
    return "\n\n".join(f"{one.role}: {one.content}" for one in messages)


def matched(store: Store, answers: Iterable[Answer], source: LabelSource) -> tuple[list[HumanLabel], Brought]:
    """Match answers with the pairs they are about.

    An answer that stands already is not made again, so that a file can be brought twice.

    Args:
        store: where the pairs are.
        answers: read from a file.
        source: the program it came from.
    """
    latest: dict[tuple[str, str], Answer] = {}
    for one in answers:  # of a person who answered twice, the last word counts
        latest[one.person, one.preference or one.where] = one
    given = list(latest.values())
    ids = [one.preference for one in given if one.preference is not None]
    pairs = {one.id: one for one in store.read(Preference, "id IN (SELECT unnest(?))", [ids])}
    shown = {one.preference: one for one in _tasks(store, list(pairs), {})}
    held = _held(store)
    made: list[HumanLabel] = []
    wrong: dict[str, list[str]] = defaultdict(list)
    known = 0
    for one in given:
        fate = _fate(one, pairs, shown)
        if fate is not None:
            wrong[fate].append(one.where if fate == "unread" else one.preference or one.where)
            continue
        label = _label(one, pairs[one.preference or ""], source)
        known += (said := _saying(label)) in held
        if said not in held:
            held.add(said)
            made.append(label)
    people: dict[str, int] = {}
    for label in made:
        people[label.person] = people.get(label.person, 0) + 1
    return made, _brought(made, known, people, wrong)


def _brought(
    made: Sequence[HumanLabel], known: int, people: dict[str, int], wrong: Mapping[str, list[str]]
) -> Brought:
    named = {name: tuple(dict.fromkeys(places)) for name, places in wrong.items()}
    counted = {f"{name}_count": len(named.get(name, ())) for name in ("unknown", "changed", "unread")}
    first = {name: named.get(name, ())[:NAMED] for name in ("unknown", "changed", "unread")}
    return Brought.model_validate(
        {"kept": len(made), "known": known, "people": dict(sorted(people.items())), **first, **counted}
    )


def _fate(one: Answer, pairs: Mapping[str, Preference], shown: Mapping[str, Task]) -> str | None:
    """Why an answer cannot be kept; None when it can."""
    if one.preference is None or one.preference not in pairs:
        return "unknown"
    task = shown[one.preference]
    ours = (task.prompt, task.a, task.b)
    if one.a_id not in (None, task.a_id) or any(
        theirs is not None and not _same(theirs, mine) for theirs, mine in zip(one.texts, ours, strict=True)
    ):
        return "changed"
    return "unread" if one.verdict is None else None


def _same(theirs: str, ours: str) -> bool:
    """Whether two texts are one, line ends and white space at either end aside."""
    return _plain(theirs) == _plain(ours)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _label(one: Answer, pair: Preference, source: LabelSource) -> HumanLabel:
    try:
        at = None if one.at is None else moment(one.at)
    except ValueError:
        raise InputError(f"{one.where}: found the time {one.at!r}; allowed: ISO 8601") from None
    first = _sides(pair)[0]
    return new_label(pair, one.person, one.verdict, first=first, source=source, blind=True, at=at)


def _saying(label: HumanLabel) -> tuple[str, str, str, str, str | None]:
    return label.person, label.axis, label.first_id, label.second_id, label.verdict


def _held(store: Store) -> set[tuple[str, str, str, str, str | None]]:
    return {(one.person, one.axis, one.first_id, one.second_id, one.verdict) for _, one in standing(store)}


def _sides(pair: Preference) -> tuple[str, str]:
    """Samples shown as A and B: a draw by their digests, so that A is not the judge's choice."""
    low, high = sorted((pair.chosen_id, pair.rejected_id))
    return (low, high) if int(digest("side", low, high)[-1], 16) % 2 else (high, low)


def _tasks(store: Store, ids: Sequence[str], names: Mapping[str, str]) -> list[Task]:
    pairs = list(store.read(Preference, "id IN (SELECT unnest(?))", [list(ids)])) if ids else []
    prompt_ids = [one.prompt_id for one in pairs]
    sample_ids = [id for one in pairs for id in (one.chosen_id, one.rejected_id)]
    prompts = {one.id: one for one in store.read(Prompt, "id IN (SELECT unnest(?))", [prompt_ids])}
    samples = {one.id: one for one in store.read(Sample, "id IN (SELECT unnest(?))", [sample_ids])}
    made = []
    for one in pairs:
        a, b = (samples[id] for id in _sides(one))
        text = conversation(prompts[one.prompt_id].messages)
        name = names.get(one.id, one.set)
        made.append(Task(one.id, name, one.axis, text, a.response, b.response, a.id, b.id))
    return made
