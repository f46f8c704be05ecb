"""Training runs: what is found on disk, its curves, the peak of a course, and starting and stopping."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.exports import MANIFEST
from rlaif.records import Fact
from rlaif.service import runs, trainings
from rlaif.service.points import points
from rlaif.service.problems import Problem
from rlaif.service.web import overoptimisation
from rlaif.training.methods import load_config
from tests import factory
from tests.service import trained
from tests.service.rooms import room, settings
from tests.service.served import Served, served

NUMBERS = st.none() | st.floats(-1e6, 1e6)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("training")
    place = folder / "store" / "training"
    trained.dpo(place / "dpo")
    trained.dpo(place / "other", lift=0.1, finished=False)
    trained.ppo(place / "ppo")
    trained.rounds(place / "loop")
    with served(folder / "store", settings=settings(folder)) as running:
        yield running


# What is there


async def test_runs_of_every_place_are_found(tmp_path: Path) -> None:
    trained.dpo(tmp_path / "store" / "training" / "mine")
    trained.dpo(tmp_path / "outputs" / "beside")
    trained.dpo(tmp_path / "named" / "far")
    loop = trained.rounds(tmp_path / "outputs" / "loop")
    trained.dpo(loop / "round-1" / "policy")
    (tmp_path / "outputs" / "other").mkdir()
    async with room(tmp_path) as service:
        serving = service.settings.service.model_copy(update={"training": (str(tmp_path / "named"),)})
        service.settings = service.settings.model_copy(update={"service": serving})
        assert set(runs.found(service)) == {"mine", "beside", "far", "loop", "loop.round-1"}


async def test_two_runs_of_one_name_are_both_there(tmp_path: Path) -> None:
    trained.dpo(tmp_path / "store" / "training" / "dpo")
    trained.dpo(tmp_path / "outputs" / "dpo")
    async with room(tmp_path) as service:
        found = runs.found(service)
    assert len(found) == 2
    assert {name.partition("~")[0] for name in found} == {"dpo"}


def test_how_a_run_stands(tmp_path: Path) -> None:
    done = runs.read("done", trained.dpo(tmp_path / "done"))
    assert (done.state, done.method, done.step, done.total) == ("completed", "dpo", 40, 43)
    assert done.last["eval/accuracy"] == pytest.approx(0.7)
    going = trained.dpo(tmp_path / "going", finished=False)
    assert runs.read("going", going).state == "running"
    long_ago = time.time() - 3600
    os.utime(going / "metrics.jsonl", (long_ago, long_ago))
    assert runs.read("going", going).state == "stopped"
    loop = runs.read("loop", trained.rounds(tmp_path / "loop"))
    assert (loop.state, loop.method, loop.step) == ("completed", "iterate", 5)


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    folder = trained.run(tmp_path / "run", [{"step": 1, "loss": 1.0}, {"step": 2, "loss": None}])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    (loss,) = runs.series(folder)
    assert (loss.steps, loss.values) == ((1, 2), (1.0, None))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('ss": 0.5}\nnot json\n[1]\n{"loss": 2}\n')
    (loss,) = runs.series(folder)
    assert (loss.steps, loss.values) == ((1, 2, 3), (1.0, None, 0.5))


@given(st.lists(NUMBERS, max_size=300), st.integers(2, 50))
def test_a_thinned_curve_keeps_its_extremes(values: list[float | None], most: int) -> None:
    steps, kept = runs.thinned(range(len(values)), values, most)
    assert len(steps) == len(kept) <= max(most, 2)
    assert steps == sorted(set(steps))
    assert all(values[step] == value for step, value in zip(steps, kept, strict=True))
    known = [one for one in values if one is not None]
    if known:
        assert {min(known), max(known)} <= {one for one in kept if one is not None}


def test_every_number_of_the_guide_has_its_words() -> None:
    known = runs.glossary("ppo")
    assert known["gold"].what.startswith("mean of a second score that nothing learns from")
    assert "greater kl.beta" in known["gold"].otherwise
    for name, words in {
        "eval/loss": "the objective", "data/rows": "rows read", "kl": "log pi - log reference",
    }.items():  # fmt: skip
        meaning = runs.meaning(known, name)
        assert meaning is not None
        assert meaning.what.startswith(words)
    rounds = runs.glossary("iterate")
    family = runs.meaning(rounds, "symptom/hedging")
    assert family is not None
    assert family.what.startswith("share of responses that show a symptom")
    assert runs.meaning(rounds, "nonsense") is None


# The course of a policy


def test_the_peak_is_where_gold_is_greatest(tmp_path: Path) -> None:
    found = points(trained.rounds(tmp_path / "loop"))
    assert found is not None
    assert [one.distance for one in found.points] == [0, 1, 2, 3, 4, 5]
    # .42 at step 2 is the peak; .30 at step 1 is six standard errors below it; .05 at the end far below.
    assert (found.kind, found.judged_by, found.peak, found.stop, found.falls) == (
        "rounds",
        "gold",
        2,
        2,
        True,
    )
    assert found.points[3].symptoms == {"hedging": pytest.approx(0.15)}


def test_to_stop_is_to_stop_at_the_first_that_is_as_good(tmp_path: Path) -> None:
    found = points(trained.rounds(tmp_path / "loop", (0.1, 0.405, 0.41, 0.42)))
    assert found is not None
    assert (found.peak, found.stop, found.falls) == (3, 1, False)


def test_without_a_gold_score_no_peak_is_told(tmp_path: Path) -> None:
    found = points(trained.rounds(tmp_path / "loop", (None, None, None, None)))
    assert found is not None
    assert (found.judged_by, found.peak, found.stop, found.falls) == (None, None, None, False)
    assert points(trained.dpo(tmp_path / "dpo")) is None


def test_updates_are_averaged_into_few_points(tmp_path: Path) -> None:
    """600 updates are five a point: the mean of five, and its error from their spread."""
    found = points(trained.ppo(tmp_path / "ppo", updates=600))
    assert found is not None
    assert (found.kind, len(found.points)) == ("updates", 120)
    first = found.points[0]
    distances = [5 * step / 600 for step in range(1, 6)]
    assert first.step == 5
    assert first.kl == pytest.approx(sum(one**2 for one in distances) / 5)
    assert first.proxy is not None
    assert first.proxy.mean == pytest.approx(0.5 * distances[2])
    # Five numbers a step of .5 * 5/600 apart: variance 2.5 steps squared, error its root over root 5.
    assert first.proxy.error == pytest.approx(0.5 * 5 / 600 * math.sqrt(2.5 / 5))
    peak = next(one for one in found.points if one.step == found.peak)
    assert peak.distance == pytest.approx(2.5, abs=0.05), "of .6 d - .12 d^2"
    assert found.falls


def test_the_table_as_csv(tmp_path: Path) -> None:
    found = points(trained.rounds(tmp_path / "loop"))
    assert found is not None
    head, *rows = overoptimisation.table(found).splitlines()
    opinions = "proxy,proxy_error,gold,gold_error,second,second_error"
    assert head == f"point,step,kl,sqrt_kl,{opinions},tokens,hedging"
    assert rows[2] == "round 2,2,4.0,2.0,0.7,0.02,0.42,0.02,,,42.0,0.1"


# Over HTTP


def test_all_runs_and_one(site: Served) -> None:
    listed = site.ask("GET", "/v1/training").json()
    assert {one["id"] for one in listed["data"]} == {"dpo", "other", "ppo", "loop"}
    assert "train_dpo" in listed["configs"]
    one = site.ask("GET", "/v1/training/dpo").json()
    assert (one["run"]["state"], one["config"]["data"]["table"]) == ("completed", "helpfulness")
    for name in ("nobody", "..", "%2e%2e", "dpo%2Ffinal"):
        assert site.ask("GET", f"/v1/training/{name}").status == 404


def test_curves_by_name_and_number_of_points(site: Served) -> None:
    told = site.ask("GET", "/v1/training/ppo/metrics?names=gold,score&points=10").json()
    assert {one["name"] for one in told["series"]} == {"gold", "score"}
    assert all(len(one["steps"]) <= 10 for one in told["series"])
    assert told["meanings"]["gold"]["what"]
    for wrong in ("points=1", "points=2001", "points=x"):
        assert site.ask("GET", f"/v1/training/ppo/metrics?{wrong}").status == 422


def test_a_reader_who_has_the_curves_is_not_sent_them_again(site: Served) -> None:
    first = site.ask("GET", "/v1/training/dpo/metrics")
    again = site.ask("GET", "/v1/training/dpo/metrics", [("If-None-Match", first.headers["etag"])])
    assert (first.status, again.status, again.body) == (200, 304, b"")
    path = site.folder / "training" / "dpo" / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"step": 41, "loss": 0.2}\n')
    grown = site.ask("GET", "/v1/training/dpo/metrics", [("If-None-Match", first.headers["etag"])])
    assert grown.status == 200
    assert 41 in next(one for one in grown.json()["series"] if one["name"] == "loss")["steps"]


def test_the_course_over_http_and_as_a_file(site: Served) -> None:
    told = site.ask("GET", "/v1/overoptimisation/loop").json()
    assert (told["peak"], told["falls"], len(told["points"])) == (2, True, 6)
    assert site.ask("GET", "/v1/overoptimisation/dpo").status == 404
    file = site.ask("GET", "/overoptimisation/loop/points.csv")
    assert file.headers["content-type"].startswith("text/csv")
    assert file.body.count(b"\n") == 7


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/training", "Overlay the ticked runs"),
        ("/training/dpo", "reward of chosen less reward of rejected"),
        ("/training/compare?run=dpo&run=other", "2 runs overlaid"),
        ("/overoptimisation?run=loop", "over-optimised"),
        ("/overoptimisation?run=ppo", "peak"),
    ],
)
def test_pages_need_no_scripts(address: str, words: str, site: Served) -> None:
    reply = site.ask("GET", address)
    assert reply.status == 200
    shown = unescape(reply.body.decode())
    assert words in shown
    assert "<svg" in shown
    assert len(reply.body) < 250_000
    assert "style=" not in shown


def test_an_overlay_of_none_or_many(site: Served) -> None:
    for asked in ("", "?run=dpo&run=nobody", "?" + "&".join(f"run=r{at}" for at in range(7))):
        assert site.ask("GET", f"/training/compare{asked}").status in (404, 422)


# Starting and stopping


def exported(store: Path) -> list[Fact]:
    """A set, and an export that says it holds it."""
    made = factory.preference_set()
    folder = store / "exports" / "job"
    folder.mkdir(parents=True)
    entry = {
        "id": made.id, "name": made.name, "axis": made.axis, "judge": made.judge, "both_orders": True,
        "constitution": {"id": "c", "name": "c"}, "template": {"id": "t", "name": "t"}, "audited": False,
        "pairs": 0, "counts": {},
    }  # fmt: skip
    manifest = {
        "job": "job", "name": "job", "pipeline": "p", "prompts": "p", "seed": 0, "target": "trl",
        "configs": {"helpfulness": {"kind": "preference", "rows": {"train": 1}}}, "sets": [entry],
        "sources": [], "spend": {"calls": 0, "usd": 0.0}, "files": [],
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return [made]


@pytest.fixture
def slow_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the interpreter: writes down what it was told, then waits."""
    path = tmp_path / "child"
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/told\necho began\nexec sleep 60\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return tmp_path / "told"


