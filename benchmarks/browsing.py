"""How long a person waits for pairs when there are a million of them.

Builds a store of 1,000,000 preferences (250,000 prompts, 1,000,000 samples, 2,000,000 judgments) by inserting
ranges, serves it on a socket, and asks for pages under every kind of filter, from the beginning, the middle
and the end; and for whole pairs. Prints median, 95th percentile and worst per kind, and beside them the
processor time of the median, which a busy machine changes less. Before that it starts ``rlaif serve`` as a
process of its own, after a clean end and after ``kill -9``, and prints the time from its start to its first
page; and the time an opening takes that has to read every row. Says how busy the machine was.

    python benchmarks/browsing.py [PAIRS [FOLDER]]

A folder that is named is kept, and used again.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import duckdb

from rlaif.journal import START
from rlaif.review.choice import cursor_of
from rlaif.service.serving import serving
from rlaif.settings import Settings
from rlaif.store import Store, Workspace
from rlaif.store.database import CONFIG

PAIRS = 1_000_000
ASKED = 12
"""Requests of each kind."""
SENTENCE = "some words that fill a line and say rather little about it. "

PROMPTS = """
INSERT INTO prompts BY NAME
SELECT 'pr_' || left(sha256('p' || i), 24) AS id,
    '[{"role":"user","content":"Question ' || i || ' about topic ' || (i % 97) || '"}]' AS messages,
    CASE WHEN i % 10 = 0 THEN 'test' ELSE 'train' END AS split,
    'made' AS source, 'cc0-1.0' AS licence, '{}' AS meta
