"""What is logged of policy training, each number with its exact definition.

Owns the figures of a round of rollouts. Leaves those of an update, sums over its passes, to ``ppo``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev, stdev
from typing import TYPE_CHECKING

from rlaif.training.kl import k1, k3
from rlaif.training.rollouts import Rollout
from rlaif.training.values import Reading

if TYPE_CHECKING:
    from torch import Tensor


def of_scores(scores: Sequence[float | None]) -> dict[str, float]:
    """Return figures of scores, before KL and penalties.

    - ``score``, ``score_std``: mean over scored responses, and the population's standard deviation;
    - ``unscored``: responses nobody could score, which are not trained on.
    """
    known = [one for one in scores if one is not None]
    spread = {"score": fmean(known), "score_std": pstdev(known)} if known else {}
    return spread | {"unscored": float(len(scores) - len(known))}


def of_gold(by_prompt: Sequence[Sequence[float | None]]) -> dict[str, float]:
    """Return figures of a second opinion, nothing where it has none.

    - ``gold``: mean over prompts of the mean over a prompt's responses that have a score;
    - ``gold_error``: its standard error, over prompts; missing of fewer than two.
    """
    known = [[one for one in some if one is not None] for some in by_prompt]
    means = [fmean(some) for some in known if some]
    error = {"gold_error": stdev(means) / math.sqrt(len(means))} if len(means) > 1 else {}
    return {"gold": fmean(means)} | error if means else {}


def of_texts(rollouts: Sequence[Rollout], ends: frozenset[int]) -> dict[str, float]:
    """Return figures of what was drawn.

    - ``length``: tokens of a response, its end included, mean over responses;
    - ``cut``: share of responses that ran into the most tokens they may have;
    - ``eos``: share whose last token is one that ends a response; those ended by a stop string are neither;
    - ``distinct_4``: different runs of four tokens among all such runs of all responses, 1 if there is none.
    """
    said = [ids for one in rollouts for ids in one.group.responses]
    cut = [one for rollout in rollouts for one in rollout.cut]
    runs = [ids[at : at + 4] for ids in said for at in range(len(ids) - 3)]
    return {
        "length": fmean(map(len, said)),
        "cut": fmean(cut),
        "eos": fmean(ids[-1] in ends for ids in said),
        "distinct_4": len(set(runs)) / len(runs) if runs else 1.0,
    }


def of_reading(reading: Reading, known: Tensor, rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Return figures of log-probabilities.

    - ``kl``: k1 summed over a response's tokens, mean over responses, in nats;
    - ``kl_k3``: the same of k3;
    - ``entropy``: of the distributions tokens were drawn from, mean over tokens, in nats;
    - ``engine_gap``: mean over tokens of exp|d|, d between the engine's log-probability and the one trained
      on; 1 where both agree, and above 1.01 in float32 something is wrong.

    Args:
        reading: of the policy, ``(N,)``.
        known: the reference's log-probabilities, ``(N,)``.
        rollouts: the same responses.
    """
    number = sum(len(one.texts) for one in rollouts)
    assert reading.entropy is not None
    drawn = reading.logprobs.new_tensor([p for one in rollouts for row in one.drawn for p in row])
    return {
        "kl": float(k1(reading.logprobs, known).sum()) / number,
        "kl_k3": float(k3(reading.logprobs, known).sum()) / number,
        "entropy": float(reading.entropy.mean()),
        "engine_gap": float((drawn - reading.logprobs).abs().exp().mean()),
    }


def explained(values: Tensor, returns: Tensor) -> float:
    """Return the share of the returns' variance over tokens that values explain: 1 - Var(G - V) / Var(G).

    1 is perfect, 0 no better than a constant; not a number where all returns are equal.
    """
    whole = float(returns.var(correction=0))
    return 1.0 - float((returns - values).var(correction=0)) / whole if whole > 0.0 else math.nan
