"""Policies side by side on prompts nothing was trained on.

Owns the measured row of a policy: scores, wins against the first one, raw and with length held equal, KL,
form and symptoms. Leaves drawing to ``drawing`` and the estimators of KL to ``lab``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np

from rlaif.audits.bootstrap import wilson
from rlaif.audits.logistic import fit
from rlaif.checkpoints import identity, load
from rlaif.iterations.notices import notices
from rlaif.iterations.records import Figures, Opinion
from rlaif.lab.asking import moved
from rlaif.recipes.config import Measuring
from rlaif.recipes.desk import Desk, Drawn, label
from rlaif.recipes.drawing import as_rows, opened
from rlaif.recipes.folder import content, put_rows
from rlaif.recipes.leaving import Reference
from rlaif.recipes.rows import Row, asked, by_prompt, prompts, said
from rlaif.recipes.scores import of_rollouts, source
from rlaif.records import Record
from rlaif.symptoms import SYMPTOMS, found
from rlaif.training.bestofn import expected
from rlaif.training.rollouts import Draw, draw
from rlaif.wholefile import put

_RUN: Final = 4
"""Words of a run that is counted as one."""
_Z: Final = 1.96


class Rate(Record):
    """A share of prompts with its interval of 95 %."""

    mean: float
    low: float
    high: float


class Measured(Record):
    """One policy, measured."""

    policy: str
    """What it is called."""
    path: str
    """Where it lies."""
    figures: Figures
    """Scores, KL, length, cuts and symptoms; KL is from the first policy."""
    distinct: float
    """Share of all runs of four words that are different from each other."""
    entropy: float | None = None
    """Nats a token of the policy's own draws, by their log-probabilities."""
    wins: Rate | None
    """Prompts on which its gold is above the first policy's, ties half, with Wilson's interval; None of the
    first."""
    even: Rate | None
    """The same where both responses are equally long, by regression; None where that cannot be told."""
    best: dict[int, Opinion]
    """Gold of the best of so many of its responses by the proxy."""


def measured(measuring: Measuring, desk: Desk, folder: Path) -> tuple[list[Measured], tuple[str, ...]]:
    """Measure all policies of a step, or go on with it.

    Returns:
        A row a policy, and what to look at.

    Raises:
        InputError: a model or the prompts cannot be used.
    """
    place = put_rows(folder / "prompts.jsonl", prompts(desk.rows(measuring.prompts)))
    every = [_one(measuring, at, desk, (folder, place)) for at in range(len(measuring.policies))]
    told = [f"{one.policy}: {said}" for one in every[1:] for said in notices(every[0].figures, one.figures)]
    put(folder / "figures.json", json.dumps([one.model_dump(mode="json") for one in every], indent=1) + "\n")
    return every, tuple(told)


def _one(measuring: Measuring, at: int, desk: Desk, place: tuple[Path, Path]) -> Measured:
    """Measure one policy, or read what was measured of it."""
    folder, _ = place
    path = folder / f"policy-{at}.json"
    if path.is_file():
        return Measured.model_validate_json(path.read_bytes())
    rows, kl = _answers(measuring, at, desk, place)
    first = rows if at == 0 else _read(folder / "responses-0.jsonl")
    put_rows(folder / f"responses-{at}.jsonl", rows)
    text = measuring.policies[at]
    row = row_of((label(text), desk.model(text)), rows, first, kl, measuring.best_of)
    made = row if at else row.model_copy(update={"wins": None, "even": None})
    put(path, made.model_dump_json(indent=1) + "\n")
    return made


def _answers(
    measuring: Measuring, at: int, desk: Desk, place: tuple[Path, Path]
) -> tuple[list[Row], tuple[float, float]]:
    """Draw from a policy, score what it drew, and tell how far it is from the first."""
    tokenizer, drawn, kl = _drawn(measuring, at, desk, place[1])
    gold = of_rollouts(source(measuring.gold, desk), tokenizer, drawn)
    if measuring.proxy is None:
        proxy: list[list[float | None]] = [[None] * len(one) for one in gold]
    else:
        proxy = of_rollouts(source(measuring.proxy, desk), tokenizer, drawn)
    rows = [
        {**row, "gold": gold[number][draw_at], "proxy": proxy[number][draw_at]}
        for number, one in enumerate(drawn)
        for draw_at, row in enumerate(as_rows(one))
    ]
    return rows, kl


def _drawn(measuring: Measuring, at: int, desk: Desk, prompts: Path) -> Drawn:
    """Draw from a policy and weigh what it drew, once in a process however many steps measure it."""
    how = Draw(samples=measuring.k, max_tokens=measuring.max_tokens)
    model, first = (desk.model(measuring.policies[one]) for one in (at, 0))
    # Best of n is compared with what the first policy says by itself, which must not be one of the n.
    seed = f"{desk.recipe.seed}:{'best of' if measuring.best_of else 'held out'}"
    key = (identity(model), identity(first), content(prompts), how, seed)
    if key not in desk.drawn:
        checkpoint, engine, wanted = opened(model, prompts, how)
        drawn = draw(engine, wanted, how, seed)
        kl = (0.0, 0.0) if model == first else moved(checkpoint, load(first), drawn)
        desk.drawn[key] = (checkpoint.tokenizer, drawn, kl)
    return desk.drawn[key]


