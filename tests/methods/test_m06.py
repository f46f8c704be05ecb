"""M6, rejection sampling in a table drawn now: imitating the best of eight is worth their maximum."""

import torch

from rlaif.training.rejection import best_of_each
from tests.training import test_optimum as optimum


def test_the_best_of_eight_are_imitated_for_what_they_are_worth(seed: int) -> None:
    world = optimum.flat(seed, optimum.BETA)
    drawn = optimum.drawn(world, world.reference, each=500, seed=seed, k=8)
    most = torch.tensor([one.score for one in drawn], dtype=torch.float64).view(-1, 8).max(-1).values.mean()
    began = world.value(world.reference)
    fitted = world.value(optimum.imitated(best_of_each(drawn, seed=seed), world.reference))
    assert fitted - began >= 0.95 * (float(most) - began)
    assert fitted - began > 0.5