FROM range(CAST($pairs / 4 AS BIGINT)) AS made(i)
"""
SAMPLES = """
INSERT INTO samples BY NAME
SELECT 'sa_' || left(sha256('s' || i), 24) AS id,
    'pr_' || left(sha256('p' || (i // 4)), 24) AS prompt_id,
    'mock:text' AS model, '{}' AS params, i % 4 AS index,
    'Answer ' || i || ': ' || repeat($sentence, CAST(1 + hash(i) % 12 AS INT)) AS response,
    'stop' AS stop_reason, 100 AS output_tokens, sha256('k' || i) AS request_key
FROM range($pairs) AS made(i)
"""
PREFERENCES = """
INSERT INTO preferences BY NAME
SELECT 'pf_' || left(sha256('f' || i), 24) AS id,
    'st_' || (i // ($pairs // 4)) AS "set",
    'pr_' || left(sha256('p' || (i % ($pairs // 4))), 24) AS prompt_id,
    CASE WHEN i // ($pairs // 4) % 2 = 0 THEN 'helpfulness' ELSE 'safety' END AS axis,
    'train' AS split,
    'sa_' || left(sha256('s' || (i % ($pairs // 4) * 4 + CAST(hash(i) % 2 AS INT))), 24) AS chosen_id,
    'sa_' || left(sha256('s' || (i % ($pairs // 4) * 4 + 2)), 24) AS rejected_id,
    0.5 + (hash(i) % 500 + 1) / 1000.0 AS p,
    ['negligible', 'slight', 'better', 'significant'][CAST(1 + hash(i + 1) % 4 AS INT)] AS margin,
    (hash(i + 2) % 1000) / 1000.0 AS p_chosen_first, (hash(i + 3) % 1000) / 1000.0 AS p_chosen_second,
    0.9 AS mass, 'mock:judge' || (i % 3) AS judge, 'co_made' AS constitution,
    'principle-' || (i % 16) AS principle_id,
    ['ju_' || left(sha256('j' || (2 * i)), 24), 'ju_' || left(sha256('j' || (2 * i + 1)), 24)] AS judgment_ids
FROM range($pairs) AS made(i)
"""
JUDGMENTS = """
INSERT INTO judgments BY NAME
SELECT 'ju_' || left(sha256('j' || i), 24) AS id,
    'pr_' || left(sha256('p' || ((i // 2) % ($pairs // 4))), 24) AS prompt_id,
    'helpfulness' AS axis, 'mock:judge' AS judge, 'co_made' AS constitution, 'template_made' AS template,
    'sa_a' AS first_id, 'sa_b' AS second_id, 'logprob' AS label_type, 'ok' AS status, 'first' AS verdict,
    0.7 AS p_first, 0.9 AS mass, '' AS reason, sha256('c' || i) AS request_key, [] AS support_keys
FROM range(2 * $pairs) AS made(i)
"""
SETS = """
INSERT INTO sets BY NAME
SELECT 'st_' || i AS id, 'made/' || i AS name, 'made-0123456789' AS job_id, 'i' || i AS inputs,
    CASE WHEN i % 2 = 0 THEN 'helpfulness' ELSE 'safety' END AS axis, 'mock:judge0' AS judge,
    'co_made' AS constitution, 'template_made' AS template, true AS both_orders, false AS audited,
    '{"preferred":' || ($pairs // 4) || '}' AS counts, $pairs // 4 AS pairs
FROM range(4) AS made(i)
"""
FLAGS = """
INSERT INTO flags BY NAME
SELECT 'fl_' || i AS id, 'st_' || (i % 4) AS "set", 'pr_x' AS prompt_id,
    'sa_' || left(sha256('s' || (i * 37)), 24) AS sample_id, ['repeated'] AS names
FROM range($pairs // 50) AS made(i)
"""
LABELS = """
INSERT INTO human_labels BY NAME
SELECT 'hl_' || i AS id, 'ann' AS person, prompt_id, axis, chosen_id AS first_id, rejected_id AS second_id,
    ['first', 'second', 'tie'][CAST(1 + hash(i) % 3 AS INT)] AS verdict, 'page' AS source, false AS blind,
    '2026-01-01T00:00:00.000000+00:00' AS "at", '' AS note
FROM (SELECT *, row_number() OVER () AS i FROM preferences LIMIT $pairs // 200)
"""

FILTERS = {
    "no filter": "",
    "set": "set=made%2F2",
    "set, margin": "set=made%2F2&margin=better",
    "judge, principle": "judge=mock%3Ajudge1&principle=principle-3",
    "orders differ": "disagreement=orders",
    "a person differs": "disagreement=human",
    "flag": "flag=repeated",
    "labelled": "label=any",
    "not labelled": "label=none",
    "length gap": "min_length_gap=300",
    "text": "text=topic+42",
    "text, none": "text=nothing+like+it",
}


def build(folder: Path, pairs: int) -> None:
    """Fill a store as a job would have, and note in it what it holds; the journal stays empty."""
    store = Store.open(folder / "store.duckdb")
    store.close()
    with duckdb.connect(str(folder / "store.duckdb"), config=CONFIG) as connection:
        for statement in (PROMPTS, SAMPLES, PREFERENCES, JUDGMENTS, SETS, FLAGS, LABELS):
            wanted = {"pairs": pairs, "sentence": SENTENCE}
            used = {name: value for name, value in wanted.items() if f"${name}" in statement}
            connection.execute(statement, used)
        connection.execute("CHECKPOINT")
    store = Store.open(folder / "store.duckdb")
    store._tallies = store.census()  # so that opening it finds what it expects
    store._note_applied(START, store._tallies)
    store.index_pairs()
    store.close()


@dataclass
class Times:
    """Seconds that requests of one kind took."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Of this process, which both serves and asks."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Time one request."""
        began, used = time.perf_counter(), time.process_time()
        yield
        self.wall.append(time.perf_counter() - began)
        self.processor.append(time.process_time() - used)

    def tell(self, name: str) -> None:
        """Print a line of milliseconds."""
        ordered = sorted(self.wall)
        p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        told = (statistics.median(ordered), p95, ordered[-1], statistics.median(self.processor))
        print(f"{name:28}" + "".join(f" {one * 1e3:7.0f}" for one in told))


def opened(folder: Path) -> float:
    """Seconds until the folder's records are ready."""

    async def once() -> float:
        began = time.perf_counter()
        workspace = Workspace.open(folder)
        took = time.perf_counter() - began
        await workspace.close()
        return took

    return asyncio.run(once())


def started(folder: Path, end: signal.Signals) -> tuple[float, float, int]:
    """Start the service as a process: seconds to its first answer and to the first page; bytes of that."""
    command = [sys.executable, "-m", "rlaif", "serve", "--store", str(folder), "--port", "0"]
    began = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            [address] = re.findall(r"http://\S+", process.stderr.readline())
            up = time.perf_counter() - began
            with urllib.request.urlopen(f"{address}/preferences") as reply:
                page = reply.read()
            return up, time.perf_counter() - began, len(page)
        finally:
            process.send_signal(end)


def cold(folder: Path) -> None:
    """Openings and first pages."""
    seal = folder / "store.duckdb.seal"
    seal.unlink(missing_ok=True)
    print(f"opening with every row read: {opened(folder):.2f} s; sealed: {opened(folder):.3f} s")
    for told, end in (
        ("a clean end", signal.SIGINT),
        ("a clean end", signal.SIGKILL),
        ("kill -9", signal.SIGINT),
    ):
        up, first, size = started(folder, end)
        print(f"process started after {told}: answers {up:.2f} s, first page {first:.2f} s, {size:,} bytes")


async def measure(folder: Path, pairs: int) -> None:
    """Serve the store and ask."""
    async with serving(folder, Settings(home=folder / "home"), host="127.0.0.1", port=0) as address:
        async with aiohttp.ClientSession(address) as session:
            await asked(session, pairs)


async def asked(session: aiohttp.ClientSession, pairs: int) -> None:
    """Pages under every filter, then whole pairs."""
    draw = random.Random(0)
    every = Times()
    heaviest = 0
    print(f"\n{'page under a filter, ms':28} {'median':>7} {'p95':>7} {'worst':>7} {'cpu':>7}")
    for name, query in FILTERS.items():
        times = Times()
        for place in [-1, *(draw.randrange(pairs) for _ in range(ASKED - 1))]:
            after = "" if place < 0 else f"&after={cursor_of(place)}"
            with times.one():
                found = await fetched(session, f"/v1/preferences?{query}{after}")
        heaviest = max(heaviest, len(await fetched(session, f"/preferences?{query}")))
        times.tell(name)
        if found["counted"] is None:
            print(f"{'':4}the last one looked at {found['looked_at']:,} of {found['among']:,} pairs")
        every.wall += times.wall
        every.processor += times.processor
    every.tell("all of them")
    print(f"heaviest page: {heaviest:,} characters")
    await pair_pages(session, draw, pairs)


async def pair_pages(session: aiohttp.ClientSession, draw: random.Random, pairs: int) -> None:
    """Whole pairs and steps between them."""
    whole, steps = Times(), Times()
    for _ in range(ASKED):
        after = cursor_of(draw.randrange(pairs - 1))
        shown = await fetched(session, f"/v1/preferences?limit=1&after={after}")
        id = shown["data"][0]["id"]
        with whole.one():
            await fetched(session, f"/preferences/{id}?diff=1")
        with steps.one():
            async with session.get(f"/preferences/{id}/next?set=made%2F2", allow_redirects=False) as reply:
                assert reply.status == 303
    print()
    whole.tell("one pair whole")
    steps.tell("step to the next")


async def fetched(session: aiohttp.ClientSession, path: str) -> Any:
    async with session.get(path) as reply:
        assert reply.status == 200, await reply.text()
        if reply.content_type == "application/json":
            return await reply.json()
        return await reply.text()


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else name)
        if not (folder / "store.duckdb").exists():
            folder.mkdir(exist_ok=True)
            began = time.perf_counter()
            build(folder, pairs)
            size = (folder / "store.duckdb").stat().st_size / 1e6
            print(f"{pairs:,} pairs built in {time.perf_counter() - began:.0f} s, {size:,.0f} MB")
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        cold(folder)
        asyncio.run(measure(folder, pairs))
        print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
