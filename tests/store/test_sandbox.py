import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlaif.errors import InputError, StoreError
from rlaif.store import Workspace, select
from tests.store.facts import prompt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    async def fill() -> None:
        workspace = Workspace.open(tmp_path / "w")
        await workspace.commit([prompt("one"), prompt("two")], job_id="j-1")
        await workspace.close()

    asyncio.run(fill())
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    return tmp_path / "w"


def test_rows_come_back(folder: Path) -> None:
    found = select(folder, "SELECT count(*) AS n, min(split) AS split FROM prompts")
    assert found.to_pylist() == [{"n": 2, "split": "train"}]


ESCAPES = {
    "read_csv": "SELECT * FROM read_csv('{near}/secret.csv')",
    "read_text": "SELECT * FROM read_text('/etc/hostname')",
    "copy": "COPY prompts TO '{near}/stolen.csv'",
    "attach": "ATTACH '{near}/other.duckdb'",
    "install": "INSTALL httpfs",
    "set": "SET enable_external_access = true",
    "create": "CREATE TABLE mine (a INTEGER)",
    "export": "EXPORT DATABASE '{near}/dump'",
    "bare file": "SELECT * FROM '{near}/secret.csv'",
    "reset": "RESET max_execution_time",
    "delete": "DELETE FROM prompts",
    "python variable": "SELECT * FROM ESCAPES",
    "second statement": "SELECT 1; COPY prompts TO '{near}/stolen.csv'",
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_there_is_no_way_out(folder: Path, escape: str) -> None:
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(InputError, match="the query failed: ") as raised:
        select(folder, ESCAPES[escape].format(near=folder.parent))
    assert "\n" not in str(raised.value)
    assert sorted(folder.parent.rglob("*")) == before
    assert select(folder, "SELECT count(*) AS n FROM prompts").to_pylist() == [{"n": 2}]


@pytest.mark.parametrize("question", ["", "-- nothing"])
def test_no_question(folder: Path, question: str) -> None:
    with pytest.raises(InputError, match="returns no rows; ask with SELECT"):
        select(folder, question)


def test_a_runaway_query_is_stopped(folder: Path) -> None:
    start = time.monotonic()
    with pytest.raises(InputError, match=r"took longer than 0\.2 s and was stopped"):
        select(folder, "SELECT count(*) FROM range(1000000000) a, range(1000000000) b", seconds=0.2)
    assert time.monotonic() - start < 5


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"store\.duckdb does not exist; make it with: rlaif run"):
        select(tmp_path, "SELECT 1")


def test_a_store_in_use_is_named(folder: Path) -> None:
    async def use() -> str:
        workspace = Workspace.open(folder)
        code = (
            "import sys; from pathlib import Path\n"
            "from rlaif.errors import boundary; from rlaif.store import select\n"
            "with boundary(): select(Path(sys.argv[1]), 'SELECT 1')"
        )
        done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
        await workspace.close()
        assert done.returncode == 2
        return done.stderr

    said = asyncio.run(use())
    assert "store.duckdb is already in use by process " in said
    assert said.count("\n") == 1
