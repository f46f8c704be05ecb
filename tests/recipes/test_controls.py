"""One switch for negative controls: what it does to every trainer, and where it leaves things alone."""

import html
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pytest
import torch

from rlaif.checkpoints import load, load_scorer
from rlaif.errors import InputError
from rlaif.recipes import Outcome, load_recipe, run_recipe
from rlaif.recipes.bodies import completed, training
from rlaif.recipes.desk import Desk, Money
from rlaif.recipes.folder import Done, Folder, Place
from rlaif.recipes.rows import text
from rlaif.recipes.scores import spoiling
from rlaif.recipes.spoiling import reward
from rlaif.training.controls import demonstrations, labelled, pairs
from rlaif.training.encoding import Encoder
from rlaif.training.models import Policy, Scorer, by_response
from rlaif.training.packing import Group, pack
from tests.recipes import speaking

CONTROLS = ("flipped", "shuffled", "constant", "still")
EVERY = """\
# Every trainer there is.
#
# On one set of responses.
schema_version: 1
name: every
seed: 5
expect: Something of each.
world: {name: cover}
steps:
  - name: prompts
    rows: {kind: prompts, train: 16, test: 16}
  - name: drawn
    draw: {prompts: "@prompts/train", policies: [model], k: 6, max_tokens: 16, score: {kind: world}}
  - name: pairs
    rows: {kind: pairs, of: "@drawn"}
  - name: thumbs
    rows: {kind: label, of: "@drawn", above: {quantile: 0.5}}
  - name: written
    rows: {kind: written, of: "@prompts/train"}
  - name: sft
    train:
      {method: sft, model: model, data: {path: "@written", test_share: 0.0}, epochs: 30, batch: 5, lr: 3e-3}
  - name: reward
    train:
      {method: reward, model: model, data: {path: "@pairs", test_share: 0.0}, epochs: 9, batch: 5, lr: 3.0e-3}
  - name: dpo
    train:
      {method: dpo, model: model, data: {path: "@pairs", test_share: 0.0}, epochs: 12, batch: 5, lr: 1.0e-3}
  - name: cpl
    train:
      method: dpo
      model: model
      objective: {kind: cpl}
      data: {path: "@pairs", test_share: 0.0}
      epochs: 12
      batch: 5
      lr: 1.0e-3
  - name: kto
    train:
      {method: kto, model: model, data: {path: "@thumbs", test_share: 0.0}, epochs: 6, batch: 5, lr: 1.0e-3}
  - name: ppo
    reward: {kind: world}
    train:
      method: ppo
      model: model
      data: {path: "@prompts/train", test_share: 0.0}
      objective: {kind: reinforce}
      draw: {samples: 8, max_tokens: 16}
      kl: {beta: 0.0}
      missing_eos_penalty: 0.0
      batch: 8
      steps: 24
      lr: 1.0e-3
  - name: measured
    measure:
      {prompts: "@prompts/test", policies: [model, "@dpo", "@ppo"], k: 8, max_tokens: 16, gold: {kind: world}}
  - name: flags
    flag:
      - {kind: scores, of: "@drawn", against: {kind: world}}
      - {kind: labels, of: "@pairs", against: {kind: world}}
"""


class Runs(dict[str | None, Outcome]):
    """The recipe as it is, None, and under every control, each run once."""

    def __missing__(self, control: str | None) -> Outcome:
        overrides = [] if control is None else [f"control={control}"]
        self[control] = run_recipe(load_recipe(Path("every.yaml"), overrides))
        return self[control]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("controls")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        speaking.saved(folder / "model")
        (folder / "every.yaml").write_text(EVERY)
        yield Runs()


@pytest.mark.parametrize("control", [None, *CONTROLS])
def test_every_trainer_goes_through_it(runs: Runs, control: str | None) -> None:
    done = [one.name for one in runs[control].steps if one.work.startswith("train")]
    assert done == ["sft", "reward", "dpo", "cpl", "kto", "ppo"]


def place(outcome: Outcome, step: str) -> Path:
    [found] = [one for one in outcome.steps if one.name == step]
    return Path(outcome.folder, found.places[""].path)


def rows(outcome: Outcome, step: str) -> list[dict]:
    return [json.loads(line) for line in place(outcome, step).read_text().splitlines()]


def groups(some: list[dict], columns: tuple[str, ...], tokenizer: object) -> list[Group]:
    encoder = Encoder(tokenizer)
    return [
        Group(
            encoder.prompt(text(row["prompt"])),
            tuple(encoder.response(text(row["prompt"]), row[column])[0] for column in columns),
        )
        for row in some
    ]


@torch.no_grad()
def logprobs(model: str, some: list[dict], *columns: str) -> torch.Tensor:
    """log pi of each of some columns, (rows, columns)."""
    checkpoint = load(model)
    policy, packed = Policy(checkpoint.model), pack(groups(some, columns, checkpoint.tokenizer))
    with policy.passes():
        return by_response(policy.logprobs(packed), packed).view(-1, len(columns))


