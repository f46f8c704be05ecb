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

from rlaif.errors import InputError
from rlaif.records import Record
from rlaif.service import points, runs
from rlaif.service.api.training import course_of, folder_of, stands
from rlaif.service.context import Service
from rlaif.service.points import Course, Point, Score
from rlaif.service.routes import Call, Route
from rlaif.service.web.render import page

HERE: Final = "/overoptimisation"
WIDTH: Final = 640.0
HEIGHT: Final = 260.0
_TICKS: Final = 5
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
    ticks: tuple[tuple[float, str], ...]
    """Place and label of the scale's marks."""

    @property
    def path(self) -> str:
        """The points joined."""
        return " ".join(f"{one.x:.1f},{one.y:.1f}" for one in self.marks)


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
    run = stands(service, name, folder_of(service, name))
    return {"runs": list(known), "run": run, "course": course, **plot(course)}


def plot(course: Course) -> dict[str, object]:
    """Everything that is drawn of a course."""
    widest = max((one.distance for one in course.points), default=0.0) or 1.0

    def across(point: Point) -> float:
        return WIDTH * point.distance / widest

    by_step = {one.step: across(one) for one in course.points}
    return {
        "curves": [curve for name in OPINIONS if (curve := _curve(course, name, across))],
        "across": [(WIDTH * at / _TICKS, f"{widest * at / _TICKS:.3g}") for at in range(_TICKS + 1)],
        "peak_at": None if course.peak is None else by_step[course.peak],
        "stop_at": None if course.stop is None else by_step[course.stop],
        "symptoms": _symptoms(course),
        "tokens": [one.tokens for one in course.points] if any(one.tokens for one in course.points) else [],
        "width": WIDTH,
        "height": HEIGHT,
    }


def _curve(course: Course, name: str, across: Callable[[Point], float]) -> Curve | None:
    scored = [(one, score) for one in course.points if (score := _score(one, name)) is not None]
    if not scored:
        return None
    ends = [score.mean + sign * (score.error or 0.0) for _, score in scored for sign in (-1, 1)]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def up(value: float) -> float:
        return HEIGHT - HEIGHT * (0.05 + 0.9 * (value - low) / span)

    marks = tuple(
        Mark(
            across(one), up(score.mean), up(score.mean - (score.error or 0.0)),
            up(score.mean + (score.error or 0.0)), _said(name, one, score),
        )
        for one, score in sorted(scored, key=lambda pair: pair[0].distance)
    )  # fmt: skip
    ticks = tuple((up(low + span * at / 4), f"{low + span * at / 4:.3g}") for at in range(5))
    return Curve(name, marks, ticks)


def _score(point: Point, name: str) -> Score | None:
    found: Score | None = getattr(point, name)
    return found


def _said(name: str, point: Point, score: Score) -> str:
    error = "" if score.error is None else f" ± {score.error:.2g}"
    return f"step {point.step}: {name} {score.mean:.3g}{error} at {point.kl:.3g} nats"


def _symptoms(course: Course) -> list[dict[str, object]]:
    """Symptoms that show at all, those that spread most first."""
    names = {name for one in course.points for name, share in one.symptoms.items() if share > 0.0}
    found = [(name, [one.symptoms.get(name, 0.0) for one in course.points]) for name in sorted(names)]
    found.sort(key=lambda pair: pair[1][0] - pair[1][-1])
    return [
        {"name": name, "values": values, "first": values[0], "last": values[-1]} for name, values in found
    ]


def table(course: Course) -> str:
    """The points as CSV."""
    symptoms = sorted({name for one in course.points for name in one.symptoms})
    out = io.StringIO()
    writer = csv.writer(out)
    named = [f"{name}{part}" for name in OPINIONS for part in ("", "_error")]
    writer.writerow(["step", "kl", "sqrt_kl", *named, "tokens", *(_cell(one) for one in symptoms)])
    for one in course.points:
        writer.writerow([*_row(one), *(one.symptoms.get(name) for name in symptoms)])
    return out.getvalue()


def _row(point: Point) -> Iterator[object]:
    yield from (point.step, point.kl, point.distance)
    for name in OPINIONS:
        score = _score(point, name)
        yield from (None, None) if score is None else (score.mean, score.error)
    yield point.tokens


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _with_points(service: Service) -> Sequence[str]:
    found = []
    for name, folder in runs.found(service).items():
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
