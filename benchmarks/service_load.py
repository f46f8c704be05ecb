"""How a job and those who watch it get on together: 256 calls in flight, 50 API clients, 50 event streams.

A service in a process of its own judges pairs by a fake upstream that answers after 50 ms, in a process of
its own too. This process is everybody who looks: each client asks for something every second (jobs, one job,
its history, preferences, datasets, labels, metrics), each watcher holds an event stream open. Nobody looks,
all of them look twice, nobody looks again: four stretches of one job make a round, so that a machine whose
speed drifts shifts both sides alike. The lag of events is taken from markers: the cap of a waiting job is
changed every other second, and each watcher notes how long after the request was sent it heard of it; that
holds the change's own commit, so it is an upper bound. Prints one row of JSON: medians, each
round, and the load average after each, which is this benchmark's own and that of all else the machine does.

    python benchmarks/service_load.py [--seconds N] [--rounds N] [--clients N] [--watchers N] [--peers FOLDER]

FOLDER (or RLAIF_PEERS) holds ``upstream.py``; without it our own fake upstream is used.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from judged_calls import IN_FLIGHT, LATENCY, upstream

ROOT = Path(__file__).parent.parent
MOCK = "mock:text"
CALLS_A_SECOND = 2_500
"""More than any round judges: the job must outlast it."""
PAUSE = 1.0
"""Mean seconds between two reads of one client."""
READS = (
    "/v1/jobs", "/v1/jobs/{job}", "/v1/jobs/{job}/history", "/v1/preferences?limit=50",
    "/v1/preferences?limit=20&margin=better", "/v1/datasets", "/v1/labels", "/metrics",
)  # fmt: skip
CONFIG = """\
[compatible.lab]
base_url = "http://127.0.0.1:{port}/v1"
input_price = 0.0
output_price = 0.0

[service]
mock = true
"""


def job(name: str, prompts: int, judge: str) -> dict[str, Any]:
    """A job that draws two responses to each prompt and judges them in both orders."""
    judging = {"kind": "pairwise", "model": judge, "verdict": "labels"}
    if judge != MOCK:
        judging |= {"verdict": "text", "max_tokens": 64}
    return {
        "pipeline": {
            "name": name,
            "limits": {"start": IN_FLIGHT, "max": IN_FLIGHT},
            "stages": [
                {"kind": "sample", "policies": [{"model": MOCK, "k": 2}]},
                {"kind": "judge", "constitution": "helpfulness", "judge": judging},
                {"kind": "prefer", "axis": "helpfulness"},
            ],
        },
        "prompts": [f"Question {number} of {name}?" for number in range(prompts)],
        "budget": 1.0,
    }


@contextmanager
def service(folder: Path, port: int) -> Iterator[tuple[str, int]]:
    """Serve a folder in a process of its own; its address and process number."""
    config = folder / "rlaif.toml"
    config.write_text(CONFIG.format(port=port))
    command = [sys.executable, "-m", "rlaif", "serve", "--store", str(folder / "store"), "--port", "0"]
    given = os.environ | {"RLAIF_CONFIG": str(config)}
    with subprocess.Popen(command, cwd=ROOT, env=given, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield re.search(r"http://\S+", process.stderr.readline())[0], process.pid  # type: ignore[index]
        finally:
            process.kill()


@dataclass
class Crowd:
    """What those who look have seen."""

    session: aiohttp.ClientSession
    job: str
    reads: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of every read, by address."""
    refused: int = 0
    """Reads that got another status than 200."""
    sent: dict[float, float] = field(default_factory=dict)
    """When a marker was sent, by its number."""
    lags: list[float] = field(default_factory=list)
    """Seconds from a marker to each watcher."""
    gaps: list[float] = field(default_factory=list)
    """Seconds between two reports of progress at one watcher."""

    async def read(self, draw: random.Random) -> None:
        """Ask for something, again and again."""
        await asyncio.sleep(draw.random() * PAUSE)
        while True:
            path = draw.choice(READS)
            began = time.perf_counter()
            async with self.session.get(path.format(job=self.job)) as reply:
                await reply.read()
            self.reads[path].append(time.perf_counter() - began)
            self.refused += reply.status != 200
            await asyncio.sleep(draw.uniform(0.5, 1.5) * PAUSE)

    async def watch(self) -> None:
        """Listen to everything that happens."""
        heard, name, at = 0.0, "", 0
        async with self.session.get("/v1/events") as stream:
            async for line in stream.content:
                now = time.perf_counter()
                if line.startswith(b"event: "):
                    name = line[7:].decode().strip()
                elif line.startswith(b"data: ") and name == "progress":
                    self.gaps += [now - heard] if heard else []
                    heard = now
                elif line.startswith(b"data: ") and b'"marker-' in line and at < len(self.sent):
                    self.lags.append(now - self.sent[at])
                    at += 1

    async def mark(self, marker: str) -> None:
        """Have something told, again and again."""
        while True:
            number = len(self.sent)
            self.sent[number] = time.perf_counter()
            asked = {"budget": 1.0 + number}
            async with self.session.post(f"/v1/jobs/{marker}/cap", json=asked) as reply:
                assert reply.status == 200, await reply.text()
            await asyncio.sleep(2)


