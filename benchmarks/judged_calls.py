"""Judged comparisons a second: this package end to end against ceilings and a peer, in one run.

Every call meets a fake upstream that answers after 50 ms, with 256 calls in flight. Ours is the judge
stage of a job: template, fences, key, journal on disk (fsync'd), reservation, send, reading, verdict,
commit and store, until all of it is in DuckDB. Samples come from ``mock:text`` before the clock starts.
The ceilings are plain aiohttp, for ``compatible:``, and the bare SDKs on their aiohttp transports. Each
contender runs in a process of its own; rounds alternate. The peers' upstream always gives the same
text, in which our grammar finds no verdict: those judgments are stored as unparsable. Writes one JSON
row to stdout.

    python benchmarks/judged_calls.py [--calls N] [--rounds N] [--peers FOLDER]

FOLDER (or RLAIF_PEERS) holds the ceilings ``raw_calls.py`` and ``sdk_calls.py``, the peer
``curator_rows.py`` and the ``upstream.py`` they share. RLAIF_CURATOR_PYTHON names an interpreter that
has the peer installed. What is not there is left out, with the reason in the row.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlaif.pipeline import Options, load_pipeline, run
from rlaif.settings import ModelPrice, Server, Settings

ROOT = Path(__file__).parent.parent
IN_FLIGHT = 256
LATENCY = 0.05
OURS = {"compatible": "compatible:lab/judge", "openai": "openai:judge", "anthropic": "anthropic:judge"}
CEILING = {"compatible": "raw_aiohttp", "openai": "openai_sdk", "anthropic": "anthropic_sdk"}
ANTHROPIC = ("anthropic", "anthropic_sdk")
"""Contenders that meet our own upstream, since the peers' speaks only the other wire format."""


PIPELINE = """\
schema_version: 1
name: bench
prompts: {{path: prompts.jsonl}}
limits: {{start: {in_flight}, max: {in_flight}}}
stages:
  - kind: sample
    policies: [{{model: "mock:text", k: 2}}]
  - kind: judge
    constitution: {root}/constitutions/helpfulness.yaml
    judge: {{kind: pairwise, model: "{judge}", verdict: text, max_tokens: 64}}
"""


class Clock:
    """Listens for the moment the judge stage begins."""

    began = 0.0

    def stage(self, name: str, total: int) -> None:
        self.began = time.perf_counter()

    def task(self, ok: bool) -> None:
        assert ok


