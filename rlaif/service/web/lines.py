"""Lines and areas of small charts, as SVG path data.

Owns the arithmetic of a sparkline in a box 100 wide and 30 high. Leaves how it looks to the style sheet.
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
