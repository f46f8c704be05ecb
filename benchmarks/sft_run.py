"""Does imitation carry over to prompts nobody imitated: SmolLM2-135M on the answers people chose.

The chosen answers of ``pandalm_test`` are imitated for two epochs; with ``--set world``, sentences for the
prompts of world GW1, each the best of eight that a script wrote, by gold. Measured before and after, in
nats a token of the answers: the loss on held-out prompts, which must fall, and that on another kind of text,
the chosen turns of ``hh_harmless_test``, which should hardly rise; and how answers drawn to held-out prompts
end.
``shuffled`` gives every answer to another prompt: what it gains is manner alone. ``before`` is measured by a
run of one update that moves nothing. Writes one JSON row: the curve, an update a point, and the table.

    RLAIF_EVAL_DATA=... python benchmarks/sft_run.py [--set people|world] [--lr LR] [--ways chosen,shuffled]
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from reward_runs import MODEL, people, written

OTHER = 60
"""Held-out rows of the other kind of text."""
WRITTEN = 768
"""Prompts of the world; a third of them is held out."""
DRAWN, TOKENS = 24, 96
"""Held-out prompts that are answered before and after, and the most tokens of an answer."""


def demonstrations(name: str) -> list[dict[str, Any]]:
    """What people chose; the same answer to the same prompt once."""
    found = {(json.dumps(one["prompt"]), one["chosen"]): one for one in people(name)}
    return [{"prompt": one["prompt"], "completion": one["chosen"]} for one in found.values()]


def world(seed: int) -> list[dict[str, Any]]:
    """What a script wrote for the prompts of a world, the best of eight each."""
    from rlaif.lab.speaker import say
    from rlaif.lab.worlds import Cover, asking, nouns

    cover = Cover.drawn(seed)
    found = []
    for number in range(WRITTEN):
        asked, used = asking(number), nouns(number)
        best = max((say(asked, str(draw)) for draw in range(8)), key=lambda text: cover.gold(used, text))
        found.append({"prompt": [{"role": "user", "content": asked}], "completion": best})
    return found


def shuffled(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Give every answer to another prompt."""
    said = [one["completion"] for one in rows]
    random.Random(seed).shuffle(said)
    return [{**one, "completion": text} for one, text in zip(rows, said, strict=True)]


def run(data: Path, output: Path, told: argparse.Namespace, **more: Any) -> tuple[Any, list[float]]:
    """Train; return the outcome and the loss of every update."""
    from rlaif.training.methods import train
    from rlaif.training.sft import SftConfig

    config = SftConfig.model_validate({
        "method": "sft", "output": str(output), "seed": told.seed, "batch": 16, "lr": told.lr,
        "dtype": told.dtype, "data": {"path": str(data), "max_length": 512, "test_share": 0.0}, **more,
    })  # fmt: skip
    curve: list[float] = []
    outcome = train(config, watch=lambda _step, line: curve.append(line["loss"]) if "lr" in line else None)
    return outcome, curve


def loss(model: str, test: Path, told: argparse.Namespace, folder: Path) -> float:
    """Loss a token of a file's answers, by a run that moves nothing."""
    data = Path(tempfile.mkdtemp(dir=folder))
    (data / "test.jsonl").write_text(test.read_text())
    (data / "train.jsonl").write_text(json.dumps({"prompt": "Say yes.", "completion": "Yes."}) + "\n")
    outcome, _ = run(data, data / "run", told, model=model, steps=1, lr=1e-12)
    return float(outcome.metrics["loss"])


def ends(model: str, test: Path) -> dict[str, float]:
    """How answers to held-out prompts come out: ``length``, ``cut``, ``eos``, ``distinct_4``."""
    from rlaif.checkpoints import end_ids, load
    from rlaif.generation import Engine
    from rlaif.training import gauges
    from rlaif.training.config import DataConfig
    from rlaif.training.data import read_prompts
    from rlaif.training.rollouts import Draw, draw

    checkpoint = load(model)
    data = read_prompts(DataConfig(path=str(test), test_share=0.0), checkpoint.tokenizer)
    how = Draw(samples=1, max_tokens=TOKENS)
    found = draw(Engine(checkpoint), data.train[:DRAWN], how, "held out")
    return gauges.of_texts(found, end_ids(checkpoint.model, checkpoint.tokenizer))


def measured(model: str, tests: dict[str, Path], told: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is compared, of one model."""
    losses = {name: loss(model, path, told, folder) for name, path in tests.items()}
    return {name: round(value, 3) for name, value in (losses | ends(model, tests["held_out"])).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=("people", "world"), default="people")
    parser.add_argument("--lr", type=float, default=2e-5)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", default="chosen,shuffled")
    told = parser.parse_args()
    row: dict[str, Any] = {"benchmark": "sft_run", **vars(told)}
    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name), time.process_time()
        imitated = world(told.seed) if told.set == "world" else demonstrations("pandalm")
        data = written(imitated, folder / "chosen")
        other = folder / "other.jsonl"
        rows = [one for one in demonstrations("hh") if len(json.dumps(one)) < 1500][:OTHER]
        other.write_text("".join(json.dumps(one) + "\n" for one in rows))
        tests = {"held_out": folder / "held_out.jsonl", "other": other}
        (data / "test.jsonl").rename(tests["held_out"])
        row["before"] = measured(MODEL, tests, told, folder)
        learnt = [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()]
        for way in told.ways.split(","):
            some = shuffled(learnt, told.seed) if way == "shuffled" else learnt
            path = folder / f"{way}.jsonl"
            path.write_text("".join(json.dumps(one) + "\n" for one in some))
            outcome, curve = run(path, folder / f"{way}-run", told)
            after = measured(outcome.folder, tests, told, folder)
            seconds, started = time.process_time() - started, time.process_time()
            row[way] = {
                **after, "answers": len(some), "cpu_seconds": round(seconds),
                "curve": [round(one, 3) for one in curve],
            }  # fmt: skip
    print(json.dumps(row))


if __name__ == "__main__":
    main()