async def test_start_then_stop(tmp_path: Path, slow_child: Path) -> None:
    (made,) = facts = exported(tmp_path / "store")
    async with room(tmp_path, facts) as service:
        name = await service.trainings.start("train_dpo", made.id)
        child = service.trainings.children[name]
        while child.said != "began":
            await asyncio.sleep(0.02)
        told = slow_child.read_text().splitlines()
        store = (tmp_path / "store").resolve()
        assert told[:3] == ["-m", "rlaif", "train"]
        assert told[3].endswith("pipelines/train_dpo.yaml")
        assert told[4:] == [
            f"data.path={store}/exports/job", "data.table=helpfulness", f"output={store}/training/dpo",
        ]  # fmt: skip
        with pytest.raises(Problem, match="a run is under way already") as caught:
            await service.trainings.start("train_dpo", made.id)
        assert caught.value.status == 409
        assert await service.trainings.stop(name)
        assert (child.state, child.process.returncode) == ("stopped", -15)
        assert not await service.trainings.stop(name)


async def test_no_child_outlives_the_service(tmp_path: Path, slow_child: Path) -> None:
    (made,) = facts = exported(tmp_path / "store")
    async with room(tmp_path, facts) as service:
        await service.trainings.start("train_dpo", made.id, "mine")
        child = service.trainings.children["mine"]
    assert child.process.returncode is not None


