"""Jobs over HTTP, in the words of the OpenAI Batch API: hand in, watch, pause, resume, cancel, read.

Owns the shape of a job in a reply and its routes. Leaves states to ``engine``, files to ``submitting`` and
lines to ``results``. A job's ``status`` is one of that API's; ``state`` is our own word, which also tells
paused jobs and those that stopped at their cap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Final, Literal

from aiohttp import web
from pydantic import Field

from rlaif.records import Record, Submission, digest
from rlaif.service import folders, results
from rlaif.service.engine import Entry, JobState
from rlaif.service.problems import Fault, Problem
from rlaif.service.progress import Point, Progress
from rlaif.service.results import Attempt
from rlaif.service.routes import Call, Caller, Route
from rlaif.service.submitting import MOST_BYTES, JobRequest, check_models, prepare

Status = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
JSONL: Final = "application/jsonl"
PIECE: Final = 200
"""Lines read from the store at a time."""
_STATUSES: Final[dict[JobState, Status]] = {
    "planned": "validating", "queued": "validating", "running": "in_progress", "paused": "in_progress",
    "completed": "completed", "failed": "failed", "interrupted": "failed", "budget": "expired",
    "cancelled": "cancelled",
}  # fmt: skip


class RequestCounts(Record):
    """How many of a job's tasks, most of them one call each, have ended how."""

    total: int
    """All of them, at most until the last stage that calls models has ended."""
    completed: int
    """Those that made their records."""
    failed: int
    """Those that did not."""


class SetSummary(Record):
    """One preference set of a job."""

    id: str
    """Id of the set."""
    name: str
    """``JOB/AXIS``."""
    axis: str
    """The dimension."""
    counts: dict[str, int]
    """What became of its pairs."""


class BatchJob(Record):
    """A job."""

    id: str
    """``NAME-`` and ten hex digits: what is the same in every way is the same job."""
    object: Literal["batch"] = "batch"
    """As in the OpenAI Batch API."""
    endpoint: str = "/v1/jobs"
    """Where it was handed in."""
    name: str
    """The pipeline's name."""
    status: Status
    """In the words of the OpenAI Batch API; a paused job is in progress, one at its cap has expired."""
    state: JobState
    """In our own words."""
    stopping: Literal["paused", "cancelled", "queued"] | None
    """What it is about to become, once its calls in flight have ended."""
    note: str
    """One clause on the state, e.g. why it failed."""
    created_at: int
    """Unix time."""
    in_progress_at: int | None
    """When it ran last."""
    completed_at: int | None
    """When it completed."""
    failed_at: int | None
    """When it failed last."""
    expired_at: int | None
    """When it stopped at its cap last."""
    cancelled_at: int | None
    """When it was cancelled."""
    request_counts: RequestCounts
    """How its tasks stand."""
    input_file_id: str | None = None
    """Prompts come with the request; there are no input files."""
    output_file: str
    """Where its results are read, as JSONL."""
    error_file: str
    """Where its failed tasks are read, as JSONL."""
    budget: float | None
    """Most USD it may cost."""
    spent: float
    """USD it has cost."""
    perhaps_billed: float
    """Worst case of attempts that were cut off or are out."""
    invalid: int
    """Answers of judges that hold no verdict."""
    sets: tuple[SetSummary, ...]
    """Its newest preference set on each axis."""
    progress: Progress | None
    """How it gets on; None unless this service has run it since it started."""


class JobList(Record):
    """A page of jobs."""

    object: Literal["list"] = "list"
    """As in the OpenAI API."""
    data: tuple[BatchJob, ...]
    """The job handed in last comes first."""
    first_id: str | None
    """Id of the first."""
    last_id: str | None
    """Id of the last: ``after`` of the next page."""
    has_more: bool
    """Whether there is a next page."""


class JobsQuery(Record):
    """Which jobs to list."""

    limit: int = Field(default=20, ge=1, le=100)
    """Most jobs."""
    after: str = Field(default="", max_length=100)
    """Id of the job after which the page begins."""


class CapRequest(Record):
    """Another cap."""

    budget: float = Field(ge=0.0, allow_inf_nan=False)
    """Most USD the job may cost in all."""


class AttemptsQuery(Record):
    """Whose attempts to list."""

    item: str | None = Field(default=None, min_length=1, max_length=300)
    """A ``custom_id``, or the id of a prompt, sample, judgment, score or call; left out, every call that had
    a failed attempt."""


class AttemptList(Record):
    """Calls of a job."""

    data: tuple[Attempt, ...]
    """At most 200."""


class History(Record):
    """How a job's run went."""

    data: tuple[Point, ...]
    """At most 600 moments."""


# Handing in


async def submit(call: Call) -> BatchJob:
    """Take a job in."""
    return await submitted(call, call.body(JobRequest))


