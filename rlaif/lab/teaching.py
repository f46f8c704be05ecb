"""Policies of a sweep: one training run a value, each in a folder of its own.

Owns what a run is given: the value, the prompts, the pairs, and the proxy. Leaves training to
``training`` and measuring to ``asking``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from pydantic import JsonValue

from rlaif.errors import InputError
from rlaif.lab.asking import Bench, write_prompts
from rlaif.lab.config import Kl, Steps, Sweeping
from rlaif.lab.scoring import ByText, asked
from rlaif.training import dpo, ppo
from rlaif.training.loop import Outcome
from rlaif.training.origin import lengthened
from rlaif.training.reporting import Watch
from rlaif.training.rollouts import Rollout
from rlaif.training.scoring import RewardModel
from rlaif.wholefile import put

_SAMPLES = 4
"""Responses to each prompt that pairs are made of."""


def data_for(sweeping: Sweeping, bench: Bench, prompts: list[str], folder: Path) -> Path:
    """Write what all runs train on: prompts, or pairs the proxy labelled.

    Args:
        sweeping: names the method.
        bench: draws and scores.
        prompts: to train on.
        folder: of the sweep.

    Raises:
        InputError: the proxy can tell no two responses apart.
    """
    path = write_prompts(folder / "teaching.jsonl", prompts)
    assert sweeping.train is not None  # the file is refused otherwise
    return path if sweeping.train.method == "ppo" else _pairs(bench, path, folder / "pairs.jsonl")


def taught(
    sweeping: Sweeping, bench: Bench, value: float, data: Path, folder: Path, watch: Watch | None
) -> Outcome:
    """Train the policy of one value, or go on training it.

    Args:
        sweeping: the sweep.
        bench: holds the proxy.
        value: beta, or updates.
        data: what ``data_for`` wrote.
        folder: of the run.
        watch: told every metric.

    Raises:
        InputError: model or data cannot be used.
        JobError: the loss stayed not a number.
    """
    config = configured(sweeping, bench, value, data, folder)
    before = _shorter(sweeping, value)
    if before is not None:
        lengthened(folder.with_name(f"step-{before}"), config)
    if isinstance(config, ppo.PpoConfig):
        score = bench.proxy if isinstance(bench.proxy, ByText) else None
        return ppo.train(config, resume=folder.is_dir(), watch=watch, score=score)
    return dpo.train(config, resume=folder.is_dir(), watch=watch)


def configured(
    sweeping: Sweeping, bench: Bench, value: float, data: Path, folder: Path
) -> ppo.PpoConfig | dpo.DpoConfig:
    """Return the configuration of one value's run."""
    train = sweeping.train
    assert train is not None
    told: dict[str, JsonValue] = train.model_dump(mode="json")
    told |= {
        "model": sweeping.model, "output": str(folder), "seed": sweeping.seed,
        "data": {"path": str(data), "test_share": 0.0},
    }  # fmt: skip
    on_policy = isinstance(train, ppo.PpoConfig)
    if on_policy and isinstance(bench.proxy, RewardModel):
        told["reward"] = bench.proxy.model_dump(mode="json")
    if isinstance(sweeping.sweep, Kl):
        part = told["kl" if on_policy else "objective"]
        assert isinstance(part, dict)
        part["beta"] = value
    else:
        told["steps"] = round(value)
        if along(train):
            # A snapshot at the last update, from which the next longer run goes on.
            begun = _shorter(sweeping, value) or 0
            told["save_every"] = math.gcd(train.save_every or 0, round(value) - begun)
    return type(train).model_validate(told)


def along(train: ppo.PpoConfig | dpo.DpoConfig) -> bool:
    """Whether a run of so many updates is the beginning of any longer one, so that one run makes all points.

    Its learning rate must not depend on its length, and no round may be cut short by its end.
    """
    whole = not isinstance(train, ppo.PpoConfig) or train.rounds[1] == 1
    return train.schedule == "constant" and train.warmup == 0.0 and whole


def _shorter(sweeping: Sweeping, value: float) -> int | None:
    """Updates of the run that a run of ``value`` updates goes on from; None where it begins anew."""
    train = sweeping.train
    if not isinstance(sweeping.sweep, Steps) or train is None or not along(train):
        return None
    inner = train.rounds[0] if isinstance(train, ppo.PpoConfig) else 1
    return max((one for one in sweeping.sweep.values if one < value and one % inner == 0), default=None)


def _pairs(bench: Bench, prompts: Path, path: Path) -> Path:
    """Draw from the start, and let the proxy choose of every two responses that ended.

    The better one wins with probability sigma of the difference, kept as ``p``: so beta costs what it costs
    in PPO and the best policy is the same.
    """
    if path.is_file():
        return path
    teaching = replace(bench, prompts=prompts, how=bench.how.model_copy(update={"samples": _SAMPLES}))
    rows = [row for one, scores in teaching.answers() for row in _compared(one, scores)]
    if not rows:
        raise InputError(
            f"of {_SAMPLES} responses to each prompt to train on, no two ended by themselves and were worth"
            " different things to the proxy; raise max_tokens or size",
            field="max_tokens",
        )
    put(path, "".join(json.dumps(row) + "\n" for row in rows))
    return path


def _compared(one: Rollout, scores: Sequence[float | None]) -> Iterator[dict[str, JsonValue]]:
    """Yield a row for every two responses of a prompt that ended and are worth different things."""
    ended = {
        text: score
        for text, score, cut in zip(one.texts, scores, one.cut, strict=True)
        if score is not None and not cut and text.strip()
    }
    turns: JsonValue = [{"role": "user", "content": asked(one.asked.text)}]
    for better, worse in combinations(sorted(ended, key=lambda text: (-ended[text], text)), 2):
        gap = ended[better] - ended[worse]
        if gap > 0.0:
            yield {"prompt": turns, "chosen": better, "rejected": worse, "p": 1.0 / (1.0 + math.exp(-gap))}
