"""Rates of the store: adding, finding, reading and opening.

Adds preferences to an empty store in one transaction, looks records up by id, reads them all back,
and opens a workspace whose journal holds a job's calls (as left by a clean end, and with the store file
gone). Writes one JSON row to stdout.

    python benchmarks/store_rates.py [--rows N] [--calls N]
"""

import argparse
import asyncio
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from rlaif.journal import Journal, Position
from rlaif.providers.base import RawReply
from rlaif.records import Judgment, Preference, TaskState
from rlaif.store import Store, Workspace

LOOKUPS = 200
REPLY = RawReply("x" * 1500, 0.8, {"x-request-id": "r"})


def preference(number: int) -> Preference:
    """A preference with ids as long and as random as real ones."""
    draw = random.Random(number)
    chosen, rejected, first, second, prompt, own = (f"{draw.getrandbits(96):024x}" for _ in range(6))
    return Preference.model_construct(
        id=f"pf_{own}", set="st_0123456789abcdef01234567", prompt_id=f"pr_{prompt}", axis="helpfulness",
        split="train", chosen_id=f"sa_{chosen}", rejected_id=f"sa_{rejected}", p=0.5 + draw.random() / 2,
        margin="better", p_chosen_first=draw.random(), p_chosen_second=draw.random(), mass=draw.random(),
        judge="openai:gpt-5-mini", constitution="do_0123456789abcdef01234567", principle_id=None,
        judgment_ids=(f"ju_{first}", f"ju_{second}"),
    )  # fmt: skip


def timed(act: Callable[[], object]) -> float:
    """Seconds one call takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def store_rates(folder: Path, rows: int) -> dict[str, float]:
    """Rates over one table of ``rows`` preferences."""
    records = [preference(number) for number in range(rows)]
    asked = random.Random(0).choices(records, k=LOOKUPS)
    store = Store.open(folder / "store.duckdb")
    add = timed(lambda: store.apply([(Position(1, 1, 1), records)]))
    again = timed(lambda: store.apply([(Position(1, 2, 2), records[:1000])]))
    finds = sorted(timed(lambda one=one: store.find(one.id)) for one in asked)
    read = timed(lambda: sum(1 for _ in store.read(Preference)))
    census = timed(store.census)
    store.close()
    return {
        "add_rows_per_s": round(rows / add),
        "add_1000_known_ms": round(again * 1000, 1),
        "find_ms_median": round(statistics.median(finds) * 1000, 1),
        "find_ms_p99": round(finds[int(LOOKUPS * 0.99)] * 1000, 1),
        "read_rows_per_s": round(rows / read),
        "census_s": round(census, 3),
        "file_mb": round((folder / "store.duckdb").stat().st_size / 1e6, 1),
    }


async def judge(journal: Journal, number: int) -> None:
    """What one judge call leaves in the journal."""
    key = f"{random.Random(number).getrandbits(256):064x}"
    body = {"model": "judge", "messages": [{"role": "user", "content": "y" * 2000}]}
    journal.intent(key, job_id="j-1", provider="openai", model="judge", body=body, reserved=0.01)
    await journal.reply(key, REPLY, job_id="j-1", attempt=1, cost=0.001)
    judgment = Judgment.make(
        prompt_id=f"pr_{number}", axis="helpfulness", judge="openai:judge", constitution="do_1",
        template="do_2",
        first_id=f"sa_{2 * number}", second_id=f"sa_{2 * number + 1}", label_type="logprob", status="ok",
        verdict="first", p_first=0.75, mass=0.99, request_key=key,
    )  # fmt: skip
    task = TaskState.make(
        job_id="j-1", task_id=f"t{number}", stage="judge", state="done", outputs=(judgment.id,)
    )
    await journal.commit([judgment, task], job_id="j-1")


async def job(folder: Path, calls: int) -> None:
    """Write the journal of a finished job."""
    journal = Journal.open(folder / "journal")
    for start in range(0, calls, 100):
        await asyncio.gather(*(judge(journal, number) for number in range(start, min(start + 100, calls))))
    await journal.close()


async def open_seconds(folder: Path) -> float:
    """Seconds until a workspace is ready for work."""
    began = time.perf_counter()
    workspace = Workspace.open(folder)
    took = time.perf_counter() - began
    await workspace.close()
    return round(took, 3)


async def start_up(folder: Path, calls: int) -> dict[str, float]:
    """Seconds to open a job's workspace, first with its store gone."""
    await job(folder, calls)
    return {"open_rebuilding_s": await open_seconds(folder), "open_s": await open_seconds(folder)}


def main() -> None:
    """Measure and print one JSON row."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--calls", type=int, default=10_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        row = {
            "benchmark": "store_rates",
            "machine": platform.machine(),
            "python": platform.python_version(),
            "duckdb": duckdb.__version__,
            **vars(given),
            **store_rates(Path(scratch), given.rows),
            **asyncio.run(start_up(Path(scratch) / "job", given.calls)),
        }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