async def submitted(call: Call, request: JobRequest) -> BatchJob:
    """Check a request, put its job in the queue and say how it stands; nothing is sent before that.

    Raises:
        Problem: 422 naming the field, 409 where an Idempotency-Key came with another body.
    """
    service, body = call.service, digest("rq", request)
    key = _idempotency(call.request, call.caller)
    entry = service.engine.earlier(key, body)
    if entry is None:
        made = await asyncio.to_thread(prepare, service, request)
        try:
            await check_models(service, made.loaded)
            _need_budget(request, made)
            entry = await service.engine.submit(
                made,
                Submission.make(
                    job_id=made.job_id,
                    folder=f"{folders.SUBMITTED}/{made.job_id}",
                    budget=request.budget,
                    caller=call.caller.name,
                    request=body,
                    idempotency=key,
                ),
            )
        finally:
            await asyncio.to_thread(folders.discard, made.folder)
    return await shown(call, entry)


def _idempotency(request: web.Request, caller: Caller) -> str:
    """Digest of who asks and the request's ``Idempotency-Key``; empty without one."""
    given = request.headers.getall("Idempotency-Key", [])
    if not given:
        return ""
    if len(given) > 1 or not 1 <= len(given[0]) <= 200 or not given[0].isprintable():
        raise Problem(422, "Idempotency-Key: send one, of 1 to 200 printable characters")
    return digest("ik", caller.key_id or caller.name, given[0])


def _need_budget(request: JobRequest, made: folders.Prepared) -> None:
    if made.usd and request.budget is None:
        calls = sum(one.calls for one in made.lines)
        said = f"{calls:,} calls may cost up to ${made.usd:,.4f}; give 'budget', the most that may be spent"
        raise Problem(422, f"body.budget: {said}", [Fault(field="body.budget", message=said)])


# Looking


async def list_jobs(call: Call) -> JobList:
    """List jobs, a page at a time."""
    query = call.query(JobsQuery)
    entries = call.service.engine.entries
    if query.after:
        at = next((at for at, one in enumerate(entries) if one.job_id == query.after), None)
        if at is None:
            raise Problem(422, f"query.after: there is no job {query.after!r}; begin again without 'after'")
        entries = entries[at + 1 :]
    page = entries[: query.limit]
    data = tuple([await shown(call, one) for one in page])
    return JobList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(entries) > len(page),
    )


async def get_job(call: Call) -> BatchJob:
    """Say how a job stands."""
    return await shown(call, _entry(call))


async def history(call: Call) -> History:
    """Give a job's rate and concurrency over its run."""
    return History(data=call.service.engine.history(_entry(call).job_id))


async def attempts(call: Call) -> AttemptList:
    """List what was asked for an item, or what had to be asked more than once."""
    entry, item, service = _entry(call), call.query(AttemptsQuery).item, call.service
    found = await service.look(
        lambda: results.attempts(service.workspace, service.settings, entry.job_id, item)
    )
    return AttemptList(data=tuple(found))


async def output(call: Call) -> web.StreamResponse:
    """Stream a job's results."""
    entry = _entry(call)
    return await _lines(
        call, entry, "output", lambda: results.output_lines(call.service.workspace, entry.job_id)
    )


async def errors(call: Call) -> web.StreamResponse:
    """Stream a job's failed tasks."""
    entry, workspace = _entry(call), call.service.workspace

    def read() -> Iterator[bytes]:
        loaded = (
            None if entry.submission is None else folders.load(workspace.folder / entry.submission.folder)
        )
        return results.error_lines(workspace, entry.job_id, loaded)

    return await _lines(call, entry, "errors", read)


async def _lines(
    call: Call, entry: Entry, name: str, read: Callable[[], Iterator[bytes]]
) -> web.StreamResponse:
    """Stream lines, read a piece at a time beside the event loop."""
    lines = await call.service.look(read)
    piece = await call.service.look(lambda: list(islice(lines, PIECE)))
    headers = {"Content-Disposition": f'attachment; filename="{entry.job_id}-{name}.jsonl"'}
    response = web.StreamResponse(headers=headers)
    response.content_type = JSONL
    await response.prepare(call.request)
    while piece:
        await response.write(b"".join(piece))
        piece = await call.service.look(lambda: list(islice(lines, PIECE)))
    await response.write_eof()
    return response


# Steering


async def pause(call: Call) -> BatchJob:
    """Stop a job until it is resumed."""
    return await shown(call, await call.service.engine.pause(call.path["id"]))


async def resume(call: Call) -> BatchJob:
    """Let a job go on."""
    return await shown(call, await call.service.engine.resume(call.path["id"]))


async def cancel(call: Call) -> BatchJob:
    """End a job; what it made stays."""
    return await shown(call, await call.service.engine.cancel(call.path["id"]))


