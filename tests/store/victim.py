"""A process to be killed: commits tasks to a workspace and says which are acknowledged.

    python -m tests.store.victim FOLDER COUNT [checkpoint at commit N]

It never closes the workspace; after COUNT commits it flushes, prints ``done`` and waits.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from rlaif.records import Fact
from rlaif.store import Workspace
from tests.store.facts import preference, prompt, sample, task


def commits(count: int) -> Iterator[list[Fact]]:
    """What the victim commits: the ids are those of the content, so every run commits the same."""
    for number in range(count):
        asked = prompt(f"question {number} " + "é\0" * (number % 40))
        drawn = [sample(asked.id, f"response {number} {index} " * 5, index) for index in range(2)]
        names = tuple(one.id for one in drawn)
        yield [asked, *drawn, preference(number), task(f"t{number}", outputs=names)]


async def main(folder: Path, count: int, checkpoint: int) -> None:
    workspace = Workspace.open(folder)

    async def one(number: int, records: list[Fact]) -> None:
        await workspace.commit(records, job_id="j-1")
        print(number, flush=True)

    todo = list(enumerate(commits(count)))
    for start in range(0, count, 10):
        await asyncio.gather(*(one(*each) for each in todo[start : start + 10]))
        if start <= checkpoint < start + 10:
            await workspace.flush()
            workspace.store.checkpoint()
    await workspace.flush()
    print("done", flush=True)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int([*sys.argv, "-1"][3])))
