"""A checkpoint on the held-out prompts: what it says, what that is worth, and how far it has moved.

Owns drawing from a model in the laboratory, the point that comes of it, and whom a judge compares with whom.
Leaves rollouts, scores and the estimators of KL to ``training``, and asking a judge to ``preferring``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from rlaif.checkpoints import Checkpoint, load
from rlaif.generation import Engine, Limits
from rlaif.lab.choosing import Pool
from rlaif.lab.curve import Point, Values
from rlaif.lab.files import filed
from rlaif.lab.preferring import Matched
from rlaif.lab.scoring import ByText, asked, shown
from rlaif.lab.worlds import World
from rlaif.symptoms import SYMPTOMS
from rlaif.training.config import DataConfig
from rlaif.training.data import Asked, read_prompts
from rlaif.training.kl import k1, k3
from rlaif.training.models import Policy
from rlaif.training.packing import Group, pack, parts
from rlaif.training.rollouts import Draw, Rollout, draw
from rlaif.training.scoring import RewardModel, rater

if TYPE_CHECKING:
    from torch import Tensor

_PART_TOKENS: Final = 4096
"""Most tokens of one pass."""
_AT_ONCE: Final = 8
"""Prompts drawn for before what was drawn is written."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every point of a sweep is measured by, and on."""

    start: str
    """The policy KL is measured from."""
    prompts: Path
    """Held-out prompts, JSONL."""
    how: Draw
    """How responses are drawn; temperature 1, or KL would be of another policy."""
    seed: int
    """Names the draw, the same for every policy."""
    proxy: ByText | RewardModel
    """What is optimised."""
    held_out: ByText | RewardModel
    """What says which point to use, where no judge does; gold in any case of a world."""
    said: Path | None = None
    """Folder that keeps what every point said, a file a point; None keeps nothing."""
    judge: Callable[[Sequence[Matched]], Sequence[float | None]] | None = None
    """Says how likely each of some responses is better than one of the start's; needs ``said``."""

    def read(self, checkpoint: Checkpoint) -> Sequence[Asked]:
        """Return the held-out prompts as a checkpoint's tokens."""
        config = DataConfig(path=str(self.prompts), test_share=0.0)
        return read_prompts(config, checkpoint.tokenizer).train

    def answers(self) -> list[tuple[Rollout, list[float | None]]]:
        """Draw from the start, and score by the proxy.

        Raises:
            InputError: as ``scores``.
        """
        checkpoint = load(self.start)
        drawn = draw(_engine(checkpoint, self.how), self.read(checkpoint), self.how, f"{self.seed}:answers")
        return list(zip(drawn, self.scores(self.proxy, checkpoint, drawn), strict=True))

    def scores(
        self, by: ByText | RewardModel, checkpoint: Checkpoint, drawn: Sequence[Rollout]
    ) -> list[list[float | None]]:
        """Score what was drawn, response by response, a list a prompt.

        Raises:
            InputError: a reward model reads other tokens than the policy.
        """
        source, call = (by, None) if isinstance(by, RewardModel) else (None, by)
        rate = rater(source, call, checkpoint.tokenizer, _PART_TOKENS)
        prompts = [one.asked.text for one in drawn for _ in one.texts]
        texts = [text for one in drawn for text in one.texts]
        left = iter(rate(prompts, texts, [one.group for one in drawn]))
        return [list(islice(left, len(one.texts))) for one in drawn]


