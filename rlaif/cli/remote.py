"""What a verb does when a service owns the folder: the same, over HTTP.

Owns the choice between the two and the shapes that differ. Leaves the asking to ``rlaif.Client``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue

from rlaif.cli import console
from rlaif.errors import BudgetError, InputError, JobError

if TYPE_CHECKING:
    from rlaif.client import Client
    from rlaif.constitution import Constitution
    from rlaif.pipeline import Loaded
    from rlaif.service.api.jobs import BatchJob

T = TypeVar("T")
U = TypeVar("U")


async def here_or_there(here: Callable[[], Awaitable[T]], there: Callable[[Client], Awaitable[U]]) -> T | U:
    """Do something in the folder itself, or ask the service that owns it.

    Raises:
        StoreError: another process owns the folder and serves nothing.
    """
    from rlaif.store import InUse

    try:
        return await here()
    except InUse as owner:
        if not owner.address:
            raise
        from rlaif.client import Client

        async with Client(owner.address) as service:
            return await there(service)


async def jobs(service: Client) -> list[dict[str, JsonValue]]:
    """The jobs of a service as ``rlaif jobs`` lists those of a folder."""
    return [_row(one) for one in await service.jobs()]


async def run(service: Client, loaded: Loaded, budget: float | None) -> BatchJob:
    """Hand a pipeline with its files to a service, and wait for it to end.

    Raises:
        InputError: it names files that a service does not take.
        BudgetError: the cap was reached.
        JobError: it failed, or somebody stopped it.
    """
    asked = loaded.pipeline.model_dump(mode="json", exclude={"output", "stages"}, exclude_none=True)
    del asked["prompts"]["path"]
    stages: list[JsonValue] = []
    for stage, constitution in zip(loaded.pipeline.stages, loaded.constitutions, strict=True):
        written: dict[str, Any] = stage.model_dump(mode="json", exclude_none=True)
        if constitution is not None:
            written["constitution"] = await _kept(service, loaded, written["constitution"], constitution)
        stages.append(written)
    rows: list[str | dict[str, JsonValue]] = [
        {
            **one.meta,
            "messages": [turn.model_dump(mode="json") for turn in one.messages],
            "source": one.source,
            "licence": one.licence,
        }
        for one in loaded.read_prompts().prompts
    ]
    made = await service.submit({**asked, "stages": stages}, rows, budget=budget)
    return await finished(service, made)


async def resume(service: Client, job_id: str, budget: float | None) -> BatchJob:
    """Let a job of a service go on, and wait for it to end.

    Raises:
        InputError: there is no such job.
        BudgetError: the cap was reached.
        JobError: there is nothing to resume, it failed, or somebody stopped it.
    """
    made = await service.job(job_id)
    if budget is not None:
        made = await service.change_cap(job_id, budget)
    if made.state not in ("queued", "running"):
        made = await service.resume(job_id)
    return await finished(service, made)


async def finished(service: Client, job: BatchJob) -> BatchJob:
    """Wait for a job; interrupting the wait leaves it running."""
    console.say(f"job {job.id} runs in the service at {service.address}; it goes on if you stop waiting")
    ended = await service.wait(job.id)
    if ended.state == "completed":
        return ended
    error = BudgetError if ended.state == "budget" else JobError
    raise error(f"job {ended.id} is {ended.state}: {ended.note or 'no reason was given'}")


async def _kept(service: Client, loaded: Loaded, path: str, constitution: Constitution) -> str:
    """What the service calls a constitution; one that it does not have is saved there."""
    try:
        await service.constitution(constitution.digest)
    except InputError:
        text = (loaded.path.parent / path).read_text("utf-8")
        return (await service.save_constitution(constitution.id, text)).version.id
    return constitution.digest


def _row(job: BatchJob) -> dict[str, JsonValue]:
    ended = (
        job.completed_at, job.failed_at, job.expired_at, job.cancelled_at, job.in_progress_at, job.created_at,
    )  # fmt: skip
    changed = max(one for one in ended if one is not None)
    return {
        "job_id": job.id,
        "name": job.name,
        "state": job.state,
        "started_at": _time(job.created_at),
        "changed_at": _time(changed),
        "note": job.note,
        "preferences": sum(one.counts.get("preferred", 0) for one in job.sets),
        "failed": job.request_counts.failed,
        "spent_usd": round(job.spent, 6),
    }


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
