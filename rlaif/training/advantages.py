"""From scores to advantages: what each token earned, and how that compares with what was expected.

Owns where a score is put, the cost of moving away, GAE and whitening. Leaves scores to ``scoring`` and values
to ``values``.

Tokens of all responses stand one behind the other, ``(N,)``, and ``lengths`` ``(R,)`` says where one ends:
there is no padding, so nothing outside a response can leak into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

_EPSILON: Final = 1e-8


def token_rewards(scores: Tensor, costs: Tensor, lengths: Tensor) -> Tensor:
    """Return the reward of every token, ``(N,)``: each costs something, the last one earns the score.

        R_t = -cost_t + [t is the last action] score

    The last action is the end token of a response that ended, the last token of one that was cut.

    Args:
        scores: of each response, ``(R,)``.
        costs: of each token, beta k1, ``(N,)``.
        lengths: tokens of each response, ``(R,)``, at least one.
    """
    rewards = -costs
    rewards[lengths.cumsum(0) - 1] += scores
    return rewards


def penalised(scores: Tensor, cut: Tensor, penalty: float) -> Tensor:
    """Take ``penalty`` off the score of every response that was cut, ``(R,)``.

    Args:
        scores: ``(R,)``.
        cut: whether the response ran into its most tokens instead of ending, boolean, ``(R,)``. A response
            ended by a stop string or any end token was not.
        penalty: at least 0.
    """
    return scores - penalty * cut


def gae(rewards: Tensor, values: Tensor, lengths: Tensor, discount: float, decay: float) -> Tensor:
    """Return generalised advantage estimates, ``(N,)``.

    Schulman et al. 2015, equations 11 to 16 (https://arxiv.org/abs/1506.02438)::

        delta_t = R_t + discount V_{t+1} - V_t        A_t = delta_t + discount decay A_{t+1}

    Beyond a response's last token both are 0, whether it ended or was cut: the score, and the penalty of
    one that was cut, are all that will ever be paid.

    Args:
        rewards: ``(N,)``.
        values: of the state each token was drawn in, ``(N,)``.
        lengths: tokens of each response, ``(R,)``.
        discount: gamma of the paper.
        decay: lambda of the paper; 1 gives returns less values, 0 one-step errors.
    """
    advantages = values.new_zeros(len(values))
    later_value, later_advantage = values.new_zeros(len(lengths)), values.new_zeros(len(lengths))
    last = lengths.cumsum(0) - 1
    for back in range(int(lengths.max()) if len(lengths) else 0):
        alive = lengths > back
        at = last[alive] - back
        delta = rewards[at] + discount * later_value[alive] - values[at]
        advantages[at] = delta + discount * decay * later_advantage[alive]
        later_value[alive], later_advantage[alive] = values[at], advantages[at]
    return advantages


def whole_return(rewards: Tensor, lengths: Tensor) -> Tensor:
    """Return for every token all that its response earned, before it and after, ``(N,)``."""
    import torch

    owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
    return rewards.new_zeros(len(lengths)).index_add_(0, owner, rewards)[owner]


def whitened(values: Tensor, *, centred: bool = True) -> Tensor:
    """Return values of variance 1 over the batch, ``(N,)``; those that do not vary have 0 for an advantage.

    Args:
        values: of all tokens or responses of the batch, ``(N,)``.
        centred: whether the mean becomes 0. Rewards keep theirs: to take the mean off what every token
            costs would pay for length.
    """
    if not len(values) or values.max() - values.min() <= _EPSILON:  # a mean would be off by a rounding
        return values * 0.0 if centred else values
    mean = values.mean()
    around = (values - mean) / values.std(correction=0)
    return around if centred else around + mean
