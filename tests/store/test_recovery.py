import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from rlaif.errors import StoreError
from rlaif.journal import Journal
from rlaif.records import RECORDS, Fact, Sample
from rlaif.store import Store, Workspace, seal, select
from rlaif.store.recovery import open_store, set_aside
from tests.store.facts import preference, prompt, sample, task
from tests.store.victim import commits

COUNT = 120
EVERYTHING = [record for records in commits(COUNT) for record in records]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace killed with half of its records in the file and half in the write-ahead log."""
    folder = tmp_path_factory.mktemp("crashed") / "w"
    arguments = [sys.executable, "-m", "tests.store.victim", str(folder), str(COUNT), "60"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert [line.strip() for _, line in zip(range(COUNT + 1), victim.stdout, strict=False)][-1] == "done"
        victim.kill()
    assert (folder / "store.duckdb.wal").stat().st_size > 10_000
    return folder


@pytest.fixture
def folder(crashed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(crashed, tmp_path / "w"))


@pytest.fixture
def sealed(folder: Path, crashed: Path) -> Path:
    """The same, where the file is still the one that its checkpoint sealed."""
    told = seal.read(crashed / "store.duckdb")
    assert told is not None
    assert 0 < told["tasks"].rows < COUNT
    seal.write(folder / "store.duckdb", told)
    return folder


def rows(workspace: Workspace) -> dict[str, list[Fact]]:
    return {model.kind: list(workspace.store.read(model)) for model in RECORDS}


def journalled(journal: Journal) -> dict[str, list[Fact]]:
    """What the journal's commits add up to: the first record of each id, in id order."""
    found: dict[str, Fact] = {}
    for _, records in journal.commits():
        for record in records:
            found.setdefault(record.id, record)
    return by_kind(found.values())


def by_kind(records: Iterator[Fact]) -> dict[str, list[Fact]]:
    kinds: dict[str, list[Fact]] = {model.kind: [] for model in RECORDS}
    for record in sorted(records, key=lambda one: one.id):
        kinds[record.kind].append(record)
    return kinds


async def opened(folder: Path) -> dict[str, list[Fact]]:
    """Open, check that the store is what the journal says, and return it."""
    workspace = Workspace.open(folder)
    found = rows(workspace)
    assert found == journalled(workspace.journal)
    await workspace.close()
    return found


async def test_a_crashed_store_is_taken_up_as_it_is(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert await opened(folder) == by_kind(EVERYTHING)
    assert not list(folder.glob("*.damaged-*"))
    assert capfd.readouterr().err == ""


def test_a_crashed_store_can_be_asked_without_touching_it(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert select(folder, "SELECT count(*) AS n FROM samples").to_pylist() == [{"n": 2 * COUNT}]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


async def test_of_a_crashed_store_that_was_sealed_the_log_is_read(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = seal.read(sealed / "store.duckdb")
    found = []
    monkeypatch.setattr(Store, "census", lambda *args, census=Store.census, **named: (
        found.append(census(*args, **named)) or found[-1]
    ))  # fmt: skip
    assert await opened(sealed) == by_kind(EVERYTHING)
    assert known is not None
    [after] = found
    assert {name: after[name].rows + known[name].rows for name in known} == {
        "prompts": COUNT, "samples": 2 * COUNT, "preferences": COUNT, "tasks": COUNT,
    }  # fmt: skip


def flip(content: bytes, where: random.Random) -> bytes:
    at = where.randrange(len(content))
    return content[:at] + bytes([content[at] ^ where.randrange(1, 256)]) + content[at + 1 :]


def cut(content: bytes, where: random.Random) -> bytes:
    return content[: where.randrange(len(content))]


def zero(content: bytes, where: random.Random) -> bytes:
    at = where.randrange(0, len(content), 512)
    return content[:at] + bytes(len(content[at : at + 512])) + content[at + 512 :]


async def spoil(folder: Path, name: str, how: str, seed: int) -> None:
    path = folder / name
    path.write_bytes({"flip": flip, "cut": cut, "zero": zero}[how](path.read_bytes(), random.Random(seed)))
    found = await opened(folder)
    if name.startswith("store"):
        assert found == by_kind(EVERYTHING)
    elif how == "flip":
        # One byte of the journal: at most the two entries that meet there are lost.
        assert len(found["tk"]) >= COUNT - 2
    assert await opened(folder) == found


DAMAGE = [
    (name, how)
    for name in ("store.duckdb", "store.duckdb.wal", "journal/000001.jsonl")
    for how in ("flip", "cut", "zero")
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "how"), DAMAGE)
async def test_damage_never_shows(folder: Path, name: str, how: str, seed: int) -> None:
    await spoil(folder, name, how, seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "how"), DAMAGE)
async def test_damage_never_shows_in_what_was_sealed(sealed: Path, name: str, how: str, seed: int) -> None:
    await spoil(sealed, name, how, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 160))
@pytest.mark.parametrize(("name", "how"), DAMAGE)
async def test_damage_never_shows_in_what_was_sealed_at_length(
    sealed: Path, name: str, how: str, seed: int
) -> None:
    await spoil(sealed, name, how, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 160))
@pytest.mark.parametrize(("name", "how"), DAMAGE)
async def test_damage_never_shows_at_length(folder: Path, name: str, how: str, seed: int) -> None:
    await spoil(folder, name, how, seed)


