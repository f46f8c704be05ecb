"""The real command from a test: run in this process, or as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rlaif.cli import main
from tests.pipeline.files import write


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which has to be one JSON document."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """Stderr, which has to be one sentence and nothing else."""
        assert self.err.startswith("rlaif: "), self.err
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        assert "internal error" not in self.err
        return self.err


@dataclass(frozen=True)
class Desk:
    """A folder with a pipeline in ``in/``, where commands are run."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *argv: str) -> Ended:
        """Run the command in this process; pytest's stdin is no terminal."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(argv)
        out, err = self.capsys.readouterr()
        return Ended(int(caught.value.code or 0), out, err)

    def pipeline(self, **how: Any) -> str:
        """Write the pipeline of mock models; see ``tests.pipeline.files``."""
        return str(write(self.folder / "in", **how))

    def files(self) -> set[str]:
        """Everything that stands in the folder."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


def spawn(folder: Path, *argv: str, env: Mapping[str, str] | None = None, **more: Any) -> Ended:
    """Run the command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "rlaif", *argv], cwd=folder, env=env, capture_output=True, text=True, **more
    )
    return Ended(done.returncode, done.stdout, done.stderr)