async def cap(call: Call) -> BatchJob:
    """Let a job cost more, or less, in all; one that stopped at its cap goes on."""
    budget = call.body(CapRequest).budget
    return await shown(call, await call.service.engine.change_cap(call.path["id"], budget, call.caller.name))


# Inside


def _entry(call: Call) -> Entry:
    entry = call.service.engine.entry(call.path["id"])
    if entry is None:
        raise call.missing("job", call.path["id"], "/v1/jobs")
    return entry


async def shown(call: Call, entry: Entry) -> BatchJob:
    """Say how a job stands."""
    service, engine = call.service, call.service.engine
    census = await engine.census(entry, lambda read: service.look(read, share=("census", entry.job_id)))
    spend, progress = engine.spend(entry.job_id), engine.progress(entry.job_id)
    counts = RequestCounts(total=census.done + census.failed, completed=census.done, failed=census.failed)
    if entry.task is not None and progress is not None:
        counts = RequestCounts(
            total=progress.total, completed=progress.ended - progress.failed, failed=progress.failed
        )
    return BatchJob(
        id=entry.job_id,
        name=entry.name,
        status=_status(entry),
        state=entry.state,
        stopping=entry.stopping,
        note=entry.note,
        created_at=_unix(entry.times.get("created")) or 0,
        in_progress_at=_unix(entry.times.get("running")),
        completed_at=_unix(entry.times.get("completed")),
        failed_at=_unix(entry.times.get("failed")),
        expired_at=_unix(entry.times.get("budget")),
        cancelled_at=_unix(entry.times.get("cancelled")),
        request_counts=counts,
        output_file=f"/v1/jobs/{entry.job_id}/output",
        error_file=f"/v1/jobs/{entry.job_id}/errors",
        budget=None if entry.submission is None else entry.submission.budget,
        spent=spend.settled,
        perhaps_billed=spend.pending,
        invalid=sum(census.invalid.values()),
        sets=tuple(
            SetSummary(id=one.id, name=one.name, axis=one.axis, counts=one.counts) for one in census.sets
        ),
        progress=progress,
    )


def _status(entry: Entry) -> Status:
    if entry.task is not None and entry.stopping == "cancelled":
        return "cancelling"
    if entry.task is not None and entry.meter is not None and entry.meter.finalizing:
        return "finalizing"
    return _STATUSES[entry.state]


def _unix(at: str | None) -> int | None:
    return None if at is None else int(datetime.fromisoformat(at).timestamp())


ROUTES: Final = (
    Route(
        method="POST", path="/v1/jobs", scope="run", handler=submit, body=JobRequest, reply=BatchJob,
        upload=MOST_BYTES,
        summary="Hand in a job: a pipeline and its prompts; an Idempotency-Key makes doing so twice harmless",
    ),
    Route(
        method="GET", path="/v1/jobs", scope="read", handler=list_jobs, query=JobsQuery, reply=JobList,
        summary="List jobs, the one handed in last first",
    ),
    Route(
        method="GET", path="/v1/jobs/{id}", scope="read", handler=get_job, reply=BatchJob,
        summary="How a job stands",
    ),
    Route(
        method="POST", path="/v1/jobs/{id}/pause", scope="run", handler=pause, reply=BatchJob,
        summary="Stop a job until it is resumed; calls in flight are waited for",
    ),
    Route(
        method="POST", path="/v1/jobs/{id}/resume", scope="run", handler=resume, reply=BatchJob,
        summary="Let a job that stopped short go on; failed tasks get another try",
    ),
    Route(
        method="POST", path="/v1/jobs/{id}/cancel", scope="run", handler=cancel, reply=BatchJob,
        summary="End a job; what it made stays",
    ),
    Route(
        method="POST", path="/v1/jobs/{id}/cap", scope="run", handler=cap, body=CapRequest, reply=BatchJob,
        summary="Change the most a job may cost; one that stopped at its cap goes on",
    ),
    Route(
        method="GET", path="/v1/jobs/{id}/output", scope="read", handler=output, media=JSONL,
        summary="A job's results by custom_id, in the form of an output file of the OpenAI Batch API",
    ),
    Route(
        method="GET", path="/v1/jobs/{id}/errors", scope="read", handler=errors, media=JSONL,
        summary="A job's failed tasks by custom_id, in the form of an error file of the OpenAI Batch API",
    ),
    Route(
        method="GET", path="/v1/jobs/{id}/history", scope="read", handler=history, reply=History,
        summary="Rate and concurrency over a job's run",
    ),
    Route(
        method="GET", path="/v1/jobs/{id}/attempts", scope="read", handler=attempts, query=AttemptsQuery,
        reply=AttemptList, summary="Calls of an item with their attempts, latency and cost",
    ),
)  # fmt: skip
