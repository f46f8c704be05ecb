"""Best of n as points of a curve: responses drawn once, scored once, chosen from for every n.

Owns the sweep over n in worlds of texts and of features, and the shift of ``features`` along its proxy.
Leaves the unbiased estimator to ``training.bestofn`` and drawing from a model to ``asking``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from rlaif.lab.config import Sweeping
from rlaif.lab.curve import Point
from rlaif.lab.scoring import ByText, gold_of, proxy_of, shown
from rlaif.lab.speaker import say
from rlaif.lab.worlds import DIMENSIONS, Features, Floats, World
from rlaif.symptoms import SYMPTOMS
from rlaif.symptoms.form import words
from rlaif.training.bestofn import divergence, expected, weights

_PER_N = 4
"""Responses drawn for each of the largest n, where they cost nothing."""
_TABLES = 8
"""Times as many prompts are asked where no model answers."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One prompt's responses, scored."""

    proxy: Sequence[float | None]
    """What is chosen by."""
    gold: Sequence[float | None]
    """What is looked at."""
    lengths: Sequence[float]
    """Of each response."""
    symptoms: Sequence[frozenset[str]]
    """What each shows."""

    def best(self, n: int, values: Sequence[float | None]) -> float | None:
        """Expected value of the best of n; None where too few responses have both numbers."""
        pairs = zip(self.proxy, values, strict=True)
        known = [(by, value) for by, value in pairs if by is not None and value is not None]
        if len(known) < n:
            return None
        return expected([by for by, _ in known], [value for _, value in known], n)


def pooled(pools: Sequence[Pool], values: Sequence[int]) -> tuple[Point, list[Point]]:
    """Make the points of best of n.

    Args:
        pools: one a prompt.
        values: what n is.

    Returns:
        The start, which is a single draw, and a point for each n.
    """
    start, *others = [_point(pools, n) for n in (1, *values)]
    return start.model_copy(update={"name": "start", "setting": None}), others


def _point(pools: Sequence[Pool], n: int) -> Point:
    names = [name for name in SYMPTOMS if any(name in one for pool in pools for one in pool.symptoms)]
    rates = {
        name: _mean(pool.best(n, [float(name in one) for one in pool.symptoms]) for pool in pools)
        for name in names
    }
    return Point(
        name=f"n = {n}", setting=n, kl=divergence(n),
        proxy=tuple(pool.best(n, pool.proxy) for pool in pools),
        gold=tuple(pool.best(n, pool.gold) for pool in pools),
        length=_mean(pool.best(n, pool.lengths) for pool in pools),
        symptoms=dict.fromkeys(SYMPTOMS, 0.0) | rates,
        responses=sum(len(pool.proxy) // n for pool in pools),
    )  # fmt: skip


def spoken(sweeping: Sweeping, world: World, draws: int) -> list[Pool]:
    """Ask the table that answers where no model does.

    Args:
        sweeping: names proxy, seed and size.
        world: of texts.
        draws: responses to each prompt.
    """
    proxy, gold = proxy_of(sweeping, world), gold_of(sweeping, world)
    assert isinstance(proxy, ByText)  # the file is refused otherwise
    pools = []
    for number in range(_TABLES * sweeping.drawn.prompts):
        prompt = world.prompt(number)
        texts = [say(prompt, f"{sweeping.seed}:{at}") for at in range(draws)]
        pools.append(
            Pool(
                [proxy.worth(prompt, one) for one in texts],
                [gold.worth(prompt, one) for one in texts],
                [words(one) for one in texts],
                [shown(one, prompt) for one in texts],
            )
        )
    return pools


def draws_for(sweeping: Sweeping) -> int:
    """Responses to each prompt that the largest n takes."""
    most = max(int(one) for one in sweeping.sweep.values)
    return _PER_N * most if sweeping.model is None else max(sweeping.drawn.draws, most)


# Features


def chosen_features(sweeping: Sweeping) -> tuple[Point, list[Point]]:
    """Best of n in ``features``, every group of draws counted as a prompt."""
    world, draws = Features.drawn(sweeping.seed), draws_for(sweeping)
    direction = _direction(sweeping, world)
    values = (1, *map(int, sweeping.sweep.values))
    chances = np.stack([weights(draws, n) for n in values])
    rows = []
    for group in range(_groups(sweeping)):
        phi = _drawn(sweeping, group, draws)
        gold = world.gold(phi)
        proxy = _spoiled(sweeping, group, gold if direction is None else phi @ direction)
        order = np.argsort(proxy)
        rows.append((chances @ proxy[order], chances @ gold[order]))
    start, *others = [
        _featured(f"n = {n}", n, divergence(n), [row[0][at] for row in rows], [row[1][at] for row in rows])
        for at, n in enumerate(values)
    ]
    return start.model_copy(update={"name": "start", "setting": None}), others


def shifted_features(sweeping: Sweeping) -> tuple[Point, list[Point]]:
    """The best policies of ``features`` at each cost of moving: normal draws, shifted by weights / beta.

    Such a policy maximises the expected proxy less beta times KL, and its KL is half the shift's square.
    """
    world, draws = Features.drawn(sweeping.seed), _PER_N * 1024
    direction = _direction(sweeping, world)
    assert direction is not None  # the file is refused otherwise
    shifts = [np.zeros(DIMENSIONS), *(direction / float(beta) for beta in sweeping.sweep.values)]
    rows: list[list[tuple[float, float]]] = [[] for _ in shifts]
    for group in range(_groups(sweeping)):
        phi = _drawn(sweeping, group, draws)
        for at, shift in enumerate(shifts):
            moved = phi + shift
            rows[at].append((float((moved @ direction).mean()), float(world.gold(moved).mean())))
    names = ["start", *(f"beta = {beta:g}" for beta in sweeping.sweep.values)]
    settings = [None, *map(float, sweeping.sweep.values)]
    start, *others = [
        _featured(name, setting, float(shift @ shift) / 2.0, *zip(*row, strict=True))
        for name, setting, shift, row in zip(names, settings, shifts, rows, strict=True)
    ]
    return start, others


def _featured(
    name: str, setting: float | None, kl: float, proxy: Sequence[float], gold: Sequence[float]
) -> Point:
    return Point(
        name=name, setting=setting, kl=kl, proxy=tuple(map(float, proxy)), gold=tuple(map(float, gold)),
        length=None, responses=len(gold),
    )  # fmt: skip


def _direction(sweeping: Sweeping, world: Features) -> Floats | None:
    """Weights of the linear proxy; None where the proxy is gold."""
    proxy = sweeping.proxy
    return world.proxy(sweeping.seed, proxy.comparisons) if proxy.kind == "world" else None


def _spoiled(sweeping: Sweeping, group: int, proxy: Floats) -> Floats:
    """What a control makes of a group's scores."""
    match sweeping.control:
        case "flip":
            return -proxy
        case "shuffle":
            return np.random.default_rng([sweeping.seed, 3, group]).normal(size=proxy.shape)
        case "constant":
            return np.zeros_like(proxy)
    return proxy


def _groups(sweeping: Sweeping) -> int:
    return _TABLES * sweeping.drawn.prompts


def _drawn(sweeping: Sweeping, group: int, draws: int) -> Floats:
    return np.random.default_rng([sweeping.seed, 2, group]).normal(size=(draws, DIMENSIONS))


def _mean(values: Iterable[float | None]) -> float:
    known = [one for one in values if one is not None]
    return fmean(known) if known else math.nan
