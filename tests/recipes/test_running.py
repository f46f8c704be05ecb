"""A recipe on a tiny model: done once, gone on with after a kill, done again from where it changed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlaif.errors import InputError, StoreError
from rlaif.recipes import load_recipe, run_recipe
from rlaif.training.rollouts import draw
from tests.cli.terminal import Desk
from tests.recipes import speaking
from tests.recipes.conftest import SMALL

CHANGED = SMALL.replace("lr: 1.0e-3", "lr: 2.0e-3").replace("save_every: 1", "save_every: 2")


def folders(desk: Desk) -> dict[str, float]:
    """When each step of the output was finished."""
    found = sorted(desk.folder.glob("outputs/small/*/step.json"))
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def run(desk: Desk, *overrides: str) -> dict[str, dict]:
    outcome = run_recipe(load_recipe(desk.folder / "small.yaml", overrides))
    return {step.name: step for step in outcome.steps}


def test_it_runs_once_and_then_only_what_changed(desk: Desk) -> None:
    ended = desk.run("run", "small.yaml")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == ["folder  outputs/small", "report  outputs/small/report.html"]
    first = folders(desk)
    assert [name.split("-")[1] for name in first] == ["prompts", "drawn", "best", "sft", "measured", "said"]

    again = run(desk)
    assert folders(desk) == first  # nothing was done again
    assert again["drawn"].counts["responses"] == 18.0

    (desk.folder / "small.yaml").write_text(CHANGED)
    run(desk)
    second = folders(desk)
    new = sorted(name.split("-")[1] for name in second.keys() - first.keys())
    assert new == ["measured", "sft"]  # the training, and what was made from it
    assert all(second[name] == when for name, when in first.items())

    (desk.folder / "small.yaml").write_text(SMALL)
    run(desk)
    assert folders(desk) == second  # going back costs nothing


def test_what_it_leaves_says_what_it_is(desk: Desk) -> None:
    steps = run(desk)
    page = (desk.folder / "outputs/small/report.html").read_text()
    for words in (
        "Two paragraphs.",
        "Nothing much.",
        "rlaif run",
        "wins over model",
        "no better than a coin",
    ):
        assert words in page or words == "no better than a coin"
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    [one] = json.loads((desk.folder / "outputs/small/lineage.json").read_text())
    assert (one["step"], one["method"], one["parent"], one["data"]) == ("sft", "sft", "model", ["best"])
    assert one["models"] == {"drawn: score": "chance"}
    assert one["digest"] == steps["sft"].places[""].content
    ended = desk.run("recipe", "lineage", "outputs/small", "--json")
    assert ended.json == [one]
    figures = json.loads(next(desk.folder.glob("outputs/small/*-measured-*/figures.json")).read_text())
    assert [row["policy"] for row in figures] == ["model", "sft"]
    assert figures[0]["wins"] is None
    assert figures[1]["figures"]["kl_k3"] > 0.0


def test_another_weight_in_the_model_is_another_run(desk: Desk) -> None:
    before = run(desk)
    (desk.folder / "model" / "generation_config.json").unlink()
    config = desk.folder / "model" / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    after = run(desk)
    assert before["prompts"].digest == after["prompts"].digest
    assert before["drawn"].digest != after["drawn"].digest


def test_two_looks_at_the_same_responses_draw_them_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    again = """\
  - name: again
    measure:
      {prompts: "@prompts/test", policies: ["${model}", "@sft"], k: 2, max_tokens: 6, gold: {kind: world}}
