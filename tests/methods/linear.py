"""Reward models that are linear in given features, fitted by the trainer's own loss."""

import torch
from torch import Tensor

from rlaif.training.losses.reward import pairwise


def fitted(gaps: Tensor, p: Tensor, ridge: float = 1e-3) -> Tensor:
    """Fit reward models to pairs, each by itself.

    Args:
        gaps: features of the first response less those of the second, ``(M, P, F)`` for M models.
        p: probability that the first is better, ``(M, P)``.
        ridge: weight of the squared weights, beside the sum of the losses.

    Returns:
        Weights, ``(M, F)``, at the optimum.
    """
    weights = torch.zeros(gaps.shape[0], gaps.shape[2], dtype=gaps.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=500, history_size=50, line_search_fn="strong_wolfe")
    nothing = torch.zeros_like(p)

    def closure() -> Tensor:
        optimizer.zero_grad()
        scores = torch.einsum("mpf,mf->mp", gaps, weights)
        loss = pairwise(scores, nothing, p, nothing).sum() + ridge * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()
