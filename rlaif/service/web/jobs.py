"""The pages about jobs: how all of them stand, live, and one of them with everything it did.

Owns ``/`` and ``/jobs/{id}`` and the buttons on them. Leaves running jobs to ``engine``, which every button
calls, and what a task asked and got to ``attempts``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from pydantic import Field

from rlaif.records import JobEvent, PreferenceSet, Record
from rlaif.service.context import Service
from rlaif.service.engine import Entry
from rlaif.service.progress import Point, Progress
from rlaif.service.routes import Call, Route
from rlaif.service.web import attempts, handing
from rlaif.service.web.notices import notices
from rlaif.service.web.render import page, part

Tree = dict[str, Any]

ROWS: Final = 50
"""Jobs on one page."""
ACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "queued": ("pause", "cancel"),
    "running": ("pause", "cancel"),
    "paused": ("resume", "cancel"),
    "budget": ("cancel",),
    "failed": ("resume", "cancel"),
    "interrupted": ("resume", "cancel"),
    "cancelled": ("resume",),
}
"""What can be done with a job in a state, besides changing its cap."""
OPEN: Final = frozenset({"planned", "queued", "running", "paused", "budget", "interrupted"})
"""States in which a job is not over."""
CAPPED: Final = OPEN | {"failed"}
"""States in which a job's cap can be changed."""
ORDER: Final = ("prompts", "sample", "revise", "judge", "prefer", "export", "report")
"""Kinds of stages, in the order they stand in a pipeline."""
REASONS: Final = 20
"""Reasons of failure shown."""


class Listing(Record):
    """Which jobs to show."""

    skip: int = Field(default=0, ge=0, le=10_000_000)
    """Jobs before the first one shown."""


class Cap(Record):
    """A job's new cap, from a form."""

    csrf: str = ""
    """The page's token."""
    budget: float = Field(gt=0.0, le=1e9, allow_inf_nan=False)
    """Most the job may cost, USD."""


class Pressed(Record):
    """A button that needs to say nothing."""

    csrf: str = ""
    """The page's token."""


# What the pages show


def view_jobs(service: Service, skip: int = 0) -> Tree:
    """Jobs, the one handed in last first, those not over with their progress."""
    entries = service.engine.entries
    shown = entries[skip : skip + ROWS]
    jobs = _jobs(service, shown)
    return {
        "open": [one for one in jobs if one["state"] in OPEN],
        "over": [one for one in jobs if one["state"] not in OPEN],
        "skip": skip,
        "next": f"/?skip={skip + ROWS}" if len(entries) > skip + ROWS else "",
        "notices": notices(service),
    }


def view_job(service: Service, job_id: str) -> Tree | None:
    """One job: stages, history, failures, sets, events; None where there is no such job."""
    entry = service.engine.entry(job_id)
    if entry is None:
        return None
    store = service.workspace.store
    (job,) = _jobs(service, [entry])
    census: list[Tree] = store.query("task_census", job_id=job_id).to_pylist()
    sets = {one.name: one for one in store.read(PreferenceSet, "job_id = ?", [job_id], order="rowid")}
    return {
        "job": job,
        "stages": _stages(job["progress"], census),
        "failures": [one for one in census if one["state"] == "failed"][:REASONS],
        "sets": [_set(one) for one in sets.values()],
        "events": list(store.read(JobEvent, "job_id = ?", [job_id], order="rowid"))[-ROWS:],
        "history": _history(service.engine.history(job_id)),
        "report": f"rlaif report {job_id} --store {service.folder} -o report",
    }


def _jobs(service: Service, entries: Sequence[Entry]) -> list[Tree]:
    """What is known of some jobs, by the engine, the store and the journal."""
    ids = [one.job_id for one in entries]
    rows = service.workspace.store.query("job_counts", job_ids=ids).to_pylist()
    counts = {row["job_id"]: row for row in rows}
    nothing = {"ended": 0, "failed": 0, "preferences": 0}
    return [{**counts.get(one.job_id, nothing), **_job(service, one)} for one in entries]


def _job(service: Service, entry: Entry) -> Tree:
    progress = service.engine.progress(entry.job_id)
    handed = entry.submission
    # A folder has one owner: a job that nobody runs, and that says it runs, was cut off.
    state = "interrupted" if entry.state == "running" and entry.task is None else entry.state
    return {
        "job_id": entry.job_id,
        "name": entry.name,
        "state": state,
        "stopping": entry.stopping,
        "note": entry.note,
        "changed_at": max(entry.times.values(), default=None),
        "progress": progress,
        "share": progress.ended / progress.total if progress and progress.total else 0.0,
        "spent": service.workspace.journal.spend(entry.job_id).settled,
        "cap": handed.budget if handed else None,
        "actions": ACTIONS.get(state, ()) if handed else (),
        "capped": handed is not None and state in CAPPED,
    }


