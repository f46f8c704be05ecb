"""What a seal spares an opening, and everything that breaks it."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from rlaif.records import Sample
from rlaif.store import Store, Workspace, seal
from rlaif.store.tallies import Tallies, Tally
from tests.store.facts import prompt, sample


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A workspace of ten prompts and twenty samples that was closed."""
    workspace = Workspace.open(tmp_path / "w")
    asked = [prompt(str(number)) for number in range(10)]
    drawn = [sample(one.id, f"{one.id} {index}", index) for one in asked for index in range(2)]
    await workspace.commit([*asked, *drawn], job_id="j")
    await workspace.close()
    return tmp_path / "w"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that each census read."""
    found: list[int] = []
    original = Store.census

    def census(self: Store, behind: Tallies | None = None) -> Tallies:
        result = original(self, behind)
        found.append(sum(one.rows for one in result.values()))
        return result

    monkeypatch.setattr(Store, "census", census)
    return found


async def test_a_closed_store_is_opened_without_reading_it(folder: Path, counted: list[int]) -> None:
    workspace = Workspace.open(folder)
    assert counted == [0]
    assert workspace.store.tallies["samples"].rows == 20
    await workspace.close()
    await Workspace.open(folder).close()
    assert counted == [0, 0]


def rewritten(path: Path) -> None:
    path.write_bytes(path.read_bytes())


def touched(path: Path) -> None:
    os.utime(path)


def put_back(path: Path) -> None:
    """Another file with the same bytes and the same times."""
    kept = path.with_name("kept")
    shutil.copy2(path, kept)
    kept.replace(path)


def dated_back(path: Path) -> None:
    """A byte no table holds is changed, and the time of writing set to what it was."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"\0")
        file.truncate(before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def updated(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE other (x INT)")


def unsealed(path: Path) -> None:
    path.with_name("store.duckdb.seal").unlink()


def garbled(path: Path) -> None:
    own = path.with_name("store.duckdb.seal")
    own.write_bytes(own.read_bytes().replace(b"20", b"21", 1))


def emptied(path: Path) -> None:
    path.with_name("store.duckdb.seal").write_bytes(b"")


@pytest.mark.parametrize(
    "harm", [rewritten, touched, put_back, dated_back, updated, unsealed, garbled, emptied]
)
async def test_another_file_is_read_whole(
    folder: Path, counted: list[int], harm: Callable[[Path], None]
) -> None:
    harm(folder / "store.duckdb")
    await Workspace.open(folder).close()
    assert counted == [30]
    await Workspace.open(folder).close()
    assert counted == [30, 0]  # what was read once is sealed again
    assert not list(folder.glob("*.damaged-*"))


@pytest.mark.parametrize("at", range(0, 40))
def test_no_changed_byte_makes_another_seal(tmp_path: Path, at: int) -> None:
    path = tmp_path / "store"
    path.write_bytes(b"x")
    told = {"samples": Tally(20, 2**64 - 1)}
    seal.write(path, told)
    assert seal.read(path) == told
    own = tmp_path / "store.seal"
    content = bytearray(own.read_bytes())
    content[at * 7 % len(content)] ^= 1 + at
    own.write_bytes(content)
    assert seal.read(path) is None


def test_a_write_right_after_sealing_is_another_time(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for number in range(20):
        path.write_bytes(b"%02d" % number)
        seal.write(path, {})
        assert seal.read(path) == {}
        path.write_bytes(b"%02d" % (number + 1))
        assert seal.read(path) is None


def test_a_file_system_that_counts_seconds_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store"
    path.write_bytes(b"x")
    monkeypatch.setattr(seal, "_identity", lambda _: [1, 1, 5_000_000_000, 5_000_000_000])
    seal.write(path, {})
    assert seal.read(path) is None


def test_where_no_seal_can_be_written_there_is_none(tmp_path: Path) -> None:
    seal.write(tmp_path / "gone", {})
    (tmp_path / "store").write_bytes(b"x")
    (tmp_path / "store.seal.partial").mkdir()
    seal.write(tmp_path / "store", {})
    assert seal.read(tmp_path / "store") is None


def test_only_a_store_that_was_compared_is_sealed(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s")
    store.apply([])
    store.checkpoint()
    store.close()
    assert not (tmp_path / "s.seal").exists()


async def test_a_store_that_is_closed_again_seals_nothing(folder: Path) -> None:
    workspace = Workspace.open(folder)
    await workspace.close()
    with duckdb.connect(str(folder / "store.duckdb")) as connection:
        connection.execute("DELETE FROM samples WHERE rowid = 3")
    await workspace.close()
    assert seal.read(folder / "store.duckdb") is None
    workspace = Workspace.open(folder)
    assert workspace.store.count(Sample) == 20
    await workspace.close()


async def test_a_log_that_has_grown_is_moved_and_sealed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlaif.store.database.LOG_BYTES", 50_000)
    workspace = Workspace.open(folder)
    path = folder / "store.duckdb"
    sealed = []
    for number in range(6):
        await workspace.commit([sample("pr_1", f"{number} " * 10_000, number)], job_id="j")
        await workspace.flush()
        found = seal.read(path)
        sealed.append(None if found is None else found["samples"].rows)
    # 20 kB a commit: the log passes 50 kB at the third and the sixth; in between the file stays as it was.
    assert sealed == [20, 20, 23, 23, 23, 26]
    await workspace.close()


async def test_a_log_is_moved_while_others_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.open(folder)
    reading = workspace.store.read(Sample)
    next(reading)
    done = threading.Event()

    def move() -> None:
        workspace.store.checkpoint()
        done.set()

    await workspace.commit([sample("pr_1", "late", 0)], job_id="j")
    await workspace.flush()
    threading.Thread(target=move).start()
    assert done.wait(10)
    assert sum(1 for _ in reading) == 19
    await workspace.close()


def test_the_seal_says_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"x")
    seal.write(tmp_path / "store", {"samples": Tally(2, 3)})
    _, _, told = (tmp_path / "store.seal").read_bytes().partition(b" ")
    assert set(json.loads(told)) == {"file", "tallies"}
