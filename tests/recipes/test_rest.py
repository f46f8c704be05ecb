"""ReST on 4 prompts with 32 responses each: rows drawn from a table, selected as the recipe selects them."""

import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from rlaif.recipes.rows import select

SEED = random.SystemRandom().randrange(2**32)
PROMPTS, ARMS, DRAWS = 4, 32, 2000
QUANTILES = (0.0, 0.5, 0.7, 0.8, 0.9)


class Table:
    """A policy that is a table, (prompts, arms), and what its arms are worth."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        logits = self.random.normal(size=(PROMPTS, ARMS))
        self.start = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        self.gold = self.random.normal(size=(PROMPTS, ARMS))

    def worth(self, policy: np.ndarray) -> float:
        return float((policy * self.gold).sum(1).mean())

    def grow(self, policy: np.ndarray, *, by_chance: bool = False) -> list[dict]:
        drawn = [self.random.choice(ARMS, DRAWS, p=policy[at]) for at in range(PROMPTS)]
        return [
            {
                "prompt": str(at),
                "completion": str(arm),
                "score": float(self.random.random() if by_chance else self.gold[at, arm]),
            }
            for at in range(PROMPTS)
            for arm in drawn[at]
        ]

    def improve(self, policy: np.ndarray, kept: Sequence[dict]) -> np.ndarray:
        """The table likelihood is highest at; a prompt without rows stays as it is."""
        counts = np.zeros((PROMPTS, ARMS))
        for row in kept:
            counts[int(row["prompt"]), int(row["completion"])] += 1
        seen = counts.sum(1, keepdims=True) > 0
        return np.where(seen, counts / np.maximum(counts.sum(1, keepdims=True), 1), policy)


def rounds(world: Table, policy: np.ndarray, **how: bool) -> tuple[np.ndarray, list[float], list[int]]:
    """One Grow, and an Improve at each threshold."""
    rows, worth, kept = world.grow(policy, **how), [], []
    for quantile in QUANTILES:
        left = select(rows, None, quantile, "pooled")
        policy = world.improve(policy, left)
        worth.append(world.worth(policy))
        kept.append(len(left))
    return policy, worth, kept


@pytest.fixture
def world() -> Table:
    return Table(SEED)


def error(world: Table, policy: np.ndarray, number: int) -> float:
    """Standard error of gold after fitting so many draws, at most."""
    spread = (policy * world.gold**2).sum(1) - (policy * world.gold).sum(1) ** 2
    return float(np.sqrt(spread.mean() / number))


def test_gold_rises_with_every_threshold_and_rows_fall(world: Table) -> None:
    _, worth, kept = rounds(world, world.start)
    tolerance = 2 * error(world, world.start, kept[-1])
    assert kept[0] == PROMPTS * DRAWS
    assert all(after < before for before, after in pairwise(kept)), SEED
    assert all(after >= before - tolerance for before, after in pairwise(worth)), SEED
    assert worth[-1] > world.worth(world.start) + 0.5, SEED
    for share, number in zip(QUANTILES, kept, strict=True):
        # a threshold keeps its share, and at most as much more as one response can weigh
        assert (1 - share) * kept[0] <= number + 1 <= (1 - share + 0.2) * kept[0] + 1, SEED


def test_a_second_grow_ends_higher(world: Table) -> None:
    policy, first, _ = rounds(world, world.start)
    _, second, _ = rounds(world, policy)
    best = float(world.gold.max(1).mean())
    assert second[-1] > first[-1] or first[-1] > best - 1e-9, SEED


def test_rewards_by_chance_gain_nothing(world: Table) -> None:
    _, worth, kept = rounds(world, world.start, by_chance=True)
    moved = worth[-1] - world.worth(world.start)
    assert abs(moved) <= 4 * error(world, world.start, kept[-1]), SEED


def test_a_threshold_of_each_prompt_keeps_all_of_them(world: Table) -> None:
    rows = world.grow(world.start)
    for row in rows:
        row["score"] += 10.0 * int(row["prompt"])  # some prompts are easier
    assert {row["prompt"] for row in select(rows, None, 0.9, "pooled")} == {str(PROMPTS - 1)}
    assert {row["prompt"] for row in select(rows, None, 0.9, "prompt")} == set("0123")
