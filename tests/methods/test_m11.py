"""M11, labels of a judge that likes the first slot: what both orders mend, and where it goes unnoticed."""

import numpy as np
import pytest
import torch

from rlaif.audits import planted
from rlaif.audits.columns import mean_p
from rlaif.lab import Features
from tests.methods.linear import fitted

PAIRS, SHARPNESS, BIAS = 2000, 2.0, 1.5


def labelled(world: Features, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature gaps ``(PAIRS, 8)``, and p of the first from both orders and from one, ``(PAIRS,)`` each."""
    stream = np.random.default_rng([seed, 1])
    one, other = stream.normal(size=(2, PAIRS, 8))
    gap = world.gold(one) - world.gold(other)
    forth = planted.slot_biased(gap, SHARPNESS, BIAS)
    back = 1.0 - planted.slot_biased(-gap, SHARPNESS, BIAS)
    single = np.where(stream.random(PAIRS) < 0.5, forth, back)  # a slot by the toss of a coin
    return one - other, mean_p(forth, back), single


def accuracy(world: Features, gaps: np.ndarray, p: np.ndarray, seed: int) -> float:
    """Of a linear reward model of these labels, on pairs it has not seen."""
    (weights,) = fitted(torch.from_numpy(gaps)[None], torch.from_numpy(p)[None])
    one, other = np.random.default_rng([seed, 2]).normal(size=(2, 20_000, 8))
    scored = (one - other) @ weights.numpy() > 0
    return float((scored == (world.gold(one) > world.gold(other))).mean())


def test_labels_of_both_orders_make_a_reward_model_and_so_do_those_of_one(seed: int) -> None:
    """Nothing in its accuracy tells of the slot, as long as slots are drawn."""
    world = Features.drawn(seed)
    gaps, both, single = labelled(world, seed)
    found = [accuracy(world, gaps, p, seed) for p in (both, single)]
    assert found[0] >= 0.90
    assert found[1] == pytest.approx(found[0], abs=0.02)


def test_two_equal_systems_are_even_in_both_orders_only(seed: int) -> None:
    gap = np.random.default_rng(seed).normal(0.0, 1.0, 20_000)
    forth = planted.slot_biased(gap, SHARPNESS, BIAS)
    back = 1.0 - planted.slot_biased(-gap, SHARPNESS, BIAS)
    assert mean_p(forth, back).mean() == pytest.approx(0.5, abs=0.02)
    assert forth.mean() > 0.6  # the system that always stands first


def test_two_orders_by_hand() -> None:
    """P(first) of .8 and, the other way round, .7."""
    assert mean_p(np.array([0.8]), np.array([1.0 - 0.7])) == pytest.approx([0.55])
