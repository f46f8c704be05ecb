"""The iteration file: what it may say, and in which words it is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlaif.errors import InputError
from rlaif.iterations import load_iteration
from tests.iterations.world import ITERATION, prepare

ROOT = Path(__file__).parents[2]
SHIPPED = ("iterate_self_rewarding", "rejection_sampling")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_files_are_sound(name: str) -> None:
    loaded = load_iteration(ROOT / f"pipelines/{name}.yaml")
    assert loaded.output == Path(f"outputs/{name}")
    assert loaded.prompts.is_file()


def test_self_rewarding_is_as_published() -> None:
    """Yuan et al. 2024: four candidates at .7 and .9, three judgements averaged, DPO at .1 and 1e-6."""
    config = load_iteration(ROOT / "pipelines/iterate_self_rewarding.yaml").config
    assert (config.sample.k, config.sample.params.temperature, config.sample.params.top_p) == (4, 0.7, 0.9)
    assert config.judge is not None
    judge = config.judge.judge.model_dump()
    assert (judge["kind"], judge["model"], judge["draws"], judge["tie_gap"]) == ("additive", "policy", 3, 0.0)
    train = config.train.model_dump()
    assert (train["objective"]["beta"], train["lr"], train["batch"]) == (0.1, 1e-6, 16)
    assert config.train_from == "previous"


def test_the_policy_is_named_wherever_a_judge_names_it(tmp_path: Path) -> None:
    members = [
        {"kind": "pointwise", "model": "policy"},
        {"kind": "pairwise", "model": "mock:text", "verdict": "labels"},
    ]
    judge = {"constitution": "numbers.yaml", "judge": {"kind": "panel", "members": members}}
    loaded = load_iteration(prepare(tmp_path, judge=judge))
    resolved: Any = loaded.resolved(loaded.judges["judge"], "local:out/final")
    assert [one["model"] for one in resolved["members"]] == ["local:out/final", "mock:text"]


def test_files_of_a_judge_are_beside_the_iteration_file(tmp_path: Path) -> None:
    folder = tmp_path / "far"
    folder.mkdir()
    (folder / "weights.json").write_text(json.dumps({"intercept": 0.0}))
    one = {"id": "short", "text": "The response is short.", "weight": 1.0}
    judge = {"kind": "propositions", "model": "mock:text", "weights": "weights.json", "propositions": [one]}
    with pytest.raises(InputError, match=r"far/weights\.json"):  # which is there, and holds none
        load_iteration(prepare(folder, judge={"constitution": "numbers.yaml", "judge": judge}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": {"method": "dpo", "model": "x"}}, r"train\.model: found 'x'; every round names its own"),
        ({"train": {"method": "dpo", "data": {"path": "x"}}}, r"train\.data\.path: found 'x'"),
        ({"train": {"method": "dpo", "output": "x"}}, r"train\.output: found 'x'"),
        ({"begin": {"method": "sft", "model": "x", "data": {"path": "y"}}}, r"begin\.model: found 'x'"),
        ({"begin": {"method": "sft"}}, r"begin\.data: "),
        ({"train": {"method": "ppo"}}, r"train\.method: "),
        ({"train": {"method": "dpo", "batch": 0}}, r"train.*batch: "),
        ({"train": 5}, r"train: "),
        ({"rounds": 0}, r"rounds: "),
        ({"sample": {"k": 1}}, r"sample\.k: "),
        ({"keep_earlier": True}, r"keep_earlier is for method sft"),
        ({"reward": {"kind": "model", "model": "x"}}, r"found both judge and reward"),
        ({"judge": {"constitution": "gone.yaml", "judge": {"kind": "additive", "model": "policy"}}}, r"gone"),
        (
            {"judge": {"constitution": "numbers.yaml", "judge": {"kind": "additive", "model": "gpt"}}},
            r"judge\.judge: 'gpt' is not a model",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    held = ITERATION["judge"]["judge"]
    monkeypatch.setitem(held, "template", None)
    with pytest.raises(InputError, match=sentence):
        load_iteration(prepare(tmp_path, **changes))


def test_overrides_are_checked_by_the_same_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = prepare(tmp_path)
    assert load_iteration(path, ["rounds=3", "train.lr=0.001"]).config.rounds == 3
    with pytest.raises(InputError, match=r"train\.output"):
        load_iteration(path, ["train.output=elsewhere"])
