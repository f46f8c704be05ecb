"""Two processes that share the work of every batch learn what one learns."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from rlaif.training.processes import Processes
from tests import tiny
from tests.training.made import data, demonstrations, metrics, pairs

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("worker.py")


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def sft(folder: Path) -> dict[str, Any]:
    rows = data(folder / "rows.jsonl", demonstrations(24), test_share=0.2)
    return {"method": "sft", "data": rows, "batch": 7, "part_tokens": 60, "steps": 3, "lr": 1e-3}


def ppo(folder: Path) -> dict[str, Any]:
    """Two rounds of five prompts, so that shares are uneven, with all that is taken over a whole round."""
    texts = {"data": data(folder / "texts.jsonl", demonstrations(5)), "batch": 2, "weight": 0.5}
    return {
        "method": "ppo", "data": data(folder / "rows.jsonl", demonstrations(13), test_share=0.2),
        "batch": 5, "epochs": 1, "draw": {"samples": 2, "max_tokens": 6}, "part_tokens": 40, "lr": 1e-3,
        "objective": {"kind": "clip", "inner_epochs": 2, "minibatches": 2, "whiten_rewards": True},
        "kl": {"beta": 0.1, "target": 0.05, "horizon": 20}, "ptx": texts,
    }  # fmt: skip


def reinforce(folder: Path) -> dict[str, Any]:
    return ppo(folder) | {"objective": {"kind": "reinforce"}, "ptx": None}


def train(folder: Path, count: int, told: dict[str, Any], *more: str) -> list[Path]:
    """Run a trainer in so many processes; return the files of their gradients."""
    from rlaif.training.methods import CONFIG

    if not (folder / "model").exists():
        tiny.saved(folder / "model")
    config = CONFIG.validate_python({"model": str(folder / "model"), "output": str(folder / "out"), **told})
    (folder / "config.json").write_text(config.model_dump_json())
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    files = [folder / f"gradients-{rank}" for rank in range(count)]
    running = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(folder / "config.json"), str(files[rank]), *more],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **there,
                           "RANK": str(rank), "LOCAL_RANK": str(rank), "CUDA_VISIBLE_DEVICES": ""},
        )
        for rank in range(count)
    ]  # fmt: skip
    try:
        assert [one.wait(250) for one in running] == [0] * count
    finally:
        for one in running:
            one.kill()
    return files


def close(one: Path, other: Path) -> None:
    """Equal to a millionth, tensor by tensor."""
    expected, found = load_file(one), load_file(other)
    assert expected
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-6 * max(1.0, value.abs().max().item()), name


def both(folder: Path, method: Any) -> list[tuple[Path, list[Path]]]:
    """Train alone and by two; return each one's folder and gradients."""
    found = []
    for count in (1, 2):
        where = folder / str(count)
        where.mkdir()
        found.append((where, train(where, count, method(where))))
    return found


def test_trap_21_two_processes_have_the_gradient_of_one(tmp_path: Path) -> None:
    (one, (alone,)), (two, pair) = both(tmp_path, sft)
    for file in pair:
        close(alone, file)
    for first, second in zip(metrics(one / "out"), metrics(two / "out"), strict=True):
        if "loss" in first:
            wanted = pytest.approx((first["loss"], first["grad_norm"]), rel=1e-5)
            assert (second["loss"], second["grad_norm"]) == wanted


def dpo(folder: Path) -> dict[str, Any]:
    rows = data(folder / "rows.jsonl", pairs(14), test_share=0.2)
    return {"method": "dpo", "data": rows, "batch": 5, "part_tokens": 90, "steps": 3, "lr": 1e-3}


def reward(folder: Path) -> dict[str, Any]:
    return dpo(folder) | {"method": "reward", "gradient_checkpointing": True}


SPLIT = {"sharded": True, "save_every": 2, "clip": 0.1, "weight_decay": 0.1}


@pytest.mark.parametrize(
    "method", [sft, *(pytest.param(one, marks=pytest.mark.long) for one in (reward, dpo, ppo))]
)
def test_trap_21_layers_that_are_split_learn_what_whole_ones_do(tmp_path: Path, method: Any) -> None:
    (one, (alone,)), (two, pair) = both(tmp_path, lambda folder: method(folder) | SPLIT)
    for file in pair:
        close(alone, file)
    for first, second in zip(metrics(one / "out"), metrics(two / "out"), strict=True):
        for name, value in first.items():
            if "seconds" not in name:
                assert second[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    shapes = {name: value.numel() for name, value in load_file(alone).items()}
    outside = sum(number for name, number in shapes.items() if ".layers." not in name)
    held = [int(Path(f"{file}.held").read_text()) for file in (alone, *pair)]
    assert held[0] == sum(shapes.values())
    assert held[1] + held[2] == held[0] + outside  # of every layer half
    close(one / "out/final/model.safetensors", two / "out/final/model.safetensors")
    (step,) = (one / "out").glob("step-*")
    for name in ("weights", "moments"):
        close(step / f"{name}.safetensors", two / "out" / step.name / f"{name}.safetensors")


def test_what_was_split_is_an_ordinary_model(tmp_path: Path) -> None:
    train(tmp_path, 2, sft(tmp_path) | SPLIT | {"steps": 2})
    found = LlamaForCausalLM.from_pretrained(tmp_path / "out/final").state_dict()
    stored = load_file(tmp_path / "out/step-2/weights.safetensors")
    assert stored
    for name, value in stored.items():
        assert found[name.removeprefix("policy.")].equal(value), name


@pytest.mark.long
def test_what_was_split_and_stopped_goes_on_split_or_whole(tmp_path: Path) -> None:
    ends = []
    for name, counts in (("never", (2,)), ("split", (2, 2)), ("whole", (2, 1))):
        where = tmp_path / name
        where.mkdir()
        told = sft(where) | SPLIT | {"steps": 5}
        stop = ["--stop=3"] if len(counts) > 1 else []
        train(where, counts[0], told, *stop)
        if stop:
            assert not (where / "out/final").exists()
            train(where, counts[1], told, "--resume")
        ends.append(where / "out/final/model.safetensors")
    assert ends[0].read_bytes() == ends[1].read_bytes()
    close(ends[0], ends[2])


@pytest.mark.parametrize("method", [ppo, pytest.param(reinforce, marks=pytest.mark.long)])
def test_trap_21_two_processes_train_the_policy_of_one(tmp_path: Path, method: Any) -> None:
    (one, (alone,)), (two, pair) = both(tmp_path, method)
    for file in pair:
        close(alone, file)
    lines = metrics(one / "out")
    assert len({line["beta"] for line in lines if "beta" in line}) > 1  # a price that moves
    for first, second in zip(lines, metrics(two / "out"), strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            if "seconds" not in name:
                assert second[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    close(one / "out/final/model.safetensors", two / "out/final/model.safetensors")
    scored = [(where / "out/scores.jsonl").read_text().count(": ") for where in (one, two)]
    assert scored[0] == scored[1]  # nobody scores what another has


def test_one_process_needs_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    found = Processes.joined()
    assert (found.rank, found.count, found.first) == (0, 1, True)
    assert found.add({"a": 2.0}) == {"a": 2.0}
    assert found.gathered(found.mine([1, 2, 3])) == [1, 2, 3]
    assert (found.most([1.0, 3.0]), found.most([])) == (3.0, 0.0)
