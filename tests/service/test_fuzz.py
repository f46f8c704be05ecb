"""Schemathesis over our own description and a real service: no 5xx, nothing the description denies."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.served import Served, served

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "unsupported_method", "ignored_auth",
)  # fmt: skip
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "406", "409", "413", "415", "422", "429"]
"""
"""A body that is too long is refused before it is looked at."""
STREAMS = r"/events$"
"""Streams never end; their tests stand elsewhere."""


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that asks for keys."""
    with served(tmp_path_factory.mktemp("near"), require_key=True) as one:
        yield one


def fuzz(service: Served, folder: Path, examples: int, phases: str) -> str:
    """Run schemathesis; what it says."""
    (folder / "schemathesis.toml").write_text(SETTINGS)
    place = str(Path(sys.executable).parent / "schemathesis")
    done = subprocess.run(
        [
            place, "run", f"{service.origin}/openapi.json", "--checks", ",".join(CHECKS),
            "--header", f"Authorization: Bearer {service.keys['admin']}", "--max-examples", str(examples),
            "--phases", phases, "--seed", "7", "--exclude-path-regex", STREAMS, "--no-color",
            "--suppress-health-check", "all", "--request-timeout", "20", "--generation-database", "none",
        ],
        capture_output=True, text=True, cwd=folder, timeout=1500,
    )  # fmt: skip
    return done.stdout + done.stderr


def judged(said: str) -> None:
    """Fail unless all went well, and something was sent."""
    sent = re.search(r"(\d+) generated", said)
    assert sent is not None, said[-6_000:]
    assert int(sent[1]) > 100
    assert "FAILURES" not in said, said[:12_000]
    assert "ERRORS" not in said, said[:12_000]


def test_a_few_examples_of_everything(near: Served, tmp_path: Path) -> None:
    judged(fuzz(near, tmp_path, 12, "examples,fuzzing"))


@pytest.mark.long
@pytest.mark.timeout(1600)
def test_many_examples_of_everything(near: Served, tmp_path: Path) -> None:
    judged(fuzz(near, tmp_path, 100, "examples,coverage,fuzzing,stateful"))
