"""Intervals and exact tests: cluster bootstrap, Wilson, binomial, McNemar, paired differences.

Owns every random number of a scorecard. Prompts are drawn with replacement and all rows of a prompt move
together (Davison and Hinkley 1997, section 3.8), because rows of one prompt are not independent. A draw
depends on the seed and the number of prompts alone, so no cell changes when another is added.

Leaves what is measured to the sections.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from rlaif.audits.results import Interval, Section
from rlaif.errors import InputError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

SEED = 20_260
"""Default seed, printed with every scorecard."""
RESAMPLES = 2_000
"""Default number of resamples."""
_Z = 1.959963984540054
_BLOCK = 4_000_000
"""Counts drawn at once: bounds memory at 32 MB."""
_KEPT = 64_000_000
"""Most counts (of 2 bytes) that are kept for the next measure of a table with as many prompts."""
_EMPTY_SHARE = 0.05
"""Share of resamples with an empty denominator beyond which no interval is given."""


class Resampler:
    """Resamples the clusters of one table.

    Args:
        codes: cluster of each row, 0-based and without gaps, shape (n,).
        seed: seed of the draws.
        resamples: how many.
    """

    def __init__(self, codes: Indices, seed: int, resamples: int) -> None:
        self._codes = codes
        self._clusters = int(codes.max()) + 1 if len(codes) else 0
        self._seed = seed
        self._resamples = resamples

    def totals(self, columns: Floats) -> Floats:
        """Sum each column over each resample.

        Args:
            columns: shape (n, k).

        Returns:
            Shape (resamples, k).
        """
        sums = np.stack(
            [np.bincount(self._codes, column, self._clusters) for column in columns.T], axis=1
        )  # (clusters, k)
        drawn = _counts(self._clusters, self._seed, self._resamples)
        return np.concatenate([block.astype(np.float64) @ sums for block in drawn])

    def mean(self, values: Floats, where: Mask | None = None) -> Interval | None:
        """Interval of the mean of ``values`` over the rows ``where`` holds; None when it is undefined."""
        weight = np.ones_like(values) if where is None else where.astype(np.float64)
        return self.contrast([(np.where(weight > 0, values, 0.0), weight)])

    def contrast(self, ratios: Sequence[tuple[Floats, Floats]]) -> Interval | None:
        """Interval of the first ratio of sums, less the second where there are two.

        Args:
            ratios: one or two pairs of numerator and denominator, each of shape (n,).

        Returns:
            None when the rows are none, or too few for the denominators to survive resampling.
        """
        if self._clusters == 0:
            return None
        drawn = self.totals(np.stack([column for ratio in ratios for column in ratio], axis=1))
        with np.errstate(divide="ignore", invalid="ignore"):
            values = drawn[:, 0] / drawn[:, 1]
            if len(ratios) == 2:
                values = values - drawn[:, 2] / drawn[:, 3]
        return percentiles(values)


def percentiles(values: Floats) -> Interval | None:
    """2.5th and 97.5th percentile of the finite values; None when more than 5 % are not finite."""
    finite = values[np.isfinite(values)]
    if len(finite) < (1.0 - _EMPTY_SHARE) * len(values):
        return None
    low, high = np.quantile(finite, (0.025, 0.975))
    return float(low), float(high)


def _counts(clusters: int, seed: int, resamples: int) -> Sequence[NDArray[np.uint16]]:
    """How often each cluster is drawn in each resample, in blocks of shape (<= resamples, clusters)."""
    keep = clusters * resamples <= _KEPT
    return _kept(clusters, seed, resamples) if keep else _drawn(clusters, seed, resamples)


def _drawn(clusters: int, seed: int, resamples: int) -> list[NDArray[np.uint16]]:
    rng = np.random.default_rng((seed, clusters))
    size = max(1, _BLOCK // clusters)
    return [_block(rng, min(size, resamples - start), clusters) for start in range(0, resamples, size)]


@functools.lru_cache(maxsize=2)
def _kept(clusters: int, seed: int, resamples: int) -> list[NDArray[np.uint16]]:
    return _drawn(clusters, seed, resamples)


def _block(rng: np.random.Generator, rows: int, clusters: int) -> NDArray[np.uint16]:
    picks = rng.integers(clusters, size=(rows, clusters)) + np.arange(rows)[:, None] * clusters
    return np.bincount(picks.ravel(), minlength=rows * clusters).reshape(rows, clusters).astype(np.uint16)


def codes_of(names: Sequence[str]) -> Indices:
    """Number distinct names 0, 1, ... in sorted order, shape (n,)."""
    number = {name: index for index, name in enumerate(sorted(set(names)))}
    return np.array([number[name] for name in names], dtype=np.intp)


def wilson(successes: float, n: float) -> Interval | None:
    """Wilson's score interval of a share (Wilson 1927), of ``n`` independent trials or what is worth as many;
    None without trials."""
    if n == 0:
        return None
    share, square = successes / n, _Z * _Z
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = _Z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    # Exact at the ends, where rounding leaves a little more than 0 or less than 1.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def binomial_p(successes: int, n: int) -> float | None:
    """Exact two-sided p-value of a fair coin; None without tosses."""
    if n == 0:
        return None
    k = np.arange(1, n + 1)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log(n - k + 1) - np.log(k))])
    tail = np.exp(log_choose[: min(successes, n - successes) + 1] - n * math.log(2)).sum()
    return float(min(1.0, 2 * tail))


class Paired(Section):
    """Two judges, or one under two constitutions, on the same pairs (McNemar 1947 for the test)."""

    n: int
    """Pairs."""
    clusters: int
    """Distinct prompts."""
    first: float | None
    """Mean of the first."""
    second: float | None
    """Mean of the second."""
    difference: float | None
    """``second - first``."""
    ci: Interval | None
    """Its interval, over prompts."""
    only_first: int
    """Pairs that the first alone has fully right."""
    only_second: int
    """Pairs that the second alone has fully right."""
    mcnemar_p: float | None
    """Exact p-value that one is right more often than the other."""

    @model_validator(mode="after")
    def _of_one_mind(self) -> Paired:
        if (self.difference is None) != (self.n == 0):
            raise ValueError(f"difference is {self.difference!r} for {self.n} pairs")
        return self


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[str],
    *,
    seed: int = SEED,
    resamples: int = RESAMPLES,
) -> Paired:
    """Compare two sequences of credits (right 1, undecided .5, wrong 0) on the same pairs.

    Args:
        first: credit of the first, one a pair.
        second: credit of the second, aligned.
        clusters: prompt of each pair, aligned.
        seed: seed of the resampling.
        resamples: how many.

    Raises:
        InputError: the lengths differ.
    """
    if not len(first) == len(second) == len(clusters):
        found = (len(first), len(second), len(clusters))
        raise InputError(f"found {found!r} credits and prompts; give one of each for every pair")
    if not len(first):
        names = ("first", "second", "difference", "ci", "mcnemar_p")
        return Paired.model_validate(
            {"n": 0, "clusters": 0, "only_first": 0, "only_second": 0, **dict.fromkeys(names)}
            | {"undefined": dict.fromkeys(names, "there are no pairs")}
        )
    x, y, codes = np.asarray(first, float), np.asarray(second, float), codes_of(clusters)
    interval = Resampler(codes, seed, resamples).mean(y - x)
    left, right = int(((x == 1) & (y != 1)).sum()), int(((y == 1) & (x != 1)).sum())
    p = binomial_p(left, left + right)
    return Paired(
        n=len(x),
        clusters=int(codes.max()) + 1,
        first=float(x.mean()),
        second=float(y.mean()),
        difference=float((y - x).mean()),
        ci=interval,
        only_first=left,
        only_second=right,
        mcnemar_p=p,
        undefined={} if p is not None else {"mcnemar_p": "no pair is right for one alone"},
    )
