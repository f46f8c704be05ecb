"""Whole jobs against a failing upstream: every task is done, or failed with a reason, within its attempts."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import duckdb
import pytest
from aiohttp import web

from tests.crash.harness import ROOT, Ended, Site, Snapshot, check_store, ended, until
from tests.upstream import KINDS, READABLE, Body, Entry, Upstream, digest, serving, words

HANG = 1.5
TIMEOUT = 1.0
"""Shorter than a stalled reply stalls."""
RUN = ("run", "pipeline.yaml", "--yes", "--json")


def stages(done: Ended) -> dict[str, Body]:
    return {one["stage"]: one for one in done.json["stages"]}


def check_census(site: Site, done: Ended) -> int:
    """Every task is accounted for, and every pair of the set; return how many tasks failed."""
    found = stages(done)
    for one in found.values():
        ended = one["done"] + one["skipped"] + sum(one["failures"].values())
        # Pairs of which a sample failed, or two are the same, are no tasks.
        assert ended == one["planned"] or (one["stage"].startswith("judge") and ended < one["planned"])
        assert all(one["failures"])
    with duckdb.connect(str(site.work / "store.duckdb"), read_only=True) as store:
        states = store.execute("SELECT stage, task_id, state, reason FROM tasks").fetchall()
        sets = store.execute("SELECT pairs, counts FROM sets").fetchall()
        [(samples,)] = store.execute("SELECT count(*) FROM samples").fetchall()
        [(chosen,)] = store.execute(
            "SELECT count(*) FROM preferences WHERE chosen_id = rejected_id"
        ).fetchall()
    assert len({task for _, task, _, _ in states}) == len(states)
    assert all(reason for _, _, state, reason in states if state == "failed")
    tally = Counter((stage, state) for stage, _, state, _ in states)
    for name, one in found.items():
        if name in ("sample", "prompts") or name.startswith("judge"):
            assert tally[name, "done"] == one["done"]
            assert tally[name, "failed"] == sum(one["failures"].values())
    assert samples == found["sample"]["done"]
    [(pairs, counts)] = sets
    counted = json.loads(counts) if isinstance(counts, str) else dict(counts)
    assert sum(counted.values()) == pairs
    assert chosen == 0
    check_store(site.work / "store.duckdb")
    return sum(times for one in found.values() for times in one["failures"].values())


def most_attempts(upstream: Upstream) -> int:
    return max(Counter(one.body for one in upstream.ledger).values())


@pytest.mark.parametrize(("rate", "most_failed"), [(0.05, 0), (0.3, 8)])
async def test_a_mix_of_all_kinds(tmp_path: Path, rate: float, most_failed: int) -> None:
    """All kinds but the wait of 600 s, which test_limits and the jobs of one kind below have."""
    async with serving(Upstream(latency=0.005, fault_rate=rate, hang=HANG, seed=5, wait="ms")) as up:
        site = Site(tmp_path, prompts=24, in_flight=16, timeout=TIMEOUT).write(up.url)
        done = await site.run(*RUN, "max_failed_share=0.5")
    assert done.code == 0, done.err
    assert check_census(site, done) <= most_failed
    assert most_attempts(up) <= site.attempts
    assert len({one.outcome for one in up.ledger} & {*KINDS}) > 5
    if rate == 0.05:
        assert len(up.ledger) <= 1.15 * len(Snapshot.take(site, up).bodies)


@pytest.mark.parametrize("rate", [0.05, 0.3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.long
async def test_one_kind(tmp_path: Path, kind: str, rate: float) -> None:
    async with serving(Upstream(latency=0.005, fault_rate=rate, kinds=(kind,), hang=HANG, seed=7)) as up:
        site = Site(tmp_path, prompts=10, in_flight=16, timeout=TIMEOUT).write(up.url)
        done = await site.run(*RUN, "max_failed_share=1.0")
    assert done.code == 0, done.err
    failed = check_census(site, done)
    assert most_attempts(up) <= site.attempts
    assert any(one.outcome == kind for one in up.ledger)
    if kind in READABLE:  # the reply itself is in order, and is not asked for again
        assert most_attempts(up) == 1
        assert failed == 0
    elif rate == 0.05:
        assert failed == 0


async def test_a_bad_key_ends_the_job_within_three_calls(tmp_path: Path) -> None:
    async with serving(Upstream(keys=frozenset({"right"}), latency=0.01, echo=True)) as up:
        site = Site(tmp_path, prompts=30, in_flight=64).write(up.url, 'api_key_env = "LAB_KEY"\n')
        done = await site.run(*RUN, LAB_KEY="wrong-0123456789")
        assert done.code == 1
        assert len(up.ledger) <= 3
        assert "status 401" in done.sentence
        assert "the key was refused" in done.sentence
        assert "rlaif resume small-" in done.sentence
        assert "wrong-0123456789" not in done.err + done.out
        again = await site.run(*RUN, LAB_KEY="right")
        assert again.code == 0
    assert sum(one.outcome == "ok" for one in up.ledger) == site.calls


async def test_one_percent_poison_leaves_the_rest_alone(tmp_path: Path) -> None:
    """One prompt of a hundred can never be answered: its tasks fail, and no other one does."""
    poison, asked = "What is 41 plus 41?", Counter[str]()

    def reply(body: Body) -> str:
        if any(poison in turn["content"] for turn in body["messages"]):
            asked[digest(body)] += 1
            raise web.HTTPInternalServerError
        return words(body)

    async with serving(Upstream(latency=0.005, reply_text=reply)) as up:
        site = Site(tmp_path, prompts=100, k=2, in_flight=32, attempts=3).write(up.url)
        done = await site.run(*RUN)
    assert done.code == 0, done.err
    assert check_census(site, done) == 2  # its two samples
    [(reason, times)] = stages(done)["sample"]["failures"].items()
    assert times == 2
    assert "status 500" in reason
    assert set(asked.values()) == {3}
    assert stages(done)["judge helpfulness"]["done"] == 99


class Mortal:
    """An upstream in a process of its own, which can be killed and comes back at the same address."""

    def __init__(self, folder: Path) -> None:
        self.ledger_file = folder / "ledger.jsonl"
        self.url = ""

    async def __aenter__(self) -> Self:
        self.ledger_file.touch()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        with self.ledger_file.open("a") as file:
            file.write("\n")  # a line the kill cut short stays apart from the next
        port = self.url.rpartition(":")[2] or "0"
        arguments = ("--port", port, "--latency", "0.02", "--ledger", str(self.ledger_file))
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.upstream", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.url = (await self.process.stdout.readline()).decode().strip()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    @property
    def ledger(self) -> list[Entry]:
        """The lines that are whole: another may be in the middle of being written."""
        lines = self.ledger_file.read_text().split("\n")
        return [Entry(**json.loads(line)) for line in lines if line.endswith("}")]


@pytest.mark.parametrize(
    "downs", [(0.0, 0.5, 2.0), pytest.param((5.0, 1.0, 0.0, 3.0, 5.0), marks=pytest.mark.long)]
)
async def test_an_upstream_that_dies_and_comes_back_loses_nothing(
    tmp_path: Path, downs: Sequence[float]
) -> None:
    """It takes every connection along, so what was in flight is asked again, and only that."""
    async with Mortal(tmp_path) as up:
        site = Site(tmp_path / "site", prompts=30, in_flight=16).write(up.url)
        process = await site.start(*RUN)
        goal = 0
        for down in downs:
            goal += site.calls // (len(downs) + 1)
            await until(lambda goal=goal: len(up.ledger) >= goal, process)
            assert process.returncode is None
            await up.kill()
            await asyncio.sleep(down)
            await up.start()
        done = await ended(process)
    assert done.code == 0, done.err
    assert check_census(site, done) == 0
    taken = Snapshot.take(site, up)
    assert len(taken.replies) == site.calls
    assert not taken.open
    again = Counter(one.body for one in up.ledger)
    assert again.total() - len(again) <= len(downs) * site.in_flight
