"""Stands where a user stands: a folder, the real command, the fake upstream; and audits what is left.

The audit trusts nothing of the package: it reads the journal's lines with a parser of its own, the
store with plain SQL, and holds both against the upstream's ledger.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import duckdb

from tests.upstream import BILLED, INPUT_PRICE, OUTPUT_PRICE, Entry, Upstream, digest

ROOT = Path(__file__).parents[2]
MODEL = "compatible:lab/m"
PIPELINE = """\
schema_version: 1
name: small
seed: 3
prompts: {{path: prompts.jsonl}}
limits: {{start: {in_flight}, max: {in_flight}, attempts: {attempts}, backoff: 0.02, max_wait: {max_wait}}}
stages:
  - kind: sample
    policies:
      - {{model: "{model}", k: {k}, params: {{max_tokens: 40}}}}
  - kind: judge
    constitution: {root}/constitutions/helpfulness.yaml
    judge: {{kind: pairwise, model: "{model}", verdict: labels}}
  - kind: prefer
    axis: helpfulness
  - kind: export
  - kind: report
"""
SETTINGS = """\
[compatible.lab]
base_url = "{url}/v1"
input_price = {input}
output_price = {output}
timeout = {timeout}
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line of complaint."""
        (said,) = (line for line in self.err.splitlines() if line.startswith("rlaif: "))
        return said

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Site:
    """A folder with a pipeline, its prompts and its settings."""

    folder: Path
    prompts: int = 8
    k: int = 3
    in_flight: int = 8
    attempts: int = 6
    max_wait: float = 0.05
    timeout: float = 30.0
    model: str = MODEL

    def write(self, url: str, settings: str = "") -> Site:
        """Make the files; ``settings`` are further lines of the server's section."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = [{"prompt": f"What is {number} plus {number}?"} for number in range(self.prompts)]
        (self.folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        knobs = {name: getattr(self, name) for name in ("k", "in_flight", "attempts", "max_wait", "model")}
        (self.folder / "pipeline.yaml").write_text(PIPELINE.format(root=ROOT, **knobs))
        prices = {"input": INPUT_PRICE * 1e6, "output": OUTPUT_PRICE * 1e6}
        text = SETTINGS.format(url=url, timeout=self.timeout, **prices)
        (self.folder / "rlaif.toml").write_text(text + settings)
        return self

    @property
    def work(self) -> Path:
        """The output folder."""
        return self.folder / "outputs" / "small"

    @property
    def calls(self) -> int:
        """Calls of a whole job: the samples, then every pair in both orders."""
        return self.prompts * self.k * self.k  # k + 2 * k (k - 1) / 2

    @property
    def job(self) -> str:
        """Id of the job exported last."""
        return (self.work / "exports" / "latest").readlink().name

    async def start(
        self, *arguments: str, victim: tuple[str, int] | None = None, file_bytes: int = 0, **environ: str
    ) -> asyncio.subprocess.Process:
        """Start the command; ``victim`` is a named point and the time it is reached that kills it."""
        module = ("rlaif",) if victim is None else ("tests.crash.victim", victim[0], str(victim[1]))
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module, *arguments,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_bounded(file_bytes) if file_bytes else None,
        )  # fmt: skip

    async def run(self, *arguments: str, **options: Any) -> Ended:
        """Run the command to its end; no end of it may be a traceback."""
        return await ended(await self.start(*arguments, **options))

    async def finish(self) -> Ended:
        """Run the job until it completes."""
        done = await self.run("run", "pipeline.yaml", "--yes", "--json")
        assert done.code == 0, done.err
        return done

    def exported(self) -> dict[str, str]:
        """SHA-256 of every data file of the export."""
        folder = self.work / "exports" / "latest"
        found = {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.suffix in (".parquet", ".jsonl")
        }
        assert found
        return found


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait for a command."""
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ended(process.returncode, out.decode(), err.decode())


def _bounded(size: int) -> Callable[[], None]:
    """What a child does first so that no file of its own can grow past ``size`` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Ledgered(Protocol):
    """Whoever was asked and kept a ledger."""

    @property
    def ledger(self) -> list[Entry]: ...


