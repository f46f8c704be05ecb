"""The journal: what is acknowledged survives, what is damaged costs only itself."""

import asyncio
import errno
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.errors import StoreError
from rlaif.journal import START, Fault, Journal, Position, Repair, Spend, lines
from rlaif.journal import journal as module
from rlaif.providers.base import RawReply
from rlaif.records import Message, Prompt, TaskState

KEYS = tuple(f"{n:064x}" for n in range(0x100, 0x108))
BODY = {"model": "m", "messages": [{"role": "user", "content": 'say "hi" {"x": 1}\n\u2028'}]}
RAW = RawReply('{"text": "hi\\n"}', 0.25, {"request-id": "r1"})


def task(n: int) -> TaskState:
    return TaskState.make(job_id="jb_1", task_id=f"t{n}", stage="sample", state="done")


def line(kind: str, key: str, body: str) -> bytes:
    """A journal line made without the code under test."""
    rest = f"{kind} {key} {body}".encode()
    return f"{zlib.crc32(rest):08x} ".encode() + rest + b"\n"


async def fill(journal: Journal, keys: tuple[str, ...] = KEYS) -> None:
    """An intent, a fault, a second intent, a reply and a commit for each key."""
    for n, key in enumerate(keys):
        for _ in range(2):
            journal.intent(key, job_id="jb_1", provider="mock", model="m", body=BODY, reserved=0.5)
            if _ == 0:
                await journal.fault(key, job_id="jb_1", attempt=1, reason="503", billed=0.0)
        await journal.reply(key, RAW, job_id="jb_1", attempt=2, cost=0.125)
        await journal.commit([task(n)], job_id="jb_1")


@pytest.fixture(scope="module")
def content() -> bytes:
    """The bytes of a filled segment."""

    async def make(folder: Path) -> None:
        journal = Journal.open(folder)
        await fill(journal)
        await journal.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(make(Path(folder)))
        return (Path(folder) / "000001.jsonl").read_bytes()


def spans(content: bytes) -> Iterator[tuple[int, int]]:
    start = 0
    for one in content.split(b"\n")[:-1]:
        yield start, start + len(one)
        start += len(one) + 1


def entries(journal: Journal) -> list[str]:
    """What can be read, as one word an entry."""
    found = []
    for n, key in enumerate(KEYS):
        call = journal.call(key)
        if call is not None:
            found += [f"F{n}" for one in call.faults if one == Fault(1, "503", 0.0)]
            found += [f"R{n}"] if call.reply == RAW and call.cost == 0.125 else []
    states = {task(n).id: n for n in range(len(KEYS))}
    return found + [f"C{states[one.id]}" for _, records in journal.commits() for one in records]


def expected(whole: list[bool]) -> list[str]:
    """Lines come as I F I R C for each key in turn; an intent is looked at apart."""
    names = [f"{kind}{n}" for n in range(len(KEYS)) for kind in ("I", "F", "I", "R", "C")]
    return [name for name, ok in zip(names, whole, strict=True) if ok and name[0] != "I"]


