"""A service without a socket, for what lies under the routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rlaif.pipeline import opened
from rlaif.records import Fact
from rlaif.service import Service
from rlaif.settings import Serving, Settings


def settings(folder: Path) -> Settings:
    return Settings(home=folder / "home", service=Serving(mock=True))


@asynccontextmanager
async def room(folder: Path, facts: Sequence[Fact] = ()) -> AsyncIterator[Service]:
    """A service over a folder that holds some records."""
    async with opened(folder / "store") as workspace:
        if facts:
            await workspace.commit(list(facts), job_id="made")
            await workspace.flush()
        service = Service(workspace, settings(folder))
        try:
            yield service
        finally:
            await service.desks.close()
            await service.trainings.close()