@dataclass(frozen=True)
class Snapshot:
    """What the journal held at a moment, and how far the ledger was."""

    at: int
    """Entries of the ledger."""
    bodies: dict[str, str] = field(default_factory=dict)
    """Digest of the wire body, by request key."""
    replies: dict[str, str] = field(default_factory=dict)
    """Raw text, by request key."""
    open: Counter[str] = field(default_factory=Counter)
    """Attempts without an outcome, by body."""
    paid: float = 0.0
    """Cost of the replies, USD."""
    billed: float = 0.0
    """What failed attempts may have cost, USD."""

    @classmethod
    def take(cls, site: Site, upstream: Ledgered) -> Snapshot:
        """Read the journal as it lies on disk; a torn last line is no entry."""
        found = cls(len(upstream.ledger))
        paid = billed = 0.0
        for kind, key, entry in entries(site.work / "journal"):
            if kind == "I":
                found.bodies[key] = digest(entry["body"])
                found.open[found.bodies[key]] += 1
            elif kind in "RF":
                found.open[found.bodies[key]] -= 1
            if kind == "R":
                assert key not in found.replies, "one call has two replies"
                found.replies[key] = entry["text"]
                paid += entry["cost"]
            elif kind == "F":
                billed += entry["billed"]
        return cls(found.at, found.bodies, found.replies, +found.open, paid, billed)


def entries(journal: Path) -> Iterator[tuple[str, str, Any]]:
    """Kind, key and content of every whole line of a journal."""
    for path in sorted(journal.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            if line[:8] == b"%08x" % crc32(line[9:]):
                kind, key, text = line[9:].decode().split(" ", 2)
                yield kind, key, json.loads(text)


def audit(site: Site, upstream: Upstream, kills: Sequence[Snapshot], *, since: int = 0) -> None:
    """Hold ledger, journal and store of a completed job against each other.

    Args:
        site: where the job ran.
        upstream: who was asked.
        kills: what the journal held after each kill, oldest first.
        since: entries of the ledger that belong to earlier jobs.
    """
    end = Snapshot.take(site, upstream)
    paid = Counter(one.body for one in upstream.ledger[since:] if one.outcome in ("ok", *BILLED))
    for kill in kills:
        assert kill.replies.items() <= end.replies.items(), "an acknowledged reply was lost"
        asked_later = {one.body for one in upstream.ledger[kill.at :]}
        bought = {kill.bodies[key] for key in kill.replies}
        assert not bought & asked_later, "a journalled reply was bought again"
        assert kill.open.total() <= end.open.total()
    assert set(end.replies) == set(end.bodies), "a call has no reply"
    twice = Counter({body: times - 1 for body, times in paid.items() if times > 1})
    assert twice <= end.open, "a call that was not in flight at a kill was paid for twice"
    before = Counter[str]()
    for kill in kills:
        assert (kill.open - before).total() <= site.in_flight
        before = kill.open
    check_store(site.work / "store.duckdb")
    with duckdb.connect(str(site.work / "store.duckdb"), read_only=True) as store:
        states = store.execute("SELECT DISTINCT state FROM job_states").fetchall()
    assert states == [("completed",)], "a job claims to be running"


def check_store(path: Path) -> None:
    """No id is there twice."""
    with duckdb.connect(str(path), read_only=True) as store:
        tables = store.execute(
            "SELECT table_name FROM duckdb_columns() JOIN duckdb_tables() USING (table_name)"
            " WHERE column_name = 'id'"
        ).fetchall()
        assert len(tables) >= 10
        for (name,) in tables:
            [(rows, ids)] = store.execute(f'SELECT count(*), count(DISTINCT id) FROM "{name}"').fetchall()
            assert rows == ids, name


async def check(site: Site) -> None:
    """The store holds what the journal says, value by value."""
    done = await site.run("db", "check", "--store", str(site.work))
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "equal"


async def until(true: Callable[[], bool], process: asyncio.subprocess.Process | None = None) -> None:
    """Look every millisecond until something is true or the process has ended."""
    while not (true() or (process is not None and process.returncode is not None)):
        await asyncio.sleep(0.001)
