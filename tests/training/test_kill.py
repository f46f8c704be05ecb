"""kill -9 in the middle of training and of a checkpoint's write, then going on: the same bytes at the end."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tiny
from tests.training.made import data, demonstrations, metrics, pairs

VICTIM = Path(__file__).with_name("victim.py")
ROOT = Path(__file__).parents[2]


def reward(folder: Path) -> str:
    """Write a model and rows, and return the configuration of a run of twelve updates."""
    from rlaif.training.reward import RewardConfig

    config = RewardConfig(
        method="reward", model=str(tiny.saved(folder / "model")), data=data(folder / "rows.jsonl", pairs(24)),
        output=str(folder / "out"), batch=4, epochs=2, save_every=2, lr=1e-3,
    )  # fmt: skip
    return config.model_dump_json()


def ppo(folder: Path) -> str:
    """The same of four rounds of six updates, with a price of KL that moves and texts not to be forgotten."""
    from rlaif.training.ppo import PpoConfig

    texts = {"data": data(folder / "texts.jsonl", demonstrations(5)), "batch": 2, "weight": 0.5}
    told = {
        "method": "ppo", "model": str(tiny.saved(folder / "model")), "output": str(folder / "out"),
        "data": data(folder / "rows.jsonl", demonstrations(6), test_share=0.0), "batch": 3, "epochs": 2,
        "objective": {"kind": "clip", "inner_epochs": 2, "minibatches": 3},
        "draw": {"samples": 2, "max_tokens": 6}, "ptx": texts,
        "kl": {"beta": 0.1, "target": 0.05, "horizon": 20}, "part_tokens": 60, "lr": 1e-3,
        "save_every": 6,
    }  # fmt: skip
    return PpoConfig.model_validate(told).model_dump_json()


def prepare(folder: Path, method: Callable[[Path], str]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(method(folder))
    return folder / "config.json"


def start(config: Path, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(VICTIM), str(config), *more], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
    )  # fmt: skip


def killed_at(config: Path, line: str, times: int, *more: str) -> None:
    """Kill the process once it has said a line so many times."""
    process = start(config, *more)
    assert process.stdout is not None
    seen = 0
    for said in process.stdout:
        seen += said.startswith(line)
        if seen == times:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL


def same(whole: Path, cut: Path) -> None:
    """Weights, moments, generators, data order, what the method keeps, every figure but seconds."""
    for name in ("model.safetensors", "config.json"):
        assert (cut / "out/final" / name).read_bytes() == (whole / "out/final" / name).read_bytes()
    (last,) = (whole / "out").glob("step-*")
    for path in last.iterdir():
        assert (cut / "out" / last.name / path.name).read_bytes() == path.read_bytes(), path.name
    one, other = (
        [
            {name: value for name, value in line.items() if not name.startswith("seconds")}
            for line in metrics(folder / "out")
        ]
        for folder in (whole, cut)
    )
    assert one == other
    assert not [path for path in (cut / "out").iterdir() if path.name.startswith(".")]


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "times"), [("step 3", 1), ("step 7", 1), ("writing", 3), ("writing", 7), ("writing", 12)]
)
def test_trap_26_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, line: str, times: int) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(prepare(whole, reward)).wait() == 0
    config = prepare(cut, reward)
    killed_at(config, line, times, *(["--slow"] if line == "writing" else []))
    assert start(config, "--resume").wait() == 0
    same(whole, cut)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of PPO that nothing happened to."""
    folder = tmp_path_factory.mktemp("ppo") / "whole"
    assert start(prepare(folder, ppo)).wait() == 0
    (last,) = (folder / "out").glob("step-*")
    state = json.loads((last / "state.json").read_bytes())
    assert (state["step"], state["kept"]["beta"] != 0.1) == (24, True)
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "times"),
    [("updating", 3), ("updating", 10), ("drawing", 2), ("drawing", 9), ("drawing", 20), ("writing", 2),
     ("writing", 6), ("writing", 9), ("writing", 14)],
)  # fmt: skip
def test_trap_26_a_killed_policy_run_goes_on_to_the_same_bytes(
    tmp_path: Path, undisturbed: Path, line: str, times: int
) -> None:
    config = prepare(tmp_path / "cut", ppo)
    killed_at(config, line, times, "--slow")
    assert start(config, "--resume").wait() == 0
    same(undisturbed, tmp_path / "cut")


@pytest.mark.long
def test_trap_26_a_policy_run_may_be_killed_again_and_again(tmp_path: Path, undisturbed: Path) -> None:
    config = prepare(tmp_path / "cut", ppo)
    killed_at(config, "updating", 8, "--slow")
    killed_at(config, "writing", 4, "--slow", "--resume")
    killed_at(config, "drawing", 8, "--slow", "--resume")
    assert start(config, "--resume").wait() == 0
    same(undisturbed, tmp_path / "cut")
