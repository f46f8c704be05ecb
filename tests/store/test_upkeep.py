import asyncio
from pathlib import Path

import duckdb
import pytest

from rlaif.errors import StoreError
from rlaif.journal import Repair
from rlaif.records import RECORDS
from rlaif.store import Workspace, check, rebuild
from rlaif.store.upkeep import Rows
from tests.store.facts import preference, prompt, task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    async def fill() -> None:
        workspace = Workspace.open(tmp_path)
        for number in range(3):
            await workspace.commit([prompt(str(number)), task(str(number))], job_id="j-1")
        await workspace.commit([prompt("0"), preference(1)], job_id="j-1")
        await workspace.close()

    asyncio.run(fill())
    return tmp_path


def change(folder: Path, statement: str) -> None:
    with duckdb.connect(str(folder / "store.duckdb")) as connection:
        connection.execute(statement).fetchall()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_sound_store(folder: Path) -> None:
    report = check(folder)
    assert (report.commits, report.repair, report.problem, report.equal) == (4, Repair(), "", True)
    assert {name: rows for name, rows in report.tables.items() if rows != Rows(0, 0)} == {
        "prompts": Rows(3, 3), "tasks": Rows(3, 3), "preferences": Rows(1, 1),
    }  # fmt: skip
    assert len(report.tables) == len(RECORDS)
    assert files(folder) == ["journal", "lock", "store.duckdb", "store.duckdb.seal"]


def test_a_missing_row(folder: Path) -> None:
    change(folder, "DELETE FROM tasks WHERE task_id = '1'")
    report = check(folder)
    assert not report.equal
    assert report.problem == "tasks: rows differ from the journal's"
    assert report.tables["tasks"] == Rows(3, 2)
    assert files(folder) == [
        "journal",
        "lock",
        "store.duckdb",
        "store.duckdb.seal",
    ]  # a check repairs nothing


def test_a_changed_value(folder: Path) -> None:
    change(folder, "UPDATE preferences SET p = 0.51")
    report = check(folder)
    assert report.problem == "preferences: rows differ from the journal's"
    assert report.tables["preferences"] == Rows(1, 1)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [("UPDATE applied SET crc = 1", "is no place in the journal"), ("DROP TABLE applied", "applied")],
)
def test_a_store_from_elsewhere(folder: Path, statement: str, problem: str) -> None:
    change(folder, statement)
    assert problem in check(folder).problem


def test_an_unreadable_and_a_missing_store(folder: Path) -> None:
    (folder / "store.duckdb").write_bytes(b"x" * 9000)
    assert not check(folder).equal
    (folder / "store.duckdb").unlink()
    report = check(folder)
    assert report.problem == "store.duckdb does not exist"
    assert report.tables["prompts"] == Rows(3, 0)
    assert files(folder) == ["journal", "lock", "store.duckdb.seal"]


def test_a_rebuild_mends_and_keeps_the_old_file(folder: Path) -> None:
    change(folder, "DELETE FROM prompts")
    report = rebuild(folder)
    assert report.equal
    assert report.tables["prompts"] == Rows(3, 3)
    assert files(folder) == ["journal", "lock", "store.duckdb", "store.duckdb.damaged-1", "store.duckdb.seal"]
    (folder / "store.duckdb").unlink()
    assert rebuild(folder).equal
    assert "store.duckdb.damaged-2" not in files(folder)


@pytest.mark.parametrize("act", [check, rebuild])
def test_a_folder_that_is_no_workspace(tmp_path: Path, act: object) -> None:
    with pytest.raises(StoreError, match="has no journal; name the output folder of a run"):
        act(tmp_path / "nowhere")  # type: ignore[operator]
    assert files(tmp_path) == []


@pytest.mark.parametrize("act", [check, rebuild])
def test_a_workspace_in_use(tmp_path: Path, act: object) -> None:
    async def use() -> None:
        workspace = Workspace.open(tmp_path)
        with pytest.raises(StoreError, match="already in use by process"):
            act(tmp_path)  # type: ignore[operator]
        await workspace.close()

    asyncio.run(use())
