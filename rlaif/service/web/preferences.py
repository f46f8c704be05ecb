"""The pages people read pairs on, and say which response is better.

Owns ``/preferences`` and everything under it. Every action is a link or a plain form; the script beside the
pages presses them for whoever uses the keyboard. In blind mode nothing of the judge leaves the server until
the visitor has labelled the pair. Leaves finding pairs and keeping labels to ``rlaif.review``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import parse_qs, urlencode

from aiohttp import web
from pydantic import BeforeValidator, Field, ValidationError

from rlaif.errors import InputError
from rlaif.judging.flags import FLAGS
from rlaif.records import PreferenceSet, Record, Verdict, digest
from rlaif.review import Choice, Entry, Label, Pair, beside, keep, new_label, page, pair
from rlaif.review.choice import Text
from rlaif.review.difference import MOST_WORDS, difference
from rlaif.review.pairs import Side, preference
from rlaif.service.api.preferences import found, known
from rlaif.service.context import Service
from rlaif.service.problems import invalid
from rlaif.service.routes import Call, Route
from rlaif.service.web import render

HERE: Final = "/preferences"
ROWS: Final = 25
"""Pairs of one page of the list."""
MARGINS: Final = ("negligible", "slight", "better", "significant")


class View(Choice):
    """A filter and how its pairs are looked at; every link of the pages carries it on."""

    diff: bool = False
    """Mark the words that only one response has."""
    blind: bool = False
    """Hide the judge until the pair is labelled."""
    seed: Annotated[int, BeforeValidator(lambda value: value or 0), Field(ge=0, le=2**31)] = 0
    """Draws which response stands on which side."""
    person: Text = None
    """Who labels; the key's name when left out."""

    def state(self, **more: object) -> str:
        """The view as a query string, with changes."""
        given = {name: getattr(self, name) for name in View.model_fields} | more
        kept = {name: value for name, value in given.items() if value not in (None, "", False, 0)}
        return urlencode({name: 1 if value is True else value for name, value in kept.items()})


class ListView(View):
    """A page of the list."""

    after: Text = None
    """The cursor of the page before."""


class PairView(View):
    """One pair."""

    end: Literal["first", "last"] | None = None
    """Set when a step led nowhere: this is the first or last pair under the filter."""


class LabelForm(Record):
    """What the form under a pair sends."""

    verdict: Verdict | Literal["none"]
    """The better one as shown; ``none`` takes the label back."""
    first: Annotated[str, Field(min_length=1, max_length=80)]
    """Id of the sample that stands as A."""
    person: Text = None
    """Who says so; the key's name when empty."""
    state: Annotated[str, Field(max_length=4_000)] = ""
    """The view the form stood in, as a query string."""


# What the pages show


def view_preferences(service: Service, view: View, after: str | None = None) -> dict[str, object]:
    """A page of the list, with what its filter can be set to."""
    store = service.workspace.store
    problem, shown = "", None
    try:
        shown = page(store, view, limit=ROWS, after=after)
    except InputError as error:
        problem = error.message
    sets = list(store.read(PreferenceSet, order="rowid DESC"))
    return {
        "view": view,
        "entries": [] if shown is None else [_line(one, view) for one in shown.data],
        "page": shown,
        "problem": problem,
        "first": f"{HERE}?{view.state()}" if after else "",
        "next": "" if shown is None or shown.after is None else f"{HERE}?{view.state(after=shown.after)}",
        "sets": list(dict.fromkeys(one.name for one in sets)),
        "judges": sorted({one.judge for one in sets}),
        "margins": MARGINS,
        "flags": sorted(FLAGS),
        "filtered": bool(view.query()),
    }


def _line(one: Entry, view: View) -> dict[str, object]:
    swap = swapped(one.chosen_id, one.rejected_id, view.seed)
    sides = [
        ("chosen", one.chosen, one.chosen_length),
        ("rejected", one.rejected, one.rejected_length),
    ]
    return {"entry": one, "sides": sides[::-1] if swap else sides}


def view_pair(whole: Pair, view: View, person: str) -> dict[str, object]:
    """One pair as one visitor sees it: sides drawn, words marked, the judge hidden where asked."""
    one = whole.preference
    swap = swapped(one.chosen_id, one.rejected_id, view.seed)
    a, b = (whole.rejected, whole.chosen) if swap else (whole.chosen, whole.rejected)
    own = next((label for label in whole.labels if label.person == person), None)
    hidden = view.blind and own is None
    return {
        "id": one.id,
        "view": view,
        "state": view.state(),
        "person": person,
        "axis": one.axis,
        "prompt": whole.prompt,
        "a": a,
        "b": b,
        "runs": _runs(a, b) if view.diff else None,
        "too_long": view.diff and difference(a.response, b.response) is None,
        "most_words": MOST_WORDS,
        "own": None if own is None else _said(own, a.id),
        "judge": None if hidden else _judge(whole, a, swap=swap),
        "others": [] if hidden else [(label, _said(label, a.id)) for label in whole.labels],
    }


