"""``rlaif train``: the shipped files, overrides, JSON, going on, and bad input in one sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rlaif.training.methods import load_config
from tests import tiny
from tests.cli.terminal import Desk
from tests.training.made import asked, demonstrations, pair, pairs, write

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "pipelines").glob("train_*.yaml"))


@pytest.fixture
def project(desk: Desk) -> Desk:
    """A tiny model and rows beside the shipped files."""
    tiny.saved(desk.folder / "model")
    write(desk.folder / "pairs.jsonl", pairs(20))
    write(desk.folder / "said.jsonl", demonstrations(20))
    for path in SHIPPED:
        shutil.copy(path, desk.folder)
    return desk


def reward(desk: Desk, *more: str, rows: str = "pairs.jsonl") -> Any:
    return desk.run(
        "train", "train_reward.yaml", "model=model", f"data.path={rows}", "data.table=null",
        "data.test_share=0.3", "output=out", "batch=8", *more,
    )  # fmt: skip


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_files_are_sound(path: Path) -> None:
    assert load_config(path).output == f"outputs/{path.stem.removeprefix('train_')}"


def test_it_trains_and_names_what_it_wrote(project: Desk) -> None:
    ended = reward(project)
    assert (ended.code, ended.out.splitlines()[0]) == (0, "out/final")
    assert "3 updates, 0 skipped" in ended.out
    assert "accuracy:" in ended.out
    assert "data/rows 40" in ended.err
    assert (project.folder / "out/final/lineage.json").is_file()


def test_json_is_one_document(project: Desk) -> None:
    ended = project.run("train", "train_sft.yaml", "model=model", "data.path=said.jsonl", "data.table=null",
                        "output=out", "steps=1", "--json")  # fmt: skip
    assert ended.code == 0
    assert ended.json["folder"] == "out/final"
    assert ended.json["steps"] == 1
    assert ended.json["metrics"]["loss"] > 0


def test_it_goes_on_where_asked_to(project: Desk) -> None:
    assert reward(project, "save_every=1").code == 0
    assert "holds a run already; add --resume" in reward(project, "save_every=1").sentence
    assert reward(project, "save_every=1", "--resume").code == 0


def nan_weights(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    model.model.norm.weight.data.fill_(float("nan"))
    model.save_pretrained(folder)


def without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def three_labels(folder: Path) -> None:
    from tests.training.made import CLASSES

    made = tiny.llama().config
    made.num_labels = 3
    CLASSES["llama"](made).save_pretrained(folder)


ROWS: dict[str, tuple[list[dict[str, Any]], tuple[str, ...]]] = {
    "wrong columns": ([{"question": "a", "answer": "b"}], ("rows.jsonl:1", "answer, question", "chosen")),
    "no row": ([], ("rows.jsonl", "no row")),
    "a prompt with no answer": ([{"prompt": asked("a")}], ("rows.jsonl:1", "no response to train on")),
    "equal pairs": ([pair("a", "b", "b")], ("rows.jsonl", "same response")),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_cannot_be_used_are_one_sentence(project: Desk, name: str) -> None:
    rows, words = ROWS[name]
    write(project.folder / "rows.jsonl", rows)
    ended = reward(project, rows="rows.jsonl")
    assert ended.code == 2
    assert all(word in ended.sentence for word in words), ended.sentence
    assert not (project.folder / "out").exists()


METHODS: dict[str, tuple[str, ...]] = {
    "train_sft.yaml": ("messages", "completion"), "train_dpo.yaml": ("chosen", "rejected"),
    "train_kto.yaml": ("completion", "label"), "train_ppo.yaml": ("prompt",),
}  # fmt: skip


@pytest.mark.parametrize("file", METHODS)
@pytest.mark.parametrize("rows", [[{"question": "a", "answer": "b"}], []], ids=["wrong columns", "no row"])
def test_every_method_refuses_them_in_one_sentence(
    project: Desk, file: str, rows: list[dict[str, Any]]
) -> None:
    write(project.folder / "rows.jsonl", rows)
    ended = project.run("train", file, "model=model", "data.path=rows.jsonl", "data.table=null", "output=out")
    assert ended.code == 2
    words = ("rows.jsonl:1", *METHODS[file]) if rows else ("rows.jsonl", "no row")
    assert all(word in ended.sentence for word in words), ended.sentence
    assert not (project.folder / "out").exists()


def test_a_step_that_is_not_a_number_is_skipped_and_said(
    project: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlaif.training import reward as trainer

    calls = iter([1.0, float("nan")])
    pairwise = trainer.pairwise
    monkeypatch.setattr(trainer, "pairwise", lambda *given: pairwise(*given) * next(calls, 1.0))
    ended = reward(project, "part_tokens=100000")
    assert (ended.code, "3 updates, 1 skipped" in ended.out) == (0, True)


def test_a_policy_without_a_reward_is_told_where_to_name_one(project: Desk) -> None:
    write(project.folder / "rows.jsonl", [{"prompt": asked("a")}] * 3)
    ended = project.run("train", "train_ppo.yaml", "model=model", "data.path=rows.jsonl", "data.table=null",
                        "data.test_share=0", "reward=null", "output=out")  # fmt: skip
    assert ended.code == 2
    assert "kind: model, model: FOLDER" in ended.sentence


MODELS: dict[str, tuple[Any, int, tuple[str, ...]]] = {
    "no template": (without_template, 2, ("no chat template",)),
    "three labels": (three_labels, 2, ("num_labels 3", "has 1")),
    "nan": (nan_weights, 1, ("10 updates in a row", "not a number", "lower lr")),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_be_trained_is_one_sentence(project: Desk, name: str) -> None:
    change, code, words = MODELS[name]
    change(project.folder / "model")
    ended = reward(project, "steps=20")
    assert ended.code == code
    last = ended.err.splitlines()[-1]
    assert all(word in last for word in words), ended.err
    assert "Traceback" not in ended.err


ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no method": (("method=rewards",), ("method", "'rewards'", "reward")),
    "unknown field": (("learning_rate=1",), ("'learning_rate'",)),
    "no number": (("lr=fast",), ("lr", "'fast'")),
    "no data": (("data.path=nowhere.jsonl",), ("nowhere.jsonl", "no such file")),
    "no model": (("model=nobody",), ("'nobody'", "smollm2")),
    "a table of no export": (("data.table=x",), ("'x'", "no export folder")),
    "adapters that are split": (("sharded=true", "lora.rank=2"), ("sharded", "lora", "leave one out")),
    "betas": (("betas=[0.9, 1.5]",), ("betas", "1.5")),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_wrong_argument_is_one_sentence(project: Desk, name: str) -> None:
    more, words = ARGUMENTS[name]
    ended = reward(project, *more)
    assert ended.code == 2
    assert all(word in ended.sentence for word in words), ended.sentence


def test_a_changed_configuration_lists_its_keys(project: Desk) -> None:
    assert reward(project, "save_every=1").code == 0
    ended = reward(project, "save_every=1", "lr=0.5", "labels=hard", "--resume")
    assert ended.code == 2
    assert "labels ('soft' before, 'hard' now), lr (1e-05 before, 0.5 now)" in ended.sentence


def test_memory_that_runs_out_names_a_knob(project: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from rlaif.training.models import Scorer

    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Scorer, "scores", out_of_memory)
    ended = reward(project)
    assert ended.code == 2
    assert "lower part_tokens" in ended.err.splitlines()[-1]


def test_a_file_that_says_nothing_is_refused(project: Desk) -> None:
    (project.folder / "empty.yaml").write_text("")
    assert project.run("train", "empty.yaml").code == 2
    (project.folder / "list.yaml").write_text(json.dumps(["method"]))
    assert "must be a mapping" in project.run("train", "list.yaml").sentence
