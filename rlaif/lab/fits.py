"""The two laws of over-optimisation, fitted to a curve, with standard errors.

Owns the least squares and the peak with its errors. Leaves the curve to ``curve``.

With d = sqrt(KL) and the gain R over the start (https://arxiv.org/abs/2210.10760, section 3)::

    best of n   R = d (alpha - beta d)       peak at alpha / (2 beta), of height alpha^2 / (4 beta)
    rl          R = d (alpha - beta ln d)    peak at exp(alpha / beta - 1), of height beta times that

Both are linear in alpha and beta, so least squares is exact. The second has an infinite slope at 0 and means
nothing near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from rlaif.errors import InputError
from rlaif.records import Record

Floats = npt.NDArray[np.float64]
Form = Literal["best_of_n", "rl"]
LEAST: Final = 5
"""Different distances from the start that a fit needs."""

_FARTHEST: Final = 40.0
"""Ratio of alpha and beta beyond which a curve counts as never falling: an rl peak at exp(39)."""


class Peak(Record):
    """Where a fitted curve is highest."""

    d: float
    """Square root of the KL there."""
    d_error: float
    """Standard error (delta method)."""
    value: float
    """The gain there."""
    value_error: float
    """Standard error (delta method)."""


class Fit(Record):
    """One law, fitted."""

    form: Form
    """Which."""
    alpha: float
    """First coefficient."""
    alpha_error: float
    """Its standard error."""
    beta: float
    """Second coefficient: how fast optimising begins to hurt."""
    beta_error: float
    """Its standard error."""
    covariance: float
    """Of the two coefficients."""
    r2: float
    """Share of the gains' variance over all points that the curve explains."""
    points: int
    """Points away from the start."""
    peak: Peak | None
    """None where the fitted curve never falls, or only beyond any distance a policy gets to."""

    def at(self, d: float) -> float:
        """The fitted gain at a distance."""
        return self.alpha * d - self.beta * d * float(_bend(self.form, np.array([d]))[0])


def fitted(form: Form, distances: Sequence[float], gains: Sequence[float]) -> Fit:
    """Fit a law by least squares, every point alike.

    Errors follow from how far the points lie from the curve, so they count noise and misfit alike; points
    that share their draws are not independent, and errors are then too small.

    Args:
        form: which law.
        distances: square roots of KL; points at 0 are the start, which every curve meets.
        gains: over the start, aligned.

    Raises:
        InputError: fewer than five different distances above 0.
    """
    d, gain = np.array(distances, dtype=np.float64), np.array(gains, dtype=np.float64)
    away = d > 0.0
    different = len(np.unique(d[away]))
    if different < LEAST:
        raise InputError(
            f"found {different} points away from the start; a curve with two coefficients and standard errors"
            f" needs at least {LEAST}: add values to the sweep",
            field="sweep.values",
        )
    design = np.stack([d, -d * _bend(form, d)], axis=1)[away]
    inverse = np.linalg.inv(design.T @ design)
    alpha, beta = inverse @ design.T @ gain[away]
    missed = gain[away] - design @ np.array([alpha, beta])
    spread = inverse * float(missed @ missed) / (len(missed) - 2)
    whole = float(((gain - gain.mean()) ** 2).sum())
    return Fit(
        form=form, alpha=alpha, alpha_error=spread[0, 0] ** 0.5, beta=beta, beta_error=spread[1, 1] ** 0.5,
        covariance=spread[0, 1], r2=1.0 - float(missed @ missed) / whole if whole > 0.0 else 1.0,
        points=len(missed), peak=_peak(form, float(alpha), float(beta), spread),
    )  # fmt: skip


def _bend(form: Form, d: Floats) -> Floats:
    """What beta is multiplied by, over d."""
    if form == "best_of_n":
        return d
    return np.log(np.where(d > 0.0, d, 1.0))


def _peak(form: Form, alpha: float, beta: float, spread: Floats) -> Peak | None:
    """The highest point; its errors by the gradients of its formulas in alpha and beta."""
    if beta <= 0.0 or (form == "best_of_n" and alpha <= 0.0):
        return None
    ratio = alpha / beta
    if ratio > _FARTHEST:
        return None
    if form == "best_of_n":
        d, value = ratio / 2.0, alpha * ratio / 4.0
        of_d = np.array([1.0, -ratio]) / (2.0 * beta)
        of_value = np.array([ratio / 2.0, -(ratio**2) / 4.0])
    else:
        d = float(np.exp(ratio - 1.0))
        value = beta * d
        of_d = np.array([1.0, -ratio]) * d / beta
        of_value = np.array([1.0, 1.0 - ratio]) * d
    errors = [float(one @ spread @ one) ** 0.5 for one in (of_d, of_value)]
    return Peak(d=d, d_error=errors[0], value=value, value_error=errors[1])
