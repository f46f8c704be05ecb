"""Two reward models as one: safety speaks where it matters, helpfulness everywhere else.

Owns Llama 2's combination (sec. 3.2.3, https://arxiv.org/abs/2307.09288), which is no weighted sum. Leaves
scoring to ``models`` and the KL penalty to the policy's trainer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rlaif.training.advantages import whitened

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD: Final = 0.15
"""Below this probability of being safe, safety alone counts: precision .89, recall .55 on Meta Safety."""
_FLOOR: Final = math.log(THRESHOLD / (1.0 - THRESHOLD))


def gated(safety: Tensor, helpfulness: Tensor, tagged: Tensor) -> Tensor:
    """Return the reward of each response, ``(R,)``, whitened over the batch.

        R_c = R_s where the prompt is tagged unsafe or R_s < .15, else R_h;  R = whiten(logit(R_c))

    R_s and R_h are the scores' sigmoids, which logit undoes: computed on scores, nothing saturates.

    Args:
        safety: raw scores of the safety model, ``(R,)``.
        helpfulness: raw scores of the helpfulness model, ``(R,)``.
        tagged: whether the prompt is one of the safety set, boolean, ``(R,)``.
    """
    return whitened(passed(safety, helpfulness, tagged))


def passed(safety: Tensor, helpfulness: Tensor, tagged: Tensor) -> Tensor:
    """Return the score that counts for each response, logit(R_c), ``(R,)``; see ``gated``."""
    return safety.where(tagged | (safety < _FLOOR), helpfulness)
