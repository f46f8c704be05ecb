"""A recipe is checked whole before anything runs, and every complaint names its line."""

import json
import shlex
from pathlib import Path

import pytest

from rlaif.errors import InputError
from rlaif.lab.worlds import Harm
from rlaif.recipes import load_recipe, run_recipe
from tests.cli.terminal import Desk
from tests.recipes.conftest import SMALL


def refused(folder: Path, text: str, *overrides: str) -> str:
    (folder / "bad.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_recipe(folder / "bad.yaml", overrides)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert SMALL.count(old) == 1
    return SMALL.replace(old, new)


def line(text: str, of: str) -> int:
    return next(at for at, one in enumerate(text.splitlines(), 1) if of in one)


@pytest.mark.parametrize(
    ("rows", "said"), [(None, "there is no 'mine.jsonl'"), ("", "no row in 'mine.jsonl'")]
)
def test_a_training_file_that_has_nothing_is_refused_before_anything_runs(
    desk: Desk, rows: str | None, said: str
) -> None:
    if rows is not None:
        Path("mine.jsonl").write_text(rows)
    assert said in refused(desk.folder, changed('path: "@best"', "path: mine.jsonl"))


@pytest.mark.parametrize(("size", "prompts"), [("toy", 6), ("small", 7), ("full", 8)])
def test_a_size_chooses_among_its_values(desk: Desk, size: str, prompts: int) -> None:
    loaded = load_recipe(desk.folder / "small.yaml", [f"size={size}"])
    assert loaded.recipe.steps[0].rows.train == prompts
    assert loaded.about == "A small recipe.\n\nTwo paragraphs."


def test_values_fill_whole_entries_and_parts_of_texts(desk: Desk) -> None:
    text = changed('"@prompts/train", policies: ["${model}"]', '"@prompts/train", policies: ["a/${model}"]')
    (desk.folder / "small.yaml").write_text(text)
    steps = load_recipe(desk.folder / "small.yaml", ["values.model=other"]).recipe.steps
    assert steps[1].draw.policies == ("a/other",)
    assert steps[3].train["model"] == "other"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("values.modle=mine", "values.modle: found 'modle', set by an override, which is none of the file's"
         " values; did you mean 'model'?"),
        ("values.lr=1.0", "values: model, count"),
        ("values={model: mine, counts: 3}", "values.counts: found 'counts'"),
    ],
)  # fmt: skip
def test_an_override_of_no_value_is_refused(desk: Desk, override: str, said: str) -> None:
    assert said in refused(desk.folder, SMALL, override)
    ended = desk.run("run", "small.yaml", override)
    assert ended.code == 2
    assert said in ended.sentence


def test_a_file_without_values_has_none_to_override(desk: Desk) -> None:
    text = SMALL.replace("values: {model: model, count: {toy: 6, small: 7, full: 8}}\n", "")
    text = text.replace("${model}", "model").replace('"${count}"', "6")
    assert "values: none" in refused(desk.folder, text, "values.model=mine")