def reopened(damaged: bytes, check_intents: list[bool]) -> tuple[list[str], Repair, list[Path]]:
    """Open a journal of these bytes, twice; the second time nothing is left to mend."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "000001.jsonl").write_bytes(damaged)
        first = Journal.open(folder)
        found = entries(first)
        for n, key in enumerate(KEYS):
            call = first.call(key)
            if check_intents[5 * n] or check_intents[5 * n + 2]:
                assert call is not None
                assert call.intent is not None
                assert call.intent["body"] == BODY
        asyncio.run(first.close())
        second = Journal.open(folder)
        assert second.repair == Repair()
        assert entries(second) == found
        asyncio.run(second.close())
        return found, first.repair, [path for path in folder.iterdir() if "damaged" in path.name]


async def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal")
    assert journal.raw(KEYS[0]) is None
    assert journal.call(KEYS[0]) is None
    await fill(journal)
    await journal.close()
    journal = Journal.open(tmp_path / "journal")
    assert journal.raw(KEYS[3]) == RAW
    call = journal.call(KEYS[3])
    assert call is not None
    assert call.intent == {"job_id": "jb_1", "provider": "mock", "model": "m", "reserved": 0.5, "body": BODY}
    assert (call.reply, call.cost, call.faults) == (RAW, 0.125, (Fault(1, "503", 0.0),))
    await journal.close()


async def test_line_format_is_the_documented_one(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.intent(KEYS[0], job_id="j", provider="p", model="m", body={"a": 1}, reserved=0.5)
    await journal.close()
    body = '{"job_id":"j","provider":"p","model":"m","reserved":0.5,"body":{"a":1}}'
    assert (tmp_path / "000001.jsonl").read_bytes() == line("I", KEYS[0], body)


async def test_commits_come_back_as_their_records_in_order(tmp_path: Path) -> None:
    prompt = Prompt.make((Message(role="user", content="caf\u00e9 \U0001f9ea"),), meta={"n": [1, None]})
    journal = Journal.open(tmp_path)
    one = await journal.commit([prompt, task(1)], job_id="j")
    two = await journal.commit([task(2)], job_id="j")
    assert list(journal.commits()) == [(one, [prompt, task(1)]), (two, [task(2)])]
    assert list(journal.commits(START)) == list(journal.commits(None))
    assert list(journal.commits(one)) == [(two, [task(2)])]
    assert list(journal.commits(two)) == []
    await journal.close()


async def test_a_reply_is_never_replaced(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    await journal.reply(KEYS[0], RAW, job_id="j", attempt=1, cost=1.0)
    await journal.reply(KEYS[0], RawReply("other", 0.0), job_id="j", attempt=1, cost=1.0)
    assert journal.raw(KEYS[0]) == RAW
    await journal.close()
    journal = Journal.open(tmp_path)
    assert journal.raw(KEYS[0]) == RAW
    await journal.close()


async def test_position_is_the_running_crc_of_commit_lines(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    assert journal.position() == START
    await fill(journal, KEYS[:2])
    data = (tmp_path / "000001.jsonl").read_bytes()
    commits = [one for one in data.splitlines() if one[9:10] == b"C"]
    assert journal.position() == Position(1, len(data), zlib.crc32(b"".join(commits)))
    assert journal.holds(journal.position())
    assert journal.holds(START)
    assert not journal.holds(Position(1, len(data), 0))
    assert not journal.holds(Position(9, 0, 0))
    await journal.close()


async def test_a_lost_commit_unseats_every_later_position(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    one = await journal.commit([task(1)], job_id="j")
    two = await journal.commit([task(2)], job_id="j")
    await journal.close()
    data = bytearray((tmp_path / "000001.jsonl").read_bytes())
    data[40] ^= 1
    (tmp_path / "000001.jsonl").write_bytes(data)
    journal = Journal.open(tmp_path)
    assert [records for _, records in journal.commits()] == [[task(2)]]
    assert not journal.holds(one)
    assert not journal.holds(two)
    with pytest.raises(StoreError, match="rlaif db rebuild"):
        list(journal.commits(two))
    await journal.close()


async def test_segments_roll_and_positions_span_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1500)
    journal = Journal.open(tmp_path)
    await fill(journal)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[:2] == ["000001.jsonl", "000002.jsonl"]
    assert all(path.stat().st_size <= 1500 for path in tmp_path.iterdir())
    await journal.close()
    again = Journal.open(tmp_path)
    places = [position for position, _ in again.commits()]
    assert len(places) == len(KEYS)
    assert places[0].segment < places[-1].segment
    assert [p for p, _ in again.commits(places[2])] == places[3:]
    assert all(again.holds(one) for one in places)
    assert [again.raw(key) for key in KEYS] == [RAW] * len(KEYS)
    await again.commit([task(99)], job_id="j")
    assert again.position().segment >= places[-1].segment
    await again.close()


async def test_spend_tells_settled_from_pending(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    a, b, c, d = KEYS[:4]

    def intend(key: str, reserved: float, job_id: str = "jb_1") -> None:
        journal.intent(key, job_id=job_id, provider="p", model="m", body={}, reserved=reserved)

    assert journal.spend("jb_1") == Spend(0.0, 0.0)  # builds the ledger: what follows is kept up to date
    intend(a, 0.1)
    await journal.reply(a, RAW, job_id="jb_1", attempt=1, cost=0.07)
    intend(b, 0.2)
    await journal.fault(b, job_id="jb_1", attempt=1, reason="time-out", billed=0.2)
    intend(c, 0.4)  # cut off, then bought by the resumed run
    intend(c, 0.4)
    await journal.reply(c, RAW, job_id="jb_1", attempt=1, cost=0.01)
    intend(d, 0.8)
    intend(d, 100.0, job_id="jb_2")
    assert journal.spend("jb_1") == Spend(settled=0.28, pending=1.2, replies=2)
    assert journal.spend("jb_2") == Spend(settled=0.0, pending=100.0)
    await journal.close()
    again = Journal.open(tmp_path)
    assert again.spend("jb_1") == Spend(settled=0.28, pending=1.2, replies=2)
    await again.close()


# Damage


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_truncation_keeps_every_whole_entry(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content)))
    whole = [end <= at for _, end in spans(content)]
    found, repair, files = reopened(content[:at], whole)
    assert sorted(found) == sorted(expected(whole))
    inside = [at - start for start, end in spans(content) if start < at < end]
    assert repair.torn_bytes == sum(inside)
    if inside:
        assert (repair.damaged_lines, files) == (0, [])


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_costs_at_most_its_own_entry(content: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    whole = [not start <= at < end for start, end in spans(content)]  # a lost newline damages no entry
    found, repair, _ = reopened(bytes(damaged), whole)
    assert sorted(found) == sorted(expected(whole))
    assert repair != Repair()


@settings(max_examples=120, deadline=None)
@given(data=st.data(), junk=st.one_of(st.binary(min_size=1, max_size=300), st.just(bytes(4096))))
def test_a_block_of_anything_costs_at_most_the_entry_it_hits(
    content: bytes, data: st.DataObject, junk: bytes
) -> None:
    at = data.draw(st.integers(0, len(content)))
    damaged = content[:at] + junk + content[at:]
    whole = [not start < at <= end for start, end in spans(content)]
    found, repair, _ = reopened(damaged, whole)
    assert set(found) >= set(expected(whole))
    assert repair != Repair()


def test_damaged_lines_are_kept_verbatim(content: bytes, tmp_path: Path) -> None:
    first, second, rest = content.split(b"\n", 2)
    bad = b"\0" * 100
    path = tmp_path / "000001.jsonl"
    path.write_bytes(first + b"\n" + bad + b"\n" + second + b"\n" + rest)
    journal = Journal.open(tmp_path)
    assert journal.repair == Repair(0, 1, (tmp_path / "000001.jsonl.damaged-1",))
    assert (tmp_path / "000001.jsonl.damaged-1").read_bytes() == bad + b"\n"
    assert path.read_bytes() == content
    asyncio.run(journal.close())
    path.write_bytes(b"junk\n" + content)
    again = Journal.open(tmp_path)
    assert again.repair.moved_to == (tmp_path / "000001.jsonl.damaged-2",)
    asyncio.run(again.close())


def test_model_text_cannot_pose_as_an_entry(tmp_path: Path) -> None:
    forged = line("R", KEYS[1], '{"job_id":"j","attempt":1,"cost":0.0,"latency":0.0,"headers":{},"text":"A"}')

    async def write() -> None:
        journal = Journal.open(tmp_path)
        text = "\n" + forged.decode() + "\n"
        await journal.reply(KEYS[0], RawReply(text, 0.0), job_id="j", attempt=1, cost=0.0)
        await journal.close()

    asyncio.run(write())
    data = bytearray((tmp_path / "000001.jsonl").read_bytes())
    data[20] ^= 1
    (tmp_path / "000001.jsonl").write_bytes(data)
    journal = Journal.open(tmp_path)
    assert journal.raw(KEYS[1]) is None
    assert journal.repair.damaged_lines == 1
    asyncio.run(journal.close())


def test_a_torn_tail_is_cut_only_from_the_last_segment(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "000001.jsonl").write_bytes(content[:-7])
    (tmp_path / "000002.jsonl").write_bytes(content[:-7])
    journal = Journal.open(tmp_path)
    assert (journal.repair.torn_bytes, journal.repair.damaged_lines) == (
        len(content.splitlines()[-1]) + 1 - 7,
        1,
    )
    asyncio.run(journal.close())


async def test_a_line_damaged_while_open_is_noticed(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    await journal.reply(KEYS[0], RAW, job_id="j", attempt=1, cost=0.0)
    with (tmp_path / "000001.jsonl").open("r+b") as file:
        file.seek(100)
        file.write(b"?")
    with pytest.raises(StoreError, match="start again"):
        journal.raw(KEYS[0])
    await journal.close()


# The disk says no


def test_a_folder_that_is_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("")
    with pytest.raises(StoreError, match=r"cannot use the journal .*rlaif resume"):
        Journal.open(tmp_path / "journal")


async def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts a write short as a full disk does, in the middle of a line."""
    journal = Journal.open(tmp_path)
    await journal.reply(KEYS[0], RAW, job_id="j", attempt=1, cost=0.0)
    size = (tmp_path / "000001.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
    try:
        with pytest.raises(StoreError, match="free some space"):
            await journal.reply(KEYS[1], RAW, job_id="j", attempt=1, cost=0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "000001.jsonl").stat().st_size == size
    await journal.reply(KEYS[2], RAW, job_id="j", attempt=1, cost=0.0)  # room again
    await journal.close()
    again = Journal.open(tmp_path)
    assert again.repair == Repair()
    assert [again.raw(key) for key in KEYS[:3]] == [RAW, None, RAW]
    await again.close()


async def test_after_a_failed_fsync_nothing_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="Input/output error"):
        await journal.commit([task(1)], job_id="j")
    monkeypatch.undo()
    with pytest.raises(StoreError, match="Input/output error"):
        await journal.commit([task(2)], job_id="j")
    await journal.close()