@torch.no_grad()
def scores(model: str, some: list[dict]) -> torch.Tensor:
    checkpoint = load_scorer(model)
    scorer, packed = (
        Scorer(checkpoint.model),
        pack(groups(some, ("chosen", "rejected"), checkpoint.tokenizer)),
    )
    with scorer.passes():
        return scorer.scores(packed).view(-1, 2)


def margin(runs: Runs, control: str | None, step: str) -> float:
    """How far a trainer drove better and worse responses apart, by the truth."""
    true, made = rows(runs[None], "pairs"), str(place(runs[control], step))
    if step == "reward":
        both = scores(made, true)
    else:
        both = logprobs(made, true, "chosen", "rejected") - logprobs("model", true, "chosen", "rejected")
    return float((both[:, 0] - both[:, 1]).mean())


@pytest.mark.parametrize("step", ["reward", "dpo", "cpl", "kto"])
def test_a_trainer_learns_what_the_labels_say(runs: Runs, step: str) -> None:
    found = {control: margin(runs, control, step) for control in (None, *CONTROLS)}
    plain = found[None]
    assert plain > 0.3, found
    if step == "cpl":  # whose bias makes both sides likelier, whatever is said of them
        assert found["flipped"] < found["constant"] < plain, found
        assert abs(found["still"]) < 1e-3, found
        return
    assert found["flipped"] < -0.3 * plain, found
    assert abs(found["constant"]) < 0.3 * plain, found
    assert abs(found["shuffled"]) < 0.8 * plain, found
    if step != "reward":  # whose head is drawn and not trained
        assert abs(found["still"]) < 1e-3, found


def test_imitation_under_other_prompts_teaches_nothing_about_a_prompt(
    runs: Runs,
) -> None:
    """How much likelier is an answer to the prompt it was written for than to the next one?"""
    own = rows(runs[None], "written")
    others = [{**row, "prompt": other["prompt"]} for row, other in zip(own, [*own[1:], own[0]], strict=True)]

    def fits(model: str) -> float:
        return float((logprobs(model, own, "completion") - logprobs(model, others, "completion")).mean())

    found = {one: fits(str(place(runs[one], "sft"))) - fits("model") for one in (None, *CONTROLS)}
    assert found[None] > 1.0, found
    assert found["shuffled"] < 0.3 * found[None], found
    assert found["flipped"] == found["constant"] == found[None]  # nothing in them to turn round
    assert abs(found["still"]) < 1e-3, found


def test_a_reward_turned_round_turns_the_policy_round(runs: Runs) -> None:
    def gold(control: str | None) -> dict[str, dict]:
        figures = json.loads(place(runs[control], "measured").read_text())
        return {one["policy"]: one["figures"] for one in figures}

    found = {control: gold(control) for control in (None, *CONTROLS)}
    moved = {one: each["ppo"]["gold"]["mean"] - each["model"]["gold"]["mean"] for one, each in found.items()}
    error = found[None]["model"]["gold"]["error"]
    assert moved[None] > 2 * error, moved
    assert moved["flipped"] < -3 * error, moved
    assert moved["flipped"] < moved["constant"] < moved[None], moved
    assert found["constant"]["ppo"]["kl_k3"] < 0.2 * found[None]["ppo"]["kl_k3"]
    for policy in ("dpo", "ppo"):
        assert found["still"][policy]["kl_k3"] < 1e-3


def test_the_recipe_says_of_its_own_labels_what_the_control_did(runs: Runs) -> None:
    def flags(control: str | None) -> list[str]:
        [step] = [one for one in runs[control].steps if one.name == "flags"]
        return [one.said for one in step.raised if one.raised]

    assert flags(None) == flags("still") == []
    assert len(flags("flipped")) == 2
    assert all("runs against the truth" in said for said in flags("flipped"))
    assert any("no better than a coin" in said for said in flags("constant"))
    assert all("runs against the truth" not in said for said in flags("constant"))


def test_a_control_has_a_folder_and_a_head_of_its_own(runs: Runs) -> None:
    assert {Path(one.folder).name for one in map(runs.__getitem__, (None, *CONTROLS))} == {
        "every",
        *(f"every-{one}" for one in CONTROLS),
    }
    assert "This is a control" not in Path(runs[None].report).read_text()
    for control in CONTROLS:
        page = html.unescape(Path(runs[control].report).read_text())
        assert f"This is a control: {control}." in page
        assert "What must come of it" in page


def test_a_control_that_does_not_hold_is_said(runs: Runs) -> None:
    """Each policy of a control is held against what must come of it."""
    for control in CONTROLS:
        [step] = [one for one in runs[control].steps if one.name == "measured"]
        assert [one.title for one in step.raised] == [f"control {control}, dpo", f"control {control}, ppo"]
    still = next(one for one in runs["still"].steps if one.name == "measured")
    assert not any(one.raised for one in still.raised)


