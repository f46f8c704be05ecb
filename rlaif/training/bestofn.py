"""Best of n: what it is worth, how far it strays, and which response it takes.

Owns the estimator, the divergence and the choice. Leaves scoring to reward models and judges, and what is
trained on the choice to ``rejection``.

A response without a score is missing: it is neither good nor bad, and never chosen.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rlaif.errors import InputError

Floats = npt.NDArray[np.float64]
Scores = Sequence[float | None]
"""One a response; None where there is none, as after a verdict that could not be read."""


def divergence(n: int) -> float:
    """Return KL(best of n || one draw) in nats, ``ln n - (n - 1) / n``.

    Exact where no two responses score the same, an upper bound otherwise
    (https://arxiv.org/abs/2112.09332, app. I; https://arxiv.org/abs/2401.01879).

    Raises:
        InputError: n is below 1.
    """
    _positive(n)
    return math.log(n) - (n - 1) / n


def weights(total: int, n: int) -> Floats:
    """Return how likely each of some scored responses is the best of n drawn from them, ``(total,)``.

    The i-th from below, i from 1, is the best in C(i - 1, n - 1) of C(total, n) ways. Computed from the
    top down by ratios, so that no binomial is ever written out.

    Raises:
        InputError: n is below 1 or above ``total``.
    """
    _positive(n)
    if n > total:
        raise InputError(f"found n = {n} with {total} scored responses; n may be at most their number")
    below = np.arange(total - 1, 0, -1, dtype=np.float64)
    falling = np.concatenate(([n / total], np.maximum(below - n + 1, 0.0) / below))
    rising: Floats = np.cumprod(falling, dtype=np.float64)[::-1]
    return rising


def expected(proxy: Scores, values: Sequence[float], n: int) -> float:
    """Estimate the mean value of the response that scores best among n, without bias.

    Every choice of n among the scored responses counts the same (https://arxiv.org/abs/2112.09332, app. I).
    Responses of one score share their weight, as if ties were broken at random.

    Args:
        proxy: what is chosen by; responses without a score are left out.
        values: what is looked at in the response chosen, such as the proxy itself or a gold score.
        n: draws to choose from.

    Raises:
        InputError: a score is not finite, or n is above the number of scored responses.
    """
    known = _known(proxy)
    chances = shared([_of(proxy, at) for at in known], n)
    return float(chances @ np.array([values[at] for at in known], dtype=np.float64))


def shared(scores: Sequence[float], n: int) -> Floats:
    """Return how likely each response is the best of n, aligned with ``scores``; equal scores share theirs.

    Raises:
        InputError: n is below 1 or above the number of scores.
    """
    _, level = np.unique(np.array(scores, dtype=np.float64), return_inverse=True)
    rank = np.argsort(np.argsort(level, kind="stable"))
    each = np.bincount(level, weights=weights(len(scores), n)[rank])
    found: Floats = (each / np.bincount(level))[level]
    return found


def best(scores: Scores, seed: str) -> int | None:
    """Return the place of the highest score, None where nothing is scored.

    Args:
        scores: of one prompt's responses.
        seed: decides among equal ones; name the run and the prompt in it.

    Raises:
        InputError: a score is not finite.
    """
    known = _known(scores)
    if not known:
        return None
    top = max(_of(scores, at) for at in known)
    return _drawn([at for at in known if scores[at] == top], f"best {seed}")


def best_and_worst(responses: Sequence[str], scores: Scores, seed: str) -> tuple[int, int] | None:
    """Return the places of the best and the worst response, None where no two can be told apart.

    Args:
        responses: texts; two that are equal are never set against each other.
        scores: aligned.
        seed: decides among equal scores.

    Raises:
        InputError: a score is not finite.
    """
    winner = best(scores, seed)
    if winner is None:
        return None
    others = [at for at in _known(scores) if responses[at] != responses[winner]]
    low = min((_of(scores, at) for at in others), default=_of(scores, winner))
    if low == scores[winner]:
        return None
    return winner, _drawn([at for at in others if scores[at] == low], f"worst {seed}")


def _known(scores: Scores) -> list[int]:
    odd = [one for one in scores if one is not None and not math.isfinite(one)]
    if odd:
        raise InputError(
            f"found the score {odd[0]!r}; a score is a finite number, or None where there is none"
        )
    return [at for at, one in enumerate(scores) if one is not None]


def _of(scores: Scores, at: int) -> float:
    score = scores[at]
    assert score is not None
    return score


def _drawn(places: Sequence[int], seed: str) -> int:
    return random.Random(seed).choice(places)  # noqa: S311  # no secret


def _positive(n: int) -> None:
    if n < 1:
        raise InputError(f"found n = {n}; best of n needs at least one response")
