"""Grades of several systems to pairs, to a reward model, to re-ranking; a response is eight numbers."""

import random

import numpy as np
import pytest

from rlaif.audits.logistic import fit
from rlaif.lab import Features
from rlaif.recipes.rows import best_of_n, pairs

SEED = random.SystemRandom().randrange(2**32)
SYSTEMS, PROMPTS, BEST = 3, 500, 5


@pytest.fixture(scope="module")
def world() -> Features:
    return Features.drawn(SEED)


def graded(phi: np.ndarray, gold: np.ndarray) -> list[dict]:
    """Rows of grades from 1 to 10, as a grader who sees the truth gives them."""
    grades = np.clip(np.round(5.5 + 2.0 * gold), 1, 10)
    return [
        {"prompt": str(at), "completion": f"{at}:{system}", "score": float(grades[at, system])}
        for at in range(phi.shape[0])
        for system in range(phi.shape[1])
    ]


@pytest.fixture(scope="module")
def weights(world: Features) -> np.ndarray:
    """A linear Bradley-Terry model of the pairs."""
    phi = np.random.default_rng([SEED, 7]).normal(size=(PROMPTS, SYSTEMS, 8))
    found = pairs(graded(phi, world.gold(phi)), 0.0, "all", 0)
    better, worse = (
        np.array([phi[tuple(map(int, one[side].split(":")))] for one in found])
        for side in ("chosen", "rejected")
    )
    flip = np.random.default_rng([SEED, 8]).integers(0, 2, len(found)).astype(float)
    gaps = np.where(flip[:, None] == 1.0, better - worse, worse - better)
    return fit(gaps, flip, np.arange(len(found))).weights


def test_every_pair_carries_both_grades_and_the_gap() -> None:
    grades = {"a": 8.0, "b": 6.0, "c": 6.0}
    rows = [{"prompt": "x", "completion": name, "score": grade} for name, grade in grades.items()]
    assert pairs(rows, 0.0, "all", 0) == [
        {
            "prompt": "x",
            "chosen": "a",
            "rejected": worse,
            "chosen_score": 8.0,
            "rejected_score": 6.0,
            "gap": 2.0,
        }
        for worse in "bc"
    ]


def test_the_reward_model_agrees_with_the_truth_on_pairs_it_has_not_seen(
    world: Features, weights: np.ndarray
) -> None:
    one, other = np.random.default_rng([SEED, 9]).normal(size=(2, 4000, 8))
    agreed = ((one - other) @ weights > 0) == (world.gold(one) > world.gold(other))
    assert agreed.mean() >= 0.90, SEED


@pytest.mark.parametrize("by_chance", [False, True])
def test_the_best_of_five_is_better_by_the_model_and_not_by_chance(
    world: Features, weights: np.ndarray, by_chance: bool
) -> None:
    drawn = np.random.default_rng([SEED, 10])
    phi = drawn.normal(size=(PROMPTS, BEST, 8))
    gold, scores = world.gold(phi), drawn.random((PROMPTS, BEST)) if by_chance else phi @ weights
    rows = [
        {"prompt": str(at), "completion": str(place), "score": float(scores[at, place])}
        for at in range(PROMPTS)
        for place in range(BEST)
    ]
    chosen = np.array([int(one["completion"]) for one in best_of_n(rows, BEST, 0)])
    gain = gold[np.arange(PROMPTS), chosen] - gold[:, 0]
    t = gain.mean() / (gain.std(ddof=1) / np.sqrt(PROMPTS))
    if by_chance:
        assert abs(t) < 4.0, SEED
    else:
        assert t > 1.65, SEED  # one-sided p < .05
