"""What will cost something, or cannot be asked at all, is said before anything is trained."""

from pathlib import Path

import pytest

from rlaif.errors import InputError, UnpricedError
from rlaif.recipes import load_recipe, paid_later
from rlaif.settings import Settings
from tests.cli.terminal import Desk

ROOT = Path(__file__).parents[2]
HELPFUL = ROOT / "constitutions" / "helpfulness.yaml"
RECIPE = """\
# A table with one judge.
schema_version: 1
name: asked
expect: Nothing much.
world: {name: cover}
steps:
  - name: prompts
    rows: {kind: prompts, train: 4, test: 4}
  - name: demonstrations
    rows: {kind: written, of: "@prompts/train"}
  - name: sft
    train: {method: sft, model: nowhere, data: {path: "@demonstrations"}, epochs: 1, batch: 2}
  - name: measured
    measure: {prompts: "@prompts/test", policies: [nowhere, "@sft"], k: 1, max_tokens: 4, gold: {kind: world}}
  - name: table
    compare:
      of: ["@measured"]
      judge: {judge: {kind: pairwise, model: "MODEL"}, constitution: CONSTITUTION}
"""


def written(folder: Path, model: str = "compatible:world/gold", constitution: object = HELPFUL) -> Path:
    path = folder / "asked.yaml"
    path.write_text(RECIPE.replace("MODEL", model).replace("CONSTITUTION", str(constitution)))
    return path


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")


def later(path: Path, *, allow_unpriced: bool = False) -> tuple[str, ...]:
    return paid_later(load_recipe(path), Settings.load(), allow_unpriced=allow_unpriced)


def test_a_judge_that_costs_is_named(tmp_path: Path) -> None:
    assert later(written(tmp_path)) == ()
    assert later(written(tmp_path, "openai:gpt-4.1-mini")) == ("table",)


def test_a_judge_of_no_known_price_is_refused_or_let_through(tmp_path: Path) -> None:
    path = written(tmp_path, "openai:my-own")
    with pytest.raises(UnpricedError, match="my-own"):
        later(path)
    assert later(path, allow_unpriced=True) == ()


def test_a_key_that_is_missing_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match="OPENAI_API_KEY is not set"):
        later(written(tmp_path, "openai:gpt-4.1-mini"))


@pytest.mark.parametrize(
    ("model", "constitution", "said"),
    [
        ("nobody:gpt", HELPFUL, "'nobody:gpt' is not a model"),
        ("compatible:world/gold", "nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_refused_when_the_recipe_is_read(
    tmp_path: Path, model: str, constitution: object, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        load_recipe(written(tmp_path, model, constitution))


def test_rounds_that_cost_are_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    head, _, _ = path.read_text().partition("  - name: measured")
    path.write_text(
        f"""{head}  - name: rounds
    iterate:
      model: nowhere
      rounds: 1
      prompts: {{path: "@prompts/train", test_share: 0.5}}
      sample: {{k: 2}}
      judge: {{constitution: {HELPFUL}, judge: {{kind: pointwise, model: "openai:gpt-4.1-mini"}}}}
      train: {{method: dpo}}
"""
    )
    assert later(path) == ("rounds",)


def test_a_pipeline_that_leaves_nothing_is_refused_when_the_recipe_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    head, _, _ = path.read_text().partition("  - name: demonstrations")
    stages = '[{kind: sample, policies: [{model: "mock:text", k: 2}]}]'
    path.write_text(
        f"""{head}  - name: judged
    pipeline: {{prompts: {{path: "@prompts/train"}}, stages: {stages}}}
"""
    )
    with pytest.raises(InputError, match="no stage of kind export"):
        load_recipe(path)


def test_nothing_is_trained_before_somebody_agreed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")  # a desk has none
    ended = desk.run("run", str(written(desk.folder, "openai:gpt-4.1-mini")))
    assert ended.code == 2
    assert "--budget USD" in ended.err
    assert "table" in ended.err
    assert not (desk.folder / "outputs").exists()