def _stages(progress: Progress | None, census: Sequence[Tree]) -> list[Tree]:
    """Every stage with its tasks: as planned while the job runs, as recorded otherwise."""
    if progress is not None:
        return [one.model_dump() for one in progress.stages]
    stages: dict[str, Tree] = {}
    for row in census:
        empty = {"stage": row["stage"], "state": "done", "ended": 0, "failed": 0, "total": 0}
        stage = stages.setdefault(row["stage"], empty)
        stage["ended"] += row["tasks"]
        stage["total"] += row["tasks"]
        stage["failed"] += row["tasks"] if row["state"] == "failed" else 0
    return sorted(stages.values(), key=lambda one: _place(one["stage"]))


def _place(stage: str) -> tuple[int, str]:
    """Where a stage stands in a pipeline, by the first word of its name."""
    kind = stage.partition(" ")[0]
    return (ORDER.index(kind) if kind in ORDER else len(ORDER), stage)


def _set(made: PreferenceSet) -> Tree:
    rest = {fate: count for fate, count in made.counts.items() if fate != "preferred" and count}
    return {
        "id": made.id, "name": made.name, "axis": made.axis, "pairs": made.pairs, "audited": made.audited,
        "preferred": made.counts.get("preferred", 0), "rest": rest,
    }  # fmt: skip


def _history(points: Sequence[Point]) -> Tree:
    """Columns to draw: seconds, tasks a second, calls in flight and allowed."""
    return {
        "at": [one.at for one in points],
        "rate": [one.rate for one in points],
        "in_flight": [one.in_flight for one in points],
        "limit": [one.limit for one in points],
    }


# Pages


async def jobs(call: Call) -> web.StreamResponse:
    """Show all jobs."""
    skip = call.query(Listing).skip
    return page("jobs.html", await _listed(call.service, skip), here="/")


async def jobs_part(call: Call) -> web.StreamResponse:
    """Show the jobs alone, for the page that is open already."""
    skip = call.query(Listing).skip
    return part("jobs_part.html", await _listed(call.service, skip))


async def _listed(service: Service, skip: int) -> Tree:
    return await service.look(lambda: view_jobs(service, skip), share=(view_jobs, skip))


async def job(call: Call) -> web.StreamResponse:
    """Show one job."""
    return page("job.html", await _found(call), here="/")


async def job_part(call: Call) -> web.StreamResponse:
    """Show how one job stands, for the page that is open already."""
    return part("job_part.html", await _found(call))


async def _found(call: Call) -> Tree:
    job_id = call.path["id"]
    found = await call.service.look(lambda: view_job(call.service, job_id), share=(view_job, job_id))
    if found is None:
        raise call.missing("job", job_id, "/")
    return found


# Buttons


async def pause(call: Call) -> web.StreamResponse:
    """Let calls in flight end and send no more."""
    await call.service.engine.pause(call.path["id"])
    return _back(call)


async def resume(call: Call) -> web.StreamResponse:
    """Go on with a job that waits, failed or was cut off."""
    await call.service.engine.resume(call.path["id"])
    return _back(call)


async def cancel(call: Call) -> web.StreamResponse:
    """Stop a job for good; what it bought is kept."""
    await call.service.engine.cancel(call.path["id"])
    return _back(call)


async def cap(call: Call) -> web.StreamResponse:
    """Change what a job may cost."""
    await call.service.engine.change_cap(call.path["id"], call.body(Cap).budget, call.caller.name)
    return _back(call)


def _back(call: Call) -> web.StreamResponse:
    """To the job's page: a form that was sent is not sent again by reloading."""
    return web.Response(status=303, headers={"Location": f"/jobs/{call.path['id']}"})


ROUTES: Final = (
    *handing.ROUTES,
    *attempts.ROUTES,
    Route(method="GET", path="/", scope="read", handler=jobs, query=Listing, summary="Jobs", page=True),
    Route(
        method="GET", path="/parts/jobs", scope="read", handler=jobs_part, query=Listing,
        summary="Jobs, without the frame", page=True,
    ),
    Route(method="GET", path="/jobs/{id}", scope="read", handler=job, summary="One job", page=True),
    Route(
        method="GET", path="/jobs/{id}/standing", scope="read", handler=job_part,
        summary="How one job stands, without the frame", page=True,
    ),
    *(
        Route(
            method="POST", path=f"/jobs/{{id}}/{name}", scope="run", handler=handler, body=body,
            summary=summary, page=True,
        )
        for name, handler, body, summary in (
            ("pause", pause, Pressed, "Pause a job"),
            ("resume", resume, Pressed, "Resume a job"),
            ("cancel", cancel, Pressed, "Cancel a job"),
            ("cap", cap, Cap, "Change a job's cap"),
        )
    ),
)  # fmt: skip
