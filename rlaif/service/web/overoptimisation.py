"""The over-optimisation page: proxy and gold against the distance from the first policy, symptoms under it.

Owns the plot's geometry and the table's CSV. Leaves the points, the peak and the stop to ``points``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import Field

from rlaif.decimals import measured
from rlaif.errors import InputError
from rlaif.lab.fits import Fit
from rlaif.lab.page import Scale, Tick
from rlaif.records import Record
from rlaif.service import points, runs
from rlaif.service.api.training import course_of, place_of, stands
from rlaif.service.context import Service
from rlaif.service.points import Course, Point, Score
from rlaif.service.routes import Call, Route
from rlaif.service.web.render import page
from rlaif.service.web.training import MOST as OVERLAID
from rlaif.service.web.wording import figure, share

HERE: Final = "/overoptimisation"
WIDTH: Final = 640.0
HEIGHT: Final = 260.0
STRIP: Final = 34.0
"""Height of one symptom's strip under the plot."""
STRIPS: Final = 6
"""Symptoms that get one: those that spread most."""
_PITCH: Final = 64.0  # from one strip to the next, its heading included
_STEPS: Final = 48  # pieces a fitted law is drawn in
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run what begins so

OPINIONS: Final = ("proxy", "gold", "second")


class Asked(Record):
    """Which run to look at."""

    run: str = Field(default="", max_length=200)
    """Its name; the newest that has points when left out."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of a curve, in the plot's own units."""

    x: float
    y: float
    low: float
    high: float
    """Ends of its error bar; the point itself where no error is known."""
    text: str
    """What it says, for those who do not see it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One opinion, on a scale of its own: proxy and gold need not share one."""

    name: str
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    """The scale's marks."""
    laws: tuple[tuple[str, str], ...]
    """Form and path of each law fitted to it."""

    @property
    def path(self) -> str:
        """The points joined."""
        return " ".join(f"{one.x:.1f},{one.y:.1f}" for one in self.marks)


@dataclass(frozen=True, slots=True)
class Strip:
    """One symptom over the plot's own axis."""

    name: str
    top: float
    """Where its frame begins."""
    dots: tuple[tuple[float, float], ...]
    first: str
    last: str
    most: str
    """What the top of the frame stands for."""
    worse: bool
    """Whether it shows more at the end than at first."""

    @property
    def path(self) -> str:
        """The points joined."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.dots)


def view_overoptimisation(service: Service, name: str = "") -> dict[str, object]:
    """What the page shows.

    Raises:
        Problem: 404 where the run named is not there or has no points.
    """
    known = _with_points(service)
    name = name or next(iter(known), "")
    if not name:
        return {"runs": [], "run": None}
    course = course_of(service, name)
    run = stands(service, name, place_of(service, name))
    inside = [one for one in runs.found(service) if one.startswith(f"{name}.")]
    return {"runs": list(known), "run": run, "course": course, "inside": inside[:OVERLAID], **plot(course)}


def plot(course: Course) -> dict[str, object]:
    """Everything that is drawn of a course."""
    across = Scale(0.0, max((one.distance for one in course.points), default=0.0) or 1.0, 0.0, WIDTH)
    named = {one.step: one for one in course.points}
    peak, stop = (None if at is None else named[at] for at in (course.peak, course.stop))
    strips = _strips(course, across)
    return {
        "curves": [curve for name in OPINIONS if (curve := _curve(course, name, across))],
        "across": across.ticks(),
        "peak": peak,
        "stop": stop,
        "peak_at": None if peak is None else across(peak.distance),
        "stop_at": None if stop is None else across(stop.distance),
        "strips": strips,
        "deep": _PITCH * len(strips),
        "strip": STRIP,
        "width": WIDTH,
        "height": HEIGHT,
    }


def _curve(course: Course, name: str, across: Scale) -> Curve | None:
    scored = [(one, score) for one in course.points if (score := _score(one, name)) is not None]
    if not scored:
        return None
    ends = [score.mean + sign * (score.error or 0.0) for _, score in scored for sign in (-1, 1)]
    flat = 0.5 if min(ends) == max(ends) else 0.0
    up = Scale(min(ends) - flat, max(ends) + flat, 0.95 * HEIGHT, 0.05 * HEIGHT)
    marks = tuple(
        Mark(
            across(one.distance), up(score.mean), up(score.mean - (score.error or 0.0)),
            up(score.mean + (score.error or 0.0)), _said(name, one, score),
        )
        for one, score in sorted(scored, key=lambda pair: pair[0].distance)
    )  # fmt: skip
    fitted = "gold" if any(one.gold for one in course.points) else "second"
    fits = course.fits if name == fitted else ()
    return Curve(name, marks, up.ticks(), tuple((one.form, _law(one, across, up)) for one in fits))


def _law(fit: Fit, across: Scale, up: Scale) -> str:
    """A law's curve, as far as it lies within the plot."""
    places = [across.high * step / _STEPS for step in range(1, _STEPS + 1)]
    return " ".join(f"{across(d)},{up(fit.at(d))}" for d in places if 0.0 <= up(fit.at(d)) <= HEIGHT)


