"""What a step is made from counts by content, wherever it is named, and is looked for beside the recipe."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif.recipes import load_recipe, run_recipe
from rlaif.recipes.desk import Desk, Money
from rlaif.recipes.digests import digest, inputs
from rlaif.recipes.folder import Done, Folder, Place
from tests import tiny
from tests.recipes import speaking
from tests.training import made

HEAD = """\
# Reward models from elsewhere.
schema_version: 1
name: outside
seed: 3
expect: Nothing much.
world: {name: cover}
steps:
  - name: prompts
    rows: {kind: prompts, train: 6, test: 4}
  - name: drawn
    draw: {prompts: "@prompts/train", policies: [model], k: 2, max_tokens: 6, score: {kind: random}}
"""
ITERATE = """\
      model: model
      rounds: 1
      prompts: {path: "@prompts/train", test_share: 0.3}
      sample: {k: 2, params: {temperature: 1.0, max_tokens: 6}}
      train: {method: dpo, objective: {kind: sigmoid, beta: 0.1}, epochs: 1, batch: 2, lr: 1.0e-3}
      evaluation: {k: 1, params: {temperature: 1.0, max_tokens: 6}}
"""
PPO = """\
      method: ppo
      model: model
      data: {path: "@prompts/train", test_share: 0.0}
      objective: {kind: reinforce}
      draw: {samples: 2, max_tokens: 6}
      batch: 4
      steps: 1
"""
MODEL = "{kind: model, model: rm}"
GATE = "{kind: gate, safety: rm, helpfulness: other, safety_prompts: {path: tag.jsonl, test_share: 0.0}}"
STEPS: dict[str, Callable[[str], str]] = {
    "rows": lambda score: f"rows: {{kind: score, of: '@drawn', by: {score}}}\n",
    "draw": lambda score: f"draw: {{prompts: '@prompts/train', policies: [model], k: 2, score: {score}}}\n",
    "measure": lambda score: (
        "measure: {prompts: '@prompts/test', policies: [model], k: 2, max_tokens: 6, gold: {kind: world},"
        f" proxy: {score}}}\n"
    ),
    "train": lambda score: f"train:\n{PPO}      reward: {score}\n",
    "beside a body": lambda score: f"train:\n{PPO}    reward: {score}\n",
    "iterate": lambda score: f"iterate:\n{ITERATE}      reward: {score}\n",
    "beside rounds": lambda score: f"iterate:\n{ITERATE}    reward: {score}\n",
}
places = pytest.mark.parametrize("place", STEPS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe's folder, with a tag; the command runs elsewhere, where the models lie."""
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    speaking.saved(Path("model"))
    scorer = made.scorer()
    for name in ("rm", "other", "third"):
        shutil.copytree("model", name)
        scorer.score.weight.data += 1.0
        scorer.save_pretrained(name)
    (tmp_path / "home" / "tag.jsonl").write_text(json.dumps({"prompt": "a"}) + "\n")
    return tmp_path / "home"


def loaded(home: Path, place: str, score: str):
    (home / "outside.yaml").write_text(f"{HEAD}  - name: last\n    {STEPS[place](score)}")
    return load_recipe(home / "outside.yaml")


def told(home: Path, place: str, score: str) -> tuple[str, dict[str, str]]:
    """The digest of the last step, and what it is made from."""
    read = loaded(home, place, score)
    desk = Desk(read.recipe, home, Folder(read.output), Money(), None)
    some = Place(path="rows", content="c")
    for name, tables in (("prompts", ("train", "test")), ("drawn", ("",))):
        desk.done[name] = Done(
            name=name, work="rows", digest="", inputs={}, folder="f", places=dict.fromkeys(tables, some)
        )
    found = inputs(read.recipe.steps[-1], desk)
    return digest(read.recipe.steps[-1], desk, found), found


@places
def test_another_reward_model_of_the_same_name_is_another_step(home: Path, place: str) -> None:
    before, found = told(home, place, MODEL)
    assert "rm" in found
    shutil.rmtree("rm")
    shutil.copytree("third", "rm")
    assert told(home, place, MODEL)[0] != before


@places
@pytest.mark.parametrize("name", ["rm", "other"])
def test_both_models_of_a_gate_count(home: Path, place: str, name: str) -> None:
    before, found = told(home, place, GATE)
    assert {"rm", "other", "tag.jsonl"} <= found.keys()
    shutil.rmtree(name)
    shutil.copytree("third", name)
    assert told(home, place, GATE)[0] != before


@places
def test_the_tag_of_a_gate_lies_beside_the_recipe(home: Path, place: str) -> None:
    before, _ = told(home, place, GATE)
    Path("tag.jsonl").write_text("another of that name, where the command runs")
    assert told(home, place, GATE)[0] == before
    (home / "tag.jsonl").write_text(json.dumps({"prompt": "b"}) + "\n")
    assert told(home, place, GATE)[0] != before


JUDGED = """\
  - name: measured
    measure: {prompts: "@prompts/test", policies: [model, babble], k: 1, max_tokens: 8, gold: {kind: world}}
  - name: table
    compare: {of: ["@measured"], judge: {judge: JUDGE, constitution: c.yaml}}
"""
ASKING = "{kind: pairwise, model: 'compatible:world/gold', template: mine.txt}"
PLAIN = "{kind: pairwise, model: 'compatible:world/gold'}"


@pytest.mark.parametrize("judge", [ASKING, f"{{kind: panel, members: [{ASKING}, {PLAIN}]}}"])
def test_what_a_compare_steps_judge_reads_lies_beside_the_recipe(home: Path, judge: str) -> None:
    root = Path(__file__).parents[2]
    shutil.copy(root / "rlaif/judging/templates/pairwise_labels.txt", home / "mine.txt")
    shutil.copy(root / "constitutions/helpfulness.yaml", home / "c.yaml")
    Path("mine.txt").write_text("another of that name, where the command runs")
    tiny.saved(Path("babble"))
    (home / "outside.yaml").write_text(HEAD + JUDGED.replace("JUDGE", judge))
    outcome = run_recipe(load_recipe(home / "outside.yaml"))
    assert {"mine.txt", "c.yaml"} <= outcome.steps[-1].inputs.keys()
    assert outcome.steps[-1].counts["calls"] > 0.0


@places
def test_it_is_read_where_it_was_looked_for(home: Path, place: str) -> None:
    assert run_recipe(loaded(home, place, GATE)).steps[-1].inputs["tag.jsonl"]
