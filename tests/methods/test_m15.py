"""M15, KTO in tables drawn now: the order of rewards, and weights that make up for rare thumbs."""

from statistics import fmean

from torch import Tensor

from tests.training import test_optimum as optimum

WORLDS = 6
"""How far KTO goes differs from world to world by a tenth; their mean is what is compared."""


def test_thumbs_find_the_order_of_rewards_in_any_world(seed: int) -> None:
    moved: dict[tuple[int, float], list[float]] = {}
    ordered = []
    for number in range(WORLDS):
        world = optimum.flat(seed + number, beta=1.0)

        def fitted(good: int, weight: float, world: optimum.Bandit = world) -> Tensor:
            table = optimum.kto_fitted(world, optimum.labelled(world, good, 4000, seed), (weight, 1.0))
            moved.setdefault((good, weight), []).append(optimum.divergence(table, world.reference))
            return table

        balanced = fitted(4000, 1.0)
        ordered.append(optimum.rank_correlation(balanced, world.reward))
        assert world.value(balanced) >= world.value(world.reference) + 0.5
        fitted(400, 10.0)
        fitted(400, 1.0)
    assert fmean(ordered) >= 0.65
    usual = fmean(moved[4000, 1.0])
    assert abs(fmean(moved[400, 10.0]) - usual) <= 0.3 * usual
    assert fmean(moved[400, 1.0]) > 2 * usual
