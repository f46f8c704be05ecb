"""A clean desk for every test of the command line: an empty folder, no keys, no settings."""

from pathlib import Path

import pytest

from tests.cli.terminal import Desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.chdir(tmp_path)
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "RLAIF_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    return Desk(tmp_path, capsys)
