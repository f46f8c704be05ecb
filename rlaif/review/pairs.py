"""One preference whole: its texts, every order's verdict, what the judge wrote, and what people say.

Owns gathering it from the store and the journal. Leaves which pair to ``pages`` and drawing it to pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from rlaif.complaints import shown
from rlaif.errors import InputError
from rlaif.journal import Journal
from rlaif.records import (
    Document,
    Fact,
    Flag,
    Judgment,
    Message,
    Preference,
    PreferenceSet,
    Prompt,
    Record,
    Sample,
    Score,
)
from rlaif.review.labels import Label, of_pair
from rlaif.store import Store, Workspace

F = TypeVar("F", bound=Fact)

# By their places, which the store's index of pairs has; ids are looked at where they are used.
_SAMPLES: Final = "rowid IN (SELECT unnest([chosen, rejected]) FROM pair_index WHERE place = ?)"
_PROMPT: Final = "rowid = (SELECT prompt FROM pair_index WHERE place = ?) AND id = ?"
# By way of their places: then only the column of ids is read whole, not every text beside it.
_JUDGMENTS: Final = "rowid IN (SELECT rowid FROM judgments WHERE id IN (SELECT unnest(?)))"


class UnknownPairError(InputError):
    """There is no preference of an id."""


class Side(Record):
    """One response of a pair."""

    id: str
    """Id of the sample."""
    response: str
    """The text, verbatim."""
    model: str
    """Who wrote it."""
    flags: tuple[str, ...]
    """What is suspicious about it."""


class Order(Record):
    """What the judge said of one order, or of one response."""

    id: str
    """Id of the judgment or score."""
    first_id: str | None
    """Sample in the first slot; None for a judge of single responses."""
    status: str
    """``ok``, or why there is no verdict."""
    verdict: str | None
    """The winning slot; None without one."""
    p_first: float | None
    """Probability that the first slot wins."""
    mass: float | None
    """Probability the labels captured."""
    principle_id: str | None
    """The principle shown, where one was drawn."""
    reason: str
    """Why there is no verdict."""
    said: tuple[str, ...]
    """What the judge wrote: reasoning it was quoted, then its reply; empty where only label
    probabilities were read."""


class PrincipleScore(Record):
    """Both responses under one principle or aspect."""

    name: str
    """The principle, aspect or proposition."""
    text: str
    """Its words, where the constitution has them."""
    chosen: float | None
    """The preferred response's; None where it was not scored."""
    rejected: float | None
    """The other one's."""
    low: int
    """Lowest score of the scale."""
    high: int
    """Highest score of the scale."""


class Pair(Record):
    """One preference with everything around it."""

    preference: Preference
    """The record."""
    set_name: str
    """``JOB/axis``."""
    job_id: str
    """The job that made it."""
    both_orders: bool
    """Whether the judge saw each pair of the set in both orders."""
    prompt: tuple[Message, ...]
    """The conversation."""
    source: str
    """Where the prompt came from."""
    licence: str | None
    """Licence of the prompt."""
    chosen: Side
    """The preferred response."""
    rejected: Side
    """The other one."""
    orders: tuple[Order, ...]
    """Every judgment the preference follows from."""
    principles: tuple[PrincipleScore, ...]
    """Scores by principle, where the judge gave some."""
    principle_text: str
    """Words of the principle drawn for the comparison; empty where all were shown."""
    constitution: str
    """Name of the constitution."""
    labels: tuple[Label, ...]
    """What people say now."""


def pair(workspace: Workspace, id: str) -> Pair:
    """Gather one preference.

    Raises:
        UnknownPairError: there is none with this id.
        InputError: what it names is not stored.
        StoreError: the store or the journal cannot be read.
    """
    store = workspace.store
    place = _place(store, id)
    [found] = store.read(Preference, "rowid = ?", [place])
    made = _only(store.read(PreferenceSet, "id = ?", [found.set]), "set", found.set)
    prompt = _only(store.read(Prompt, _PROMPT, [place, found.prompt_id]), "prompt", found.prompt_id)
    both = [found.chosen_id, found.rejected_id]
    samples = {one.id: one for one in store.read(Sample, _SAMPLES, [place])}
    flags = {
        one.sample_id: one.names
        for one in store.read(Flag, '"set" = ? AND sample_id IN (?, ?)', [made.id, *both])
    }
    clauses, constitution = _clauses(store, found.constitution)
    return Pair(
        preference=found,
        set_name=made.name,
        job_id=made.job_id,
        both_orders=made.both_orders,
        prompt=prompt.messages,
        source=prompt.source,
        licence=prompt.licence,
        chosen=_side(samples, found.chosen_id, flags.get(found.chosen_id, ())),
        rejected=_side(samples, found.rejected_id, flags.get(found.rejected_id, ())),
        orders=tuple(_orders(workspace, found)),
        principles=tuple(_principles(store, made, found, clauses)),
        principle_text=clauses.get(found.principle_id or "", ""),
        constitution=constitution,
        labels=tuple(of_pair(store, found.axis, *both)),
    )