@pytest.mark.parametrize(
    ("config", "dataset", "name", "status", "words"),
    [
        ("../../etc/passwd", "", "", 422, "there is no training file '../../etc/passwd'; allowed: train_"),
        ("quickstart", "", "", 422, "there is no training file"),
        ("train_dpo", "st_0", "", 422, "there is no dataset 'st_0'"),
        ("train_dpo", "", "../up", 422, "found '../up'"),
        ("train_dpo", "", "taken", 409, "there is a run 'taken' already"),
        ("train_sft", "", "", 409, "has not been exported with the table 'helpfulness-sft'"),
    ],
)
async def test_what_cannot_be_started_says_why(
    config: str, dataset: str, name: str, status: int, words: str, tmp_path: Path
) -> None:
    (made,) = facts = exported(tmp_path / "store")
    trained.dpo(tmp_path / "store" / "training" / "taken")
    async with room(tmp_path, facts) as service:
        with pytest.raises(Problem) as caught:
            await service.trainings.start(config, dataset or made.id, name)
        assert (caught.value.status, words in str(caught.value)) == (status, True), str(caught.value)
        assert service.trainings.children == {}


def test_stopping_what_is_not_ours(site: Served) -> None:
    headers = [site.bearer()]
    assert site.ask("POST", "/v1/training/dpo/stop", headers).status == 409
    assert site.ask("POST", "/v1/training/nobody/stop", headers).status == 404


def test_the_operator_s_files_are_training_files() -> None:
    methods = {load_config(path).method for path in trainings.configs().values()}
    assert methods == {"sft", "reward", "dpo", "kto", "ppo"}
