"""Does DPO raise a reward that is known: SmolLM2-135M asked for a sentence with three nouns.

World and measure are those of ``ppo_gold.py``. The model answers each prompt four times, and every pair of
answers that ended by themselves is labelled by gold: the better one wins with probability sigma of their
difference, written as ``p``, so that beta costs what it costs in PPO and the best policy is the same.
``gold`` learns from these labels, ``flipped`` from their opposite, which must lower gold, and ``shuffled``
from sides drawn by a coin, which must do neither; ``held`` pays so much for a nat that it must stay where it
is. Pairs of every fifth prompt are held out. Writes one JSON row: the curve, an update a point, the held-out
pairs, and what responses to prompts nobody trained on come to, with a paired interval.

    python benchmarks/dpo_gold.py [--prompts N] [--epochs N] [--lr LR] [--seed N] [--ways gold,flipped,...]
"""

import argparse
import json
import math
import random
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

from ppo_gold import MODEL, answers, compared, gold, rows

from tests.training.worlds import asking

HELD_OUT = 32
"""Prompts asked before and after."""
SAMPLES, TOKENS = 4, 64
"""Responses pairs are made of; those that have not ended by then are in none."""
BETA = {"held": 100.0}
"""Cost of a nat, 0.1 where nothing is said."""
CURVE = ("loss", "accuracy", "margin", "chosen_logprob", "rejected_logprob", "chosen_kl")


def drawn(prompts: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Draw from the model as it is; return a row for every two different answers, the better one chosen."""
    from rlaif.checkpoints import load
    from rlaif.generation import Engine
    from rlaif.training.config import DataConfig
    from rlaif.training.data import read_prompts
    from rlaif.training.rollouts import Draw, draw

    path, score = folder / "prompts.jsonl", gold(seed)
    path.write_text(rows(HELD_OUT, prompts))
    checkpoint = load(MODEL)
    data = read_prompts(DataConfig(path=str(path), test_share=0.0), checkpoint.tokenizer)
    found = draw(Engine(checkpoint), data.train, Draw(samples=SAMPLES, max_tokens=TOKENS), f"pairs of {seed}")
    made = []
    for one in found:
        ended = {text.strip() for text, cut in zip(one.texts, one.cut, strict=True) if not cut} - {""}
        known = sorted(zip(score([one.asked.text] * len(ended), sorted(ended)), sorted(ended), strict=True))
        turns = [{"role": "user", "content": one.asked.text[-1].content}]
        made += [
            {"prompt": turns, "chosen": better, "rejected": worse, "p": 1 / (1 + math.exp(low - high))}
            for (low, worse), (high, better) in combinations(known, 2)
            if high > low
        ]
    return made


def labelled(way: str, pairs: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The pairs with the labels of one way."""
    stream = random.Random(seed)
    wrong = {"flipped": lambda: True, "shuffled": lambda: stream.random() < 0.5}.get(way, lambda: False)
    return [
        {**one, "chosen": one["rejected"], "rejected": one["chosen"]} if wrong() else one for one in pairs
    ]


def trained(
    way: str, pairs: list[dict[str, Any]], told: argparse.Namespace, folder: Path
) -> tuple[Any, list[dict[str, float]]]:
    """Train one way; return the outcome and a line an update."""
    from rlaif.training.dpo import DpoConfig
    from rlaif.training.methods import train

    split = {"train": folder / way / "train.jsonl", "test": folder / way / "test.jsonl"}
    split["train"].parent.mkdir()
    held_out = {asking(HELD_OUT + at) for at in range(0, told.prompts, 5)}
    for side, path in split.items():
        some = [one for one in pairs if (one["prompt"][0]["content"] in held_out) == (side == "test")]
        path.write_text("".join(json.dumps(one) + "\n" for one in labelled(way, some, told.seed)))
    config = DpoConfig.model_validate({
        "method": "dpo", "output": str(folder / f"{way}-run"), "seed": told.seed, "epochs": told.epochs,
        "batch": 8, "lr": told.lr, "data": {"path": str(folder / way)}, "dtype": told.dtype,
        "objective": {"kind": "sigmoid", "beta": BETA.get(way, 0.1)},
    })  # fmt: skip
    lines: list[dict[str, float]] = []
    outcome = train(config, watch=lambda _step, line: lines.append(dict(line)))
    return outcome, [line for line in lines if "margin" in line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=5e-6)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", default="gold,flipped,shuffled,held")
    told = parser.parse_args()
    row: dict[str, Any] = {"benchmark": "dpo_gold", **vars(told)}
    with tempfile.TemporaryDirectory() as name:
        started = time.process_time()
        score, pairs = gold(told.seed), drawn(told.prompts, told.seed, Path(name))
        before = answers(MODEL, Path(name), score, HELD_OUT)
        row |= {"pairs": len(pairs), "cpu_seconds": round(time.process_time() - started)}
        print(json.dumps(row), flush=True)
        for way in told.ways.split(","):
            started = time.process_time()
            outcome, lines = trained(way, pairs, told, Path(name))
            seconds = time.process_time() - started
            after = answers(outcome.folder, Path(name), score, HELD_OUT)
            row[way] = {
                "cpu_seconds": round(seconds), **compared(before, after),
                "held_out_pairs": {key: round(value, 4) for key, value in outcome.metrics.items()},
                "curve": {key: [round(line[key], 3) for line in lines] for key in CURVE},
            }  # fmt: skip
            print(json.dumps({way: row[way]}), flush=True)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
