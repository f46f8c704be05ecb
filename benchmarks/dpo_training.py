"""Pairs a second of direct preference optimisation: this package against TRL's ``DPOTrainer``.

The model, pairs, order and batches of ``reward_training.py``, one epoch. ``default`` is TRL as it comes;
``best`` has rows sorted by length, two at a time, reference log-probabilities computed once and no
activation checkpointing, which eight rows at a time have no memory for on 24 GB. Timed are the reference's
pass and the updates, neither loading nor tokenising; ``cached`` is ours once the reference's numbers are on
disk. Processor seconds, of both threads, tell what other work on the machine cannot change much. Peak
memory is each process's own. Writes one JSON row to stdout.

    RLAIF_EVAL_DATA=... python benchmarks/dpo_training.py [--steps N] [--ways ours,best]

The row also says where our time goes: the floating-point operations of the passes, at the rate one large
product of matrices reaches here.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reward_training import BATCH, MODEL, ROWS, matmul, peak, rows

WAYS = ("ours", "best", "default")


def ours(steps: int) -> dict[str, float]:
    """Train in this process as the trainer does, from a cache that is empty."""
    import torch

    from rlaif.checkpoints import load, resolve
    from rlaif.training.config import DataConfig
    from rlaif.training.data import read_pairs
    from rlaif.training.dpo import DpoConfig, Referred, shares
    from rlaif.training.loop import Run
    from rlaif.training.models import Policy
    from rlaif.training.origin import Origin
    from rlaif.training.reference import reference

    torch.set_num_threads(2)
    model = str(resolve(MODEL))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RLAIF_HOME"] = folder
        path = Path(folder) / "pairs.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
        config = DpoConfig(
            method="dpo", model=model, data=DataConfig(path=str(path), test_share=0.0), batch=BATCH,
            output=str(Path(folder) / "out"), steps=steps, schedule="linear", warmup=0.0,
        )  # fmt: skip
        checkpoint = load(config.model)
        data = read_pairs(config.data, checkpoint.tokenizer)
        training = data.train[: steps * BATCH]
        began, worked = time.perf_counter(), time.process_time()
        known = reference(checkpoint, [one.group for one in training], config)
        referred = [Referred(*both) for both in zip(training, known, strict=True)]
        run = Run(config, {"policy": checkpoint.model}, Origin.of(config, checkpoint, data.digest), steps)
        policy = Policy(checkpoint.model)
        middle = time.perf_counter()
        for batch in run.batches(referred):
            run.update(shares(run, policy, config.objective, batch))
        ended, worked = time.perf_counter(), time.process_time() - worked
    tokens = sum(one.group.tokens for one in training)
    said = sum(len(response) for one in training for response in one.group.responses)
    names = dict(checkpoint.model.named_parameters())
    body = sum(one.numel() for name, one in names.items() if "layers" in name)
    head = checkpoint.model.get_output_embeddings().weight.numel()
    pairs = sum(len(one.pairs) for one in training)
    # 2 operations a weight forwards, 4 backwards; the reference goes forwards alone. Attention comes on top.
    operations = 8 * (body * tokens + head * said)
    return {
        "pairs_per_s": round(pairs / (ended - began), 3),
        "cached_pairs_per_s": round(pairs / (ended - middle), 3),
        "reference_s": round(middle - began, 2), "updates_s": round(ended - middle, 2),
        "processor_s": round(worked, 2), "tokens": tokens, "response_tokens": said,
        "gflop_per_s": round(operations / (ended - began) / 1e9, 1), "matmul_gflop_per_s": matmul(),
        "peak_gib": peak(),
    }  # fmt: skip


def theirs(way: str, steps: int) -> dict[str, float]:
    """Train with TRL in this process."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from rlaif.checkpoints import resolve

    torch.set_num_threads(2)
    spent = worked = 0.0

    class Timed(DPOTrainer):
        def _precompute_ref_logps(self, *arguments: Any) -> Any:
            nonlocal spent, worked
            began, busy = time.perf_counter(), time.process_time()
            found = super()._precompute_ref_logps(*arguments)
            spent, worked = spent + time.perf_counter() - began, worked + time.process_time() - busy
            return found

    drawn, best = rows()[: steps * BATCH], way == "best"
    how: dict[str, Any] = {}
    if best:
        drawn.sort(key=lambda row: sum(len(turn["content"]) for side in row.values() for turn in side))
        how = {
            "gradient_checkpointing": False, "precompute_ref_log_probs": True,
            "train_sampling_strategy": "sequential", "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": BATCH // 2,
        }  # fmt: skip
    model = resolve(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        settings = DPOConfig(
            output_dir=folder, max_steps=steps, save_strategy="no", report_to="none", use_cpu=True,
            bf16=False, disable_tqdm=True, **{"per_device_train_batch_size": BATCH, **how},
        )  # fmt: skip
        trainer = Timed(
            AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=settings,
            train_dataset=Dataset.from_list(drawn),
            processing_class=AutoTokenizer.from_pretrained(model),
        )
        before = spent
        began, busy = time.perf_counter(), time.process_time()
        trainer.train()
        seconds, worked = before + time.perf_counter() - began, worked + time.process_time() - busy
    return {
        "pairs_per_s": round(steps * BATCH / seconds, 3), "reference_s": round(spent, 2),
        "processor_s": round(worked, 2), "peak_gib": peak(),
    }  # fmt: skip


def apart(way: str, steps: int) -> dict[str, Any]:
    """Measure one way in a process of its own, with its own peak; to be killed for memory is a result."""
    done = subprocess.run(
        [sys.executable, __file__, "--alone", way, "--steps", str(steps)], capture_output=True, text=True
    )
    if done.returncode == -signal.SIGKILL:
        return {"killed": "out of memory"}
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=ROWS // BATCH)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--alone", choices=WAYS)
    options = parser.parse_args()
    if options.alone:
        print(
            json.dumps(
                ours(options.steps) if options.alone == "ours" else theirs(options.alone, options.steps)
            )
        )
        return
    if "RLAIF_EVAL_DATA" not in os.environ:
        print(json.dumps({"benchmark": "dpo_training", "skipped": "RLAIF_EVAL_DATA not set"}))
        return
    found = {way: apart(way, options.steps) for way in options.ways.split(",")}
    row: dict[str, object] = {"benchmark": "dpo_training", "steps": options.steps, **found}
    rates = {way: one["pairs_per_s"] for way, one in found.items() if "killed" not in one}
    if "ours" in rates:
        for way in sorted(rates.keys() - {"ours"}):
            row[f"times_{way}"] = round(rates["ours"] / rates[way], 2)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