def preference(store: Store, id: str) -> Preference:
    """Read one preference.

    Raises:
        UnknownPairError: there is none with this id.
    """
    [found] = store.read(Preference, "rowid = ?", [_place(store, id)])
    return found


def _place(store: Store, id: str) -> int:
    for place in store.query("pair_place", id=id).column("place").to_pylist():
        return int(place)
    raise UnknownPairError(f"there is no preference {shown(id)} here; ids stand in GET /v1/preferences")


def _only(found: Iterable[F], kind: str, id: str) -> F:
    for one in found:
        return one
    raise InputError(f"there is no {kind} {shown(id)} here; ids stand in GET /v1/preferences")


def _side(samples: dict[str, Sample], id: str, flags: Sequence[str]) -> Side:
    found = _only([samples[id]] if id in samples else [], "sample", id)
    return Side(id=id, response=found.response, model=found.model, flags=tuple(flags))


def _clauses(store: Store, constitution: str) -> tuple[dict[str, str], str]:
    """Words of every principle by id, and the constitution's name."""
    for one in store.read(Document, "id = ?", [constitution]):
        try:
            principles = json.loads(one.text)["principles"]
        except (ValueError, KeyError, TypeError):  # a document of another origin; the name is enough
            return {}, one.name
        return {str(each["id"]): str(each["text"]) for each in principles}, one.name
    return {}, constitution


def _orders(workspace: Workspace, found: Preference) -> list[Order]:
    ids = list(found.judgment_ids)
    judged = {one.id: one for one in workspace.store.read(Judgment, _JUDGMENTS, [ids])}
    return [_order(workspace.journal, judged[id]) for id in ids if id in judged]


def _order(journal: Journal, one: Judgment) -> Order:
    keys = (*one.support_keys, *([one.request_key] if one.label_type == "text" else []))
    return Order(
        id=one.id,
        first_id=one.first_id,
        status=one.status,
        verdict=one.verdict,
        p_first=one.p_first,
        mass=one.mass,
        principle_id=one.principle_id,
        reason=one.reason,
        said=tuple(text for key in keys if (text := _reply(journal, key))),
    )


def _reply(journal: Journal, key: str) -> str:
    """The words of a recorded reply; empty where it has none, or has them where we do not look."""
    call = journal.call(key)
    if call is None or call.reply is None:
        return ""
    try:
        return _Wire.model_validate_json(call.reply.text).words.strip()
    except ValidationError:
        return ""


class _Said(BaseModel):
    content: str | None = None
    text: str | None = None
    message: _Said | None = None

    @property
    def words(self) -> str:
        inner = "" if self.message is None else self.message.words
        return self.content or self.text or inner


class _Wire(BaseModel):
    """Where the wire forms of our providers put what a model wrote."""

    choices: tuple[_Said, ...] = ()
    content: tuple[_Said, ...] = ()
    text: str = ""

    @property
    def words(self) -> str:
        return self.text or "\n".join(one.words for one in (*self.choices, *self.content))


def _principles(
    store: Store, made: PreferenceSet, found: Preference, clauses: dict[str, str]
) -> list[PrincipleScore]:
    where = "sample_id IN (?, ?) AND axis = ? AND judge = ? AND constitution = ? AND template = ?"
    asked = [found.chosen_id, found.rejected_id, made.axis, made.judge, made.constitution, made.template]
    scores: dict[str, dict[str, Score]] = {}
    for one in store.read(Score, where, asked, order="rowid"):
        scores.setdefault(one.aspect or "overall", {})[one.sample_id] = one
    made_of = []
    for name, by_sample in scores.items():
        some = next(iter(by_sample.values()))
        sides = (by_sample.get(id) for id in (found.chosen_id, found.rejected_id))
        chosen, rejected = (None if one is None else one.expected for one in sides)
        made_of.append(
            PrincipleScore(
                name=name,
                text=clauses.get(name, ""),
                chosen=chosen,
                rejected=rejected,
                low=some.low,
                high=some.high,
            )
        )
    return made_of