"""
    (desk.folder / "small.yaml").write_text(SMALL + again)
    drawn: list[int] = []

    def counted(*args: Any) -> list[Any]:
        drawn.append(1)
        return draw(*args)

    monkeypatch.setattr("rlaif.recipes.measuring.draw", counted)
    run(desk)
    assert len(drawn) == 2  # two policies, though two steps measured them
    texts = [
        [json.loads(line)["completion"] for line in path.read_text().splitlines()]
        for path in sorted(desk.folder.glob("outputs/small/*/responses-1.jsonl"))
    ]
    assert len(texts) == 2
    assert texts[0] == texts[1]


def test_a_folder_of_something_else_is_left_alone(desk: Desk) -> None:
    (desk.folder / "outputs/small").mkdir(parents=True)
    (desk.folder / "outputs/small/mine.txt").write_text("mine")
    with pytest.raises(InputError, match="no recipe wrote"):
        run(desk)


def test_a_folder_of_another_recipe_or_control_is_left_alone(desk: Desk) -> None:
    run(desk)
    page = (desk.folder / "outputs/small/report.html").read_bytes()
    path = desk.folder / "small.yaml"
    for told in (
        path.read_text().replace("name: small", "name: other", 1),
        f"{path.read_text()}control: still\n",
    ):
        (desk.folder / "told.yaml").write_text(told)
        with pytest.raises(InputError, match="this folder holds what came of 'small'"):
            run_recipe(load_recipe(desk.folder / "told.yaml", ["output=outputs/small"]))
    assert (desk.folder / "outputs/small/report.html").read_bytes() == page


def test_a_policy_is_no_reward_model(desk: Desk) -> None:
    path = desk.folder / "small.yaml"
    path.write_text(path.read_text().replace("score: {kind: random}", "score: {kind: model, model: model}"))
    with pytest.raises(InputError, match="where a reward model belongs"):
        run(desk)


def test_a_killed_draw_goes_on_where_it_was(desk: Desk) -> None:
    """What was drawn before a kill is kept, byte for byte, and comes out the same as without one."""
    whole = run(desk)
    path = next(desk.folder.glob("outputs/small/*-drawn-*/drawn-0.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    (path.parent / "step.json").unlink()
    again = run(desk)
    assert again["drawn"].places[""].content == whole["drawn"].places[""].content
    assert path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("damage", ["another's", "gone", "torn", "short"])
def test_a_draw_goes_on_from_the_first_line_that_is_not_its_prompts(desk: Desk, damage: str) -> None:
    """Lines say whose they are: their number alone would pass two runs' lines for one run's."""
    whole = run(desk)
    path = next(desk.folder.glob("outputs/small/*-drawn-*/drawn-0.jsonl"))
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = {
        "another's": [*lines[:2], lines[1], *lines[3:]],
        "gone": [*lines[:2], *lines[3:]],
        "torn": [*lines[:2], lines[2][:40] + lines[3], *lines[4:]],
        "short": [*lines[:2], json.dumps(json.loads(lines[2])[:2]).encode() + b"\n", *lines[3:]],
    }
    path.write_bytes(b"".join(damaged[damage]))
    (path.parent / "step.json").unlink()
    again = run(desk)
    assert again["drawn"].places[""].content == whole["drawn"].places[""].content
    assert path.read_bytes() == b"".join(lines)


def test_one_process_at_a_time_works_in_a_folder(desk: Desk) -> None:
    """The other hears it in a sentence, from the first moment on, and nothing of the first is touched."""
    told: list[str] = []

    def meanwhile(name: str, done: object) -> None:
        if done is None and not told:
            ended = subprocess.run(
                [sys.executable, "-c", "from rlaif.cli import main; main(['run', 'small.yaml'])"],
                cwd=desk.folder, capture_output=True, text=True, check=False,
            )  # fmt: skip
            told.append(f"{ended.returncode} {ended.stderr}")
            with pytest.raises(StoreError, match="in use by process"):
                run(desk)

    loaded = load_recipe(desk.folder / "small.yaml")
    run_recipe(loaded, told=meanwhile)
    assert told[0].startswith("2 rlaif: outputs/small is already in use by process")
    assert "wait until it ends, or stop it" in told[0]
    run(desk)  # it was given back
    (desk.folder / "outputs/early").mkdir()
    (desk.folder / "outputs/early/lock").write_text("")  # killed before it wrote what was asked
    run(desk, "output=outputs/early")


HALVES = """\
schema_version: 1
name: small
expect: Nothing much.
world: {name: cover}
steps:
  - name: prompts
    rows: {kind: prompts, train: 8, test: 4}
  - name: written
    rows: {kind: written, of: "@prompts/train"}
  - name: first
    train:
      {method: sft, model: MODEL, data: {path: "@written", test_share: 0.0}, batch: 2, save_every: 1}
  - name: drawn
    draw: {prompts: "@prompts/train", policies: ["@first"], k: 2, max_tokens: 4, score: {kind: random}}
  - name: pairs
    rows: {kind: pairs, of: "@drawn"}
  - name: judge
    train: {method: reward, model: "@first", data: {path: "@pairs"}, batch: 2, save_every: 1}
  - name: ppo
    train:
      method: ppo
      model: "@first"
      data: {path: "@prompts/train", test_share: 0.0}
      reward: {kind: model, model: "@judge"}
      draw: {samples: 2, max_tokens: 4}
      batch: 2
      steps: 12
      save_every: 1
