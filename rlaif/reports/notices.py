"""Plain sentences a reader should see first: what is wrong with the labels, in numbers.

Owns the thresholds and the wording. Every sentence states its figure; none is shown where the
interval still allows a sound judge. Leaves the figures to ``figures``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rlaif.reports.figures import Figures, SetFigures
from rlaif.reports.statistics import Share

FAIR = 0.05
"""First-slot picks may stray this far from a half before a sentence is due."""
FAILED = 0.02
"""Share of failed judgements worth a sentence."""
CAPTURED = 0.5
"""Mean label mass below which the label words are a minority of what the judge would say."""
LONGEST = 0.6
"""Share of pairs won by the longer response that is worth a sentence."""
FEW = 100
"""Pairs below which every rate is a rough guess: at 50 % the interval is some 20 points wide."""

Weight = Literal["warning", "note"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence, and whether it puts the labels in doubt."""

    weight: Weight
    axes: tuple[str, ...]
    """The sets it is about; empty for the whole job."""
    text: str


def notices(figures: Figures) -> list[Notice]:
    """Write the sentences that the figures call for, warnings first; equal ones are said once."""
    axes: dict[tuple[Weight, str], list[str]] = {said: [] for said in _job(figures)}
    for one in figures.sets:
        for said in _set(one):
            axes.setdefault(said, []).append(one.made.axis)
    found = [Notice(weight, tuple(about), text) for (weight, text), about in axes.items()]
    return sorted(found, key=lambda notice: notice.weight != "warning")


def percent(value: float | None) -> str:
    """Write a proportion; a rounded figure never claims all or nothing."""
    if value is None:
        return "–"
    text = f"{100 * value:.1f}"
    if text in ("0.0", "100.0") and value not in (0, 1):
        return "<0.1%" if value < 0.5 else ">99.9%"
    return text.removesuffix(".0") + "%"


def span(share: Share) -> str:
    """Write the ends of a share's interval."""
    if share.interval is None:
        return "–"
    low, high = share.interval
    return f"{percent(low)} to {percent(high)}"


def _job(figures: Figures) -> Iterator[tuple[Weight, str]]:
    unknown = sum(count for _, licence, count in figures.provenance if licence is None)
    if unknown:
        yield "note", f"{unknown} of {figures.prompts.total()} prompts do not state a licence."
    if figures.prompts["train"] and not figures.prompts["test"]:
        yield "note", "No prompt is on the test side, so nothing is held out."
    if figures.source.bill.outstanding > 0:
        worst = f"${figures.source.bill.outstanding:.4f}"
        yield "note", f"Calls whose reply was never recorded may have been billed up to {worst} more."


def _set(one: SetFigures) -> Iterator[tuple[Weight, str]]:
    if not one.rows:
        yield "warning", f"The set is empty: none of {one.made.pairs} pairs considered was decided and kept."
    yield from _order(one)
    yield from _calls(one)
    yield from _labels(one)
    if not one.made.audited:
        text = (
            "Unaudited: no scorecard of this judge under this constitution and template was on file. How"
            " often it agrees with people is not known."
        )
        yield "note", text


def _order(one: SetFigures) -> Iterator[tuple[Weight, str]]:
    picks, hard = one.order.first_pick, one.order.hard_ties
    if not one.made.both_orders:
        text = (
            "Each pair was judged in one order only, so the judge's preference for a slot is part of"
            " every label and cannot be told apart from its preference for a response."
        )
        yield "warning", text
    if picks.interval is None or _near_half(*picks.interval):
        return
    slot, count = (
        ("first", picks.count) if 2 * picks.count > picks.total else ("second", picks.total - picks.count)
    )
    text = (
        f"This judge picks the {slot} slot in {percent(count / picks.total)} of its {picks.total} verdicts."
    )
    if one.made.both_orders:
        text += (
            " Every label rests on averaging both orders: with hard labels,"
            f" {hard.count} of {hard.total} pairs would be ties."
        )
    yield "warning", text


def _near_half(low: float, high: float) -> bool:
    return low <= 0.5 + FAIR and high >= 0.5 - FAIR


def _calls(one: SetFigures) -> Iterator[tuple[Weight, str]]:
    failed, mass = one.order.failed, one.order.mean_mass
    if failed.value is not None and failed.value > FAILED:
        kinds = (f"{n} {status.replace('_', ' ')}" for status, n in sorted(one.order.failures.items()))
        text = (
            f"{failed.count} of {failed.total} judgements failed ({percent(failed.value)}:"
            f" {', '.join(kinds)}); none of them became a label."
        )
        yield "warning", text
    if mass is not None and mass < CAPTURED:
        text = (
            f"The label words captured {percent(mass)} of the judge's probability on average: most of the"
            " time it meant to say something else, and normalising hides that."
        )
        yield "warning", text


def _labels(one: SetFigures) -> Iterator[tuple[Weight, str]]:
    longest = one.lengths.longest_wins
    if longest.interval is not None and longest.interval[0] > LONGEST:
        text = (
            f"The longer response wins {percent(longest.value)} of the {longest.total} pairs of unequal"
            " length: a rule that looks at length alone would agree with that many labels."
        )
        yield "warning", text
    if one.own:
        yield "warning", f"The judge drew one of the responses itself in {one.own} of {one.rows} pairs."
    if 0 < one.made.pairs < FEW:
        yield "note", f"Only {one.made.pairs} pairs were considered, so the rates below are rough guesses."
