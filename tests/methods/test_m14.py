"""M14, DPO in a table drawn now: with pairs enough it is the optimum that PPO has at the same beta."""

from pathlib import Path

import pytest

from tests.training import test_optimum as optimum
from tests.training import worlds


@pytest.fixture
def world(seed: int) -> optimum.Bandit:
    return optimum.Bandit(*worlds.arms(seed, optimum.BETA))


def test_dpo_comes_to_the_optimum_of_any_world(tmp_path: Path, world: optimum.Bandit, seed: int) -> None:
    found = optimum.ended(tmp_path, world, world.wins(200_000, seed))
    assert optimum.divergence(world.optimum, found) <= 0.05
    assert world.value(found) >= 0.95 * world.value(world.optimum)


def test_pairs_turned_round_take_it_the_other_way(tmp_path: Path, world: optimum.Bandit, seed: int) -> None:
    found = optimum.ended(tmp_path, world, world.wins(20_000, seed).transpose(1, 2), steps=30)
    assert world.value(found) < world.value(world.reference) - 0.3
