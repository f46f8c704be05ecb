"""M5, preference models and the policies they train: each is right where it has been, and not beyond.

A response is eight numbers. The first world has a gold that falls off in every direction, and preference
models that can bend but see few comparisons (GW2 in its second form: at most 200). The other is GW4.
"""

import torch
from torch import Tensor

from rlaif.lab import Features
from tests.methods.linear import fitted

SPLITS, EACH, STEPS, RATE = 100, 60, 60, 0.15
"""Independent runs; comparisons of a half; updates of a policy and their rate."""
BEND = 0.2


def bent(phi: Tensor) -> Tensor:
    """Gold of the first world, ``(..., 8)`` to ``(...)``: three directions are good, too much of any bad."""
    return phi[..., :3].sum(-1) - BEND * phi.square().sum(-1)


def seen(phi: Tensor) -> Tensor:
    """What its preference models see, ``(..., 16)``: the numbers and their squares."""
    return torch.cat([phi, phi.square()], -1)


def halves(stream: torch.Generator) -> Tensor:
    """Two preference models a run, of comparisons of their own: weights ``(2, SPLITS, 16)``."""
    one, other = torch.randn(2, 2 * SPLITS, EACH, 8, generator=stream, dtype=torch.float64)
    won = torch.bernoulli((bent(one) - bent(other)).sigmoid(), generator=stream)
    return fitted(seen(one) - seen(other), won, ridge=0.25).view(2, SPLITS, 16)


def climbed(weights: Tensor) -> Tensor:
    """Means of policies N(mu, 1) that climb one model's expected score: ``(STEPS + 1, SPLITS, 8)``."""
    path = [torch.zeros(SPLITS, 8, dtype=torch.float64)]
    for _ in range(STEPS):
        path.append(path[-1] + RATE * (weights[:, :8] + 2 * weights[:, 8:] * path[-1]))
    return torch.stack(path)


def test_the_other_halfs_score_is_left_behind_and_peaks_first(seed: int) -> None:
    training, testing = halves(torch.Generator().manual_seed(seed))
    path = climbed(training)
    kl = path.square().sum(-1) / 2
    ours, theirs = ((seen(path) * weights).sum(-1) for weights in (training, testing))
    far = kl <= 60.0  # a model that sees no end to it has a policy run away; what is farther is left out
    slopes = torch.stack([
        torch.linalg.lstsq(
            torch.stack([kl[far[:, at], at], torch.ones(int(far[:, at].sum()), dtype=torch.float64)], -1),
            (ours - theirs)[far[:, at], at, None],
        ).solution[0, 0]
        for at in range(SPLITS)
    ])  # fmt: skip
    assert float(slopes.mean()) - 1.96 * float(slopes.std()) / SPLITS**0.5 > 0.0
    last = far.sum(0, keepdim=True) - 1
    assert bool((torch.where(far, ours, 0.0) <= ours.gather(0, last) + 1e-9).all())  # it only rises
    (ends,) = theirs.gather(0, last)
    peak = int(torch.where(far, theirs, ends).mean(-1).argmax())
    assert 0 < peak < STEPS
    lead = torch.where(far[peak], theirs[peak], ends) - ends
    assert float(lead.mean()) > 2 * float(lead.std()) / SPLITS**0.5


def test_a_preference_model_of_the_next_round_knows_what_the_last_one_did_not(seed: int) -> None:
    world, stream = Features.drawn(seed), torch.Generator().manual_seed(seed)

    def gold(phi: Tensor) -> Tensor:
        return torch.from_numpy(world.gold(phi.numpy()))

    def compared(mean: Tensor, number: int) -> tuple[Tensor, Tensor]:
        one, other = torch.randn(2, number, 8, generator=stream, dtype=torch.float64) + mean
        return one - other, (gold(one) - gold(other)).sigmoid()

    gaps, p = compared(torch.zeros(8), 1000)
    won = torch.bernoulli(p, generator=stream)
    (first,) = fitted(gaps[None], won[None])
    policy = 3.0 * first / first.norm()  # what the first round's policy moved by: 4.5 nats
    more, p = compared(policy, 1000)
    both = torch.cat([gaps, more]), torch.cat([won, torch.bernoulli(p, generator=stream)])
    (second,) = fitted(both[0][None], both[1][None])  # from scratch, on old and new
    held_out, truth = compared(policy, 5000)
    old, new = (float(((held_out @ one > 0) == (truth > 0.5)).double().mean()) for one in (first, second))
    assert new >= old + 0.05
