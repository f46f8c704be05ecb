"""What a reward model is trained on: the order of two scores.

Owns the loss of a pair and its variants. Leaves scores to ``models`` and margins to the rows.

All pairs of a prompt stay in one update, their losses averaged over the prompt's pairs, C(K, 2) for a
ranking of K: InstructGPT, eq. 1 (https://arxiv.org/abs/2203.02155).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pairwise(chosen: Tensor, rejected: Tensor, p: Tensor, margin: Tensor) -> Tensor:
    """Return the loss of each pair, ``(P,)``, finite at any gap.

    With d = chosen - rejected - margin::

        -(p log sigma(d) + (1 - p) log sigma(-d))

    p = 1 is Bradley-Terry's likelihood (Stiennon et al. 2020), p = .5 a tie (WebGPT, sec. 3.2), any other
    a soft label (Lee et al. 2023); the margin is Llama 2's eq. 2. Without a margin the minimum is at
    d = log(p / (1 - p)).

    Args:
        chosen: scores of the better responses, ``(P,)``.
        rejected: scores of the worse ones, ``(P,)``.
        p: probability that chosen is better, ``(P,)``.
        margin: how much better it has to score, ``(P,)``.
    """
    from torch.nn.functional import logsigmoid

    gap = chosen - rejected - margin
    return -(p * logsigmoid(gap) + (1.0 - p) * logsigmoid(-gap))


def centering(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Return what pulls each pair's scores towards a mean of 0, ``(P,)``: (chosen + rejected)^2.

    TRL's form, after Eisenstein et al. 2023, eq. 2 (https://arxiv.org/abs/2312.09244): its gradient is
    0 exactly where chosen = -rejected, so it fixes the pair's sum and leaves the gap alone.
    """
    return (chosen + rejected).square()
