"""Judgements written by a rule: what they count, and that they answer the judge's own question."""

import json
from pathlib import Path

import pytest

from rlaif.judging.verdicts import read_score
from rlaif.lab.worlds import asking
from rlaif.lab.writing import judgement
from rlaif.recipes import load_recipe, run_recipe
from tests.cli.terminal import Desk

ROOT = Path(__file__).parents[2]
PROMPT = "Write one short sentence with the words apple, bridge, candle."
RECIPE = f"""\
# Judging.
#
# Learned.
schema_version: 1
name: judging
expect: A question and its answer.
world: {{name: cover}}
steps:
  - name: prompts
    rows: {{kind: prompts, train: 3, test: 1}}
  - name: answers
    rows: {{kind: written, of: "@prompts/train"}}
  - name: judgements
    rows:
      kind: judgements
      of: "@answers"
      constitution: {ROOT}/pipelines/judges/sentence.yaml
      judge: {{kind: additive, model: "local:model", template: {ROOT}/pipelines/judges/sentence.txt}}
"""


@pytest.mark.parametrize(
    ("said", "points", "lines"),
    [
        (
            "An apple, a bridge and a candle.",
            5,
            ["apple: used", "bridge: used", "candle: used", "repeats: no"],
        ),
        ("The candle.", 3, ["apple: missing", "bridge: missing", "candle: used", "repeats: no"]),
        (
            "so it goes on so it goes on",
            1,
            ["apple: missing", "bridge: missing", "candle: missing", "repeats: yes"],
        ),
        ("apple " * 41, 1, ["apple: used", "bridge: missing", "candle: missing", "repeats: yes"]),
    ],
)
def test_it_counts_what_it_says(said: str, points: int, lines: list[str]) -> None:
    assert judgement(PROMPT, said).split("\n") == [*lines, f"Score: {points}"]


def test_each_answers_the_judges_own_question(desk: Desk) -> None:
    (desk.folder / "judging.yaml").write_text(RECIPE)
    outcome = run_recipe(load_recipe(desk.folder / "judging.yaml"))
    path = Path(outcome.folder, outcome.steps[-1].places[""].path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 3
    for row in rows:
        system, question = row["prompt"]
        assert system["role"] == "system"
        assert "Uses each of the words that the prompt lists." in system["content"]
        assert any(asking(number) in question["content"] for number in range(9))
        assert question["content"].endswith('"Score: N".')
        read = read_score(row["completion"], "stop", 0, 5)
        assert (read.status, read.value) == ("ok", "5")  # what is written uses all words, once and briefly
