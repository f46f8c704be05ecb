"""A folder with the records of an invented job, open for the length of a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rlaif.pipeline import opened
from rlaif.records import Flag, Preference
from rlaif.store import Workspace
from tests import factory


@pytest.fixture
async def workspace(tmp_path: Path) -> AsyncIterator[Workspace]:
    async with opened(tmp_path / "out") as found:
        made = factory.world(prompts=20)
        await found.commit([made.job, *made.records], job_id=made.job.id)
        await found.flush()
        yield found


def preferences(workspace: Workspace, axis: str = "helpfulness") -> list[Preference]:
    """Preferences of one axis in the order they were made."""
    return list(workspace.store.read(Preference, "axis = ?", [axis], order="rowid"))


async def flag(workspace: Workspace, pair: Preference, name: str = "repeated") -> None:
    made = Flag.make(set=pair.set, prompt_id=pair.prompt_id, sample_id=pair.chosen_id, names=(name,))
    await workspace.commit([made], job_id="j")
    await workspace.flush()