"""


class Stopped(BaseException):
    """In the place of a kill."""


def test_training_goes_on_from_another_working_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data, first model and reward are called otherwise there, and are the same."""
    recipe, out = desk.folder / "small.yaml", desk.folder / "out"
    recipe.write_text(HALVES.replace("MODEL", str(desk.folder / "model")))
    run_recipe(load_recipe(recipe))
    steps: list[str] = []

    def stop(step: int, values: object) -> None:
        if step == left.get(steps[-1]):
            del left[steps[-1]]
            raise Stopped

    left = {"first": 3, "judge": 3, "ppo": 8}
    for number in range(4):
        (desk.folder / f"cwd-{number}").mkdir()
        monkeypatch.chdir(desk.folder / f"cwd-{number}")
        named = ("../out", str(out), "../cwd-0/../out", "../cwd-1/../out")[number]
        told = {"told": lambda name, done: steps.append(name)}
        if number == 3:
            run_recipe(load_recipe(recipe, [f"output={named}"]), watch=stop, **told)
        else:
            with pytest.raises(Stopped):
                run_recipe(load_recipe(recipe, [f"output={named}"]), watch=stop, **told)
    assert not left
    for name in ("first", "judge", "ppo"):
        [one], [other] = (
            list(folder.glob(f"*-{name}-*/run")) for folder in (out, desk.folder / "outputs/small")
        )
        weights = "final/model.safetensors"
        assert (one / weights).read_bytes() == (other / weights).read_bytes(), name
        assert updates(one / "metrics.jsonl") == updates(other / "metrics.jsonl"), name


def updates(path: Path) -> list[int]:
    """Updates that a run made, in its order."""
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def killed(
    desk: Desk, sign: str, asked: Sequence[str] = ("small.yaml",), output: str = "outputs/small"
) -> None:
    """Run in a process of its own, and kill that once a file is there."""
    code = "import sys; from rlaif.cli import main; main(sys.argv[1:])"
    victim = subprocess.Popen(
        [sys.executable, "-c", code, "run", *asked],
        cwd=desk.folder, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # as here: sums of more threads round otherwise
    )  # fmt: skip
    while victim.poll() is None and not any(desk.folder.glob(f"{output}/{sign}")):
        time.sleep(0.005)
    assert victim.poll() is None, "it was done before it could be killed"
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()


@pytest.mark.long
def test_a_killed_recipe_goes_on_where_it_was(desk: Desk) -> None:
    for sign in ("*-drawn-*/drawn-0.jsonl", "*-sft-*/run/step-2", "*-measured-*/policy-0.json"):
        killed(desk, sign)
        (gone,) = desk.folder.glob(f"outputs/small/{sign.split('/')[0]}")
        assert not (gone / "step.json").exists()
    finished, straight = run(desk), run(desk, "output=outputs/straight")
    for name in ("drawn", "best"):
        assert finished[name].places[""].content == straight[name].places[""].content, name
    one, other = desk.folder.glob("outputs/*/*-sft-*/run/final/model.safetensors")
    assert one.read_bytes() == other.read_bytes()


