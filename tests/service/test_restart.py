"""The real command, killed, stopped, starved of disk: jobs go on and nothing is bought twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.crash.harness import Ended, Site, Snapshot, audit, ended
from tests.service.asked import MODEL, Api, job, watch
from tests.upstream import Upstream, serving

LIMITS = {"max": 8, "start": 8}


@dataclass(frozen=True)
class Served(Site):
    """A site whose output folder a service owns."""

    @property
    def work(self) -> Path:
        return self.folder / "out"


@dataclass
class Process:
    """A running service."""

    process: asyncio.subprocess.Process
    address: str

    async def end(self, number: signal.Signals) -> Ended:
        self.process.send_signal(number)
        return await ended(self.process)


async def start(site: Site, *options: str, **given: object) -> Process:
    """Start the service and wait for its address."""
    process = await site.start("serve", "--store", str(site.work), "--port", "0", *options, **given)  # type: ignore[arg-type]
    assert process.stderr is not None
    async with asyncio.timeout(60):
        line = (await process.stderr.readline()).decode()
    assert " at http://" in line, line + (await process.stderr.read()).decode()
    return Process(process, line.split(" at ")[1].split()[0])


@asynccontextmanager
async def asking(service: Process, folder: Path) -> AsyncIterator[Api]:
    async with aiohttp.ClientSession(service.address) as session:
        yield Api(folder, service.address, session)


async def reached(upstream: Upstream, calls: int) -> None:
    async with asyncio.timeout(30):
        while len(upstream.ledger) < calls:
            await asyncio.sleep(0.002)


async def finished(api: Api, event: str) -> bool:
    """Whether an event may have been the last one: every job is completed."""
    return event in {"lost", "state"} and all(
        one["state"] == "completed" for one in (await api.get("/v1/jobs"))["data"]
    )


async def test_after_a_kill_jobs_go_on_watchers_come_back_and_nothing_is_bought_twice(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.05)
    async with serving(upstream):
        site = Served(tmp_path, in_flight=8).write(upstream.url)
        kills, last, job_id = [], "", ""
        for goal in (20, 70, 10_000):
            service = await start(site)
            async with asking(service, site.work) as api:
                if not job_id:
                    job_id = (await api.post("/v1/jobs", job(40, MODEL, budget=5.0, limits=LIMITS)))["id"]
                    await api.post("/v1/jobs", job(10, MODEL, budget=5.0, limits=LIMITS, name="second"))
                names = []
                async with asyncio.timeout(60):
                    async for event in watch(api.session, "/v1/events", last):
                        last = event.id
                        names.append(event.name)
                        if len(names) > 1 and (
                            len(upstream.ledger) >= goal or await finished(api, event.name)
                        ):
                            break
                if kills:
                    assert names[1] == "lost"  # its ids are of the service that was killed
                if goal < 10_000:
                    service.process.kill()
                    await service.process.wait()
                    kills.append(Snapshot.take(site, upstream))
                    continue
                everything = (await api.get("/v1/jobs"))["data"]
                assert [one["state"] for one in everything] == ["completed"] * 2
                assert sum(one["spent"] for one in everything) == pytest.approx(
                    Snapshot.take(site, upstream).paid, abs=1e-9
                )
            done = await service.end(signal.SIGTERM)
            assert done.code == 0
        assert len(kills) == 2
        audit(Served(tmp_path, in_flight=16), upstream, kills)  # two jobs of eight


async def test_a_signal_drains_within_ten_seconds_and_loses_nothing(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.3)
    async with serving(upstream):
        site = Served(tmp_path, in_flight=8).write(upstream.url)
        service = await start(site)
        async with asking(service, site.work) as api:
            made = await api.post("/v1/jobs", job(12, MODEL, budget=5.0, limits=LIMITS))
            await reached(upstream, 12)
            began = time.monotonic()
            done = await service.end(signal.SIGTERM)
        assert done.code == 0
        assert time.monotonic() - began < 10
        assert Snapshot.take(site, upstream).open.total() == 0  # what was in flight was waited for
        service = await start(site)
        async with asking(service, site.work) as api:
            ended = await api.until(made["id"], "completed", seconds=60)
            assert ended["spent"] == pytest.approx(upstream.spent, abs=1e-9)
        await service.end(signal.SIGINT)
        assert len(upstream.ledger) == len({one.body for one in upstream.ledger})


async def test_a_stalled_upstream_does_not_hold_the_stop_up(tmp_path: Path) -> None:
    upstream = Upstream(latency=20)
    async with serving(upstream):
        site = Served(tmp_path).write(upstream.url)
        service = await start(site)
        async with asking(service, site.work) as api:
            await api.post("/v1/jobs", job(4, MODEL, budget=5.0))
            await reached(upstream, 1)
        began = time.monotonic()
        assert (await service.end(signal.SIGTERM)).code == 0
        assert time.monotonic() - began < 12


async def test_a_second_service_and_a_command_say_where_the_first_one_is(tmp_path: Path) -> None:
    site = Served(tmp_path).write("http://127.0.0.1:9")
    service = await start(site)
    second = await site.run("serve", "--store", str(site.work), "--port", "0")
    assert (second.code, f"already running at {service.address}" in second.sentence) == (2, True)
    await service.end(signal.SIGTERM)


async def test_a_full_disk_is_one_line_and_the_job_goes_on_when_there_is_room(tmp_path: Path) -> None:
    upstream = Upstream()
    async with serving(upstream):
        site = Served(tmp_path, in_flight=8).write(upstream.url)
        service = await start(site, file_bytes=2_000_000)
        async with asking(service, site.work) as api:
            made = await api.post("/v1/jobs", job(400, MODEL, budget=5.0, limits=LIMITS))
            failed = await api.until(made["id"], "failed", seconds=60)
            assert "room" in failed["note"] or "space" in failed["note"]
            assert "\n" not in failed["note"]
            said = [
                await api.ask("POST", "/v1/jobs", job(3, MODEL, budget=5.0, name=f"next-{number}"))
                for number in range(20)  # what is small may still find a place in the last block
            ]
            assert {status for status, _ in said} <= {200, 503}
            assert (said[-1][0], "Traceback" in str(said)) == (503, False)
        service.process.kill()
        await service.process.wait()
        service = await start(site)
        async with asking(service, site.work) as api:
            if (await api.get(f"/v1/jobs/{made['id']}"))["state"] == "failed":
                await api.post(f"/v1/jobs/{made['id']}/resume")
            await api.until(made["id"], "completed", seconds=90)
        await service.end(signal.SIGTERM)