async def judge_all(judge: str, settings: Settings, folder: Path, calls: int) -> float:
    """Run a job with ``calls`` judge calls; return them a second, store and close included."""
    rows = (json.dumps({"prompt": f"Question {number}?"}) for number in range(calls // 2))
    (folder / "prompts.jsonl").write_text("\n".join(rows))
    file = folder / "pipeline.yaml"
    file.write_text(PIPELINE.format(in_flight=IN_FLIGHT, root=ROOT, judge=judge))
    clock = Clock()
    outcome = await run(load_pipeline(file), Options(folder=folder / "out", budget=1000.0), settings, clock)
    seconds = time.perf_counter() - clock.began
    assert outcome.stages[1].done == calls // 2
    return calls / seconds


async def bare_anthropic(url: str, calls: int) -> float:
    """The ceiling for ``anthropic:``: the SDK alone, on the transport that ours uses too."""
    from anthropic import AsyncAnthropic, DefaultAioHttpClient

    client = AsyncAnthropic(base_url=url, api_key="x", http_client=DefaultAioHttpClient())
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with gate:
            text = f"Question {number}? " + "answer one " * 20 + "answer two " * 20
            await client.messages.create(
                model="judge", max_tokens=64, messages=[{"role": "user", "content": text}]
            )

    began = time.perf_counter()
    await asyncio.gather(*map(one, range(calls)))
    seconds = time.perf_counter() - began
    await client.close()
    return calls / seconds


def ours(name: str, port: int, calls: int) -> None:
    """Run one contender in this process and print its rate."""
    url = f"http://127.0.0.1:{port}"
    settings = Settings(
        home=Path(),
        compatible={"lab": Server(base_url=f"{url}/v1")},
        openai_url=f"{url}/v1",
        anthropic_url=url,
        keys={"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x"},
        prices={judge: ModelPrice(input=1.0, output=1.0) for judge in OURS.values()},
    )
    if name == "anthropic_sdk":
        found = asyncio.run(bare_anthropic(url, calls))
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(judge_all(OURS[name], settings, Path(folder), calls))
    print(found, "req/s")


def contenders(
    peers: Path | None, port: int, own: int, calls: int
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Commands by name, and what is left out with its reason."""
    me = [sys.executable, str(Path(__file__).resolve()), "--calls", str(calls)]
    commands = {
        name: [*me, "--ours", name, "--port", str(own if name in ANTHROPIC else port)]
        for name in (*OURS, "anthropic_sdk")
    }
    if peers is None:
        return commands, dict.fromkeys(("raw_aiohttp", "openai_sdk", "curator"), "no peers folder given")
    given = [str(port), str(calls), str(IN_FLIGHT)]
    commands["raw_aiohttp"] = [sys.executable, str(peers / "raw_calls.py"), *given]
    commands["openai_sdk"] = [sys.executable, str(peers / "sdk_calls.py"), *given, "aiohttp"]
    curator = os.environ.get("RLAIF_CURATOR_PYTHON")
    if not curator:
        return commands, {"curator": "RLAIF_CURATOR_PYTHON is not set"}
    commands["curator"] = [curator, str(peers / "curator_rows.py"), *given]
    return commands, {}


def rate(command: list[str]) -> float:
    """Run one contender and read its calls a second."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    found = re.search(r"([\d.]+) req/s|\"rows_s\": ([\d.]+)", done.stdout)
    if done.returncode or found is None:
        raise SystemExit(f"{command[1]} failed:\n{done.stdout}{done.stderr}")
    return float(found[1] or found[2])


@contextmanager
def upstream(peers: Path | None) -> Iterator[int]:
    """Run the fake upstream in a process of its own; give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = ["-m", "tests.upstream", "--port", str(port), "--latency", str(LATENCY)]
    shared = [str(peers / "upstream.py"), str(port), str(LATENCY)] if peers else own
    with subprocess.Popen([sys.executable, *shared], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield port
        finally:
            process.kill()


def measure(peers: Path | None, calls: int, rounds: int) -> dict[str, object]:
    """Alternate all contenders for some rounds; medians, spread and paired ratios."""
    with upstream(peers) as port, upstream(None) as own:
        commands, left_out = contenders(peers, port, own, calls)
        rates: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                rates[name].append(rate(command))
    row: dict[str, object] = {
        "benchmark": "judged_calls", "calls": calls, "rounds": rounds, "in_flight": IN_FLIGHT,
        "latency_s": LATENCY, "cpus": os.cpu_count(), "python": platform.python_version(),
        "per_s": {name: spread(found) for name, found in rates.items()}, "left_out": left_out,
    }  # fmt: skip
    row["of_ceiling"] = {
        name: paired(rates[name], rates[other]) for name, other in CEILING.items() if other in rates
    }
    if "curator" in rates:
        row["times_curator"] = {name: paired(rates[name], rates["curator"]) for name in OURS}
    return row


def spread(found: list[float]) -> dict[str, float]:
    """Median, slowest and fastest round."""
    return {"median": round(statistics.median(found)), "min": round(min(found)), "max": round(max(found))}


def paired(ours: list[float], theirs: list[float]) -> float:
    """Median over rounds of our rate over theirs."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", type=Path, default=os.environ.get("RLAIF_PEERS") or None)
    parser.add_argument("--ours", choices=(*OURS, "anthropic_sdk"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        ours(given.ours, given.port, given.calls)
    else:
        print(json.dumps(measure(given.peers, given.calls, given.rounds)))


if __name__ == "__main__":
    main()
