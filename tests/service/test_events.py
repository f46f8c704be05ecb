"""Live events: order, resuming, heartbeats, watchers that lag, and how a job is told."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from rlaif.service.api import events as told
from rlaif.service.events import MEMORY, WAITING, Hub
from tests.service.asked import MODEL, api, job, settings, watch
from tests.upstream import Upstream, serving

# The hub


def test_watchers_get_their_topics_in_order() -> None:
    hub = Hub()
    with hub.watching(frozenset({"a"})) as one, hub.watching() as every:
        for topic in ("a", "b", "a"):
            hub.publish(topic, "x", {"of": topic})
        assert [one.queue.get_nowait().number for _ in range(2)] == [1, 3]
        assert every.queue.qsize() == 3
    assert hub.watchers == 0


def test_whoever_comes_back_gets_what_it_missed() -> None:
    hub = Hub()
    for number in range(5):
        hub.publish("a", "x", {"n": number})
    last = hub.frame(hub._memory[2]).split(b"\n")[0].removeprefix(b"id: ").decode()
    with hub.watching(last_id=last) as watcher:
        assert not watcher.lost
        assert [watcher.queue.get_nowait().data for _ in range(2)] == ['{"n":3}', '{"n":4}']


@pytest.mark.parametrize("last", ["other-3", "3", "-", "x-y", "x" * 100])
def test_an_id_of_elsewhere_means_that_events_are_lost(last: str) -> None:
    hub = Hub()
    hub.publish("a", "x", {})
    with hub.watching(last_id=last) as watcher:
        assert watcher.lost


def test_forgotten_events_are_lost_and_lagging_watchers_too() -> None:
    hub = Hub()
    hub.publish("a", "x", {})
    first = hub.mark().decode().strip().removeprefix("id: ")
    with hub.watching() as slow:
        for _ in range(MEMORY + 1):
            hub.publish("a", "x", {})
        assert slow.lost
        assert slow.queue.qsize() == WAITING
    with hub.watching(last_id=first) as late:
        assert late.lost


# On the wire


async def test_a_job_is_told_from_queued_to_completed(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.05)
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        limits = {"max": 2, "start": 2}
        made = await service.post("/v1/jobs", job(6, MODEL, budget=1.0, limits=limits))
        states, ended, at = [], [], []
        async with asyncio.timeout(20):
            async for event in watch(service.session, f"/v1/jobs/{made['id']}/events"):
                if event.name == "progress":
                    ended.append(event.data["ended"])
                    at.append(asyncio.get_running_loop().time())
                    assert event.data["in_flight"] <= 2
                if event.name == "state":
                    states.append(event.data["state"])
                    if event.data["state"] == "completed":
                        break
        assert states[-1] == "completed"
        assert ended == sorted(ended)
        assert ended[-1] == 12 + 6
        assert len(ended) >= 3
        gaps = [after - before for before, after in pairwise(at[:-1])]
        assert min(gaps) >= 0.15  # four times a second


async def test_a_stream_resumes_where_it_broke_off(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        seen = []
        made = await service.post("/v1/jobs", job(2))
        await service.until(made["id"], "completed")
        stream = watch(service.session, "/v1/events")
        mark = (await anext(stream)).id  # an id alone: nothing from here on is missed
        await stream.aclose()
        second = await service.post("/v1/jobs", job(2, name="second"))
        await service.until(second["id"], "completed")
        async with asyncio.timeout(10):
            async for event in watch(service.session, "/v1/events", mark):
                seen.append((event.data["job"], event.data.get("state")))
                if event.name == "state" and event.data["state"] == "completed":
                    break
        assert seen[0] == (second["id"], "queued")
        assert {job_id for job_id, _ in seen} == {second["id"]}


async def test_an_id_of_an_earlier_service_begins_with_lost(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        stream = watch(service.session, "/v1/events", "0123abcd-7")
        async with asyncio.timeout(5):
            first, second = await anext(stream), await anext(stream)
        assert [first.name, second.name] == ["", "lost"]
        assert second.id == first.id


async def test_silence_is_kept_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "HEARTBEAT_SECONDS", 0.05)
    async with api(tmp_path / "out") as service, service.session.get("/v1/events") as reply:
        async with asyncio.timeout(5):
            read = b""
            while read.count(b": still here\n\n") < 2:
                read += await reply.content.readany()
        assert read.startswith(b"retry: 1000\n")


async def test_a_reader_that_takes_nothing_holds_nobody_up(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.address.rpartition(":")[2]))
        host = service.address.removeprefix("http://")
        writer.write(f"GET /v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        made = await service.post("/v1/jobs", job(30))
        await service.until(made["id"], "completed")
        writer.close()


async def test_streams_end_when_the_service_does(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        session = aiohttp.ClientSession(service.address)
        stream = watch(session, "/v1/events")
        await anext(stream)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1.5
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await session.close()
