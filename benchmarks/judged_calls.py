"""Judged comparisons a second: this package end to end against ceilings and a peer, in one run.

Every call meets a fake upstream that answers after 50 ms, with 256 calls in flight. Ours goes through
``Client``: request, key, journal on disk (fsync'd), reservation, send, reading. The ceilings are plain
aiohttp, for ``compatible:``, and the bare openai SDK on its aiohttp transport, for ``openai:``. Each
contender runs in a process of its own; rounds alternate. Writes one JSON row to stdout.

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

from rlaif.journal import Journal
from rlaif.providers.base import ModelSpec, Request
from rlaif.providers.budget import Budget
from rlaif.providers.client import Client, Limits
from rlaif.providers.prices import Price
from rlaif.providers.registry import open_provider
from rlaif.records import Message, SamplingParams
from rlaif.settings import Server, Settings

ROOT = Path(__file__).parent.parent
IN_FLIGHT = 256
LATENCY = 0.05
OURS = {"compatible": "compatible:lab/judge", "openai": "openai:judge"}
CEILING = {"compatible": "raw_aiohttp", "openai": "openai_sdk"}


async def judge_all(spec: ModelSpec, settings: Settings, folder: Path, calls: int) -> float:
    """Buy all judgments of one job; return calls a second."""
    limits = Limits(start=IN_FLIGHT, max=IN_FLIGHT)
    journal = Journal.open(folder)
    client = Client(
        open_provider(spec, settings),
        journal,
        job_id="jb",
        budget=Budget(1000.0),
        price=Price.flat(1.0, 1.0, "benchmark"),
        limits=limits,
    )
    began = time.perf_counter()
    answers = await asyncio.gather(*(client.call(request(spec, number)) for number in range(calls)))
    seconds = time.perf_counter() - began
    await client.close()
    await journal.close()
    assert all(one.reply.text and not one.cached for one in answers)
    return calls / seconds


def request(spec: ModelSpec, number: int) -> Request:
    """Ask what the ceilings ask: the same words, hence the same bytes on the wire but for the knobs."""
    text = f"Question {number}? " + "answer one " * 20 + "answer two " * 20
    return Request(spec.model, (Message(role="user", content=text),), SamplingParams(max_tokens=64))


def ours(name: str, port: int, calls: int) -> None:
    """Run one of our contenders in this process and print its rate."""
    url = f"http://127.0.0.1:{port}/v1"
    settings = Settings(
        home=Path(), compatible={"lab": Server(base_url=url)}, openai_url=url, keys={"OPENAI_API_KEY": "x"}
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = ModelSpec.parse(OURS[name])
        print(asyncio.run(judge_all(spec, settings, Path(folder), calls)), "req/s")


def contenders(peers: Path | None, port: int, calls: int) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Commands by name, and what is left out with its reason."""
    given = [str(port), str(calls)]
    me = [sys.executable, str(Path(__file__).resolve())]
    commands = {name: [*me, "--ours", name, "--port", given[0], "--calls", given[1]] for name in OURS}
    if peers is None:
        return commands, dict.fromkeys((*CEILING.values(), "curator"), "no peers folder given")
    commands["raw_aiohttp"] = [sys.executable, str(peers / "raw_calls.py"), *given, str(IN_FLIGHT)]
    commands["openai_sdk"] = [
        sys.executable, str(peers / "sdk_calls.py"), *given, str(IN_FLIGHT), "aiohttp",
    ]  # fmt: skip
    curator = os.environ.get("RLAIF_CURATOR_PYTHON")
    if not curator:
        return commands, {"curator": "RLAIF_CURATOR_PYTHON is not set"}
    commands["curator"] = [curator, str(peers / "curator_rows.py"), *given, str(IN_FLIGHT)]
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
    with upstream(peers) as port:
        commands, left_out = contenders(peers, port, calls)
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
    parser.add_argument("--ours", choices=OURS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        ours(given.ours, given.port, given.calls)
    else:
        print(json.dumps(measure(given.peers, given.calls, given.rounds)))


if __name__ == "__main__":
    main()
