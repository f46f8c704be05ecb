"""The page of a scorecard: one file, nothing runs, nothing is fetched.

Owns the geometry of its plots and what is drawn of which cell. Leaves the tables to ``scorecard_parts``, the
figures to ``audits`` and the page's safety to ``frame``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlaif.audits import Cell, Scorecard
from rlaif.audits.results import Interval
from rlaif.reports.frame import framed
from rlaif.reports.scorecard_parts import PARTS, table
from rlaif.wholefile import put

OPEN = 9
"""Plots of one kind that are shown at once; the others are folded away."""
WIDEST = 0.25
"""Half-width of the narrowest scale a gap is drawn on: noise is not blown up to fill the plot."""


@dataclass(frozen=True, slots=True)
class Track:
    """One value on a scale from 0 (left end) to 100."""

    cell: Cell
    point: float
    low: float
    high: float
    text: str
    """What it says, for those who do not see it."""
    marks: tuple[tuple[str, float], ...] = ()
    """Name and place of what it is to be compared with."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Dots in a square of 100 by 100, y growing downwards."""

    cell: Cell
    dots: tuple[tuple[float, float, float], ...]
    """x, y and radius."""
    text: str

    @property
    def path(self) -> str:
        """The dots joined."""
        return " ".join(f"{x:.2f},{y:.2f}" for x, y, _ in self.dots)


def write_scorecard_page(
    card: Scorecard,
    path: Path,
    *,
    skipped: Mapping[str, Mapping[str, str]],
    left_out: Mapping[str, int],
    notes: Sequence[str] = (),
) -> None:
    """Write the page of one scorecard, whole or not at all.

    Args:
        card: the scorecard.
        path: the file, e.g. ``scorecard.html``.
        skipped: ``JUDGE|MODE`` to the probes that were not made, and why.
        left_out: rows that were not asked about, by reason.
        notes: sentences a reader needs to hear.
    """
    put(path, render_scorecard(card, skipped=skipped, left_out=left_out, notes=notes))


def render_scorecard(
    card: Scorecard,
    *,
    skipped: Mapping[str, Mapping[str, str]],
    left_out: Mapping[str, int],
    notes: Sequence[str] = (),
) -> str:
    """Render the page."""
    cells = beside(card)
    return framed(
        "scorecard.html",
        "scorecard.css",
        title="Judge scorecard",
        card=card,
        cells=cells,
        ways=len({(one.judge, one.mode) for one in cells}),
        flags=flagged(cells),
        tables=[table(one, cells) for one in PARTS],
        tracks={"agreement": accuracies(cells), "order": slots(cells), "length": gaps(cells)},
        plots={"selective": coverages(cells), "calibration": reliabilities(cells)},
        open=OPEN,
        skipped=skipped,
        left_out=left_out,
        notes=notes,
    )


def beside(card: Scorecard) -> list[Cell]:
    """All cells, those of one slice side by side, totals last; a total over one slice would repeat it."""
    many = {key for key in card.totals if _slices(card, card.totals[key]) > 1}
    found = [*card.cells.values(), *(one for key, one in card.totals.items() if key in many)]
    return sorted(found, key=lambda one: (one.slice == "TOTAL", one.slice, one.judge, one.mode))


def _slices(card: Scorecard, total: Cell) -> int:
    return sum((one.judge, one.mode) == (total.judge, total.mode) for one in card.cells.values())


def flagged(cells: Sequence[Cell]) -> list[tuple[str, list[tuple[Cell, list[str]]]]]:
    """Every flag by name, with the cells that raise it and what each says."""
    found: dict[str, list[tuple[Cell, list[str]]]] = {}
    for cell in cells:
        for name in dict.fromkeys(one.name for one in cell.flags):
            messages = [one.message for one in cell.flags if one.name == name]
            found.setdefault(name, []).append((cell, messages))
    return sorted(found.items())


def accuracies(cells: Sequence[Cell]) -> list[Track]:
    """Accuracy between floors and ceiling."""
    found = []
    for cell in cells:
        acc, ceiling = cell.agreement, cell.ceiling
        if acc.acc is None:
            continue
        named = (
            ("coin", ceiling.random), ("longest", ceiling.longest), ("first", ceiling.first),
            ("words", ceiling.bag_of_words), ("people", ceiling.human),
        )  # fmt: skip
        marks = tuple((name, 100 * value) for name, value in named if value is not None)
        found.append(_track(cell, acc.acc, acc.acc_ci, marks))
    return found


def slots(cells: Sequence[Cell]) -> list[Track]:
    """Share of decided calls that chose the first slot."""
    return [
        _track(cell, cell.order.first_pick, None, (("half", 50.0),))
        for cell in cells
        if cell.order.first_pick is not None
    ]


def gaps(cells: Sequence[Cell]) -> list[Track]:
    """Length gaps on one scale, symmetric about 0."""
    held = [(cell, cell.length.length_gap, cell.length.length_gap_ci) for cell in cells]
    known = [(cell, gap, ci or (gap, gap)) for cell, gap, ci in held if gap is not None]
    widest = max([WIDEST, *(abs(edge) for _, _, ci in known for edge in ci)])

    def at(value: float) -> float:
        return 50 + 50 * value / widest

    return [
        Track(cell, at(gap), at(low), at(high), f"{100 * gap:+.1f} points", (("none", 50.0),))
        for cell, gap, (low, high) in known
    ]


def _track(cell: Cell, value: float, ci: Interval | None, marks: tuple[tuple[str, float], ...]) -> Track:
    low, high = ci or (value, value)
    said = ", ".join(f"{name} {place:.1f}%" for name, place in marks)
    return Track(cell, 100 * value, 100 * low, 100 * high, f"{100 * value:.1f}%; {said}", marks)


def coverages(cells: Sequence[Cell]) -> list[Plot]:
    """Accuracy (up) against the share of surest labels kept (right)."""
    found = []
    for cell in cells:
        known = [(one.coverage, one.acc) for one in cell.selective.curve if one.acc is not None]
        if known:
            dots = tuple((100 * share, 100 - 100 * acc, 2.0) for share, acc in known)
            text = ", ".join(f"{share:.0%} kept: {acc:.0%} right" for share, acc in known)
            found.append(Plot(cell, dots, text))
    return found


def reliabilities(cells: Sequence[Cell]) -> list[Plot]:
    """Share won (up) against the probability said (right), bin by bin."""
    found = []
    for cell in cells:
        bins = cell.calibration.reliability
        if bins:
            dots = tuple((100 * one.p, 100 - 100 * one.won, 2.4) for one in bins)
            text = ", ".join(f"said {one.p:.2f}, won {one.won:.2f} of {one.n}" for one in bins)
            found.append(Plot(cell, dots, text))
    return found