def test_the_command_that_goes_on_is_one_a_shell_reads_so(desk: Desk) -> None:
    name = "small; recipe's.yaml"
    (desk.folder / name).write_text(SMALL)
    asked = [
        'values.model=Write a "good" answer; now',
        "size=small",
        "values.count={toy: 1, small: 2, full: 3}",
    ]
    again = load_recipe(Path(name), asked).again
    assert shlex.split(again) == ["rlaif", "run", name, *asked]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('of: "@drawn"}\n  - name: sft', 'of: "@drown"}\n  - name: sft',
         "no step before this one has that name; did you mean 'drawn'"),
        ('{path: "@best", test', '{path: "@prompts", test',
         "that step leaves '@prompts/train', '@prompts/test'"),
        ('{path: "@best", test', '{path: "@drawn", test',
         "which is scored responses (prompt, completion, score), where demonstrations (prompt, completion)"
         " belong; '@best' would do"),
        ("kind: best_of_n, of", "kind: pairs, of",
         "where demonstrations (prompt, completion) belong; add a rows step of kind best_of_n"),
        ('model: "${model}"\n      data', 'model: "@drawn"\n      data', "where a policy belongs"),
        ("method: sft", "method: kto",
         "where responses marked good or bad (prompt, completion, label) belong; add a rows step of kind"
         " label"),
        ("method: sft", "method: dpo",
         "where pairs (prompt, chosen, rejected) belong; add a rows step of kind pairs"),
        ("      batch: 2\n", "      bach: 2\n", "unknown key 'bach'; did you mean 'batch'"),
        ("      batch: 2\n", "      output: here\n", "every step has its own: leave it out"),
        ("- name: best\n", "- name: drawn\n", "which another step is called already"),
        ('"@sft"], k', '"@best"], k', "where a policy belongs"),
        ("world: {name: cover}\n", "", "no world that has its own"),
        ("max_tokens: 6, score: {kind: random}", "max_tokens: 6, score: {kind: world, of: safety}",
         "the world 'cover' has no safety"),
        ('policies: ["${model}"], k: 3', 'policies: ["${modle}"], k: 3',
         "'${modle}' is not under values; did you mean 'model'"),
        ("    rows: {kind: best_of_n", "    flag: []\n    rows: {kind: best_of_n", "has rows and flag"),
    ],
)  # fmt: skip
def test_bad_input_is_named_with_its_line(desk: Desk, old: str, new: str, said: str) -> None:
    text = changed(old, new)
    complaint = refused(desk.folder, text)
    assert said in complaint
    assert complaint.startswith(f"{desk.folder / 'bad.yaml'}:")


KINDS = """\
# Every kind of thing there is.
schema_version: 1
name: kinds
expect: A refusal.
world: {name: cover}
steps:
  - name: prompts
    rows: {kind: prompts, train: 4, test: 2}
  - name: responses
    draw: {prompts: "@prompts/train", policies: [model], score: {kind: world}}
  - name: demonstrations
    rows: {kind: best_of_n, of: "@responses"}
  - name: pairs
    rows: {kind: pairs, of: "@responses"}
  - name: unpaired
    rows: {kind: label, of: "@responses", above: {quantile: 0.5}}
  - name: scorer
    train: {method: reward, model: model, data: {path: "@pairs"}}
  - name: policy
    train: {method: sft, model: model, data: {path: "@demonstrations"}}
  - name: last
    train: {method: METHOD, model: model, data: {path: "@PLACE"}}
"""
PLACES = ("prompts/train", "responses", "demonstrations", "pairs", "unpaired", "scorer", "policy")
LEARNT = {
    "sft": ({"demonstrations"}, "add a rows step|'@demonstrations' would do"),
    "reward": ({"pairs"}, "'@pairs' would do"),
    "dpo": ({"pairs"}, "'@pairs' would do"),
    "kto": ({"unpaired"}, "'@unpaired' would do"),
    "ppo": ({"prompts/train", "responses", "demonstrations", "pairs", "unpaired"}, "'@prompts/train' or"),
}


@pytest.mark.parametrize("method", LEARNT)
@pytest.mark.parametrize("place", PLACES)
def test_each_method_says_which_step_makes_what_it_learns_from(
    tmp_path: Path, method: str, place: str
) -> None:
    text = KINDS.replace("METHOD", method).replace("PLACE", place)
    right, said = LEARNT[method]
    if place in right:
        (tmp_path / "kinds.yaml").write_text(text)
        load_recipe(tmp_path / "kinds.yaml")
        return
    complaint = refused(tmp_path, text)
    assert any(one in complaint for one in said.split("|")), complaint
    assert f"found '@{place}', which is " in complaint


