"""A folder with a job of invented records, and one of the mock provider that really ran."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rlaif.pipeline import Options, load_pipeline, opened
from rlaif.pipeline import run as run_pipeline
from rlaif.records import Flag, Preference, Prompt, Sample, TaskState
from rlaif.settings import Settings
from tests import factory
from tests.pipeline.files import write


class Silent:
    """Hears of progress and says nothing."""

    def stage(self, name: str, total: int) -> None:
        pass

    def task(self, ok: bool) -> None:
        pass


def filled(folder: Path) -> Path:
    """Fill a folder: ``helpful-safe``, whose safety set is flagged, and ``small``, run by a pipeline."""
    asyncio.run(_fill(folder))
    return folder


async def _fill(folder: Path) -> None:
    pipeline = load_pipeline(write(folder.parent / "pipeline", prompts=5))
    await run_pipeline(pipeline, Options(folder=folder), Settings(home=folder.parent / "home"), Silent())
    made = factory.world(prompts=20)
    safe = [one for one in made.of(Preference) if one.axis == "safety"]
    flags = {
        one.chosen_id: Flag.make(
            set=one.set, prompt_id=one.prompt_id, sample_id=one.chosen_id, names=("repeated",)
        )
        for one in safe[:6]
    }
    drawn = tuple(one.id for one in (*made.of(Prompt), *made.of(Sample)))
    done = TaskState.make(job_id=made.job.id, task_id="t", stage="0 sample", state="done", outputs=drawn)
    async with opened(folder) as workspace:
        await workspace.commit([made.job, *made.records, *flags.values(), done], job_id=made.job.id)