def ends(text: str, desk: Desk) -> tuple[list[Row], list[Row]]:
    """Return the responses of the first and of the last policy of a measure step, ``@STEP``."""
    reference = Reference.read(text)
    assert reference is not None  # checked when the recipe was read
    figures = Path(desk.path(reference))
    last = len(json.loads(figures.read_bytes())) - 1
    first, other = (_read(figures.with_name(f"responses-{at}.jsonl")) for at in (0, last))
    return first, other


def row_of(
    policy: tuple[str, str],
    rows: Sequence[Mapping[str, Any]],
    first: Sequence[Mapping[str, Any]],
    kl: tuple[float, float],
    best_of: Sequence[int],
) -> Measured:
    """Return the row of a policy.

    Args:
        policy: its name and where it lies.
        rows: its responses: ``prompt completion tokens cut gold proxy``.
        first: those of the first policy to the same prompts, in the same order.
        kl: from the first policy, by both estimators.
        best_of: how many responses the best is of, as often as that is asked for.
    """
    shown = [found(row["completion"], asked(row["prompt"])) for row in rows]
    figures = Figures(
        responses=len(rows), proxy=_opinion(rows, "proxy"), second=None, gold=_opinion(rows, "gold"),
        kl=kl[0], kl_k3=kl[1], tokens=fmean(row["tokens"] for row in rows),
        cut=fmean(row["cut"] for row in rows),
        symptoms={name: fmean(name in some for some in shown) for name in SYMPTOMS},
    )  # fmt: skip
    wins, even = against(rows, first)
    return Measured(
        policy=policy[0], path=policy[1], figures=figures, distinct=distinct(rows), entropy=entropy(rows),
        wins=wins, even=even,
        best={n: _best(rows, n) for n in best_of},
    )  # fmt: skip


def against(
    rows: Sequence[Mapping[str, Any]], first: Sequence[Mapping[str, Any]]
) -> tuple[Rate | None, Rate | None]:
    """Return the share of prompts won against another policy, raw and with length held equal.

    A prompt is won where the mean gold of its responses is higher. The second number regresses that on how
    much longer the responses are and reads it off where they are equally long (Lee et al. 2023, app. J).
    """
    mine, theirs = by_prompt(rows), by_prompt(first)
    won, longer = [], []
    for key in mine.keys() & theirs.keys():
        both = [[row["gold"] for row in some[key] if row["gold"] is not None] for some in (mine, theirs)]
        if not all(both):
            continue
        gap = fmean(both[0]) - fmean(both[1])
        won.append(0.5 if gap == 0.0 else float(gap > 0.0))
        lengths = [fmean(row["tokens"] for row in some[key]) for some in (mine, theirs)]
        longer.append(lengths[0] / max(lengths[1], 1.0) - 1.0)
    between = wilson(sum(won), len(won))
    if between is None:
        return None, None
    return Rate(mean=fmean(won), low=between[0], high=between[1]), even(won, longer)


def even(won: Sequence[float], longer: Sequence[float]) -> Rate | None:
    """Return the share of prompts won where both responses are equally long, by logistic regression.

    Args:
        won: 1, a half or 0, a prompt.
        longer: by what share the response is longer than the other one.

    Returns:
        The rate with its interval; None where no line can be drawn.
    """
    if len(won) < 8 or np.ptp(longer) == 0.0 or min(won) == max(won):  # no line can be drawn through these
        return None
    features = np.column_stack([np.ones(len(longer)), np.array(longer)])
    fitted = fit(features, np.array(won), np.arange(len(won)))
    at, error = float(fitted.weights[0]), float(fitted.errors[0])
    middle, low, high = (1.0 / (1.0 + math.exp(-one)) for one in (at, at - _Z * error, at + _Z * error))
    return Rate(mean=middle, low=low, high=high)


def distinct(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of runs of four words that are different from each other, 1 where there is none."""
    words = [said(row["completion"]).split() for row in rows]
    runs = [tuple(one[at : at + _RUN]) for one in words for at in range(len(one) - _RUN + 1)]
    return len(set(runs)) / len(runs) if runs else 1.0


def entropy(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return minus the mean log-probability of a drawn token, an estimate of entropy; None where unknown."""
    known = [row["logprob"] for row in rows if row.get("logprob") is not None]
    return -sum(known) / sum(row["tokens"] for row in rows) if len(known) == len(rows) and rows else None


def _opinion(rows: Sequence[Mapping[str, Any]], name: str) -> Opinion | None:
    by = [[row[name] for row in some if row[name] is not None] for some in by_prompt(rows).values()]
    known = [fmean(some) for some in by if some]
    if not known:
        return None
    return Opinion.of(known, sum(row[name] is None for row in rows) / len(rows))


def _best(rows: Sequence[Mapping[str, Any]], n: int) -> Opinion:
    """Gold of the best of n by the proxy, over all choices of n among a prompt's responses."""
    values = []
    for some in by_prompt(rows).values():
        known = [row for row in some if row["proxy"] is not None and row["gold"] is not None]
        if len(known) >= n:
            values.append(expected([row["proxy"] for row in known], [row["gold"] for row in known], n))
    return Opinion.of(values, 0.0)


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]