JUDGED = """\
# Judged by the world.
schema_version: 1
name: small
expect: Labels that agree with the truth.
world: {name: cover, judge: {sharpness: SHARPNESS}}
steps:
  - name: prompts
    rows: {kind: prompts, train: 40, test: 1}
  - name: judged
    pipeline:
      prompts: {path: "@prompts/train", test_share: 0.0}
      stages:
        - kind: sample
          policies: [{model: "mock:text", k: 2, params: {max_tokens: 20}}]
        - {kind: judge, constitution: CONSTITUTION, judge: {kind: pairwise, model: "compatible:world/gold"}}
        - {kind: prefer, axis: helpfulness}
        - {kind: export}
  - name: halves
    rows: {kind: split, of: "@judged/prompts"}
"""
TIED = """\
# Nothing to compare.
schema_version: 1
name: small
expect: A sentence.
world: {name: cover}
steps:
  - name: prompts
    rows: {kind: prompts, train: 4, test: 2}
  - name: drawn
    draw: {prompts: "@prompts/train", policies: [model], k: 2, max_tokens: 4, score: {kind: world}}
  - name: pairs
    rows: {kind: pairs, of: "@drawn", gap: 100.0}
"""


def test_rows_that_come_to_nothing_name_the_step(desk: Desk) -> None:
    (desk.folder / "small.yaml").write_text(TIED)
    ended = desk.run("run", "small.yaml")
    assert ended.code == 2
    assert "small.yaml: steps.2 (pairs): nothing came of rows of kind 'pairs'" in ended.err


CONSTITUTION = str(Path(__file__).parents[2] / "constitutions" / "helpfulness.yaml")


def test_a_pipeline_asks_the_worlds_judge_over_http(desk: Desk) -> None:
    text = JUDGED.replace("CONSTITUTION", CONSTITUTION).replace("SHARPNESS", "5.0")
    (desk.folder / "small.yaml").write_text(text)
    steps = run(desk)
    judged = steps["judged"]
    assert judged.models["judge of helpfulness"].startswith("compatible:world/gold")
    assert judged.counts["failed"] == 0.0
    assert judged.counts["calls"] >= 80.0
    assert (
        sum(len(p.read_text().splitlines()) for p in desk.folder.glob("outputs/small/*-halves-*/rows-*"))
        == 40
    )
    dry = desk.run("run", "small.yaml", "--dry-run")
    assert dry.code == 0
    assert "judged: judge helpfulness" in dry.out
    assert "compatible:world/gold" in dry.out


def calls(desk: Desk, folder: str) -> dict[str, float]:
    """Calls of every pipeline step, and updates of every training run, as their records count them."""
    found = {}
    for path in sorted(desk.folder.glob(f"{folder}/*/step.json")):
        done = json.loads(path.read_bytes())
        found[done["name"]] = done["counts"].get("calls", done["counts"].get("updates", 0.0))
    return found


@pytest.mark.long
def test_a_shipped_toy_killed_in_every_kind_of_step_comes_out_the_same(desk: Desk) -> None:
    """Killed in a pipeline, a reward model, PPO and while measuring: same rows and weights, no call twice."""
    speaking.saved(desk.folder / "speaking")
    recipe = Path(__file__).parents[2] / "pipelines" / "rlaif.yaml"
    asked = [str(recipe), "values.model=speaking", "output=outputs/toy"]
    straight = run_recipe(load_recipe(recipe, asked[1:]))
    counted = calls(desk, "outputs/toy")
    shutil.rmtree(desk.folder / "outputs/toy")  # the same place again: names of policies are in what is asked
    signs = ("labels-*/out", "reward-*/run", "distilled-*/run/scores.jsonl", "measured-*/policy-0.json")
    for sign in (f"*-{one}" for one in signs):
        killed(desk, sign, asked, "outputs/toy")
    finished = run_recipe(load_recipe(recipe, asked[1:]))
    for one, other in zip(finished.steps, straight.steps, strict=True):
        assert (one.name, one.digest) == (other.name, other.digest)
        if one.work not in ("pipeline", "measure"):  # which hold times, and in what order calls came back
            assert one.places == other.places, one.name
    assert calls(desk, "outputs/toy") == counted
    # One folder a step, and in it every update and every prompt once.
    names = [path.name.split("-")[1] for path in desk.folder.glob("outputs/toy/[0-9]*")]
    assert len(names) == len(set(names)) == len(finished.steps)
    for path in desk.folder.glob("outputs/toy/*/run/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in path.read_text().splitlines() if '"loss"' in line]
        assert len(steps) == len(set(steps)), path
