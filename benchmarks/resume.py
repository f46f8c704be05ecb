"""How soon a large job goes on: start-up of the command, and the resuming of a job that lacks its export.

A job of mock models is run and killed just before its export's manifest, so that every call is answered,
every label is derived and only the files are missing. Then ``rlaif jobs`` and ``rlaif resume`` are timed
on copies of it, process start included; CPU seconds stand beside, since the wall is shared. Writes one
JSON row to stdout.

    python benchmarks/resume.py [--prompts N] [--rounds N]

A prompt makes 16 calls: 4 samples, and 6 pairs in both orders.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
CALLS_A_PROMPT = 16
PIPELINE = """\
schema_version: 1
name: large
prompts: {{path: prompts.jsonl}}
stages:
  - kind: sample
    policies:
      - {{model: "mock:text", k: 4, params: {{max_tokens: 40}}}}
  - kind: judge
    constitution: {root}/constitutions/helpfulness.yaml
    judge: {{kind: pairwise, model: "mock:text", verdict: labels}}
  - kind: prefer
    axis: helpfulness
  - kind: export
  - kind: report
"""


def write(folder: Path, prompts: int) -> None:
    """Write the pipeline and its prompts."""
    folder.mkdir(parents=True)
    rows = [
        {"prompt": f"What is {number} plus {number}? " + "Explain it. " * 20} for number in range(prompts)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "pipeline.yaml").write_text(PIPELINE.format(root=ROOT))


def timed(folder: Path, *arguments: str, code: int = 0) -> dict[str, float]:
    """Run a command there; its wall and CPU seconds."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        raise SystemExit(f"{arguments} ended with {process.returncode}:\n{said}")
    return {"wall_s": time.perf_counter() - began, "cpu_s": used.ru_utime + used.ru_stime}


def measure(folder: Path, prompts: int, rounds: int) -> dict[str, object]:
    """Make the job once, then resume copies of it."""
    made = folder / "made"
    write(made, prompts)
    victim = ("tests.crash.victim", "export, before the manifest", "1")
    build = timed(made, *victim, "run", "pipeline.yaml", "--yes", code=-9)
    [partial] = (made / "outputs" / "large" / "exports").glob(".large-*.partial")
    job = partial.name.removeprefix(".").removesuffix(".partial")
    found: dict[str, list[dict[str, float]]] = {"jobs": [], "resume": []}
    for number in range(rounds):
        copy = Path(shutil.copytree(made, folder / str(number), symlinks=True))
        found["resume"].append(timed(copy, "rlaif", "resume", job))
        found["jobs"].append(timed(copy, "rlaif", "jobs"))
        shutil.rmtree(copy)
    times = {
        name: {key: spread([one[key] for one in rows]) for key in rows[0]} for name, rows in found.items()
    }
    return {
        "benchmark": "resume", "calls": CALLS_A_PROMPT * prompts, "rounds": rounds,
        "build_s": round(build["wall_s"], 1),
        **times, "cpus": os.cpu_count(), "python": platform.python_version(),
    }  # fmt: skip


def spread(found: list[float]) -> dict[str, float]:
    """Median, best and worst round, seconds."""
    return {
        "median": round(statistics.median(found), 2),
        "min": round(min(found), 2),
        "max": round(max(found), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=625)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.prompts, given.rounds)))


if __name__ == "__main__":
    main()