@asynccontextmanager
async def looked_at(crowd: Crowd, marker: str, clients: int, watchers: int) -> AsyncIterator[None]:
    """Let everybody look for the length of a block; whoever fails, fails the block."""
    watching = [asyncio.create_task(crowd.watch()) for _ in range(watchers)]
    await asyncio.sleep(1)
    others = [asyncio.create_task(crowd.read(random.Random(at))) for at in range(clients)]
    if watchers:
        others.append(asyncio.create_task(crowd.mark(marker)))
    try:
        yield
        for one in (*watching, *others):
            if one.done():
                one.result()
    finally:
        for one in (*watching, *others):
            one.cancel()


async def asked(session: aiohttp.ClientSession, path: str, body: object = None) -> Any:
    """Ask once: POST where there is a body."""
    method = "GET" if body is None else "POST"
    async with session.request(method, path, json=body) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def until(session: aiohttp.ClientSession, job: str, state: str, stage: str = "") -> None:
    """Wait until a job is in a state, and in a stage."""
    while True:
        found = await asked(session, f"/v1/jobs/{job}")
        if found["state"] == state and (not stage or found["progress"]["stage"].startswith(stage)):
            return
        assert found["state"] not in ("completed", "failed"), found
        await asyncio.sleep(0.1)


@dataclass
class Round:
    """One job, judged with nobody looking and with everybody."""

    crowds: list[Crowd] = field(default_factory=list)
    calls_per_s: dict[str, list[float]] = field(default_factory=lambda: {"quiet": [], "watched": []})
    """Of each stretch."""
    cpu_ms_a_call: dict[str, list[float]] = field(default_factory=lambda: {"quiet": [], "watched": []})
    """Milliseconds of processor time of the service for each call, reading included."""

    @property
    def kept(self) -> float:
        """The watched stretches' rate as a share of the quiet ones'."""
        return sum(self.calls_per_s["watched"]) / sum(self.calls_per_s["quiet"])


async def one_round(served: tuple[str, int], seconds: float, clients: int, watchers: int) -> Round:
    """Judge one job for four stretches: nobody looks, everybody, everybody, nobody."""
    address, process = served
    done = Round()
    async with AsyncExitStack() as stack:
        free = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(address, connector=free))
        small = await asked(session, "/v1/jobs", job("small", 100, MOCK) | {"budget": None})
        marker = await asked(session, "/v1/jobs", job("marker", 5_000, MOCK))
        await asked(session, f"/v1/jobs/{marker['id']}/pause", {})
        await until(session, marker["id"], "paused")
        while (await asked(session, f"/v1/jobs/{small['id']}"))["state"] != "completed":
            await asyncio.sleep(0.1)
        prompts = int((4 * seconds + 15) * CALLS_A_SECOND / 2)
        made = await asked(session, "/v1/jobs", job("load", prompts, "compatible:lab/judge"))
        await until(session, made["id"], "running", "judge")
        for which in ("quiet", "watched", "watched", "quiet"):
            crowd = Crowd(session, made["id"])
            many = (clients, watchers) if which == "watched" else (0, 0)
            async with looked_at(crowd, marker["id"], *many):
                await asyncio.sleep(2)
                calls, cost = await rate(session, made["id"], process, seconds)
            done.calls_per_s[which].append(round(calls))
            done.cpu_ms_a_call[which].append(round(1e3 * cost, 3))
            done.crowds += [crowd] if which == "watched" else []
    return done