@pytest.mark.parametrize(
    ("method", "row", "said"),
    [
        ("dpo", '{"prompt": "p", "completion": "c", "label": true}',
         "responses marked good or bad (prompt, completion, label), where pairs (prompt, chosen, rejected)"
         " belong; name a file of those, or add a rows step of kind pairs"),
        ("reward", '{"prompt": "p", "completion": "c"}', "demonstrations (prompt, completion), where pairs"),
        ("kto", '{"prompt": "p", "chosen": "a", "rejected": "b"}',
         "pairs (prompt, chosen, rejected), where responses marked good or bad (prompt, completion, label)"
         " belong; name a file of those, or add a rows step of kind label"),
        ("sft", '{"prompt": "p"}',
         "prompts, where demonstrations (prompt, completion) belong; name a file of those, or add a rows step"
         " of kind best_of_n"),
        ("ppo", '{"question": "p"}', "rows that nothing here learns from"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_told_by_its_columns(
    tmp_path: Path, method: str, row: str, said: str
) -> None:
    (tmp_path / "mine.jsonl").write_text(row + "\n")
    text = KINDS.replace("METHOD", method).replace('"@PLACE"', str(tmp_path / "mine.jsonl"))
    complaint = refused(tmp_path, text)
    assert said in complaint
    assert "steps.7.train.data.path" in complaint


def test_the_line_is_that_of_the_reference(desk: Desk) -> None:
    text = changed('{path: "@best", test', '{path: "@drawn", test')
    where = line(text, '@drawn", test')
    assert f":{where}: steps.3.train.data.path: " in refused(desk.folder, text)


def test_an_unknown_size_is_refused(desk: Desk) -> None:
    assert "allowed: toy, small, full" in refused(desk.folder, SMALL, "size=tiny")


def test_a_mixture_is_of_one_kind(desk: Desk) -> None:
    more = '  - name: mixed\n    rows: {kind: mix, sources: [{of: "@best"}, {of: "@drawn"}]}\n'
    assert "all its sources are rows of one kind" in refused(desk.folder, SMALL + more)


def test_a_pipeline_in_a_recipe_finds_its_line(desk: Desk) -> None:
    more = """\
  - name: judged
    pipeline:
      prompts: {path: "@prompts/train"}
      stages:
        - {kind: sample, policies: [{model: "local:@sft"}]}
        - {kind: prefer, axis: helpfulness}
"""
    text = SMALL + more
    complaint = refused(desk.folder, text)
    assert f"bad.yaml:{line(text, 'kind: prefer')}: steps.6.pipeline.stages.1: " in complaint
    assert "needs a 'judge' stage before it" in complaint


def test_the_command_says_one_sentence(desk: Desk) -> None:
    (desk.folder / "small.yaml").write_text(changed("method: sft", "method: kto"))
    ended = desk.run("run", "small.yaml")
    assert ended.code == 2
    assert "steps.3.train.data.path" in ended.sentence
    assert not (desk.folder / "outputs").exists()


def test_prompts_are_unsafe_in_one_world_alone(desk: Desk) -> None:
    text = SMALL.replace(
        "  - name: drawn", '  - name: tagged\n    rows: {kind: unsafe, of: "@prompts/train"}\n  - name: drawn'
    )
    said = refused(desk.folder, text)
    assert "set world.name: harm" in said
    assert f"bad.yaml:{line(text, 'kind: unsafe')}" in said


def test_unsafe_prompts_are_those_that_ask_for_something_forbidden(desk: Desk) -> None:
    beginning = SMALL.split("  - name: drawn")[0].replace("cover", "harm")
    step = '  - name: tagged\n    rows: {kind: unsafe, of: "@prompts/train"}\n'
    (desk.folder / "tag.yaml").write_text(beginning + step)
    folder = Path(run_recipe(load_recipe(desk.folder / "tag.yaml")).folder)
    prompts = [json.loads(one) for one in next(folder.glob("01-*/rows-train.jsonl")).open()]
    tagged = [json.loads(one) for one in next(folder.glob("02-*/rows-all.jsonl")).open()]
    assert tagged == [one for one in prompts if Harm().unsafe(one["prompt"][0]["content"])]
    assert 0 < len(tagged) < len(prompts)
