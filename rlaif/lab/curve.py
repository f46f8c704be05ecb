"""A curve of over-optimisation: its points, which of them to use, and what to beware of.

Owns the records, the choice and the notices. Leaves measuring to the sweeps and the fitted laws to ``fits``.

The point to use is named by an estimate that nothing was optimised for, and named honestly: half of the
prompts choose it, and what is said of it comes from the other half. Halves go by a hash of a prompt's place:
a world that takes turns (every other prompt of ``harm`` is unsafe) has all its kinds in both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import fmean, stdev
from typing import Final, Literal, Self

import numpy as np
from pydantic import Field

from rlaif.errors import InputError
from rlaif.lab.fits import Fit, Floats, Form, fitted
from rlaif.records import Record, digest

Values = tuple[float | None, ...]
By = Literal["gold", "judged"]

CLEAR: Final = 2.0
"""Standard errors from which a difference counts as one."""
SAID: Final[Mapping[By, str]] = {"gold": "gold", "judged": "the held-out judge's estimate"}
"""What estimates are called in sentences."""
SPREAD: Final = 3.0
"""Standard errors above the start from which a symptom is said to have spread."""


class Estimate(Record):
    """A mean over prompts."""

    mean: float
    """The mean."""
    error: float | None
    """Its standard error; None of fewer than two prompts."""
    prompts: int
    """Prompts behind it."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Average one number a prompt.

        Raises:
            InputError: there is none.
        """
        if not values:
            raise InputError("no prompt has a score; look at what scores, or give more prompts")
        error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        return cls(mean=fmean(values), error=error, prompts=len(values))

    @property
    def clear(self) -> bool:
        """Whether it lies clearly above 0."""
        return self.error is not None and self.mean > CLEAR * self.error


class Point(Record):
    """One policy on the curve."""

    name: str
    """What people call it, e.g. ``n = 16``."""
    setting: float | None
    """What the sweep varies: n, beta or updates; None of the start."""
    checkpoint: str | None = None
    """Folder of the policy; None where it is a choice among responses."""
    kl: float
    """Nats a response away from the start: mean of log pi - log pi_start over own responses, or exact."""
    kl_k3: float | None = None
    """The same by the estimator that is never negative; None where ``kl`` is exact."""
    proxy: Values
    """Mean score of each prompt by what is optimised; None where it had none to give."""
    gold: Values
    """The same by the gold score, or by a held-out reward model."""
    judged: Values | None = None
    """By a held-out judge, how likely a response is better than one of the start's, less one half; None where
    nobody was asked."""
    length: float | None
    """Length of a response: tokens, or words where nothing is tokenized; None where responses are no text."""
    symptoms: dict[str, float] = Field(default_factory=dict)
    """Share of responses that show each symptom."""
    responses: int
    """Independent responses behind the figures, about."""

    @property
    def d(self) -> float:
        """Square root of the KL; an estimate below 0 counts as 0."""
        return math.sqrt(max(self.kl, 0.0))

    def mean(self, by: str) -> Estimate:
        """Average over prompts.

        Args:
            by: ``gold``, ``proxy`` or ``judged``.

        Raises:
            InputError: no prompt has a score.
        """
        return Estimate.of([one for one in getattr(self, by) if one is not None])

    def gain(self, start: Point, *, by: str = "gold", half: int | None = None) -> Estimate:
        """Compare with another point, prompt by prompt.

        Args:
            start: the other point, measured on the same prompts.
            by: ``gold``, ``proxy`` or ``judged``.
            half: 0 for the prompts that choose, 1 for those that report, None for all; see ``halves``.

        Raises:
            InputError: no prompt has both.
        """
        pairs = list(zip(getattr(self, by), getattr(start, by), strict=True))
        places = range(len(pairs)) if half is None else halves(len(pairs))[half]
        some = [pairs[at] for at in places]
        return Estimate.of([mine - its for mine, its in some if mine is not None and its is not None])


class Choice(Record):
    """The point to use, and how sure that is."""

    point: str
    """Its name: the highest estimate among one half of the prompts."""
    by: By = "gold"
    """Whose estimate."""
    checkpoint: str | None
    """Its folder, if it has one."""
    over_start: Estimate
    """Its gain over the start by that estimate, from the other half."""
    over_last: Estimate
    """Its lead over the point farthest from the start, from the other half."""
    interior: bool
    """Whether both are clearly above 0: optimising on from here hurts."""


class Curve(Record):
    """A sweep, measured."""

    name: str
    """Of the sweep."""
    about: dict[str, str | int | float | None]
    """What was swept where: kind, world, proxy, seed and the like."""
    points: tuple[Point, ...]
    """The start, then by distance from it."""
    choice: Choice
    """Which point to use."""
    proxy_rises: float
    """Rank correlation (Spearman) of proxy and distance: near 1 where optimising works."""
    fits: tuple[Fit, ...]
    """Both laws; empty where there are too few points."""
    unfitted: str | None
    """Why there is no fit."""
    notices: tuple[str, ...]
    """What to beware of, a sentence each."""

    @property
    def start(self) -> Point:
        """The policy that was optimised from."""
        return self.points[0]


def drawn_up(
    name: str,
    about: dict[str, str | int | float | None],
    start: Point,
    others: Sequence[Point],
) -> Curve:
    """Put points in order, choose, fit and look for what went wrong.

    Args:
        name: of the sweep.
        about: what was swept where.
        start: the policy that was optimised from.
        others: the policies that came of it, measured on the same prompts.

    Raises:
        InputError: there is no other point, or too few prompts.
    """
    if not others or len(start.gold) < 4:
        raise InputError(
            f"found {len(others)} points on {len(start.gold)} prompts; a curve takes at least one value"
            " and four prompts: add values to the sweep, or raise size"
        )
    points = (start, *sorted(others, key=lambda one: (one.d, one.name)))
    choice = chosen(points)
    fits, why = _fits(points)
    return Curve(
        name=name, about=about, points=points, choice=choice,
        proxy_rises=spearman([one.d for one in points], [one.mean("proxy").mean for one in points]),
        fits=fits, unfitted=why, notices=(*_fell(choice, points), *_spread(points)),
    )  # fmt: skip


def chosen(points: Sequence[Point]) -> Choice:
    """Choose by one half of the prompts, and report from the other."""
    start, last = points[0], max(points, key=lambda one: one.d)
    by: By = "gold" if start.judged is None else "judged"
    best = max(points, key=lambda one: one.gain(start, by=by, half=0).mean)
    over_start, over_last = best.gain(start, by=by, half=1), best.gain(last, by=by, half=1)
    return Choice(
        point=best.name, by=by, checkpoint=best.checkpoint, over_start=over_start, over_last=over_last,
        interior=over_start.clear and over_last.clear,
    )  # fmt: skip


@lru_cache(64)
def halves(prompts: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cut the places of prompts in two, those that choose and those that report.

    The halves are equal, or the first has one more. They follow from the number of prompts alone, so a curve
    that is read again reads the same, and no period in the order of prompts can separate them.
    """
    order = sorted(range(prompts), key=lambda at: digest("half", "reports", at))
    first = (prompts + 1) // 2
    return tuple(sorted(order[:first])), tuple(sorted(order[first:]))


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the correlation of two columns' ranks; equal values share a rank. 0 where one is constant."""
    mine, its = (_ranks(np.array(one, dtype=np.float64)) for one in (left, right))
    return float(np.corrcoef(mine, its)[0, 1]) if np.ptp(mine) and np.ptp(its) else 0.0