async def rate(session: aiohttp.ClientSession, job: str, process: int, seconds: float) -> tuple[float, float]:
    """Calls a second over a while (a pair takes two), and the service's processor seconds a call."""
    first, began, spent = await asked(session, f"/v1/jobs/{job}"), time.perf_counter(), processor(process)
    await asyncio.sleep(seconds)
    last, ended = await asked(session, f"/v1/jobs/{job}"), time.perf_counter()
    spent = processor(process) - spent
    assert last["progress"]["stage"].startswith("judge"), "the job is over; give fewer seconds"
    assert not last["progress"]["failed"], last["progress"]["failures"]
    calls = 2 * (last["progress"]["ended"] - first["progress"]["ended"])
    return calls / (ended - began), spent / calls


def processor(process: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(given: argparse.Namespace) -> dict[str, object]:
    """Run the rounds, each in a folder and a process of its own."""
    rounds: list[Round] = []
    load: list[float] = []
    with upstream(given.peers) as port:
        for _ in range(given.rounds):
            with tempfile.TemporaryDirectory() as name, service(Path(name), port) as served:
                rounds.append(asyncio.run(one_round(served, given.seconds, given.clients, given.watchers)))
            load.append(round(os.getloadavg()[0], 1))
    crowds = [crowd for one in rounds for crowd in one.crowds]
    by_round = [
        [took for crowd in one.crowds for some in crowd.reads.values() for took in some] for one in rounds
    ]
    return {
        "benchmark": "service_load", "seconds": given.seconds, "rounds": given.rounds, "in_flight": IN_FLIGHT,
        "latency_s": LATENCY, "clients": given.clients, "watchers": given.watchers,
        "cpus": os.cpu_count(), "python": platform.python_version(),
        "calls_per_s": [one.calls_per_s for one in rounds],
        "service_cpu_ms_a_call": [one.cpu_ms_a_call for one in rounds],
        "share_kept": round(statistics.median(one.kept for one in rounds), 3),
        "share_by_round": [round(one.kept, 3) for one in rounds],
        "reads": sum(map(len, by_round)), "refused": sum(crowd.refused for crowd in crowds),
        "read_ms": spread([took for some in by_round for took in some]),
        "read_p95_by_round": [spread(some)["p95"] for some in by_round],
        "event_lag_ms": spread([one for crowd in crowds for one in crowd.lags]),
        "load_average": load,
        "progress_gap_ms": spread([one for crowd in crowds for one in crowd.gaps]),
        "slowest_reads_ms": slowest(crowds),
    }  # fmt: skip


def spread(seconds: Sequence[float]) -> dict[str, int]:
    """Median, 95th percentile and worst, in milliseconds."""
    ordered = sorted(seconds) or [0.0]
    at = {"median": 0.5, "p95": 0.95, "max": 1.0}
    return {
        name: round(1e3 * ordered[min(int(q * len(ordered)), len(ordered) - 1)]) for name, q in at.items()
    }


def slowest(crowds: Sequence[Crowd]) -> dict[str, int]:
    """The 95th percentile of each read, worst first."""
    by_path = {path: [one for crowd in crowds for one in crowd.reads[path]] for path in READS}
    found = {path: spread(some)["p95"] for path, some in by_path.items() if some}
    return dict(sorted(found.items(), key=lambda one: -one[1])[:5])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--watchers", type=int, default=50)
    parser.add_argument("--peers", type=Path, default=os.environ.get("RLAIF_PEERS") or None)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