@pytest.mark.parametrize("name", ["store.duckdb", "store.duckdb.wal"])
@pytest.mark.parametrize("content", [None, b"", b"junk" * 5000])
async def test_a_file_missing_empty_or_foreign(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    assert await opened(folder) == by_kind(EVERYTHING)


LIES = {
    "a row is missing": "DELETE FROM samples WHERE rowid = 7",
    "a row is there twice": "INSERT INTO samples SELECT * FROM samples WHERE rowid = 7",
    "a value has changed": "UPDATE samples SET response = 'injected' WHERE rowid = 7",
    "one row stands for another": "UPDATE preferences SET p = 0.8 WHERE rowid = 3",
    "a table is gone": "DROP TABLE judgments",
    "it never heard of the journal": "DELETE FROM applied",
    "it was applied from elsewhere": "UPDATE applied SET crc = crc + 1",
    "what was applied is garbled": "UPDATE applied SET tallies = '{'",
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_sealed_store_that_lies_is_rebuilt(sealed: Path, lie: str) -> None:
    with duckdb.connect(str(sealed / "store.duckdb")) as connection:
        connection.execute(LIES[lie]).fetchall()
    assert await opened(sealed) == by_kind(EVERYTHING)
    assert (sealed / "store.duckdb.damaged-1").exists()


@pytest.mark.parametrize("lie", LIES)
async def test_a_store_that_lies_is_rebuilt(
    folder: Path, lie: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect(str(folder / "store.duckdb")) as connection:
        connection.execute(LIES[lie]).fetchall()
    assert await opened(folder) == by_kind(EVERYTHING)
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "set aside as store.duckdb.damaged-1 and rebuilt from the journal" in said
    assert (folder / "store.duckdb.damaged-1").exists()
    await opened(folder)
    assert capfd.readouterr().err == ""


async def test_a_store_ahead_of_its_journal_is_rebuilt(folder: Path) -> None:
    lines = (folder / "journal/000001.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal/000001.jsonl").write_bytes(b"".join(lines[:-5]))
    found = await opened(folder)
    kept = [record for records in list(commits(COUNT))[: COUNT - 5] for record in records]
    assert found == by_kind(kept)


async def test_a_lost_journal_line_is_told(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = folder / "journal/000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"response 7 1", b"response 7 X", 1))
    found = await opened(folder)
    assert len(found["tk"]) == COUNT - 1
    journal, store = capfd.readouterr().err.splitlines()
    assert "1 damaged lines of " in journal
    assert "moved to 000001.jsonl.damaged-1; what they held will be asked for again" in journal
    assert "rebuilt from the journal" in store


ABORTS = ("before_truncate", "before_header", "after_free_list_write", "before_wal_finish")


@pytest.mark.parametrize("point", ABORTS)
async def test_a_checkpoint_of_a_sealed_file_cut_short(sealed: Path, point: str) -> None:
    await test_a_checkpoint_cut_short(sealed, point)


@pytest.mark.parametrize("point", ABORTS)
async def test_a_checkpoint_cut_short(folder: Path, point: str) -> None:
    code = (
        "import duckdb, os, sys\n"
        "c = duckdb.connect(sys.argv[1])\n"
        "c.execute(f\"PRAGMA debug_checkpoint_abort = '{sys.argv[2]}'\")\n"
        "try: c.execute('CHECKPOINT')\n"
        "except duckdb.FatalException: os._exit(7)\n"
    )
    path = str(folder / "store.duckdb")
    assert subprocess.run([sys.executable, "-c", code, path, point]).returncode == 7
    assert await opened(folder) == by_kind(EVERYTHING)


def test_setting_aside_takes_the_logs_along_and_overwrites_nothing(tmp_path: Path) -> None:
    for number in (1, 2):
        for suffix in ("", ".wal", ".wal.recovery"):
            (tmp_path / f"s{suffix}").write_text(f"{number}{suffix}")
        assert set_aside(tmp_path / "s") == tmp_path / f"s.damaged-{number}"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "s.damaged-1": "1", "s.damaged-1.wal": "1.wal", "s.damaged-1.wal.recovery": "1.wal.recovery",
        "s.damaged-2": "2", "s.damaged-2.wal": "2.wal", "s.damaged-2.wal.recovery": "2.wal.recovery",
    }  # fmt: skip


async def test_killed_between_the_renames_of_setting_aside(folder: Path) -> None:
    (folder / "store.duckdb.wal").rename(folder / "store.duckdb.damaged-1.wal")
    assert await opened(folder) == by_kind(EVERYTHING)


async def test_a_long_journal_is_replayed_in_several_transactions(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal")
    for start in range(0, 45_000, 9_000):
        await journal.commit([preference(number) for number in range(start, start + 9_000)], job_id="j")
    store = open_store(tmp_path / "s", journal)
    assert store.tallies["preferences"].rows == 45_000
    assert store.position == journal.position()
    store.close()
    with duckdb.connect(str(tmp_path / "s")) as connection:
        # 9,000 records a commit, 20,000 or more a transaction: 3 commits, then 2.
        assert connection.execute("SELECT count(*) FROM applied").fetchall() == [(2,)]
    await journal.close()


async def test_a_record_this_version_cannot_read_is_named(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal")
    odd = task("t").model_copy(update={"state": "postponed"})
    await journal.commit([prompt("x"), odd], job_id="j")
    with pytest.raises(StoreError, match=r"a TaskState this rlaif cannot read \(state: .*upgrade: pip"):
        open_store(tmp_path / "s", journal)
    await journal.close()


async def test_catching_up_adds_only_what_is_new(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    await workspace.commit([sample("pr_1", "one")], job_id="j")
    await workspace.close()
    journal = Journal.open(tmp_path / "journal")
    await journal.commit([sample("pr_1", "two")], job_id="j")
    await journal.close()
    workspace = Workspace.open(tmp_path)
    assert sorted(one.response for one in workspace.store.read(Sample)) == ["one", "two"]
    await workspace.close()