def _judge(whole: Pair, a: Side, *, swap: bool) -> dict[str, object]:
    """What the judge said, turned to the sides as they stand."""
    one = whole.preference
    first, second = one.p_chosen_first, one.p_chosen_second
    a_first, a_second = (_other(second), _other(first)) if swap else (first, second)
    return {
        "whole": whole,
        "winner": "B" if swap else "A",
        "p": 1.0 - one.p if swap else one.p,
        "orders": [("A shown first", a_first), ("B shown first", a_second)],
        "agree": one.consistent,
        "principles": [
            (score, *((score.rejected, score.chosen) if swap else (score.chosen, score.rejected)))
            for score in whole.principles
        ],
        "first_a": {order.id: order.first_id == a.id for order in whole.orders},
        "flags": FLAGS,
    }


def _other(p: float | None) -> float | None:
    return None if p is None else 1.0 - p


def _runs(a: Side, b: Side) -> dict[str, object] | None:
    found_runs = difference(a.response, b.response)
    return None if found_runs is None else {"a": found_runs[0], "b": found_runs[1]}


def _said(label: Label, a: str) -> str:
    """A label in the words of the sides as they stand: ``A``, ``B`` or ``tie``."""
    winner = label.winner
    return "tie" if winner is None else "A" if winner == a else "B"


def swapped(chosen: str, rejected: str, seed: int) -> bool:
    """Whether the preferred response stands on the right: a draw by the seed and both texts' digests."""
    low, high = sorted((chosen, rejected))
    low_left = int(digest("side", seed, low, high)[-1], 16) % 2 == 0
    return low_left != (low == chosen)


# Handlers


async def listed(call: Call) -> web.StreamResponse:
    """Show a page of the list."""
    view = call.query(ListView)
    data = await call.service.look(lambda: view_preferences(call.service, view, view.after))
    return render.page("preferences.html", data, here=HERE)


async def shown(call: Call) -> web.StreamResponse:
    """Show one pair."""
    view = call.query(PairView)
    whole = await found(call.service, call.path["id"])
    data = view_pair(whole, view, view.person or call.caller.name)
    return render.page("preference.html", {**data, "end": view.end}, here=HERE)


async def following(call: Call) -> web.StreamResponse:
    """Go to the next pair under the filter."""
    return await _step(call, back=False)


async def preceding(call: Call) -> web.StreamResponse:
    """Go to the pair before under the filter."""
    return await _step(call, back=True)


async def _step(call: Call, *, back: bool) -> web.StreamResponse:
    view, id = call.query(View), call.path["id"]
    store = call.service.workspace.store
    to = await call.service.look(lambda: beside(store, view, id, back=back))
    end = None if to is not None else "first" if back else "last"
    return _see(to or id, view.state(end=end))


async def labelled(call: Call) -> web.StreamResponse:
    """Keep what the visitor says, and show the pair with it."""
    form = call.body(LabelForm)
    view = _view(form.state)
    service, id = call.service, call.path["id"]
    with known(id):
        about = await service.look(lambda: preference(service.workspace.store, id))
    person = form.person or call.caller.name
    verdict = None if form.verdict == "none" else form.verdict
    said = new_label(about, person, verdict, first=form.first, source="page", blind=view.blind)
    await keep(service.workspace, [said])
    view = view.model_copy(update={"person": form.person})
    if call.request.headers.get("HX-Request") != "true":
        return _see(id, view.state())
    whole = await service.look(lambda: pair(service.workspace, id))
    return render.part("preference_part.html", {**view_pair(whole, view, said.person), "end": None})


def _view(state: str) -> View:
    """The view a form stood in.

    Raises:
        Problem: 422, when the field is not what the page wrote.
    """
    given: Mapping[str, Sequence[str]] = parse_qs(state)
    try:
        return View.model_validate({name: values[0] for name, values in given.items()})
    except ValidationError as error:
        raise invalid(error, "body.state") from None


def _see(id: str, state: str) -> web.Response:
    return web.Response(status=303, headers={"Location": f"{HERE}/{id}{'?' if state else ''}{state}"})


ROUTES: Final = (
    Route(
        method="GET", path="/preferences", scope="read", handler=listed, query=ListView, page=True,
        summary="Preferences",
    ),
    Route(
        method="GET", path="/preferences/{id}", scope="read", handler=shown, query=PairView, page=True,
        summary="One pair",
    ),
    Route(
        method="GET", path="/preferences/{id}/next", scope="read", handler=following, query=View, page=True,
        summary="The next pair",
    ),
    Route(
        method="GET", path="/preferences/{id}/previous", scope="read", handler=preceding, query=View,
        page=True, summary="The pair before",
    ),
    Route(
        method="POST", path="/preferences/{id}/label", scope="run", handler=labelled, body=LabelForm,
        page=True, summary="Label a pair",
    ),
)  # fmt: skip
