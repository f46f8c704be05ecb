"""The page of a table of methods: win rates with their intervals, drawn and in figures; nothing runs on it.

Owns the geometry of its plot. Leaves the figures to ``comparing`` and the page's safety to ``reports.frame``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rlaif.recipes.measuring import Rate
from rlaif.recipes.table import Method, Table
from rlaif.reports.frame import framed

_LEFT: Final = 170.0
_RIGHT: Final = 620.0
_HIGH: Final = 46.0
"""Height of a method in the plot."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One win rate with its interval."""

    kind: str
    """Class of its colour."""
    y: float
    x: float
    low: float
    high: float
    said: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One method's bars."""

    name: str
    y: float
    bars: tuple[Bar, ...]


def render(table: Table) -> str:
    """Render the page."""
    ways = [("raw", "gold"), ("even", "gold, equal length")]
    if table.judge is not None:
        ways += [("judged", "judge"), ("judged even", "judge, equal length")]
    return framed(
        "contest.html", "contest.css", title=f"Methods: {table.name}", package="rlaif.recipes",
        t=table, lanes=lanes(table), height=_HIGH * (len(table.rows) - 1) + 34, ways=ways,
        ticks=[(across(share), f"{share:.0%}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
    )  # fmt: skip


def across(share: float) -> float:
    """Return the place of a share on the horizontal axis."""
    return round(_LEFT + share * (_RIGHT - _LEFT), 1)


def lanes(table: Table) -> list[Lane]:
    """Lay out every method but the start."""
    return [
        Lane(one.name, 10 + _HIGH * (at + 0.5), tuple(_bars(one, 10 + _HIGH * at)))
        for at, one in enumerate(table.rows[1:])
    ]


def _bars(method: Method, top: float) -> Iterator[Bar]:
    found: list[tuple[str, Rate | None]] = []
    for name, wins in (("", method.wins), ("judged ", method.judged)):
        if wins is not None:
            found += [(f"{name}raw" if not name else "judged", wins.raw), (f"{name}even", wins.even)]
    for at, (kind, rate) in enumerate(found):
        if rate is not None:
            said = f"{method.name}, {kind}: {rate.mean:.0%} ({rate.low:.0%} to {rate.high:.0%})"
            y = round(top + 9 + at * 9.0, 1)
            yield Bar(kind, y, across(rate.mean), across(rate.low), across(rate.high), said)
