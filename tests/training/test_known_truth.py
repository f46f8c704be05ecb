"""Reward models and imitation where the truth is known: hidden features, and a table of probabilities."""

import random

import torch
from torch import Tensor

from rlaif.training.losses.likelihood import nll
from rlaif.training.losses.reward import pairwise

SEED = random.SystemRandom().randrange(2**31)


def gold(features: Tensor) -> Tensor:
    """A reward that a line cannot follow everywhere."""
    return features[:, 0] + features[:, 1] - 1.5 * (features[:, 1] - 1.0).clamp(min=0.0).square()


def fitted(gap: Tensor, p: Tensor) -> Tensor:
    """A linear reward model, fitted to its optimum: ``(8,)``."""
    weight = torch.zeros(8, requires_grad=True)
    nothing = torch.zeros(len(gap))
    optimizer = torch.optim.LBFGS([weight], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = pairwise(gap @ weight, nothing, p, nothing).mean() + 1e-3 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach()


def compared(stream: torch.Generator, number: int) -> tuple[Tensor, Tensor]:
    """Feature gaps of pairs, and how probable it is that the first is better."""
    one, other = (torch.randn(number, 8, generator=stream) for _ in range(2))
    return one - other, (gold(one) - gold(other)).sigmoid()


def test_a_thousand_comparisons_are_enough() -> None:
    stream = torch.Generator().manual_seed(SEED)
    gap, p = compared(stream, 1000)
    weight = fitted(gap, (p > 0.5).float())
    held_out, truth = compared(stream, 5000)
    right = ((held_out @ weight > 0) == (truth > 0.5)).float().mean().item()
    assert right >= 0.90, SEED


def test_flipped_labels_teach_the_opposite() -> None:
    stream = torch.Generator().manual_seed(SEED)
    gap, p = compared(stream, 1000)
    weight = fitted(gap, (p < 0.5).float())
    held_out, truth = compared(stream, 5000)
    assert ((held_out @ weight > 0) == (truth > 0.5)).float().mean().item() <= 0.10, SEED


def test_shuffled_labels_teach_nothing() -> None:
    losses, shares = [], []
    for seed in range(40):
        stream = torch.Generator().manual_seed(seed)
        gap, _ = compared(stream, 400)
        weight = fitted(gap, (torch.rand(400, generator=stream) < 0.5).float())
        held_out, truth = compared(stream, 2000)
        shuffled = (torch.rand(2000, generator=stream) < 0.5).float()
        nothing = torch.zeros(2000)
        losses.append(pairwise(held_out @ weight, nothing, shuffled, nothing).mean().item())
        shares.append(((held_out @ weight > 0) == (truth > 0.5)).float().mean().item())
    assert min(losses) >= 0.69
    spread = torch.tensor(shares).std().item() / 40**0.5
    assert abs(sum(shares) / 40 - 0.5) <= 2.0 * spread


def test_imitation_finds_a_known_conditional() -> None:
    stream = torch.Generator().manual_seed(SEED)
    truth = torch.randn(6, 9, generator=stream).softmax(-1)
    logits = torch.zeros(6, 9, requires_grad=True)
    optimizer = torch.optim.AdamW([logits], lr=0.1, weight_decay=0.0)
    for _ in range(300):
        said = torch.multinomial(truth, 200, replacement=True, generator=stream)
        logp = logits.log_softmax(-1).gather(1, said)
        optimizer.zero_grad()
        (nll(logp.flatten()) / said.numel()).backward()
        for group in optimizer.param_groups:
            group["lr"] *= 0.985
        optimizer.step()
    found = logits.detach().log_softmax(-1)
    assert (truth * (truth.log() - found)).sum(-1).max().item() < 0.01, SEED
