"""How well SmolLM2-135M learns a reward that is known, from labels that err as a judge's do.

The world and its answers are those of ``dpo_gold.py``: the model answers each prompt four times, and all
pairs of answers that ended by themselves are compared by gold. The better one of a pair wins with probability
sigma(k x the difference), so a few labels are wrong and close pairs are a coin's. Pairs of every fifth prompt
are held out: accuracy against such labels beside the share of them that is right at all, which is the
ceiling; against gold itself; and against gold where both answers have nearly equally many words, so that
length says nothing. Floors are the longer response and counted tokens. Writes one JSON row.

    python benchmarks/reward_gold.py [--prompts N] [--pairs N] [--sharpness K] [--lr LR] [--seed N]
"""

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dpo_gold import HELD_OUT, drawn
from reward_runs import CURVE, figures, trained

from tests.training.worlds import asking

MATCHED = 2
"""Most words by which answers differ that count as equally long."""


def judged(
    pairs: Sequence[dict[str, Any]], sharpness: float, seed: int
) -> tuple[list[dict[str, Any]], float]:
    """The pairs with labels that err, and the share of right ones to be expected of a judge like that."""
    stream, made, right = random.Random(f"labels {seed}"), [], 0.0
    for one in pairs:
        gap = math.log(one["p"] / (1.0 - one["p"]))
        p = 1.0 / (1.0 + math.exp(-sharpness * gap))
        sides = ("chosen", "rejected") if stream.random() < p else ("rejected", "chosen")
        made.append({"prompt": one["prompt"], "chosen": one[sides[0]], "rejected": one[sides[1]]})
        right += p
    return made, right / len(pairs)


def matched(pairs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pairs of answers about equally long, by words."""
    return [one for one in pairs if abs(len(one["chosen"].split()) - len(one["rejected"].split())) <= MATCHED]


def folder_of(path: Path, train: Sequence[dict[str, Any]], test: Sequence[dict[str, Any]]) -> Path:
    """Write a folder of two sides."""
    path.mkdir()
    for name, some in (("train", train), ("test", test)):
        kept = ({key: one[key] for key in ("prompt", "chosen", "rejected")} for one in some)
        (path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in kept))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--pairs", type=int, default=2_000, help="most pairs to train on, whole prompts")
    parser.add_argument("--sharpness", type=float, default=3.0)
    parser.add_argument("--lr", type=float, default=2e-5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place, started = Path(name), time.process_time()
        pairs = drawn(told.prompts, told.seed, place)
        held = {asking(HELD_OUT + at) for at in range(0, told.prompts, 5)}
        sides: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for one in pairs:
            sides[one["prompt"][0]["content"] in held].append(one)
        train, _ = judged(sides[False][: told.pairs], told.sharpness, told.seed)
        test, ceiling = judged(sides[True], told.sharpness, told.seed + 1)
        outcome, lines = trained(folder_of(place / "noisy", train, test), told, place / "run", epochs=1)
        row: dict[str, Any] = {
            "benchmark": "reward_gold", **vars(told), "train_pairs": len(train),
            "ceiling": round(ceiling, 3), "against_labels": figures(outcome),
        }  # fmt: skip
        for which, some in (("against_gold", sides[True]), ("equally_long", matched(sides[True]))):
            data = folder_of(place / which, train[:1], some)
            still = trained(
                data, told, place / f"{which}-run", model=outcome.folder, steps=1, lr=1e-12, epochs=1
            )
            found = figures(still[0])
            row[which] = {key: found[key] for key in found if key not in ("floor_tokens", "ece")}
        row["curve"] = {key: [round(one[key], 3) for one in lines if "gap" in one] for key in CURVE}
        print(json.dumps(row | {"cpu_seconds": round(time.process_time() - started)}))


if __name__ == "__main__":
    main()
