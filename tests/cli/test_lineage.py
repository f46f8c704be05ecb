"""``rlaif recipe lineage``: whatever made a checkpoint, one command says what it came from."""

import json
from pathlib import Path

import pytest

from rlaif.checkpoints import Lineage, identity
from tests import tiny
from tests.cli.terminal import Desk
from tests.iterations.world import World, enter, few


def checkpoint(folder: Path, kind: str, parent: str, **config: object) -> str:
    """Write a checkpoint with its manifest; return its digest."""
    tiny.saved(folder, kind)
    parent_digest = identity(parent) if Path(parent).is_dir() else "elsewhere"
    told = Lineage(
        method="dpo", parent=parent, parent_digest=parent_digest, data_digest="da_1", steps=1, skipped=0,
        config={"seed": 7, "data": {"path": "a/pairs.jsonl"}, **config},
    )  # fmt: skip
    (folder / "lineage.json").write_text(told.model_dump_json())
    return identity(str(folder))


@pytest.fixture
def line(desk: Desk) -> list[str]:
    """A run, and another that went on from it; digests of both."""
    first = checkpoint(desk.folder / "runs/b/final", "llama", "somebody/base")
    again = {"reward": {"kind": "model", "model": "judge-7b"}}
    second = checkpoint(desk.folder / "runs/a/final", "gpt2", str(desk.folder / "runs/b/final"), **again)
    return [first, second]


def test_parents_come_first_and_are_called_by_their_place(desk: Desk, line: list[str]) -> None:
    found = desk.run("recipe", "lineage", "runs", "--json").json
    assert [one["step"] for one in found] == ["b", "a"]
    assert [one["digest"] for one in found] == line
    assert [one["parent"] for one in found] == ["somebody/base", "b"]
    assert found[1]["parent_digest"] == line[0]
    assert [one["data"] for one in found] == [["pairs.jsonl"]] * 2
    assert [one["models"] for one in found] == [{}, {"reward.model": "judge-7b"}]
    assert {one["seed"] for one in found} == {7}
    assert {one["checkpoint"] for one in found} == {"a/final", "b/final"}


@pytest.mark.parametrize("called", ["a", "a/final", "a/final/", "runs/a/final", None])
def test_one_is_asked_for_by_name_place_or_digest(desk: Desk, line: list[str], called: str | None) -> None:
    found = desk.run("recipe", "lineage", "runs", "--of", called or line[1][:9], "--json").json
    assert [one["step"] for one in found] == ["b", "a"]
    eldest = desk.run("recipe", "lineage", "runs", "--of", "b", "--json").json
    assert [one["step"] for one in eldest] == ["b"]


def test_what_is_not_there_names_what_is(desk: Desk, line: list[str]) -> None:
    ended = desk.run("recipe", "lineage", "runs", "--of", "c")
    assert ended.code == 2
    assert "'c', and no checkpoint here is called so; there are: b, a" in ended.sentence
    (desk.folder / "empty").mkdir()
    for place in ("empty", "gone"):
        assert "there is no checkpoint below this folder" in desk.run("recipe", "lineage", place).sentence


def test_a_single_run_is_one_line(desk: Desk, line: list[str]) -> None:
    found = desk.run("recipe", "lineage", "runs/b", "--json").json
    assert [(one["checkpoint"], one["digest"]) for one in found] == [("final", line[0])]
    assert "somebody/base" in desk.run("recipe", "lineage", "runs/b").out


def test_an_iteration_says_who_judged_by_what(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    _: World = enter(desk.folder, monkeypatch)
    few(desk.folder)
    assert desk.run("iterate", "iterate.yaml").code == 0
    rows = desk.run("iterate", "iterate.yaml", "--resume", "--json").json["rows"]
    [one] = desk.run("recipe", "lineage", "outputs/small", "--json").json
    assert (one["step"], one["checkpoint"]) == ("round-1", "round-1/policy/final")
    assert one["digest"] == rows[1]["policy"]["digest"]
    assert one["parent_digest"] == rows[0]["policy"]["digest"]
    told = json.loads((desk.folder / "outputs/small/config.json").read_text())
    assert one["models"]["judge.constitution"] == told["judge.constitution"]
    assert any(name.startswith("judge.") and name.endswith("model") for name in one["models"])
