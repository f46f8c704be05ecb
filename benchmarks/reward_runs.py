"""How well SmolLM2-135M learns what people preferred, and what a judge preferred, on prompts it has not seen.

``hh`` and ``pandalm`` are pairs people decided (``hh_harmless_test``, ``pandalm_test``; ties are left out),
``judged`` are pairs this package makes: the bundled model answers prompts four times and scores its own
answers from 1 to 10 by the expectation over label probabilities. Every third prompt, by a digest, is held
out with all its pairs. Accuracy on them stands beside two floors, the longer response and counted tokens.
On ``judged`` it is agreement with the same judge's other verdicts: whether its taste can be learned, not
whether it is good; so the same reward model is put before the held-out pairs of people as well.
``--shuffled`` trains on sides drawn by a coin, after which people's labels must be even. Writes one JSON row
a set: the curve, an update a point, and the figures of held-out pairs.

    RLAIF_EVAL_DATA=... python benchmarks/reward_runs.py [--sets hh,pandalm,judged] [--pairs N] [--shuffled]
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILES = {"hh": "hh_harmless_test", "pandalm": "pandalm_test"}
MODEL = "smollm2-135m-instruct"
HELD_OUT = 1 / 3
MAX_LENGTH = 320
"""Most tokens of a prompt with one response; what is longer is left out, and how much the row says."""
EPOCHS = {"hh": 1, "pandalm": 2, "judged": 2}
CURVE = ("loss", "accuracy", "gap")


def turns(prompt: Any) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def labelled(name: str) -> list[dict[str, Any]]:
    """The rows of a labelled file, in a fixed random order."""
    with (Path(os.environ["RLAIF_EVAL_DATA"]) / f"{name}.jsonl").open() as file:
        found = [json.loads(line) for line in file]
    random.Random(0).shuffle(found)
    return found


def people(name: str) -> list[dict[str, Any]]:
    """Pairs that people decided, as training reads them."""
    found = []
    for one in labelled(FILES[name]):
        side, responses = one["human"]["preferred"], one["responses"]
        if side is not None and all(isinstance(text, str) and text.strip() for text in responses):
            asked = {"prompt": turns(one["prompt"]), "chosen": responses[side]}
            found.append({**asked, "rejected": responses[1 - side]})
    return found


def written(pairs: Iterable[Mapping[str, Any]], path: Path, shuffled: bool = False) -> Path:
    """Write a folder of pairs, the held-out ones in a file of their own, always with their own labels."""
    from rlaif.prompts import split_of
    from rlaif.records import digest

    path.mkdir()
    coin, lines = random.Random(1), {"train": list[str](), "test": list[str]()}
    for one in pairs:
        key = digest("pr", [[turn["role"], turn["content"]] for turn in one["prompt"]])
        side = split_of(key, HELD_OUT)
        swapped = shuffled and side == "train" and coin.random() < 0.5
        row = {**one, "chosen": one["rejected"], "rejected": one["chosen"]} if swapped else one
        lines[side].append(json.dumps(row) + "\n")
    for side, some in lines.items():
        (path / f"{side}.jsonl").write_text("".join(some))
    return path


def judged(prompts: int, folder: Path) -> list[dict[str, Any]]:
    """Let the bundled model answer and judge, in an ordinary pipeline; return its verdicts as pairs."""
    import rlaif
    from rlaif.training.config import DataConfig
    from rlaif.training.files import read_split_rows

    texts = [one["prompt"] for one in labelled("helpful_prompts") if one["prompt"].isascii()]
    short = [text for text in texts if len(text) < 300][:prompts]
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in short))
    (folder / "rlaif.toml").write_text('[local]\ndtype = "bfloat16"\n')
    os.environ["RLAIF_CONFIG"] = str(folder / "rlaif.toml")
    model = f"local:{MODEL}"
    drawn = {"model": model, "k": 4, "params": {"temperature": 1.0, "max_tokens": 64}}
    constitution = Path(__file__).parents[1] / "constitutions/helpfulness.yaml"
    asked = {
        "schema_version": 1, "name": "judged", "prompts": {"path": "prompts.jsonl", "test_share": 0.0},
        "stages": [
            {"kind": "sample", "policies": [drawn]},
            {"kind": "judge", "constitution": str(constitution),
             "judge": {"kind": "pointwise", "model": model}},
            {"kind": "prefer", "axis": "helpfulness"},
            {"kind": "export"},
        ],
    }  # fmt: skip
    (folder / "judged.yaml").write_text(json.dumps(asked))
    outcome = rlaif.run(folder / "judged.yaml", store=folder / "judged-store")
    export = DataConfig(path=str(outcome.files["export"]), table="helpfulness")
    return [
        {name: row.value[name] for name in ("prompt", "chosen", "rejected")}
        for row, _ in read_split_rows(export)
    ]


def trained(data: Path, told: argparse.Namespace, output: Path, **more: Any) -> tuple[Any, list[Any]]:
    """Train a reward model; return the outcome and every line it measured."""
    from rlaif.training.methods import train
    from rlaif.training.reward import RewardConfig

    config = RewardConfig.model_validate({
        "method": "reward", "model": MODEL, "output": str(output), "seed": told.seed, "batch": 16,
        "lr": told.lr, "labels": "hard", "dtype": told.dtype,
        "data": {"path": str(data), "max_length": MAX_LENGTH}, **more,
    })  # fmt: skip
    lines: list[Any] = []
    return train(config, watch=lambda step, line: lines.append(dict(line))), lines


def elsewhere(model: str, told: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Put a reward model before held-out pairs of people: a run of one update that moves nothing."""
    data = written(people("pandalm"), folder / "people")
    first = (data / "train.jsonl").read_text().split("\n", 1)[0]
    (data / "train.jsonl").write_text(first + "\n")
    found = figures(trained(data, told, folder / "still", model=model, steps=1, lr=1e-12)[0])
    return {name: value for name, value in found.items() if name != "floor_tokens"}  # fitted on one row


def figures(outcome: Any) -> dict[str, Any]:
    names = ("accuracy", "accuracy_low", "accuracy_high", "pairs", "log_loss", "ece", "floor_longest")
    return {name: round(outcome.metrics[name], 3) for name in (*names, "floor_tokens")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default="hh,pandalm,judged")
    parser.add_argument("--pairs", type=int, default=900, help="most pairs of people read of a set")
    parser.add_argument("--prompts", type=int, default=96, help="prompts of the judged set")
    parser.add_argument("--lr", type=float, default=2e-5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shuffled", action="store_true")
    told = parser.parse_args()
    for name in told.sets.split(","):
        with tempfile.TemporaryDirectory() as place:
            folder, started = Path(place), time.process_time()
            pairs = judged(told.prompts, folder) if name == "judged" else people(name)[: told.pairs]
            data = written(pairs, folder / "pairs", told.shuffled)
            outcome, lines = trained(data, told, folder / "run", epochs=EPOCHS[name])
            row = {
                "benchmark": "reward_runs", **vars(told), "sets": name, "figures": figures(outcome),
                "data": next({key[5:]: line[key] for key in line} for line in lines if "data/rows" in line),
                "curve": {key: [round(one[key], 3) for one in lines if "gap" in one] for key in CURVE},
            }  # fmt: skip
            if name == "judged":
                row["before_people"] = elsewhere(outcome.folder, told, folder)
            print(json.dumps(row | {"cpu_seconds": round(time.process_time() - started)}), flush=True)


if __name__ == "__main__":
    main()
