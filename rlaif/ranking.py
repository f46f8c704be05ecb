"""Strengths of one prompt's samples from their pairwise comparisons.

Owns the two estimators and their standard errors. Leaves averaging over orders, and what becomes of
a pair, to ``preferences``.

Bradley-Terry: ``P(a beats b) = sigmoid(s_a - s_b)`` (Bradley and Terry 1952). A comparison is the
probability that ``a`` won, and counts as that fraction of a win; a tie is half a win for each side,
which keeps the likelihood concave and needs no extra parameter, unlike a model with a tie
probability of its own (Davidson 1970). A normal prior of variance ``1 / ridge`` on each strength
keeps separable data finite and ties unconnected groups to the common mean of 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from rlaif.errors import InputError
from rlaif.records import Ranking

Method = Literal["bradley_terry", "borda"]
RIDGE = 0.1
"""Default precision of the prior: strengths have a standard deviation of about 3 log-odds."""
_DIGITS = 9
"""Strengths are rounded so far, which is coarser than the solver's error: equal means equal."""
_MOST_STEPS = 200
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class Match(Protocol):
    """One comparison of two samples of a prompt."""

    @property
    def prompt_id(self) -> str:
        """The prompt both answer."""
        ...

    @property
    def axis(self) -> str:
        """The dimension."""
        ...

    @property
    def a_id(self) -> str:
        """One sample."""
        ...

    @property
    def b_id(self) -> str:
        """The other."""
        ...

    @property
    def outcome(self) -> float | None:
        """Share of a win for ``a``, 0 to 1; None when there is no verdict."""
        ...


@dataclass(frozen=True, slots=True)
class Strengths:
    """How strong each sample came out, strongest first, equal ones in id order."""

    ids: tuple[str, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]
    """Standard errors, aligned; empty where the method has none."""


def bradley_terry(matches: Iterable[Match], *, ridge: float = RIDGE) -> Strengths:
    """Fit log-strengths with mean 0.

    Standard errors come from the inverse Hessian at the optimum, projected on the mean-0 gauge. A group
    of samples never compared with the rest is placed around 0 with errors as wide as the prior says.

    Raises:
        InputError: ``ridge`` is not positive.
    """
    if not ridge > 0.0:
        raise InputError(f"ridge {ridge!r} is not usable; give a number above 0, e.g. {RIDGE}")
    ids, a, b, won = _table(matches)
    if not ids:
        return Strengths((), (), ())
    strengths = np.zeros(len(ids))
    for _ in range(_MOST_STEPS):
        gradient, hessian = _slope(strengths, (a, b, won), ridge)
        step = np.linalg.solve(hessian, gradient)
        # Far from the optimum the quadratic model overshoots; two log-odds a step is safe and quick.
        strengths += step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-12:
            break
    gauge = np.eye(len(ids)) - 1.0 / len(ids)
    _, hessian = _slope(strengths, (a, b, won), ridge)
    spread = gauge @ np.linalg.inv(hessian) @ gauge
    return _sorted(ids, strengths - strengths.mean(), np.sqrt(np.clip(np.diag(spread), 0.0, None)))


def borda(matches: Iterable[Match]) -> Strengths:
    """Mean win share of each sample over its own comparisons, a tie counting half."""
    ids, a, b, won = _table(matches)
    wins = np.bincount(a, won, len(ids)) + np.bincount(b, 1.0 - won, len(ids))
    played = np.bincount(a, minlength=len(ids)) + np.bincount(b, minlength=len(ids))
    return _sorted(ids, wins / played, None)


def rankings(matches: Iterable[Match], *, set_id: str, method: Method = "bradley_terry") -> list[Ranking]:
    """Rank the samples of every prompt.

    Args:
        matches: comparisons of one axis, in any order.
        set_id: the set the rankings belong to.
        method: the estimator.

    Returns:
        One ranking for each prompt with a verdict, in prompt order.
    """
    by_prompt: dict[tuple[str, str], list[Match]] = defaultdict(list)
    for match in matches:
        if match.outcome is not None:
            by_prompt[match.prompt_id, match.axis].append(match)
    fit = bradley_terry if method == "bradley_terry" else borda
    return [
        _record(set_id, key, method, fit(found))
        for key, found in sorted(by_prompt.items(), key=lambda one: one[0])
    ]


def _record(set_id: str, key: tuple[str, str], method: Method, found: Strengths) -> Ranking:
    return Ranking.make(
        set=set_id,
        prompt_id=key[0],
        axis=key[1],
        method=method,
        sample_ids=found.ids,
        strengths=found.values,
        errors=found.errors,
    )


def _table(matches: Iterable[Match]) -> tuple[list[str], Indices, Indices, Floats]:
    """Comparisons as arrays, in an order that depends on their content alone."""
    rows = sorted((one.a_id, one.b_id, one.outcome) for one in matches if one.outcome is not None)
    ids = sorted({one for row in rows for one in row[:2]})
    place = {one: index for index, one in enumerate(ids)}
    a = np.array([place[row[0]] for row in rows], dtype=np.intp)
    b = np.array([place[row[1]] for row in rows], dtype=np.intp)
    return ids, a, b, np.array([row[2] for row in rows], dtype=np.float64)


def _slope(strengths: Floats, table: tuple[Indices, Indices, Floats], ridge: float) -> tuple[Floats, Floats]:
    """Gradient (n,) and negative Hessian (n, n) of the penalised log-likelihood."""
    a, b, won = table
    p = 1.0 / (1.0 + np.exp(strengths[b] - strengths[a]))
    gradient = -ridge * strengths
    np.add.at(gradient, a, won - p)
    np.add.at(gradient, b, p - won)
    hessian = ridge * np.eye(len(strengths))
    weight = p * (1.0 - p)
    for rows, columns, sign in ((a, a, 1.0), (b, b, 1.0), (a, b, -1.0), (b, a, -1.0)):
        np.add.at(hessian, (rows, columns), sign * weight)
    return gradient, hessian


def _sorted(ids: Sequence[str], values: Floats, errors: Floats | None) -> Strengths:
    # Adding 0.0 turns a rounded -0.0 into 0.0, which would otherwise give another digest.
    rounded = [round(float(one), _DIGITS) + 0.0 for one in values]
    order = sorted(range(len(ids)), key=lambda index: (-rounded[index], ids[index]))
    spread = () if errors is None else tuple(round(float(errors[index]), _DIGITS) for index in order)
    return Strengths(tuple(ids[i] for i in order), tuple(rounded[i] for i in order), spread)
