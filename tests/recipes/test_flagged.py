"""What recipes say of themselves: a reviser that repeats, a scorer by chance, a judge turned round."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rlaif.recipes import Outcome, load_recipe, run_recipe
from rlaif.training.config import DataConfig
from rlaif.training.files import read_split_rows
from tests.cli.terminal import Desk
from tests.recipes import speaking

CONSTITUTIONS = Path(__file__).parents[2] / "constitutions"
_RESPONSE = re.compile(r"<<response \w+>>\n(.*?)\n<<", re.DOTALL)
HEAD = """\
# Flags.
#
# On purpose.
schema_version: 1
name: flagged
expect: A flag.
world: {name: cover, judge: {sharpness: 8.0}}
steps:
  - name: prompts
    rows: {kind: prompts, train: 24, test: 4}
"""
REVISED = """\
  - name: revisions
    pipeline:
      prompts: {path: "@prompts/train", test_share: 0.0}
      stages:
        - {kind: sample, policies: [{model: "mock:text", k: 1, params: {max_tokens: 20}}]}
        - kind: revise
          constitution: CONSTITUTIONS/helpfulness.yaml
          reviser: {model: "compatible:parrot/REVISER", steps: 1, examples: 0}
        - {kind: export}
  - name: said
    flag: [{kind: identical_revisions, of: "@revisions/helpfulness-revised"}]
"""
SCORED = """\
  - name: drawn
    draw: {prompts: "@prompts/train", policies: [model], k: 8, max_tokens: 16, score: SCORE}
  - name: said
    flag: [{kind: scores, of: "@drawn", against: {kind: world}}]
"""
JUDGED = """\
  - name: judged
    pipeline:
      prompts: {path: "@prompts/train", test_share: 0.0}
      stages:
        - {kind: sample, policies: [{model: "local:model", k: 4, params: {max_tokens: 16}}]}
        - kind: judge
          constitution: CONSTITUTIONS/helpfulness.yaml
          judge: {kind: pairwise, model: "compatible:world/gold"}
        - {kind: prefer, axis: helpfulness}
        - {kind: export}
  - name: turned
    rows: {kind: flip, of: "@judged/helpfulness"}
  - name: said
    flag: [{kind: labels, of: "@WHICH", against: {kind: world}}]
"""


class Parrot(BaseHTTPRequestHandler):
    """Answers with the response it is asked to revise, or with that and a word more."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = _RESPONSE.search(body["messages"][-1]["content"])
        text = said[1] if said else "nothing"
        if body["model"] == "busy":
            text = f"better: {text}"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        reply = json.dumps(
            {"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def parrot(desk: Desk) -> Iterator[Desk]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = f'[compatible.parrot]\nbase_url = "http://127.0.0.1:{server.server_port}/v1"\n'
    (desk.folder / "rlaif.toml").write_text(text + "input_price = 0\noutput_price = 0\n")
    yield desk
    server.shutdown()
    server.server_close()


def run(desk: Desk, steps: str, *overrides: str) -> Outcome:
    text = HEAD + steps.replace("CONSTITUTIONS", str(CONSTITUTIONS))
    (desk.folder / "flagged.yaml").write_text(text)
    return run_recipe(load_recipe(desk.folder / "flagged.yaml", overrides))


@pytest.mark.parametrize(("reviser", "raised"), [("lazy", True), ("busy", False)])
def test_a_reviser_that_repeats_its_input_is_flagged(parrot: Desk, reviser: str, raised: bool) -> None:
    outcome = run(parrot, REVISED.replace("REVISER", reviser))
    [step] = [one for one in outcome.steps if one.name == "revisions"]
    assert step.counts["failed"] == 0.0
    assert bool(outcome.raised) is raised
    page = Path(outcome.report).read_text()
    assert ("criticises without changing anything" in page) is raised


@pytest.mark.parametrize(("score", "raised"), [("{kind: random}", True), ("{kind: world}", False)])
def test_a_scorer_by_chance_is_flagged(desk: Desk, score: str, raised: bool) -> None:
    speaking.saved(desk.folder / "model")
    outcome = run(desk, SCORED.replace("SCORE", score))
    assert [("no better than a coin" in said) for said in outcome.raised] == [True] * raised
    assert ("no better than a coin" in Path(outcome.report).read_text()) is raised


@pytest.mark.parametrize(("which", "raised"), [("turned", True), ("judged/helpfulness", False)])
def test_a_judge_that_runs_against_the_truth_is_flagged(desk: Desk, which: str, raised: bool) -> None:
    speaking.saved(desk.folder / "model")
    outcome = run(desk, JUDGED.replace("WHICH", which))
    assert [("runs against the truth" in said) for said in outcome.raised] == [True] * raised


def test_a_control_turns_round_all_that_a_judge_said(desk: Desk) -> None:
    """Pairs, thumbs and what is imitated: all tables of an export are of the same spoiled labels."""
    speaking.saved(desk.folder / "model")
    steps = JUDGED.replace("WHICH", "judged/helpfulness")
    plain, turned = run(desk, steps), run(desk, steps, "control=flipped")
    assert [("runs against the truth" in said) for said in turned.raised] == [True]

    def table(outcome: Outcome, name: str) -> list[Any]:
        [step] = [one for one in outcome.steps if one.name == "judged"]
        place = step.places[name]
        data = DataConfig(path=str(Path(outcome.folder, place.path)), table=place.table)
        return [row.value for row, _ in read_split_rows(data)]

    def said(rows: list[Any], column: str) -> set[str]:
        return {json.dumps([row["prompt"], row[column]]) for row in rows}

    true, made = table(plain, "helpfulness"), table(turned, "helpfulness")
    assert len(true) == len(made) > 0
    assert said(made, "chosen") == said(true, "rejected")
    assert said(made, "rejected") == said(true, "chosen")
    assert said(table(turned, "helpfulness-sft"), "completion") == said(made, "chosen")
    thumbs = table(turned, "helpfulness-unpaired")
    assert said([row for row in thumbs if row["label"]], "completion") == said(made, "chosen")


def test_a_control_turns_round_a_file_from_elsewhere(desk: Desk) -> None:
    rows = [{"prompt": f"p{at}", "chosen": f"a{at}", "rejected": f"b{at}"} for at in range(6)]
    (desk.folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = """\
  - name: dpo
    train: {method: dpo, model: model, data: {path: mine.jsonl, test_share: 0.0}, epochs: 1, batch: 6}
"""
    outcome = run(desk, steps, "control=flipped")
    learned = Path(outcome.folder, outcome.steps[-1].folder, "control", "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["chosen"] for line in learned] == [row["rejected"] for row in rows]
    assert outcome.steps[-1].models == {"control": "flipped"}
