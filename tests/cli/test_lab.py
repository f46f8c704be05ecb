"""``rlaif lab``: worlds, a sweep, the trace of a job, the judge's settings, bad input in a sentence."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rlaif.settings import Settings
from tests.cli.terminal import Desk

ROOT = Path(__file__).parents[2]
FEATURES = str(ROOT / "pipelines/lab_overopt_features.yaml")
FEW = ("size=toy", "sweep.values=[2,4,8,16,32,64]")


def test_worlds_are_listed(desk: Desk) -> None:
    ended = desk.run("lab", "worlds")
    assert [line.split()[0] for line in ended.out.splitlines()[2:]] == [
        "cover",
        "exploit",
        "harm",
        "features",
    ]
    assert desk.run("lab", "worlds", "--json").json[1]["known as"] == "GW2"


def test_a_sweep_says_which_point_to_use_and_where_its_page_is(desk: Desk) -> None:
    ended = desk.run("lab", "overopt", FEATURES, *FEW)
    assert ended.code == 0
    *_, use, gold, page = ended.out.splitlines()
    assert use.split()[0] == "use"
    assert "from prompts that did not choose it" in gold
    assert Path(page.split()[1]).is_file()
    assert "best_of_n: alpha" in ended.out
    again = desk.run("lab", "overopt", FEATURES, *FEW, "--resume", "--json")
    assert again.err == ""
    assert [one["name"] for one in again.json["points"]][:2] == ["start", "n = 2"]


def test_too_few_points_are_told(desk: Desk) -> None:
    ended = desk.run("lab", "overopt", FEATURES, "size=toy", "sweep.values=[2,4,8,16]")
    assert ended.code == 0
    assert "found 4 points away from the start" in ended.err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("world=moon",), ("world", "'moon'", "features")),
        (("proxy.kind=bonus",), ("proxy.symptom",)),
        (("sweep.kind=steps",), ("'steps'",)),
        (("sweep.values=[1]",), ("sweep.values.0", "equal to 2")),
        (("size=huge",), ("size", "'huge'", "toy")),
    ],
)
def test_a_wrong_sweep_is_one_sentence(desk: Desk, more: tuple[str, ...], words: tuple[str, ...]) -> None:
    ended = desk.run("lab", "overopt", FEATURES, *more)
    assert ended.code == 2
    assert all(word in ended.sentence for word in words), ended.sentence


def test_the_trace_of_a_job(desk: Desk) -> None:
    assert desk.run("run", desk.pipeline(), "--yes").code == 0
    store = str(next((desk.folder / "outputs").iterdir()))
    job = desk.run("jobs", "--store", store, "--json").json[0]["job_id"]
    ended = desk.run("lab", "trace", "--symptom", "degenerate", "--set", job, "--store", store)
    assert ended.code == 0
    assert "of responses show degenerate" in ended.out
    assert "whole set" in ended.out
    found = desk.run("lab", "trace", "--symptom", "hedging", "--set", job, "--json").json
    assert len({one["set"] for one in found}) == len(found) == 2  # an axis each
    for one in found:
        assert one["whole"]["pairs"] == sum(clause["pairs"] for clause in one["clauses"]) > 0
    every = desk.run("lab", "trace", "--set", job, "--json").json
    assert "verbosity" in {one["name"] for one in next(iter(every.values()))}


def test_what_cannot_be_traced_is_one_sentence(desk: Desk) -> None:
    assert desk.run("run", desk.pipeline(), "--yes").code == 0
    assert "'wit' is no symptom" in desk.run("lab", "trace", "--symptom", "wit", "--set", "small").sentence
    assert (
        "'nobody' is no job" in desk.run("lab", "trace", "--symptom", "apology", "--set", "nobody").sentence
    )


def test_the_judge_prints_settings_that_load(tmp_path: Path) -> None:
    command = ["-m", "rlaif", "lab", "gold-judge", "--world", "cover", "--port", "0", "slot_bias=.4"]
    env = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        lines = process.stdout.readline() + process.stdout.readline()
        process.terminate()
    (tmp_path / "rlaif.toml").write_text(lines)
    server = Settings.load({}, tmp_path).compatible["gold"]
    assert server.base_url == tomllib.loads(lines)["compatible"]["gold"]["base_url"]
    assert server.base_url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("fault", "words"), [("sharpness=x", "'x'"), ("wit=3", "'wit'"), ("malformed=2", "2")]
)
def test_a_wrong_fault_is_one_sentence(desk: Desk, fault: str, words: str) -> None:
    ended = desk.run("lab", "gold-judge", "--world", "cover", "--port", "0", fault)
    assert ended.code == 2
    assert words in ended.sentence
