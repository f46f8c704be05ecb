"""``rlaif review`` from export to agreement."""

import json
from pathlib import Path

import pytest

from rlaif.cli import main
from tests.service.filled import filled


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("review") / "out")


def run(*words: str) -> int:
    try:
        main(list(words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_out_and_back_and_measured(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pairs.json"
    where = ("--store", str(store))
    assert (
        run("review", "export", "--out", str(out), "--set", "helpful-safe/safety", "--limit", "6", *where)
        == 0
    )
    assert "settings of the dataset" in capsys.readouterr().err
    records = json.loads(out.read_text())
    assert len(records) == 6
    for record in records:
        record["responses"] = {"better": [{"value": ["response_a", "response_b"], "user_id": "ann"}]}
    records[0]["fields"]["prompt"] = "Another question"
    out.write_text(json.dumps(records))
    assert run("review", "import", str(out), *where) == 0
    told = capsys.readouterr()
    assert "kept 5 labels of 1 people" in told.out
    assert f"texts differ from ours: 1: {records[0]['id']}" in told.err
    assert run("review", "agree", "helpful-safe/safety", "--json", *where) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["pairs"] == 5
    assert run("review", "agree", "helpful-safe/safety", *where) == 0
    assert "human:ann" in capsys.readouterr().out


def test_label_studio_goes_both_ways(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tasks.json"
    where = ("--store", str(store), "--for", "label-studio")
    assert run("review", "export", "--out", str(out), "--limit", "2", *where) == 0
    assert '<Pairwise name="better"' in capsys.readouterr().err
    tasks = json.loads(out.read_text())
    result = [{"type": "pairwise", "value": {"selected": "right"}}]
    tasks[0]["annotations"] = [{"completed_by": 7, "result": result, "created_at": "2026-05-01T00:00:00Z"}]
    out.write_text(json.dumps(tasks))
    assert run("review", "import", str(out), "--json", *where) == 0
    assert json.loads(capsys.readouterr().out)["people"] == {"7": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("review", "export", "--out", "x.json", "--set", "nothing"), "there is no set 'nothing'"),
        (("review", "import", "missing.json"), "no such file"),
        (("review", "agree", "helpful-safe/helpfulness"), "nobody has labelled a pair"),
    ],
)
def test_bad_input_is_a_sentence(
    words: tuple[str, ...], said: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(*words, "--store", str(store)) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_flagged_sets_are_exported_only_when_accepted(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("export", "helpful-safe/safety", "--out", str(tmp_path / "set"), "--store", str(store))
    assert run(*words) == 1
    assert "--accept-flags" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    assert run(*words, "--accept-flags") == 0
    assert (tmp_path / "set" / "manifest.json").is_file()
