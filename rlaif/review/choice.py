"""Which pairs somebody wants to see, and where in them they are.

Owns the filter's fields, its form in an address and the opaque cursor. Leaves finding pairs to ``pages``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field, field_validator

from rlaif.complaints import shown
from rlaif.errors import InputError
from rlaif.judging.flags import FLAGS
from rlaif.records import Job, Margin, PreferenceSet, Record
from rlaif.store import Store

_MARK: Final = "p1."
"""Begins a cursor before it is encoded; another order of pairs would need another."""


def _none_if_empty(value: object) -> object:
    """A form sends a field that was left alone as empty text."""
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str | None, Field(max_length=200), BeforeValidator(_none_if_empty)]


class Choice(Record):
    """A filter over preferences; a field that is left out lets everything pass."""

    set: Text = None
    """Id of a preference set, or its name for the newest of that name."""
    axis: Text = None
    """The dimension judged."""
    job: Text = None
    """Id or name of a job: its newest set on each axis."""
    judge: Text = None
    """Who judged, as the sets name it."""
    principle: Text = None
    """The principle drawn for the comparison."""
    margin: Annotated[Margin | None, BeforeValidator(_none_if_empty)] = None
    """Strength of the preference."""
    min_length_gap: Annotated[
        Annotated[int, Field(ge=0, le=10_000_000)] | None, BeforeValidator(_none_if_empty)
    ] = None
    """Least difference of the two responses' lengths, in characters."""
    flag: Text = None
    """Name of a flag that either response has; ``any`` for any."""
    disagreement: Annotated[Literal["orders", "human"] | None, BeforeValidator(_none_if_empty)] = None
    """``orders``: one order on its own did not prefer chosen. ``human``: a person prefers the other one."""
    label: Annotated[Literal["any", "none"] | None, BeforeValidator(_none_if_empty)] = None
    """``any``: people have labelled it. ``none``: nobody has."""
    text: Text = None
    """Words that stand in the prompt or a response; upper and lower case are alike."""

    @field_validator("flag")
    @classmethod
    def _known(cls, told: str | None) -> str | None:
        if told is not None and told != "any" and told not in FLAGS:
            raise ValueError(f"{shown(told)} is no flag; allowed: any, {', '.join(FLAGS)}")
        return told

    def query(self, **more: object) -> str:
        """The filter as a query string, with further fields; what is None or empty is left out.

        Values from a page's visitor are encoded, so that the string can stand in any address.
        """
        given = {name: getattr(self, name) for name in Choice.model_fields} | more
        return urlencode({name: value for name, value in given.items() if value not in (None, "", False)})


def sets_of(store: Store, choice: Choice) -> list[str] | None:
    """Ids of the sets a filter names; None when it names none.

    Raises:
        InputError: there is no such set or job.
    """
    if choice.set is None and choice.job is None:
        return None
    found = list(store.read(PreferenceSet, order="rowid"))
    if choice.set is not None:
        found = _named(found, choice.set)
    if choice.job is not None:
        jobs = {one.id for one in store.read(Job, "id = ? OR name = ?", [choice.job, choice.job])}
        newest = {one.name: one for one in found if one.job_id in jobs}
        found = list(newest.values())
        if not jobs:
            raise InputError(f"there is no job {shown(choice.job)}; list them with: rlaif jobs", field="job")
    return [one.id for one in found]


def _named(sets: Sequence[PreferenceSet], name: str) -> list[PreferenceSet]:
    exact = [one for one in sets if one.id == name]
    newest = [one for one in sets if one.name == name][-1:]
    if not exact and not newest:
        known = ", ".join(sorted({one.name for one in sets})[:20]) or "none yet"
        raise InputError(f"there is no set {shown(name)}; sets: {known}", field="set")
    return exact or newest


def cursor_of(place: int) -> str:
    """The cursor that stands behind a place."""
    return base64.urlsafe_b64encode(f"{_MARK}{place}".encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> int:
    """The place a cursor stands behind; -1, before all, without one.

    Raises:
        InputError: it is not one of ours.
    """
    if not cursor:
        return -1
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    number = text.removeprefix(_MARK)
    if not text.startswith(_MARK) or not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise InputError(f"{shown(cursor)} is no cursor; give one that a reply named, or none", field="after")
    return int(number)
