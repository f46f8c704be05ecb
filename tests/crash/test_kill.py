"""``kill -9`` of the whole command, at named points and at random moments: nothing is lost, nothing is
bought twice once it is journalled, and the job that goes on exports what an uninterrupted one exports.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.crash.harness import Site, Snapshot, audit, check, ended, until
from tests.crash.victim import CALLS, CHECKPOINTS, EXPORT, MENDING, MIGRATION, QUARANTINE
from tests.upstream import Upstream, serving

LATENCY = 0.02
KILLED = -signal.SIGKILL
RUN = ("run", "pipeline.yaml", "--yes")


References = Callable[[Site], Awaitable[dict[str, str]]]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> References:
    """What a run that nobody disturbs exports, made once for each size of job."""
    known: dict[int, dict[str, str]] = {}

    async def exported(site: Site) -> dict[str, str]:
        if site.prompts not in known:
            async with serving(Upstream()) as up:
                other = replace(site, folder=tmp_path_factory.mktemp("undisturbed")).write(up.url)
                await other.finish()
                assert len(up.ledger) == other.calls
            known[site.prompts] = other.exported()
        return known[site.prompts]

    return exported


async def killed_at(site: Site, up: Upstream, points: Iterable[str], nth: int) -> list[Snapshot]:
    """Let each point kill a run of the job in turn."""
    kills = []
    for point in points:
        done = await site.run(*RUN, victim=(point, nth))
        assert done.code == KILLED, f"{point}: {done}"
        kills.append(Snapshot.take(site, up))
    return kills


SEEDS = [1, *(pytest.param(nth, marks=pytest.mark.long) for nth in (2, 3))]


@pytest.mark.parametrize("nth", SEEDS)
async def test_killed_at_every_point_of_a_call(tmp_path: Path, uninterrupted: References, nth: int) -> None:
    site = Site(tmp_path / "site", prompts=24)
    expected = await uninterrupted(site)
    async with serving(Upstream(latency=LATENCY)) as up:
        site.write(up.url)
        kills = await killed_at(site, up, CALLS, nth)
        assert kills[-1].replies
        [listed] = (await site.run("jobs", "--json")).json
        assert listed["state"] == "interrupted"  # not "running": nobody runs it
        await site.finish()
        audit(site, up, kills)
    await check(site)
    assert site.exported() == expected


async def test_killed_while_the_tables_are_made(tmp_path: Path, uninterrupted: References) -> None:
    site = Site(tmp_path / "site", prompts=3)
    expected = await uninterrupted(site)
    async with serving(Upstream()) as up:
        site.write(up.url)
        kills = await killed_at(site, up, MIGRATION, 1)
        await site.finish()
        audit(site, up, kills)
    assert site.exported() == expected


@pytest.mark.parametrize("prompts", [3, pytest.param(20, marks=pytest.mark.long)])
async def test_killed_while_exporting(tmp_path: Path, uninterrupted: References, prompts: int) -> None:
    """The first kill finds no export yet, later ones replace one: but for the moment
    between two renames, a reader always sees a whole one.
    """
    site = Site(tmp_path / "site", prompts=prompts)
    expected = await uninterrupted(site)
    async with serving(Upstream()) as up:
        site.write(up.url)
        first = [point for point in EXPORT if "between" not in point]
        kills = await killed_at(site, up, first, 1)
        await site.finish()
        for point in EXPORT:
            kills += await killed_at(site, up, [point], 1)
            if "rename" not in point or "after" in point:
                assert site.exported() == expected
        await site.finish()
        assert len(up.ledger) == site.calls
        audit(site, up, kills)
    assert site.exported() == expected
    left = {path.name for path in (site.work / "exports").iterdir()}
    assert left == {site.job, "latest"}


@pytest.mark.parametrize("prompts", [3, pytest.param(20, marks=pytest.mark.long)])
async def test_killed_inside_a_checkpoint(tmp_path: Path, uninterrupted: References, prompts: int) -> None:
    site = Site(tmp_path / "site", prompts=prompts)
    expected = await uninterrupted(site)
    async with serving(Upstream()) as up:
        site.write(up.url)
        kills = await killed_at(site, up, CHECKPOINTS, 1)
        await site.finish()
        assert len(up.ledger) == site.calls
        audit(site, up, kills)
    await check(site)
    assert site.exported() == expected


async def test_killed_while_a_damaged_store_is_set_aside(tmp_path: Path, uninterrupted: References) -> None:
    site = Site(tmp_path / "site", prompts=3)
    expected = await uninterrupted(site)
    async with serving(Upstream()) as up:
        site.write(up.url)
        kills = await killed_at(site, up, ["checkpoint, before truncate"], 1)
        for point in QUARANTINE:
            for name in ("store.duckdb", "store.duckdb.wal"):
                (site.work / name).write_bytes(b"not a database" * 1000)
            kills += await killed_at(site, up, [point], 1)
        await site.finish()
        assert len(up.ledger) == site.calls
        audit(site, up, kills)
    await check(site)
    assert site.exported() == expected
    assert list(site.work.glob("store.duckdb.damaged-*"))


@pytest.mark.long
async def test_killed_while_the_journal_is_mended(tmp_path: Path, uninterrupted: References) -> None:
    site = Site(tmp_path / "site", prompts=3)
    expected = await uninterrupted(site)
    async with serving(Upstream()) as up:
        site.write(up.url)
        await site.finish()
        segment = site.work / "journal" / "000001.jsonl"
        first, rest = segment.read_bytes().split(b"\n", 1)
        segment.write_bytes(first + b"\nscribble\n" + rest + b"half a li")
        kills = await killed_at(site, up, MENDING, 1)
        await site.finish()
        assert len(up.ledger) == site.calls
        audit(site, up, kills)
    await check(site)
    assert site.exported() == expected
    assert segment.with_name("000001.jsonl.damaged-1").read_bytes() == b"scribble\n"


# Random moments

KILLS_A_JOB = 6


async def killed_at_random(site: Site, up: Upstream, draw: random.Random) -> Snapshot | None:
    """Kill a run at a moment counted in calls, or in seconds before the first and after the last.

    None when it ended before its time had come.
    """
    left = site.calls - len(up.ledger)
    process = await site.start(*RUN)
    if left <= 0 or draw.random() < 0.2:
        await asyncio.sleep(draw.uniform(0.1, 1.5))
    else:
        goal = len(up.ledger) + draw.randint(1, max(1, left // 2))
        await until(lambda: len(up.ledger) >= goal, process)
        await asyncio.sleep(draw.uniform(0.0, 0.05))
    if process.returncode is None:
        process.kill()
    done = await ended(process)
    return Snapshot.take(site, up) if done.code == KILLED else None


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 9))])
async def test_killed_at_random_moments(tmp_path: Path, uninterrupted: References, seed: int) -> None:
    draw = random.Random(seed)
    site = Site(tmp_path / "site", prompts=(6, 12, 20)[seed % 3], in_flight=(4, 16, 64)[seed % 4 % 3])
    expected = await uninterrupted(site)
    async with serving(Upstream(latency=LATENCY)) as up:
        site.write(up.url)
        kills: list[Snapshot] = []
        for _ in range(4 * KILLS_A_JOB):
            kill = await killed_at_random(site, up, draw)
            kills += [] if kill is None else [kill]
            if len(kills) == KILLS_A_JOB:
                break
        assert len(kills) == KILLS_A_JOB
        await site.finish()
        audit(site, up, kills)
    await check(site)
    assert site.exported() == expected