def test_rows_are_spoiled_as_they_say() -> None:
    some = [
        {"prompt": f"p{at}", "chosen": f"a{at}", "rejected": f"b{at}", "chosen_score": 1} for at in range(400)
    ]
    turned = pairs(some, "flipped", 0)
    assert turned[3]["chosen"] == "b3"
    assert turned[3]["rejected_score"] == 1
    share = fmean(one["chosen"].startswith("b") for one in pairs(some, "shuffled", 1))
    assert 0.4 <= share <= 0.6  # four standard errors
    assert pairs(some, "shuffled", 1) == pairs(some, "shuffled", 1) != pairs(some, "shuffled", 2)
    both = pairs(some[:1], "constant", 0)
    assert [one["chosen"] for one in both] == ["a0", "b0"]
    assert pairs(some, None, 0) == pairs(some, "still", 0) == some
    thumbs = [{"prompt": "p", "completion": str(at), "label": at < 3} for at in range(6)]
    assert [one["label"] for one in labelled(thumbs, "flipped", 0)] == [False] * 3 + [True] * 3
    assert sum(one["label"] for one in labelled(thumbs, "constant", 0)) == 6
    said = [{"prompt": f"p{at}", "completion": f"c{at}"} for at in range(9)]
    dealt = demonstrations(said, "shuffled", 0)
    assert sorted(one["completion"] for one in dealt) == sorted(one["completion"] for one in said)
    assert all(one["completion"] != f"c{at}" for at, one in enumerate(dealt))
    assert demonstrations(said, "flipped", 0) == said


def test_an_unknown_control_is_refused(tmp_path: Path) -> None:
    (tmp_path / "every.yaml").write_text(EVERY)
    with pytest.raises(InputError, match="flipped"):
        load_recipe(tmp_path / "every.yaml", ["control=flip"])


GATED = """\
schema_version: 1
name: gated
expect: Whoever gave a score that nothing spoiled is spoiled.
world: {name: harm}
control: flipped
steps:
  - name: prompts
    rows: {kind: prompts, train: 6, test: 4}
  - name: tagged
    rows: {kind: unsafe, of: "@prompts/train"}
  - name: drawn
    draw: {prompts: "@prompts/train", policies: [m], k: 2, score: {kind: random}}
  - name: pairs
    rows: {kind: pairs, of: "@drawn"}
  - name: own
    train: {method: reward, model: m, data: {path: "@pairs"}}
  - name: scored
    draw: {prompts: "@prompts/train", policies: [m], k: 2, score: SCORE}
  - name: ppo
    train: {method: ppo, model: m, data: {path: "@prompts/train"}, reward: SCORE}
  - name: rounds
    iterate:
      prompts: {path: "@prompts/train", test_share: 0.3}
      train: {method: dpo, objective: {kind: sigmoid, beta: 0.1}}
      reward: SCORE
"""
TAG = 'safety_prompts: {path: "@tagged", test_share: 0.0}'


@pytest.mark.parametrize(
    ("score", "spoiled"),
    [
        ('{kind: model, model: "@own"}', False),
        ("{kind: model, model: elsewhere}", True),
        ("{kind: gate, safety: elsewhere, helpfulness: elsewhere, TAG}", True),
        ('{kind: gate, safety: "@own", helpfulness: "@own", TAG}', False),
        ('{kind: gate, safety: "@own", helpfulness: "@own", safety_prompts: {path: mine}}', False),
        ('{kind: gate, safety: "@own", helpfulness: elsewhere, TAG}', True),
        ('{kind: gate, safety: elsewhere, helpfulness: "@own"}', True),
    ],
)
def test_a_score_is_left_only_if_all_its_models_are_the_recipes_own(
    tmp_path: Path, score: str, spoiled: bool
) -> None:
    """A tag that is a step of the recipe does not make a gate its own."""
    (tmp_path / "gated.yaml").write_text(GATED.replace("SCORE", score.replace("TAG", TAG)))
    loaded = load_recipe(tmp_path / "gated.yaml")
    desk = Desk(loaded.recipe, tmp_path, Folder(tmp_path / "out"), Money(), None)
    for name in ("prompts/train", "tagged", "own"):
        step, _, table = name.partition("/")
        there = {table: Place(path=f"there/{step}", content="c")}
        desk.done[step] = Done(name=step, work="rows", digest="", inputs={}, folder="f", places=there)
    scored, ppo, rounds = loaded.recipe.steps[-3:]
    config = training(desk.resolved(ppo.train), ppo, loaded.recipe, tmp_path / "run")
    assert (spoiling(scored.draw.score, desk) is not None) == spoiled
    assert (reward(ppo, config, desk) is not None) == spoiled
    assert ("control" in completed(rounds.iterate, rounds, loaded.recipe, tmp_path)) == spoiled
