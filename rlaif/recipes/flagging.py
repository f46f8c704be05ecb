"""What a recipe has to say of itself: revisions that revise nothing, scores and labels that know nothing.

Owns the conditions as pure functions of rows and scores. Leaves reading and scoring to ``making``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev, variance
from typing import Any, Final

from rlaif.audits.bootstrap import wilson
from rlaif.iterations.records import Figures
from rlaif.recipes.folder import Raised
from rlaif.recipes.rows import by_prompt
from rlaif.training.controls import Control

_FEWEST = 8
"""Rows below which nothing is said but that there are too few."""
_STILL: Final = 1e-3
"""Nats from which a policy has moved."""


def identical(rows: Sequence[Mapping[str, Any]], most: float) -> Raised:
    """Tell whether revisions repeat what they revise.

    Args:
        rows: revisions, with a column ``identical``.
        most: share that may.
    """
    share = sum(bool(row.get("identical")) for row in rows) / max(len(rows), 1)
    said = f"{share:.0%} of {len(rows)} revisions repeat what they were to revise"
    if share > most:
        said += ": this model criticises without changing anything, and training on it teaches nothing"
    return Raised(title="revisions that change nothing", said=said, raised=share > most)


def blind_scores(rows: Sequence[Mapping[str, Any]], truth: Sequence[float | None], title: str) -> Raised:
    """Tell whether scores of responses to one prompt have anything to do with the truth.

    Scores and truth are compared within prompts, where all that trainers learn from is; prompts count as the
    independent units of the standard error.

    Args:
        rows: scored responses.
        truth: of each; None where there is none.
        title: what scored them.
    """
    known = [
        {**row, "truth": value}
        for row, value in zip(rows, truth, strict=True)
        if value is not None and row.get("score") is not None
    ]
    agreed = [one for some in by_prompt(known).values() for one in _agreements(some)]
    return _said(f"scores of {title}", agreed, "orders two responses as the truth does")


def blind_labels(
    rows: Sequence[Mapping[str, Any]], better: Sequence[float | None], worse: Sequence[float | None]
) -> Raised:
    """Tell whether labels of pairs agree with the truth more than a coin would.

    Pairs of one prompt share their responses and agree or err together, so prompts are what is counted.

    Args:
        rows: the pairs.
        better: truth of the chosen responses.
        worse: truth of the rejected ones.
    """
    told = [
        {**row, "agreed": float(one > other)}
        for row, one, other in zip(rows, better, worse, strict=True)
        if one is not None and other is not None and one != other
    ]
    agreed = [fmean(row["agreed"] for row in some) for some in by_prompt(told).values()]
    return _said("labels of pairs", agreed, "prefers what the truth prefers", of=len(told))


def parted(first: Sequence[Mapping[str, Any]], last: Sequence[Mapping[str, Any]]) -> Raised:
    """Tell whether a proxy and a gold score that agreed at first have come apart, prompt by prompt.

    Args:
        first: responses of the first policy, with ``proxy`` and ``gold``.
        last: those of the last one to the same prompts.
    """
    gaps = [
        {
            key: fmean(row["proxy"] - row["gold"] for row in some)
            for key, some in by_prompt(
                [row for row in rows if None not in (row["proxy"], row["gold"])]
            ).items()
        }
        for rows in (first, last)
    ]
    grew = [gaps[1][key] - gaps[0][key] for key in gaps[0].keys() & gaps[1].keys()]
    title = "proxy and gold"
    if len(grew) < 2:
        return Raised(title=title, said=f"{len(grew)} prompts are too few to tell", raised=False)
    mean, error = fmean(grew), stdev(grew) / math.sqrt(len(grew))
    said = (
        f"the proxy moved by {mean:+.3g} (standard error {error:.2g}) more than gold, from the first policy"
        " to the last"
    )
    raised = mean > 2.0 * error
    if raised:
        said += ": what was optimised has come apart from what only watched; use an earlier policy"
    return Raised(title=title, said=said, raised=raised)


def held(control: Control, first: Figures, now: Figures, policy: str) -> Raised:
    """Tell whether a control did what it had to.

    Args:
        control: which.
        first: figures of the policy the others are held against.
        now: of another.
        policy: what that is called.
    """
    title = f"control {control}, {policy}"
    if control == "still":
        said = f"it lies {now.kl_k3:.2g} nats from the first policy"
        raised = now.kl_k3 >= _STILL
        return Raised(title=title, said=said + (": something moved it" if raised else ""), raised=raised)
    before, after = first.gold, now.gold
    if before is None or after is None or before.mean is None or after.mean is None:
        return Raised(title=title, said="there is no gold to tell by", raised=False)
    gap, error = after.mean - before.mean, math.hypot(before.error or 0.0, after.error or 0.0)
    said = f"gold moved by {gap:+.3g} (standard error {error:.2g}) from the first policy"
    raised = gap > 2.0 * error or (control == "constant" and gap < -2.0 * error)
    if raised:
        said += ": something else than these labels taught it, such as demonstrations, which it leaves alone"
    return Raised(title=title, said=said, raised=raised)


def _agreements(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Whether the score orders neighbours as the truth does; every response is in one comparison at most, and
    equal scores count half."""
    found = []
    for at in range(0, len(rows) - 1, 2):
        gap = rows[at]["score"] - rows[at + 1]["score"]
        true = rows[at]["truth"] - rows[at + 1]["truth"]
        if true != 0.0:
            found.append(0.5 if gap == 0.0 else float((gap > 0.0) == (true > 0.0)))
    return found


def _said(title: str, agreed: Sequence[float], what: str, of: int | None = None) -> Raised:
    """Judge a share of agreement, of independent shares that come from ``of`` comparisons in all."""
    between = _interval(agreed, of or len(agreed))
    if between is None:
        said = f"{len(agreed)} prompts with comparisons are too few to tell; take a larger size"
        return Raised(title=title, said=said, raised=False)
    low, high = between
    said = (
        f"it {what} in {fmean(agreed):.0%} of {of or len(agreed)} comparisons (95 %: {low:.0%} to {high:.0%})"
    )
    if high < 0.5:
        return Raised(title=title, said=f"{said}: it runs against the truth, and what is trained on it will"
                      " get worse", raised=True)  # fmt: skip
    if low <= 0.5:
        return Raised(title=title, said=f"{said}: no better than a coin", raised=True)
    return Raised(title=title, said=said, raised=False)


def _interval(agreed: Sequence[float], comparisons: int) -> tuple[float, float] | None:
    """Wilson's interval of a mean of shares, by as many comparisons as their spread says they are worth, one
    a prompt at least and all at most; None of too few prompts."""
    if len(agreed) < _FEWEST:
        return None
    share, spread = fmean(agreed), variance(agreed) / len(agreed)
    worth = share * (1.0 - share) / spread if spread > 0.0 else float(len(agreed))
    worth = min(max(worth, len(agreed)), comparisons)
    return wilson(share * worth, worth)
