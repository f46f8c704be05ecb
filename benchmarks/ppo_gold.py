"""Does PPO raise a reward that is known: SmolLM2-135M asked for a sentence with three nouns.

Gold is world GW1 of the method's specification: each noun of the prompt that is used counts, a repeated run
of four words and length past forty words cost; its coefficients are drawn from the seed. ``gold`` trains on
it; ``constant`` on a reward that never changes and so must not move gold, ``held`` at ten times the cost of
moving, and must move less. Prompts asked at the end were never trained on, and are the same, drawn by the
same numbers, before and after. Writes one JSON row: the curve, a round a point, and for each way what the
responses to those prompts come to, with a paired interval.

    python benchmarks/ppo_gold.py [--rounds N] [--seed N] [--ways gold,constant,held]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.training.worlds import Cover, asking, named

MODEL = "smollm2-135m-instruct"
HELD_OUT = 16
"""Prompts asked before and after."""
SAMPLES, TOKENS = 4, 40
"""Responses to each, and the most tokens they may have."""
CURVE = (
    "score",
    "kl",
    "kl_k3",
    "entropy",
    "length",
    "cut",
    "eos",
    "distinct_4",
    "clipped",
    "explained_variance",
)
Score = Callable[[Sequence[Any], Sequence[str]], list[float]]


def rows(first: int, number: int) -> str:
    asked = ([{"role": "user", "content": asking(at)}] for at in range(first, first + number))
    return "".join(json.dumps({"prompt": one}) + "\n" for one in asked)


def gold(seed: int) -> Score:
    world = Cover.drawn(seed)
    return lambda prompts, texts: [
        world.gold(named(prompt[-1].content), text) for prompt, text in zip(prompts, texts, strict=True)
    ]


@dataclass(frozen=True)
class Answers:
    """What a policy says to the held-out prompts."""

    gold: list[float]
    """Of every response, ``SAMPLES`` a prompt."""
    form: dict[str, float]
    """``length``, ``cut``, ``eos`` and ``distinct_4`` as ``metrics.jsonl`` has them; ``kl`` and ``kl_k3`` to
    the model it began as, nats a response."""


def answers(model: str, folder: Path, score: Score, number: int = HELD_OUT) -> Answers:
    """Ask the held-out prompts, always by the same random numbers."""
    from rlaif.checkpoints import end_ids, load
    from rlaif.generation import Engine
    from rlaif.training import gauges
    from rlaif.training.config import DataConfig
    from rlaif.training.data import read_prompts
    from rlaif.training.kl import k1, k3
    from rlaif.training.rollouts import Draw, draw

    path = folder / "held_out.jsonl"
    path.write_text(rows(0, number))
    checkpoint = load(model)
    data = read_prompts(DataConfig(path=str(path), test_share=0.0), checkpoint.tokenizer)
    how = Draw(samples=SAMPLES, max_tokens=TOKENS)
    found = draw(Engine(checkpoint), data.train, how, "held out")
    form = gauges.of_texts(found, end_ids(checkpoint.model, checkpoint.tokenizer))
    own, known = (logprobs(one, found) for one in (checkpoint, load(MODEL)))
    for name, estimate in (("kl", k1), ("kl_k3", k3)):
        form[name] = float(estimate(own, known).sum()) / (number * SAMPLES)
    return Answers([one for at in found for one in score([at.asked.text] * SAMPLES, at.texts)], form)


def logprobs(checkpoint: Any, found: Sequence[Any]) -> Any:
    """Log-probability of every token that was drawn, float64."""
    import torch

    from rlaif.training.models import Policy
    from rlaif.training.packing import pack, parts

    policy, groups = Policy(checkpoint.model), [one.group for one in found]
    with torch.no_grad(), policy.passes():
        passes = [policy.logprobs(pack(groups[at] for at in part)) for part in parts(groups, 4096)]
    return torch.cat(passes).double()


def trained(way: str, seed: int, rounds: int, folder: Path) -> tuple[str, list[dict[str, float]]]:
    """Train one way; return the checkpoint and a line a round."""
    from rlaif.training.ppo import PpoConfig, train

    path = folder / "prompts.jsonl"
    path.write_text(rows(HELD_OUT, 4 * rounds))
    config = PpoConfig.model_validate({
        "method": "ppo", "output": str(folder / way), "seed": seed, "batch": 4, "lr": 2e-5, "warmup": 0.0,
        "data": {"path": str(path), "test_share": 0.0}, "kl": {"beta": 0.5 if way == "held" else 0.05},
        "draw": {"samples": SAMPLES, "max_tokens": TOKENS},
        "missing_eos_penalty": 0.0 if way == "constant" else 0.5,
        "objective": {"kind": "clip", "inner_epochs": 2},
    })  # fmt: skip
    lines: list[dict[str, float]] = []
    score = (lambda prompts, texts: [1.0] * len(texts)) if way == "constant" else gold(seed)
    outcome = train(config, score=score, gold=gold(seed), watch=lambda _step, line: lines.append(dict(line)))
    return outcome.folder, [line for line in lines if "score" in line]


def compared(before: Answers, after: Answers) -> dict[str, Any]:
    """Mean change of gold, its 95 % bootstrap interval over prompts, and in standard deviations before."""
    pairs = list(zip(before.gold, after.gold, strict=True))
    change = [fmean(b - a for a, b in pairs[at : at + SAMPLES]) for at in range(0, len(pairs), SAMPLES)]
    stream = random.Random(0)
    means = sorted(fmean(stream.choices(change, k=len(change))) for _ in range(2000))
    return {
        "before": round(fmean(before.gold), 3), "after": round(fmean(after.gold), 3),
        "low": round(means[50], 3), "high": round(means[1949], 3),
        "in_sd": round(fmean(change) / pstdev(before.gold), 2),
        "form": {name: [round(before.form[name], 3), round(value, 3)] for name, value in after.form.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", default="gold,constant,held")
    told = parser.parse_args()
    row: dict[str, Any] = {"benchmark": "ppo_gold", "seed": told.seed, "rounds": told.rounds}
    with tempfile.TemporaryDirectory() as name:
        before = answers(MODEL, Path(name), gold(told.seed))
        for way in told.ways.split(","):
            started = time.process_time()
            folder, lines = trained(way, told.seed, told.rounds, Path(name))
            seconds = time.process_time() - started
            after = answers(folder, Path(name), gold(told.seed))
            curve = {key: [round(line[key], 3) for line in lines] for key in CURVE}
            row[way] = {"cpu_seconds": round(seconds), **compared(before, after), "curve": curve}
            print(json.dumps({way: row[way]}), flush=True)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
