"""Lines and areas of small charts, as SVG path data.

Owns the arithmetic of a sparkline, and of several curves over shared axes, in a box 100 wide and 30 high.
Leaves how it looks to the style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

WIDTH: Final = 100.0
HEIGHT: Final = 30.0
_EDGE: Final = 1.0  # room for the stroke above the largest and below the smallest value


def line(values: Sequence[float | None]) -> str:
    """Path through evenly spaced values, from 0 or the least to the most; None leaves a gap."""
    return "".join("M" + "L".join(run) for run in _runs(values))


def area(values: Sequence[float | None]) -> str:
    """Closed path between the line and the ground."""
    closed = (
        f"M{run[0].split(' ')[0]} {HEIGHT:g}L{'L'.join(run)}L{run[-1].split(' ')[0]} {HEIGHT:g}Z"
        for run in _runs(values)
    )
    return "".join(closed)


class Box:
    """Shared axes of several curves: the first step to the last, the least value to the greatest."""

    def __init__(self, curves: Sequence[tuple[Sequence[int], Sequence[float | None]]]) -> None:
        steps = [step for one, _ in curves for step in one]
        known = [value for _, values in curves for value in values if value is not None]
        self.first, self.last = min(steps, default=0), max(steps, default=0)
        self.low, self.high = min(known, default=0.0), max(known, default=0.0)

    def path(self, steps: Sequence[int], values: Sequence[float | None]) -> str:
        """Path of one curve, a short dash where it is one point; steps without a value are passed over."""
        known = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
        dash = "m-1 0h2" if len(known) == 1 else ""
        return ("M" if known else "") + "L".join(self._place(*one) for one in known) + dash

    def _place(self, step: int, value: float) -> str:
        x = WIDTH * (step - self.first) / ((self.last - self.first) or 1)
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return f"{x:.2f} {HEIGHT - _EDGE - (HEIGHT - 2 * _EDGE) * share:.2f}"


def _runs(values: Sequence[float | None]) -> list[list[str]]:
    """Points of every unbroken stretch; a single value is drawn as a short dash."""
    known = [one for one in values if one is not None]
    if not known:
        return []
    low, high = min(0.0, *known), max(known)
    step = WIDTH / max(len(values) - 1, 1)
    height = HEIGHT - 2 * _EDGE
    placed = [
        None if one is None else (at * step, HEIGHT - _EDGE - height * (one - low) / ((high - low) or 1.0))
        for at, one in enumerate(values)
    ]
    runs = [
        [one for one in run if one]
        for known, run in groupby(placed, key=lambda one: one is not None)
        if known
    ]
    return [_points(run, step) for run in runs]


def _points(run: Sequence[tuple[float, float]], step: float) -> list[str]:
    if len(run) == 1:
        x, y = run[0]
        run = [(max(x - step / 4, 0.0), y), (min(x + step / 4, WIDTH), y)]
    return [f"{x:.2f} {y:.2f}" for x, y in run]