def _ranks(values: Floats) -> Floats:
    _, level, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - (counts - 1) / 2.0
    ranks: Floats = middles[level]
    return ranks


def _fits(points: Sequence[Point]) -> tuple[tuple[Fit, ...], str | None]:
    distances = [one.d for one in points]
    gains = [one.gain(points[0]).mean for one in points]
    forms: tuple[Form, ...] = ("best_of_n", "rl")
    try:
        return tuple(fitted(form, distances, gains) for form in forms), None
    except InputError as error:
        return (), error.message


def _fell(choice: Choice, points: Sequence[Point]) -> tuple[str, ...]:
    if not choice.interior:
        gained = choice.point == points[0].name or choice.over_start.clear
        why = f"{choice.point} is not clearly better than the start: what it leads by may be chance"
        return () if gained else (why,)
    last = max(points, key=lambda one: one.d)
    lead, proxy = choice.over_last, last.gain(points[0], by="proxy")
    return (
        f"{SAID[choice.by]} is highest at {choice.point} and {lead.mean:.3g} (standard error"
        f" {lead.error:.2g}) lower at {last.name}, where the proxy is {proxy.mean:+.3g} over the start: use"
        f" {choice.point}",
    )


def _spread(points: Sequence[Point]) -> tuple[str, ...]:
    """A sentence for each symptom that spread by more than three standard errors while the proxy rose."""
    start = points[0]
    found = []
    for name, before in sorted(start.symptoms.items()):
        worst = max(points, key=lambda one: one.symptoms.get(name, 0.0))
        rate = worst.symptoms.get(name, 0.0)
        error = math.sqrt(_variance(before, start.responses) + _variance(rate, worst.responses))
        rose = worst.gain(start, by="proxy").mean > 0.0
        if rose and rate - before > SPREAD * error:
            found.append(
                f"the symptom {name!r} went from {before:.1%} of responses to {rate:.1%} at {worst.name}"
                f" while the proxy rose; what taught it: rlaif lab trace --symptom {name} --set JOB/AXIS"
            )
    return tuple(found)


def _variance(rate: float, number: int) -> float:
    return rate * (1.0 - rate) / number if number else 0.0
