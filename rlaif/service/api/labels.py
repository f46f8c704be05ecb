"""People's labels over HTTP: say something of pairs, list what stands, and measure a judge by it.

Owns the routes under ``/v1/labels`` and ``/v1/audits/from-labels``. Leaves what a label is to
``rlaif.review``.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from rlaif.errors import InputError
from rlaif.records import HumanLabel, Preference, Record, Verdict
from rlaif.review import Agreement, Label, keep, measure, new_label, standing
from rlaif.review.agreement import keep_card
from rlaif.review.choice import Choice, Text, cursor_of, place_of, sets_of
from rlaif.service.problems import Fault, Problem
from rlaif.service.routes import Call, Route

MOST: Final = 1_000
"""Labels of one request."""
Said = Verdict | Literal["chosen", "rejected"] | None
Id = Annotated[str, Field(min_length=1, max_length=80)]


class NewLabel(Record):
    """What somebody says of one preference."""

    preference: Id
    """Id of the preference."""
    verdict: Said
    """``first`` or ``second`` of ``first``'s order, ``chosen`` or ``rejected`` of the preference, ``tie``;
    null takes an earlier label back."""
    first: Id | None = None
    """Id of the sample shown first; the preferred one when left out."""
    person: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Who says so; the key's name when left out."""
    blind: bool = False
    """Whether the judge's verdict was hidden."""
    note: Annotated[str, Field(max_length=2_000)] = ""
    """What the person wrote beside it."""


class NewLabels(Record):
    """Labels to keep: all of them, or none."""

    labels: Annotated[tuple[NewLabel, ...], Field(min_length=1, max_length=MOST)]
    """What is said, one entry a pair."""


class Kept(Record):
    """Labels that were kept."""

    data: tuple[HumanLabel, ...]
    """In the order they were given."""


class LabelsQuery(Record):
    """Which labels, and which page of them."""

    set: Text = None
    """Id or name of a preference set; all labels when left out."""
    person: Text = None
    """Only of this person."""
    limit: int = Field(default=100, ge=1, le=1_000)
    """Most labels of the page."""
    after: Text = None
    """The cursor of the page before."""


class Labels(Record):
    """One page of labels."""

    data: tuple[Label, ...]
    """The latest of each person and pair, the oldest first."""
    after: str | None
    """Cursor of the next page; None at the end."""


class FromLabels(Record):
    """Whose agreement with people to measure."""

    set: Annotated[str, Field(min_length=1, max_length=200)]
    """Id or name of the preference set."""


async def say(call: Call) -> Kept:
    """Keep labels."""
    given = call.body(NewLabels).labels
    store = call.service.workspace.store
    ids = [one.preference for one in given]
    found = await call.service.look(
        lambda: {one.id: one for one in store.read(Preference, "id IN (SELECT unnest(?))", [ids])}
    )
    made = [_made(one, at, found, call.caller.name) for at, one in enumerate(given)]
    await keep(call.service.workspace, made)
    return Kept(data=tuple(made))


def _made(one: NewLabel, at: int, found: dict[str, Preference], caller: str) -> HumanLabel:
    pair = found.get(one.preference)
    if pair is None:
        message = f"there is no preference {one.preference!r}; those there are stand under /v1/preferences"
        raise _fault(f"body.labels.{at}.preference", message)
    first = one.first or pair.chosen_id
    verdict = _as_shown(one.verdict, first == pair.chosen_id)
    try:
        return new_label(
            pair, one.person or caller, verdict, first=first, source="api", blind=one.blind, note=one.note
        )
    except InputError as error:
        raise _fault(f"body.labels.{at}.{error.field}", error.message) from None


def _as_shown(said: Said, chosen_first: bool) -> Verdict | None:
    if said == "chosen" or said == "rejected":
        return "first" if chosen_first == (said == "chosen") else "second"
    return said


def _fault(field: str, message: str) -> Problem:
    return Problem(422, f"{field}: {message}", [Fault(field=field, message=message)])


async def listed(call: Call) -> Labels:
    """Show a page."""
    asked = call.query(LabelsQuery)
    return await call.service.look(lambda: _listed(call, asked), share=asked)


def _listed(call: Call, asked: LabelsQuery) -> Labels:
    store = call.service.workspace.store
    sets = sets_of(store, Choice(set=asked.set))
    start = place_of(asked.after)
    rows = standing(store, sets=sets, person=asked.person, start=start, limit=asked.limit + 1)
    more = len(rows) > asked.limit
    shown = rows[: asked.limit]
    return Labels(data=tuple(one for _, one in shown), after=cursor_of(shown[-1][0]) if more else None)


async def from_labels(call: Call) -> Agreement:
    """Measure a set's judge by people's labels, and keep the scorecard."""
    service, name = call.service, call.body(FromLabels).set
    found, card = await service.look(lambda: measure(service.workspace, name))
    await keep_card(service.workspace, card)
    return found


ROUTES: Final = (
    Route(
        method="POST", path="/v1/labels", scope="run", handler=say, body=NewLabels, reply=Kept,
        upload=2**24, summary="Say which response of a preference is better, as a person",
    ),
    Route(
        method="GET", path="/v1/labels", scope="read", handler=listed, query=LabelsQuery, reply=Labels,
        summary="What people say of pairs now, a page at a time",
    ),
    Route(
        method="POST", path="/v1/audits/from-labels", scope="run", handler=from_labels, body=FromLabels,
        reply=Agreement, summary="A scorecard of a set's judge from people's labels",
    ),
)  # fmt: skip