async def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    await journal.reply(KEYS[0], RAW, job_id="j", attempt=1, cost=0.0)
    await journal.close()
    await journal.close()
    with pytest.raises(StoreError, match="is closed"):
        await journal.commit([task(1)], job_id="j")
    with pytest.raises(StoreError, match="is closed"):
        journal.raw(KEYS[0])


# Group commit


async def test_many_waiters_share_few_fsyncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.open(tmp_path)
    calls, real = [], os.fsync

    def counting(descriptor: int) -> None:
        calls.append(time.monotonic())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", counting)
    await asyncio.gather(*(journal.commit([task(n)], job_id="j") for n in range(400)))
    assert len(calls) <= 8  # the first hundred start one at once, the rest share the next
    await journal.close()


async def test_acknowledged_only_after_an_fsync_that_began_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path)
    synced: list[int] = []
    real = os.fsync

    def slow(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size  # what this fsync covers for certain
        time.sleep(0.01)
        real(descriptor)
        synced.append(size)

    monkeypatch.setattr(os, "fsync", slow)

    async def one(n: int) -> None:
        await asyncio.sleep(n * 0.002)
        position = await journal.commit([task(n)], job_id="j")
        assert max(synced) >= position.offset

    await asyncio.gather(*(one(n) for n in range(30)))
    await journal.close()


async def test_a_cancelled_waiter_disturbs_nobody(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    tasks = [asyncio.create_task(journal.commit([task(n)], job_id="j")) for n in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, Position) for one in ended] == [n != 3 for n in range(10)]
    assert len(list(journal.commits())) == 10  # written before it was cancelled
    await journal.close()


# Crash


CHILD = """
import asyncio, sys
from pathlib import Path
from rlaif.journal import Journal
from rlaif.providers.base import RawReply
from rlaif.records import TaskState

async def main(folder, run):
    journal = Journal.open(Path(folder))
    async def worker(w):
        n = 0
        while True:
            key = f"{run:08x}{w:08x}{n:016x}" + "0" * 32
            journal.intent(key, job_id="j", provider="p", model="m", body={"n": n}, reserved=0.5)
            await journal.reply(key, RawReply("x" * 200, 0.0), job_id="j", attempt=1, cost=0.25)
            print("R", key, flush=True)
            state = TaskState.make(job_id="j", task_id=key, stage="s", state="done")
            await journal.commit([state], job_id="j")
            print("C", key, flush=True)
            n += 1
    await asyncio.gather(*(worker(w) for w in range(16)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_sigkill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    draw = random.Random(5)
    replies: set[str] = set()
    commits: set[str] = set()
    for run in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(run)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        acknowledged = [child.stdout.readline()]
        time.sleep(draw.uniform(0.0, 0.15))
        child.kill()
        acknowledged += child.stdout.read().splitlines()
        child.wait()
        for kind, key in (one.split() for one in acknowledged if len(one.strip()) == 66):
            (replies if kind == "R" else commits).add(key)
    journal = Journal.open(tmp_path)
    assert len(replies) > 100
    assert all(journal.raw(key) is not None for key in replies)
    kept = {one.task_id for _, records in journal.commits() for one in records if isinstance(one, TaskState)}
    assert commits <= kept
    spend = journal.spend("j")
    assert spend.settled >= 0.25 * len(replies)
    assert spend.pending <= 0.5 * 16 * 8  # at most what was in flight at each kill
    asyncio.run(journal.close())


def test_the_index_of_twenty_thousand_calls_is_small(tmp_path: Path) -> None:
    body = {"job_id": "j", "reserved": 0.0, "cost": 0.0, "body": {"content": "x" * 300}}
    content = []
    for n in range(20_000):
        key = f"{n * 7919:064x}"[::-1]
        content += [lines.encode(b"I", key, body), lines.encode(b"R", key, body)]
    (tmp_path / "000001.jsonl").write_bytes(b"".join(content))
    del content
    tracemalloc.start()
    journal = Journal.open(tmp_path)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10_000_000
    asyncio.run(journal.close())
