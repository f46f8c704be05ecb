"""What soft and clamped labels of a judge do to a reward model, in a world whose truth is known.

The world: responses are eight numbers, a reward model is linear in them, and a judge prefers the first of
two with probability sigma(k (gold_1 - gold_2)). Claims of Bai et al. 2022, section 4.1 (arXiv 2212.08073).
"""

import math
import random

import pytest
import torch

from rlaif.training.losses.reward import pairwise

K = 1.5
SEED = random.SystemRandom().randrange(2**31)
RUNS = 10


def gold(features: torch.Tensor) -> torch.Tensor:
    return features[:, 0] + features[:, 1] - 1.5 * (features[:, 1] - 1.0).clamp(min=0.0).square()


def pairs(count: int, stream: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Feature differences, ``(P, 8)``, and the judge's probability for the first, ``(P,)``."""
    one, other = (torch.randn(count, 8, generator=stream, dtype=torch.float64) for _ in range(2))
    return one - other, torch.sigmoid(K * (gold(one) - gold(other)))


def trained(gaps: torch.Tensor, p: torch.Tensor, steps: int = 400) -> torch.Tensor:
    """Fit the linear reward model's weights to labels ``p``."""
    weights = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=steps, line_search_fn="strong_wolfe")
    none = torch.zeros_like(p)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = pairwise(gaps @ weights, none, p, none).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    return weights.detach()


def log_loss(gaps: torch.Tensor, weights: torch.Tensor, happened: torch.Tensor) -> float:
    q = torch.sigmoid(gaps @ weights)
    return float(-(happened * q.log() + (1 - happened) * (1 - q).log()).mean())


def test_soft_labels_beat_hard_ones_from_the_same_judge() -> None:
    better = 0
    for run in range(RUNS):
        stream = torch.Generator().manual_seed(SEED + run)
        gaps, p = pairs(500, stream)
        held, truth = pairs(4000, stream)
        happened = torch.bernoulli(truth, generator=stream)
        soft = log_loss(held, trained(gaps, p), happened)
        hard = log_loss(held, trained(gaps, (p > 0.5).double()), happened)
        better += soft < hard
    assert better >= 9, SEED


@pytest.mark.parametrize(("low", "high"), [(0.40, 0.60), (0.20, 0.80)])
def test_clamped_labels_bound_what_a_reward_model_says_of_its_pairs(low: float, high: float) -> None:
    """Sharp labels, as reasoning gives them, and as many weights as pairs: every label can be met."""
    stream = torch.Generator().manual_seed(SEED)
    gaps, _ = torch.linalg.qr(torch.randn(8, 8, generator=stream, dtype=torch.float64))
    sharp = torch.where(torch.arange(8) % 2 == 0, 0.97, 0.03).double()
    bound = math.log(high / (1 - high))
    clamped = gaps @ trained(gaps, sharp.clamp(low, high))
    assert clamped.abs().max().item() == pytest.approx(bound, abs=1e-3)
    unclamped = gaps @ trained(gaps, sharp)
    assert unclamped.abs().min().item() > bound + 1.0