def write_prompts(path: Path, prompts: Sequence[str]) -> Path:
    """Write prompts as trainers read them, one turn of a user each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ({"prompt": [{"role": "user", "content": one}]} for one in prompts)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prompts_of(world: World, held_out: int, teaching: int) -> tuple[list[str], list[str]]:
    """Return prompts to measure on and prompts to train on, all different."""
    different = dict.fromkeys(world.prompt(number) for number in range(4 * (held_out + teaching)))
    some = list(islice(different, held_out + teaching))
    return some[:held_out], some[held_out:]


def measured(bench: Bench, name: str, setting: float | None, model: str) -> Point:
    """Draw from a checkpoint and make its point.

    Args:
        bench: what it is measured by.
        name: of the point.
        setting: what the sweep varied; None for the start.
        model: the checkpoint.

    Raises:
        InputError: the model cannot be used, or a reward model reads other tokens.
    """
    checkpoint = load(model)
    drawn = draw(_engine(checkpoint, bench.how), bench.read(checkpoint), bench.how, f"{bench.seed}:held out")
    kl, kl_k3 = (0.0, 0.0) if model == bench.start else moved(checkpoint, load(bench.start), drawn)
    every = [one for rollout in drawn for one in _symptoms(rollout.asked, rollout.texts)]
    return Point(
        name=name, setting=setting, checkpoint=model, kl=kl, kl_k3=kl_k3,
        proxy=_means(bench.scores(bench.proxy, checkpoint, drawn)),
        gold=_means(bench.scores(bench.held_out, checkpoint, drawn)),
        length=fmean(len(ids) for one in drawn for ids in one.group.responses),
        symptoms={symptom: fmean(symptom in some for some in every) for symptom in SYMPTOMS},
        responses=len(every), judged=_judged(bench, name, drawn, first=model == bench.start),
    )  # fmt: skip


def _judged(bench: Bench, name: str, drawn: Sequence[Rollout], *, first: bool) -> Values | None:
    """Keep what a point said, and ask the judge: each response beside the start's of the same number."""
    if bench.said is None:
        return None
    bench.said.mkdir(exist_ok=True)
    rows = [{"prompt": asked(one.asked.text), "responses": one.texts} for one in drawn]
    (bench.said / f"{filed(name)}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if bench.judge is None:
        return None
    if first:
        return (0.0,) * len(drawn)
    start = _kept(bench.said / "start.jsonl")
    matches = [
        Matched(one.asked.text, mine, theirs)
        for one, row in zip(drawn, start, strict=True)
        for mine, theirs in zip(one.texts, row["responses"], strict=True)
    ]
    left = iter(bench.judge(matches))
    return _means([[None if p is None else p - 0.5 for p in islice(left, len(one.texts))] for one in drawn])


def pools(bench: Bench, path: Path) -> list[Pool]:
    """Draw what best of n chooses from, once: what is in the file already is not drawn again.

    Args:
        bench: model, prompts and scores.
        path: keeps a line a prompt.

    Raises:
        InputError: as ``measured``.
    """
    checkpoint = load(bench.start)
    prompts = bench.read(checkpoint)
    engine, known = _engine(checkpoint, bench.how), _kept(path)
    with path.open("a") as file:
        for first in range(len(known), len(prompts), _AT_ONCE):
            places = range(first, min(first + _AT_ONCE, len(prompts)))
            drawn = draw(engine, prompts, bench.how, f"{bench.seed}:pool", places)
            both = (bench.scores(by, checkpoint, drawn) for by in (bench.proxy, bench.held_out))
            for one, proxy, gold in zip(drawn, *both, strict=True):
                lengths = [len(ids) for ids in one.group.responses]
                known.append({"texts": one.texts, "lengths": lengths, "proxy": proxy, "gold": gold})
                file.write(json.dumps(known[-1]) + "\n")
            file.flush()
    return [
        Pool(row["proxy"], row["gold"], row["lengths"], _symptoms(one, row["texts"]))
        for row, one in zip(known, prompts, strict=True)
    ]


def _engine(checkpoint: Checkpoint, how: Draw) -> Engine:
    return Engine(checkpoint, Limits(rows=max(1, _PART_TOKENS // how.max_tokens)))


def moved(checkpoint: Checkpoint, start: Checkpoint, drawn: Sequence[Rollout]) -> tuple[float, float]:
    """KL from the start by both estimators, nats a response."""
    groups = [one.group for one in drawn]
    own, known = (_weighed(one, groups) for one in (checkpoint, start))
    number = sum(len(one.responses) for one in groups)
    return float(k1(own, known).sum()) / number, float(k3(own, known).sum()) / number


def _weighed(checkpoint: Checkpoint, groups: Sequence[Group]) -> Tensor:
    """Log-probability of every token of the responses, ``(N,)``, float64."""
    import torch

    policy = Policy(checkpoint.model)
    with torch.no_grad(), policy.passes():
        found = [
            policy.logprobs(pack(groups[at] for at in part).to(policy.model.device)).cpu().double()
            for part in parts(groups, _PART_TOKENS)
        ]
    return torch.cat(found)


def _symptoms(one: Asked, texts: Sequence[str]) -> list[frozenset[str]]:
    prompt = asked(one.text)
    return [shown(text, prompt) for text in texts]


def _means(scores: Sequence[Sequence[float | None]]) -> Values:
    """Mean of each prompt's scores; None where it has none."""
    known = ([one for one in some if one is not None] for some in scores)
    return tuple(fmean(some) if some else None for some in known)


def _kept(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a file that may be cut; what is cut is taken off it."""
    if not path.is_file():
        return []
    whole = path.read_text().split("\n")[:-1]
    path.write_text("".join(f"{line}\n" for line in whole))
    return [json.loads(line) for line in whole]
