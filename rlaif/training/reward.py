"""Reward models: one number a response, learned from preferences.

Owns the trainer and its configuration. Leaves the objective to ``losses.reward`` and the figures to
``evaluation``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rlaif.checkpoints import Adapter, load_scorer
from rlaif.errors import InputError
from rlaif.records import MARGINS
from rlaif.training.config import RunConfig
from rlaif.training.data import Compared, Data, Pair, read_pairs
from rlaif.training.evaluation import figures
from rlaif.training.loop import Outcome, Run, Share
from rlaif.training.losses.reward import centering, pairwise
from rlaif.training.models import Scorer
from rlaif.training.origin import Origin
from rlaif.training.packing import pack, parts
from rlaif.training.reporting import Watch
from rlaif.training.snapshots import seed

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class RewardConfig(RunConfig):
    """``method: reward``. Defaults: Llama 2, app. A.3.3 and table 27; batch of InstructGPT, app. C.2."""

    method: Literal["reward"]
    """Train a reward model."""
    labels: Literal["soft", "hard"] = "soft"
    """Take ``p`` of a row as the target, or call chosen the better one whatever ``p`` says."""
    margin: Literal["none", "column", "small", "large"] = "none"
    """How much better chosen has to score: the file's ``margin``, or Llama 2's scale of ``margin_level``."""
    centering: float = Field(default=0.0, ge=0.0)
    """Weight of the squared sum of a pair's scores, which holds them around 0; .01 is usual."""


def train(config: RewardConfig, *, resume: bool = False, watch: Watch | None = None) -> Outcome:
    """Train a reward model and write it as an ordinary model of ``transformers`` with one label.

    Args:
        config: what to train on what.
        resume: go on where a stopped run was.
        watch: told every metric.

    Raises:
        InputError: the data, the model or the output folder cannot be used.
        JobError: the loss stayed not a number.
    """
    # 1. The model: a head it has is kept, a new one follows from the seed.
    seed(config.seed)
    checkpoint = load_scorer(config.model)
    adapter = Adapter(checkpoint.model, config.lora) if config.lora else None
    scorer = Scorer(checkpoint.model)

    # 2. The data: every prompt with all its responses, split by prompt.
    data = read_pairs(config.data, checkpoint.tokenizer)
    for one in (*data.train, *data.test):
        for pair in one.pairs:
            _margin(config, pair)

    # 3. Updates. A prompt counts once, however many of its responses were compared.
    origin = Origin.of(config, checkpoint, data.digest)
    run = Run(
        config,
        {"scorer": checkpoint.model},
        origin,
        config.total(len(data.train)),
        resume=resume,
        watch=watch,
    )
    run.describe(data.census)
    for batch in run.batches(data.train):
        update = run.update(_shares(run, config, scorer, batch))
        pairs = sum(len(one.pairs) for one in batch)
        run.log(update.metrics() | {name: value / pairs for name, value in update.sums.items()})
        if run.due(config.eval_every) and run.step < run.total:
            run.log(_evaluate(run, scorer, data), "eval/")

    # 4. What it came to, and where zero is.
    metrics = _evaluate(run, scorer, data)
    run.log(metrics, "eval/")
    model = adapter.merged() if adapter else checkpoint.model
    model.config.reward_mean, model.config.reward_std = _scale(run, scorer, data)
    return run.finish(model, checkpoint.tokenizer, metrics)


@dataclass(frozen=True, slots=True)
class _Labels:
    """What is known of a pass's pairs, ``(P,)`` each."""

    chosen: Tensor
    """Number of the better response among those of the pass."""
    rejected: Tensor
    """Number of the worse one."""
    p: Tensor
    """Target."""
    margin: Tensor
    """How much better chosen has to score."""
    weight: Tensor
    """Of the pair among those of its prompt."""


def _labels(config: RewardConfig, some: Sequence[Compared], device: torch.device) -> _Labels:
    import torch

    rows, first = list[tuple[float, ...]](), 0
    for one in some:
        for pair in one.pairs:
            p = pair.p if config.labels == "soft" else 1.0
            place = (first + pair.chosen, first + pair.rejected)
            rows.append((*place, p, _margin(config, pair), pair.weight / len(one.pairs)))
        first += len(one.group.responses)
    table = torch.tensor(rows, dtype=torch.float64, device=device)
    return _Labels(*table[:, :2].long().T, *table[:, 2:].float().T)


def _margin(config: RewardConfig, pair: Pair) -> float:
    if config.margin == "none":
        return 0.0
    if config.margin == "column":
        if pair.margin is None:
            raise InputError("a row has no column margin; add it, or set margin: none", path=config.data.path)
        return pair.margin
    if pair.level is None:
        raise InputError(
            "a row has no column margin_level; add it, or set margin: none", path=config.data.path
        )
    return MARGINS[config.margin][pair.level]


def _shares(run: Run, config: RewardConfig, scorer: Scorer, batch: Sequence[Compared]) -> Iterator[Share]:
    """Yield each pass's share of the mean over prompts of the mean over a prompt's pairs."""
    for part in run.parts([one.group for one in batch]):
        some = [batch[at] for at in part]
        packed = pack(one.group for one in some).to(scorer.model.device)
        labels = _labels(config, some, scorer.model.device)
        scores = scorer.scores(packed)
        chosen, rejected = scores[labels.chosen], scores[labels.rejected]
        losses = pairwise(chosen, rejected, labels.p, labels.margin)
        if config.centering:
            losses = losses + config.centering * centering(chosen, rejected)
        gap = chosen - rejected
        sums = {"accuracy": ((1.0 + gap.sign()) / 2.0).sum(), "gap": gap.sum(), "chosen": chosen.sum()}
        yield Share((losses * labels.weight).sum() / len(batch), sums)


def _scored(run: Run, scorer: Scorer, some: Sequence[Compared]) -> list[list[float]]:
    """Score every response, prompt by prompt."""
    groups = [one.group for one in some]
    scores: list[list[float]] = []
    with run.evaluating():
        for part in parts(groups, run.config.part_tokens):
            packed = pack(groups[at] for at in part).to(scorer.model.device)
            values = iter(scorer.scores(packed).tolist())
            scores += [[next(values) for _ in groups[at].responses] for at in part]
    return scores


def _evaluate(run: Run, scorer: Scorer, data: Data[Compared]) -> dict[str, float]:
    return figures(_scored(run, scorer, data.test), data.test, data.train)


def _scale(run: Run, scorer: Scorer, data: Data[Compared]) -> tuple[float, float]:
    """Return what chosen responses score on average, and how far all are spread.

    Held-out prompts where there are any: InstructGPT and Stiennon et al. centre on demonstrations and
    reference summaries, and here chosen responses are the nearest thing to either.
    """
    some = data.test or data.train
    scores = _scored(run, scorer, some)
    chosen = [scores[at][pair.chosen] for at, one in enumerate(some) for pair in one.pairs]
    spread = pstdev([score for one in scores for score in one])
    return fmean(chosen), spread or 1.0
