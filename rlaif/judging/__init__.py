"""Judging: a judge is one model call plus two pure hooks, the question and the reading.

Owns the question's words, the fences around model text and the verdict's reading. Leaves calling to
the provider client and what follows from verdicts to ``preferences`` and ``ranking``.
"""

from rlaif.judging.base import Context, Judge, Pair, Reading, judge_pair
from rlaif.judging.pairwise import JudgeConfig, PairwiseJudge
from rlaif.judging.pointwise import PointwiseScorer, ScorerConfig, score_sample, unit_score


def build(config: JudgeConfig | ScorerConfig) -> PairwiseJudge | PointwiseScorer:
    """Make the judge a config describes.

    Raises:
        InputError: an unknown model spec or template, or a template that does not fit the verdict.
    """
    if isinstance(config, JudgeConfig):
        return PairwiseJudge.build(config)
    return PointwiseScorer.build(config)


__all__ = [
    "Context",
    "Judge",
    "JudgeConfig",
    "Pair",
    "PairwiseJudge",
    "PointwiseScorer",
    "Reading",
    "ScorerConfig",
    "build",
    "judge_pair",
    "score_sample",
    "unit_score",
]
