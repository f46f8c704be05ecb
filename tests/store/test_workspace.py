import asyncio
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from rlaif.errors import InputError, StoreError
from rlaif.records import Preference, Prompt, Sample, TaskState
from rlaif.store import Workspace
from rlaif.store.tables import NAMES
from tests.store.facts import job, preference, prompt, sample, task
from tests.store.victim import commits


async def test_committed_records_are_read_back(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "outputs" / "demo")
    await workspace.commit([prompt("one"), task("t1")], job_id="j-1")
    await workspace.commit([prompt("two")], job_id="j-1")
    await workspace.flush()
    assert {one.text for one in workspace.store.read(Prompt)} == {"one", "two"}
    await workspace.close()
    workspace = Workspace.open(tmp_path / "outputs" / "demo")
    assert {one.text for one in workspace.store.read(Prompt)} == {"one", "two"}
    assert (workspace.folder, workspace.store.path.name) == (tmp_path / "outputs" / "demo", "store.duckdb")
    await workspace.close()
    await workspace.close()


async def test_flush_of_nothing_returns(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    await asyncio.wait_for(workspace.flush(), 1)
    await workspace.close()


async def test_the_store_follows_without_a_flush(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    await workspace.commit([prompt("one")], job_id="j-1")
    async with asyncio.timeout(5):
        while workspace.store.count(Prompt) == 0:
            await asyncio.sleep(0.02)
    await workspace.close()


async def test_many_commits_share_few_transactions_in_order(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)

    async def worker(name: int) -> None:
        for number in range(50):
            await workspace.commit([task(f"{name}-{number}")], job_id="j-1")

    await asyncio.gather(*map(worker, range(40)))
    await workspace.flush()
    stored = [one.id for one in workspace.store.read(TaskState, order="rowid")]
    assert stored == [record.id for _, records in workspace.journal.commits() for record in records]
    assert len(stored) == 2000
    await workspace.close()
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        ((transactions,),) = connection.execute("SELECT count(*) FROM applied").fetchall()
    assert transactions <= 2000 / 20


async def test_a_cancelled_commit_is_carried_through(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    begun = asyncio.create_task(workspace.commit([prompt("cancelled")], job_id="j-1"))
    await asyncio.sleep(0)
    begun.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun
    await workspace.commit([prompt("after")], job_id="j-1")
    await workspace.flush()
    assert {one.text for one in workspace.store.read(Prompt)} == {"cancelled", "after"}
    await workspace.close()


async def test_a_commit_waits_while_the_writer_is_far_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlaif.store.workspace.WAITING_ROWS", 100)
    workspace = Workspace.open(tmp_path)
    apply, sizes = workspace.store.apply, []

    def slow(batches: list[tuple[object, list[object]]]) -> None:
        time.sleep(0.02)
        sizes.append(sum(len(records) for _, records in batches))
        apply(batches)  # type: ignore[arg-type]

    monkeypatch.setattr(workspace.store, "apply", slow)
    await asyncio.gather(
        *(workspace.commit([preference(10 * n + m) for m in range(10)], job_id="j") for n in range(60))
    )
    await workspace.flush()
    assert sum(sizes) == 600
    assert max(sizes) <= 100 + 10  # never more than the limit and the one commit that met it
    assert workspace.store.count(Preference) == 600
    await workspace.close()


async def test_what_cannot_be_stored_is_not_journalled(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    with pytest.raises(InputError, match=r"jobs\.seed"):
        await workspace.commit([prompt("x"), job(seed=2**63)], job_id="j-1")
    assert list(workspace.journal.commits()) == []
    await workspace.close()


async def test_a_failing_writer_is_heard_at_the_next_commit_and_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.open(tmp_path)

    def full(_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(workspace.store, "apply", full)
    await workspace.commit([prompt("journalled")], job_id="j-1")
    with pytest.raises(StoreError, match="disk is full"):
        await workspace.flush()
    with pytest.raises(StoreError, match="disk is full"):
        await workspace.commit([prompt("refused")], job_id="j-1")
    with pytest.raises(StoreError, match="disk is full"):
        await workspace.close()
    workspace = Workspace.open(tmp_path)
    assert [one.text for one in workspace.store.read(Prompt)] == ["journalled"]
    await workspace.close()


# Who may open


async def test_a_second_workspace_names_the_first(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from rlaif.errors import boundary; from rlaif.store import Workspace\n"
        "with boundary(): Workspace.open(Path(sys.argv[1]))"
    )
    second = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert second.returncode == 2
    assert f"{tmp_path} is already in use by process {os.getpid()} (since " in second.stderr
    assert second.stderr.count("\n") == 1
    with pytest.raises(StoreError, match="already in use"):
        Workspace.open(tmp_path)
    await workspace.commit([prompt("still mine")], job_id="j-1")
    await workspace.close()
    await Workspace.open(tmp_path).close()


async def test_a_store_open_elsewhere_in_this_process_is_not_damaged(tmp_path: Path) -> None:
    await Workspace.open(tmp_path).close()
    with duckdb.connect(str(tmp_path / "store.duckdb"), read_only=True):
        with pytest.raises(StoreError, match="in use by this process"):
            Workspace.open(tmp_path)
    assert not list(tmp_path.glob("*.damaged-*"))
    workspace = Workspace.open(tmp_path)
    await workspace.close()
    with pytest.raises(StoreError, match="or closed; close it there first"):
        workspace.store.count(Prompt)


def in_child(act: Callable[[], None]) -> str:
    """What ``act``, run in a forked process, raises as a StoreError; its stand-in otherwise."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        said = "nothing raised"
        try:
            act()
        except StoreError as error:
            said = str(error)
        except BaseException as error:
            said = f"not a StoreError: {error!r}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without rights")
def test_a_folder_without_write_permission(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    asyncio.run(Workspace.open(folder).close())

    def act() -> None:
        os.chdir(tmp_path)
        os.seteuid(65534)
        Workspace.open(Path("w"))

    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    assert in_child(act) == (
        "w cannot be used: Permission denied (w/lock);"
        " make room or allow writing there, or choose another folder"
    )


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("")
    with pytest.raises(StoreError, match=r"w cannot be used: File exists"):
        Workspace.open(tmp_path / "w")


# A full disk, and sudden death


FILL = """
import asyncio, resource, sys
from pathlib import Path
import rlaif.journal.journal
from rlaif.errors import boundary
from rlaif.store import Workspace
from tests.store.facts import preference

async def main(folder, limit, segment):
    rlaif.journal.journal.SEGMENT_BYTES = segment
    workspace = Workspace.open(folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for number in range(100_000):
        await workspace.commit([preference(200 * number + n) for n in range(200)], job_id="j")
        print(number, flush=True)
        if number % 20 == 19: await workspace.flush()

with boundary(): asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.mark.parametrize("limit", [300_000, 900_000, 2_500_000])
@pytest.mark.parametrize(
    ("segment", "sentence"),
    [
        (2**26, "cannot use the journal"),  # the journal's one segment is the first file to hit the limit
        (2**17, r"store\.duckdb cannot be used: File too large; nothing answered so far is lost"),
    ],
)
async def test_no_room_for_more(tmp_path: Path, limit: int, segment: int, sentence: str) -> None:
    arguments = [sys.executable, "-c", FILL, str(tmp_path), str(limit), str(segment)]
    filled = subprocess.run(arguments, capture_output=True, text=True)
    assert filled.returncode == 2, filled.stderr
    assert re.search(sentence, filled.stderr)
    assert filled.stderr.count("\n") == 1
    acknowledged = len(filled.stdout.split())
    assert acknowledged > 0
    workspace = Workspace.open(tmp_path)
    stored = {one.id for one in workspace.store.read(Preference)}
    assert stored >= {preference(number).id for number in range(200 * acknowledged)}
    assert len(stored) % 200 == 0  # a commit is there whole or not at all
    await workspace.close()


@pytest.mark.parametrize("seed", range(6))
async def test_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    where, total = random.Random(seed), 400
    for _ in range(2):
        arguments = [sys.executable, "-m", "tests.store.victim", str(tmp_path), str(total), "200"]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout is not None
            first = victim.stdout.readline()
            time.sleep(where.random() * 0.5)
            victim.send_signal(signal.SIGKILL)
            lines = [first, *victim.stdout]
        acknowledged = {int(line) for line in lines if line.strip().isdigit()}
        workspace = Workspace.open(tmp_path)
        stored = {one.id for one in workspace.store.read(Sample)}
        done = [one.task_id for one in workspace.store.read(TaskState)]
        await workspace.close()
        assert {f"t{number}" for number in acknowledged} <= set(done)
        assert len(done) == len(set(done))
        for number, records in enumerate(commits(total)):
            drawn = {one.id for one in records if isinstance(one, Sample)}
            assert drawn <= stored if f"t{number}" in done else not drawn & stored


@pytest.mark.long
async def test_memory_stays_flat_over_a_long_job(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)

    async def run(start: int, stop: int) -> None:
        for first in range(start, stop, 20):
            await asyncio.gather(
                *(
                    workspace.commit([sample(f"pr_{n}", f"{n} " * 100), task(str(n))], job_id="j")
                    for n in range(first, first + 20)
                )
            )
        await workspace.flush()

    await run(0, 2_000)
    before = resident()
    await run(2_000, 22_000)
    grown = resident() - before
    await workspace.close()
    assert grown <= 50 * 2**20, f"{grown / 2**20:.1f} MiB"


def resident() -> int:
    """Bytes of memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_every_table_is_known_by_one_name() -> None:
    assert sorted(NAMES.values()) == [
        "access_keys", "completions", "documents", "flags", "human_labels", "job_events", "jobs", "judgments",
        "key_events", "preferences", "prompts", "rankings", "revisions", "samples", "scorecards", "scores",
        "sets", "submissions", "tasks",
    ]  # fmt: skip
