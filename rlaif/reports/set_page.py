"""The page of a set audit: one file, nothing runs, nothing is fetched.

Owns the geometry of its plots and what is drawn for which figure. Leaves the figures to ``checks`` and the
page's safety to ``frame``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlaif.checks import Breach, SetCheck
from rlaif.checks.figures import Contrast, Interval
from rlaif.reports.frame import framed
from rlaif.symptoms import SYMPTOMS
from rlaif.wholefile import put

LIKELY = 0.05
"""Half-width of the narrowest scale an excess is drawn on: noise is not blown up to fill the plot."""


@dataclass(frozen=True, slots=True)
class Whisker:
    """One row of a plot of excesses; positions run from 0 (left end) to 100."""

    name: str
    meaning: str
    contrast: Contrast
    low: float
    point: float
    high: float

    @property
    def favoured(self) -> bool:
        """Whether the whole interval lies above 0: the labels reward the trait."""
        return self.contrast.ci is not None and self.contrast.ci[0] > 0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin of the length plot; heights run from 0 to 100."""

    end: int
    chosen: float
    rejected: float
    counts: tuple[int, int]


def write_set_page(found: Sequence[SetCheck], broken: Sequence[Breach], path: Path) -> None:
    """Write the page of one audit, whole or not at all.

    Args:
        found: the sets, measured.
        broken: limits they break.
        path: the file, e.g. ``set.html``.
    """
    put(path, render_set(found, broken))


def render_set(found: Sequence[SetCheck], broken: Sequence[Breach]) -> str:
    """Render the page."""
    names = ", ".join(one.name for one in found)
    return framed(
        "set_page.html",
        title=f"Set audit: {names}" if names else "Set audit",
        signed=signed,
        ends=ends,
        sets=[
            {
                "check": one,
                "symptoms": whiskers(one.symptoms, SYMPTOMS),
                "styles": whiskers(one.style, {}),
                "bars": bars(one),
            }
            for one in found
        ],
        broken=broken,
    )


def whiskers(contrasts: Mapping[str, Contrast], meanings: Mapping[str, str]) -> list[Whisker]:
    """Place excesses on one scale, symmetric about 0, largest first."""
    edges: list[float] = [abs(edge) for one in contrasts.values() for edge in (one.excess, *(one.ci or ()))]
    widest = max([LIKELY, *edges])

    def at(value: float) -> float:
        return 50 + 50 * value / widest

    ordered = sorted(contrasts.items(), key=lambda one: (-one[1].excess, one[0]))
    return [
        Whisker(name.replace("_", " "), meanings.get(name, ""), one, at(low), at(one.excess), at(high))
        for name, one in ordered
        for low, high in [one.ci or (one.excess, one.excess)]
    ]


def bars(found: SetCheck) -> list[Bar]:
    """Scale the length histogram to its tallest bar."""
    tallest = max((max(a, b) for _, a, b in found.lengths.histogram), default=0) or 1
    return [Bar(end, 100 * a / tallest, 100 * b / tallest, (a, b)) for end, a, b in found.lengths.histogram]


def signed(value: float) -> str:
    """Write a difference of shares in points, with its sign."""
    return f"{100 * value:+.1f}"


def ends(interval: Interval | None) -> str:
    """Write the ends of an interval of a difference of shares, in points."""
    return "–" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"
