"""A service that has something of everything, and the names of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rlaif.pipeline import opened
from rlaif.service import trainings
from rlaif.settings import Serving, Settings
from tests.service import measured, trained
from tests.service.asked import job
from tests.service.filled import filled
from tests.service.served import Served, served

Names = dict[str, list[str]]


@contextmanager
def seeded(folder: Path) -> Iterator[tuple[Served, Names]]:
    """Serve a folder with jobs, pairs, sets, scorecards, labels, runs and keys; keys are asked for."""
    out = filled(folder / "out")
    asyncio.run(_add(out))
    trained.dpo(out / "training" / "dpo")
    trained.ppo(out / "training" / "ppo", finished=False)
    trained.rounds(out / "training" / "loop")
    settings = Settings(home=folder / "home", service=Serving(mock=True))
    # No training file has a name here: one that was guessed would train in earnest.
    with (
        patch.object(trainings, "configs", dict),
        served(out, require_key=True, settings=settings) as service,
    ):
        jobs = _jobs(service)
        yield service, _names(service, jobs)


async def _add(folder: Path) -> None:
    async with opened(folder) as workspace:
        await workspace.commit(measured.folder_facts(), job_id="measured")


def _jobs(service: Served) -> list[str]:
    """One job that has ended, and some that wait for somebody."""
    keys = [service.bearer()]
    ids = [
        service.send("POST", "/v1/jobs", job(count, name=name), keys).json()["id"]
        for count, name in ((3, "ended"), (2_000, "paused"), (2_000, "cancelled"), (2_000, "going"))
    ]
    service.send("POST", f"/v1/jobs/{ids[1]}/pause", {}, keys)
    service.send("POST", f"/v1/jobs/{ids[2]}/cancel", {}, keys)
    while service.ask("GET", f"/v1/jobs/{ids[0]}", keys).json()["state"] != "completed":
        time.sleep(0.05)
    return ids


def _names(service: Served, jobs: list[str]) -> Names:
    """Names of what there is, by kind."""

    def listed(path: str, field: str = "id") -> list[str]:
        return [one[field] for one in service.ask("GET", path, [service.bearer()]).json()["data"]]

    preferences = listed("/v1/preferences?limit=200")
    whole = service.ask("GET", f"/v1/preferences/{preferences[0]}", [service.bearer()]).json()
    sets = listed("/v1/datasets")
    for id in sets:
        export: dict[str, Any] = {"to": "trl", "accept_flags": True}
        service.send("POST", f"/v1/datasets/{id}/exports", export, [service.bearer()])
    files = service.ask("GET", f"/v1/datasets/{sets[0]}/files", [service.bearer()]).json()["files"]
    made = [
        service.send("POST", "/v1/keys", {"name": f"spare-{at}", "scope": "read"}, [service.bearer()]).json()
        for at in range(40)
    ]
    constitutions = listed("/v1/constitutions", "name")
    return {
        "jobs": jobs,
        "preferences": preferences,
        "samples": [whole["chosen"]["id"], whole["rejected"]["id"]],
        "datasets": sets,
        "set_names": listed("/v1/datasets", "name"),
        "files": [one["name"] for one in files],
        "audits": listed("/v1/audits"),
        "runs": listed("/v1/training"),
        "curves": ["loop", "ppo"],
        "constitutions": constitutions,
        "versions": listed("/v1/constitutions"),
        "records": [*jobs, *preferences[:20], *sets, whole["chosen"]["id"], whole["orders"][0]["id"]],
        "keys": [one["id"] for one in made],
        "cursors": [
            service.ask("GET", f"/v1/preferences?limit={at}", [service.bearer()]).json()["after"]
            for at in (1, 10)
        ],
        "judges": ["mock:text"],
        "words": [json.dumps("lentils")[1:-1], "What is"],
    }
