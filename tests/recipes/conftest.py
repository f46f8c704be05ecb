"""A tiny model and a small recipe on a desk of its own."""

from pathlib import Path

import pytest

from tests import tiny
from tests.cli.terminal import Desk

SMALL = """\
# A small recipe.
#
# Two paragraphs.
schema_version: 1
name: small
seed: 3
expect: Nothing much.
world: {name: cover}
values: {model: model, count: {toy: 6, small: 7, full: 8}}
steps:
  - name: prompts
    rows: {kind: prompts, train: "${count}", test: 4}
  - name: drawn
    draw: {prompts: "@prompts/train", policies: ["${model}"], k: 3, max_tokens: 6, score: {kind: random}}
  - name: best
    rows: {kind: best_of_n, of: "@drawn"}
  - name: sft
    train:
      method: sft
      model: "${model}"
      data: {path: "@best", test_share: 0.0}
      epochs: 1
      batch: 2
      lr: 1.0e-3
      save_every: 1
  - name: measured
    measure:
      {prompts: "@prompts/test", policies: ["${model}", "@sft"], k: 2, max_tokens: 6, gold: {kind: random}}
  - name: said
    flag: [{kind: scores, of: "@drawn", against: {kind: random}}]
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.chdir(tmp_path)
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "RLAIF_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    tiny.saved(tmp_path / "model")
    (tmp_path / "small.yaml").write_text(SMALL)
    return Desk(tmp_path, capsys)
