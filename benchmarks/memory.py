"""Memory of a long job: resident size when a tenth of its calls are answered, and at its end.

Runs a pipeline of mock models in this process and reads its resident size as tasks end. What grows is
what is kept for every call. Writes one JSON row to stdout.

    python benchmarks/memory.py [--prompts N]

A prompt makes 16 calls: 4 samples, and 6 pairs in both orders.
"""

import argparse
import asyncio
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from resume import CALLS_A_PROMPT, write

from rlaif.pipeline import Options, load_pipeline, run
from rlaif.settings import Settings

MIB = 2**20
TASKS_A_PROMPT = 10
"""4 samples and 6 pairs; a pair's task makes two calls."""


def resident() -> float:
    """Resident size of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


class Watch:
    """Listens to a job and notes the resident size at every tenth of its tasks."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.ended = 0
        self.sizes: dict[str, float] = {}

    def stage(self, name: str, total: int) -> None:
        if not name.startswith(("sample", "judge")):
            self.ended -= total  # its tasks make no calls

    def task(self, ok: bool) -> None:
        assert ok
        self.ended += 1
        if self.ended > 0 and self.ended * 10 % self.tasks == 0:
            self.sizes[f"{self.ended * 100 // self.tasks} %"] = round(resident(), 1)


def measure(folder: Path, prompts: int) -> dict[str, object]:
    """Run the job and compare its end with its first tenth."""
    write(folder / "job", prompts)
    watch = Watch(prompts * TASKS_A_PROMPT)
    loaded = load_pipeline(folder / "job" / "pipeline.yaml")
    began = time.perf_counter()
    outcome = asyncio.run(run(loaded, Options(folder=folder / "out"), Settings.load(), watch))
    seconds = time.perf_counter() - began
    end = round(resident(), 1)
    return {
        "benchmark": "memory", "calls": outcome.calls, "planned": CALLS_A_PROMPT * prompts,
        "seconds": round(seconds, 1), "rss_mib": watch.sizes, "rss_end_mib": end,
        "growth_calls_mib": round(watch.sizes["100 %"] - watch.sizes["10 %"], 1),
        "growth_mib": round(end - watch.sizes["10 %"], 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "cpus": os.cpu_count(), "python": platform.python_version(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=1250)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.prompts)))


if __name__ == "__main__":
    main()