def _score(point: Point, name: str) -> Score | None:
    found: Score | None = getattr(point, name)
    return found


def _said(name: str, point: Point, score: Score) -> str:
    return f"{point.name}: {name} {measured(score.mean, score.error)} at {point.kl:.3g} nats"


def _strips(course: Course, across: Scale) -> list[Strip]:
    """The length, and the symptoms that show at all, those that spread most first."""
    found: list[tuple[str, list[tuple[float, float]], Callable[[float], str]]] = []
    lengths = [(one.distance, one.tokens) for one in course.points if one.tokens is not None]
    if lengths:
        found.append(("length, tokens", lengths, figure))
    names = {name for one in course.points for name, rate in one.symptoms.items() if rate > 0.0}
    rates = [
        (name, [(one.distance, one.symptoms.get(name, 0.0)) for one in course.points])
        for name in sorted(names)
    ]
    rates.sort(key=lambda pair: pair[1][0][1] - pair[1][-1][1])
    found += [
        (name.replace("_", " "), values, lambda rate: share(rate, 1)) for name, values in rates[:STRIPS]
    ]
    return [
        _strip(name, values, _PITCH * at + _PITCH - STRIP - 8.0, across, said)
        for at, (name, values, said) in enumerate(found)
    ]


def _strip(
    name: str,
    values: Sequence[tuple[float, float]],
    top: float,
    across: Scale,
    said: Callable[[float], str],
) -> Strip:
    most = max(value for _, value in values) or 1.0
    dots = [
        (across(distance), top + STRIP * (1.0 - 0.9 * value / most)) for distance, value in sorted(values)
    ]
    first, last = values[0][1], values[-1][1]
    return Strip(
        name, top, tuple(dots), said(first), said(last), said(most / 0.9), worse=last > first,
    )  # fmt: skip


def table(course: Course) -> str:
    """The points as CSV."""
    symptoms = sorted({name for one in course.points for name in one.symptoms})
    out = io.StringIO()
    writer = csv.writer(out)
    named = [f"{name}{part}" for name in OPINIONS for part in ("", "_error")]
    writer.writerow(["point", "step", "kl", "sqrt_kl", *named, "tokens", *(_cell(one) for one in symptoms)])
    for one in course.points:
        writer.writerow([*_row(one), *(one.symptoms.get(name) for name in symptoms)])
    return out.getvalue()


def _row(point: Point) -> Iterator[object]:
    yield from (_cell(point.name), point.step, point.kl, point.distance)
    for name in OPINIONS:
        score = _score(point, name)
        yield from (None, None) if score is None else (score.mean, score.error)
    yield point.tokens


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _with_points(service: Service) -> Sequence[str]:
    found = []
    for name, folder in runs.places(service).items():
        try:
            if points.points(folder) is not None:
                found.append(name)
        except InputError:  # said on the run's own page; one damaged folder must not hide the others
            continue
    return found


async def shown(call: Call) -> web.StreamResponse:
    """Show the page."""
    asked = call.query(Asked)
    data = await call.service.look(lambda: view_overoptimisation(call.service, asked.run))
    return page("overoptimisation.html", data, here=HERE)


async def download(call: Call) -> web.StreamResponse:
    """Send the table."""
    name = call.path["run"]
    text = await call.service.look(lambda: table(course_of(call.service, name)))
    return web.Response(
        text=text, content_type="text/csv",
        headers={"Content-Disposition": 'attachment; filename="overoptimisation.csv"'},
    )  # fmt: skip


ROUTES: Final = (
    Route(
        method="GET", path="/overoptimisation", scope="read", handler=shown, query=Asked,
        summary="Over-optimisation", page=True,
    ),
    Route(
        method="GET", path="/overoptimisation/{run}/points.csv", scope="read", handler=download,
        summary="Its points as a table", media="text/csv", page=True,
    ),
)  # fmt: skip
