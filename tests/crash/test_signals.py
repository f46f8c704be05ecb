"""Signals, a second process, and disks that refuse: one sentence, the right code, nothing lost."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.crash.harness import Site, Snapshot, audit, check, ended, until
from tests.upstream import Upstream, serving

RUN = ("run", "pipeline.yaml", "--yes")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_calls_in_flight_end(tmp_path: Path, number: int) -> None:
    """Nothing more is sent, though as many calls again wait to be."""
    async with serving(Upstream(latency=1.0)) as up:
        site = Site(tmp_path).write(up.url)
        process = await site.start(*RUN)
        await until(lambda: len(up.ledger) >= 3 + site.in_flight, process)  # 3 to see if anyone is there
        process.send_signal(number)
        began, sent = time.monotonic(), len(up.ledger)
        done = await ended(process)
        assert time.monotonic() - began < 10
        assert done.code == 130
        assert "nothing answered so far is lost" in done.sentence
        left = Snapshot.take(site, up)
        assert not left.open
        assert len(left.replies) == len(up.ledger) == sent
        up.latency = 0.0
        await site.finish()
        audit(site, up, [left])
    assert len(up.ledger) == site.calls


async def test_a_second_interrupt_ends_within_a_second(tmp_path: Path) -> None:
    async with serving(Upstream(latency=3.0)) as up:
        site = Site(tmp_path).write(up.url)
        process = await site.start(*RUN)
        await until(lambda: len(up.ledger) >= 3, process)
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.3)
        assert process.returncode is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        done = await ended(process)
        assert time.monotonic() - began < 1.0
        assert done.code == 130
        cut = Snapshot.take(site, up)
        assert cut.open.total() == 3
        up.latency = 0.0
        await site.finish()
        audit(site, up, [cut])


async def test_a_signal_before_anything_began(tmp_path: Path) -> None:
    async with serving(Upstream()) as up:
        site = Site(tmp_path).write(up.url)
        process = await site.start(*RUN)
        await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        done = await ended(process)
        assert done.code in (130, -signal.SIGTERM)
        await site.finish()


async def test_a_second_process_is_turned_away(tmp_path: Path) -> None:
    async with serving(Upstream(latency=0.1)) as up:
        site = Site(tmp_path).write(up.url)
        process = await site.start(*RUN)
        await until(lambda: len(up.ledger) >= 5, process)
        process.send_signal(signal.SIGSTOP)  # so that it is there for as long as the others need
        for arguments in (RUN, ("jobs",), ("db", "check")):
            second = await site.run(*arguments)
            assert second.code == 2
            assert f"is already in use by process {process.pid}" in second.sentence
            assert second.out == ""
        process.send_signal(signal.SIGCONT)
        assert (await ended(process)).code == 0
        assert len(up.ledger) == site.calls
    await check(site)


async def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    async with serving(Upstream()) as up:
        site = Site(tmp_path).write(up.url)
        (tmp_path / "taken").write_text("mine")
        for output in ("taken", "taken/below"):
            done = await site.run(*RUN, f"output={output}")
            assert done.code == 2
            assert output in done.sentence
        assert (tmp_path / "taken").read_text() == "mine"
        assert up.ledger == []


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "size", [20_000, pytest.param(60_000, marks=LONG), pytest.param(150_000, marks=LONG), 400_000]
)
async def test_a_disk_that_fills_up(tmp_path: Path, size: int) -> None:
    """Each file may grow to ``size`` bytes: the journal, the store or the export is what meets the limit."""
    async with serving(Upstream(latency=0.01)) as up:
        site = Site(tmp_path, prompts=16).write(up.url)
        done = await site.run(*RUN, file_bytes=size)
        assert done.code == 2, done.err
        assert "Traceback" not in done.err
        assert "File too large" in done.sentence
        left = Snapshot.take(site, up)
        assert left.open.total() <= site.in_flight
        await site.finish()
        audit(site, up, [left])
    await check(site)
