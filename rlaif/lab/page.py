"""The page of a sweep: proxy, gold and symptoms against distance; one file, nothing runs, nothing is fetched.

Owns the geometry of its plots. Leaves the figures to ``curve`` and the page's safety to ``reports.frame``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rlaif.decimals import measured
from rlaif.lab.curve import SAID, Curve, Point
from rlaif.lab.fits import Fit
from rlaif.reports.frame import framed

WIDTH: Final = 640.0
"""Width of a plot, with its margins."""
LEFT: Final = 52.0
"""Margin for the labels of an axis."""
_RIGHT: Final = 628.0
_STEPS: Final = 48
"""Pieces a fitted curve is drawn in."""
_SHOWN: Final = 4
"""Symptoms that are drawn: those that moved most."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One mark of an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of a line, with its error bar."""

    x: float
    y: float
    low: float
    high: float
    said: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot."""

    name: str
    kind: str
    """Class of its colour."""
    path: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot; all share the horizontal axis."""

    title: str
    height: float
    xs: tuple[Tick, ...]
    ys: tuple[Tick, ...]
    lines: tuple[Line, ...]
    peak: float | None
    """Place of the point to use."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of figures to places."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        """Return the place of a figure, to a tenth."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.first + share * (self.last - self.first), 1)

    def ticks(self, form: str = "{:g}") -> tuple[Tick, ...]:
        """Return four or so round figures with their places."""
        span = (self.high - self.low) or 1.0
        raw = span / 4.0
        power = 10.0 ** math.floor(math.log10(raw))
        step = min((1.0, 2.0, 5.0, 10.0), key=lambda one: abs(one * power - raw)) * power
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return tuple(Tick(self(at * step), form.format(round(at * step, 9))) for at in range(first, last + 1))


def render(curve: Curve) -> str:
    """Render the page."""
    return framed(
        "curve.html", "curve.css", title=f"Over-optimisation: {curve.name}", package="rlaif.lab",
        c=curve, start=curve.start, by=SAID[curve.choice.by], plots=plots(curve),
        used=next(one for one in curve.points if one.name == curve.choice.point),
    )  # fmt: skip


def plots(curve: Curve) -> list[Plot]:
    """Lay out gold, proxy and symptoms over one axis."""
    farthest = max(one.d for one in curve.points) or 1.0
    across = Scale(0.0, farthest, LEFT, _RIGHT)
    used = next(one for one in curve.points if one.name == curve.choice.point)
    found = [
        _gains(curve, "gold", "Gold, gain over the start", across, across(used.d)),
        _gains(curve, "proxy", "Proxy, gain over the start", across, across(used.d)),
    ]
    if curve.start.judged is not None:
        title = "Held-out judge, share of wins over the start less one half"
        found.insert(1, _gains(curve, "judged", title, across, across(used.d)))
    moved = _moved(curve)
    return [*found, _symptoms(curve, moved, across, across(used.d))] if moved else found


def _gains(curve: Curve, by: str, title: str, across: Scale, peak: float) -> Plot:
    gains = [(one, one.gain(curve.start, by=by)) for one in curve.points]
    ends = [gain.mean + sign * 2.0 * (gain.error or 0.0) for _, gain in gains for sign in (-1.0, 1.0)]
    up = Scale(min(0.0, *ends), max(0.0, *ends), 190.0, 10.0)
    marks = tuple(
        Mark(
            across(one.d), up(gain.mean), up(gain.mean - 2 * (gain.error or 0)),
            up(gain.mean + 2 * (gain.error or 0)),
            f"{one.name}: {measured(gain.mean, gain.error, '+')} at d {one.d:.3g}",
        )
        for one, gain in gains
    )  # fmt: skip
    lines = [Line(by, by, _path([(one.x, one.y) for one in marks]), marks)]
    if by == "gold" and curve.fits:
        lines += [_fitted(fit, across, up) for fit in curve.fits]
    return Plot(title, 220.0, across.ticks(), up.ticks(), tuple(lines), peak)


def _fitted(fit: Fit, across: Scale, up: Scale) -> Line:
    """A law's curve, as far as it lies within the plot."""
    places = [across.high * step / _STEPS for step in range(1, _STEPS + 1)]
    inside = [(across(d), up(fit.at(d))) for d in places if up.low <= fit.at(d) <= up.high]
    return Line(f"fit, {fit.form.replace('_', ' ')}", f"fit {fit.form}", _path(inside), ())


def _moved(curve: Curve) -> list[str]:
    """Symptoms that moved most between the start and any point."""

    def most(name: str) -> float:
        before = curve.start.symptoms.get(name, 0.0)
        return max(abs(one.symptoms.get(name, 0.0) - before) for one in curve.points)

    return sorted((name for name in curve.start.symptoms if most(name) > 0.0), key=most, reverse=True)[
        :_SHOWN
    ]


def _symptoms(curve: Curve, names: Sequence[str], across: Scale, peak: float) -> Plot:
    highest = max(one.symptoms.get(name, 0.0) for one in curve.points for name in names)
    up = Scale(0.0, highest, 140.0, 10.0)

    def line(number: int, name: str) -> Line:
        marks = tuple(_rate(one, name, across, up) for one in curve.points)
        return Line(name.replace("_", " "), f"s{number}", _path([(one.x, one.y) for one in marks]), marks)

    lines = tuple(line(number, name) for number, name in enumerate(names))
    return Plot("Symptoms, share of responses", 170.0, across.ticks(), up.ticks("{:.0%}"), lines, peak)


def _rate(point: Point, name: str, across: Scale, up: Scale) -> Mark:
    rate = point.symptoms.get(name, 0.0)
    error = 2.0 * math.sqrt(rate * (1.0 - rate) / point.responses) if point.responses else 0.0
    low, high = up(max(rate - error, up.low)), up(min(rate + error, up.high))
    return Mark(across(point.d), up(rate), low, high, f"{point.name}: {name} {rate:.1%}")


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{'L' if at else 'M'}{x:g} {y:g}" for at, (x, y) in enumerate(places))
