"""The pages about what the tasks of a job asked and got, call by call.

Owns ``/jobs/{id}/attempts``: the list of tasks, and one task's calls with request, raw reply, latency, cost
and a command that repeats the request. Keys are in none of it: they are never journalled, and the command
names the environment variable that holds one.
"""

from __future__ import annotations

import json
import shlex
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import Field, JsonValue

from rlaif.records import Fact, Judgment, Preference, Record, Sample, Score, TaskState
from rlaif.service import results
from rlaif.service.context import Service
from rlaif.service.results import Attempt
from rlaif.service.routes import Call, Route
from rlaif.service.web.render import page
from rlaif.settings import Settings

Tree = dict[str, Any]

ROWS: Final = 50
"""Tasks on one page."""
LONGEST: Final = 20_000
"""Characters of a request or a reply shown."""


class Asked(Record):
    """Which tasks of a job to show."""

    item: str = Field(default="", max_length=200)
    """Id of a task, of a record or of a call; empty for the list."""
    state: Literal["", "done", "failed", "repeated"] = ""
    """How the tasks ended; ``repeated`` for the calls that had a failed attempt."""
    stage: str = Field(default="", max_length=200)
    """Their stage."""
    skip: int = Field(default=0, ge=0, le=10_000_000)
    """Tasks before the first one shown."""


def view_tasks(service: Service, job_id: str, asked: Asked) -> Tree:
    """Tasks of a job, failed ones first."""
    rows: list[Tree] = service.workspace.store.query(
        "task_page", job_id=job_id, state=asked.state, stage=asked.stage, limit=ROWS + 1, skip=asked.skip
    ).to_pylist()
    return {
        "job_id": job_id,
        "tasks": rows[:ROWS],
        "state": asked.state,
        "skip": asked.skip,
        "more": len(rows) > ROWS,
    }


def view_item(service: Service, job_id: str, item: str) -> Tree:
    """One task's records and calls, or those of a record, a prompt or one call."""
    store = service.workspace.store
    tasks = list(store.read(TaskState, "job_id = ? AND task_id = ?", [job_id, item], order="rowid"))
    named = tasks[-1].outputs[:ROWS] if tasks else (item,)
    records = [found for one in named if (found := store.find(one)) is not None]
    calls = {
        one.request_key: one
        for id in named
        for one in results.attempts(service.workspace, service.settings, job_id, id)
    }
    return {
        "job_id": job_id,
        "item": item,
        "tasks": tasks,
        "records": [_record(service, one) for one in records],
        "calls": [_call(service.settings, one) for one in calls.values()],
    }


def view_repeated(service: Service, job_id: str) -> Tree:
    """The calls of a job that had a failed attempt."""
    found = results.attempts(service.workspace, service.settings, job_id, None)
    calls = [_call(service.settings, one) for one in found[:ROWS]]
    return {
        "job_id": job_id,
        "item": "calls with a failed attempt",
        "tasks": [],
        "records": [],
        "calls": calls,
    }


def _record(service: Service, record: Fact) -> Tree:
    judged = record if isinstance(record, Judgment | Score) else None
    pairs = service.workspace.store.read(Preference, "list_contains(judgment_ids, ?)", [record.id])
    return {
        "id": record.id,
        "kind": type(record).__name__.lower(),
        "said": record.response if isinstance(record, Sample) else "",
        "status": judged.status if judged else "",
        "verdict": record.verdict if isinstance(record, Judgment) else "",
        "p": record.p_first if isinstance(record, Judgment) else None,
        "pairs": [one.id for one in pairs] if judged else [],
    }


def _call(settings: Settings, made: Attempt) -> Tree:
    """One call as a page shows it."""
    return {
        "key": made.request_key,
        "model": made.model,
        "request": _clipped(_pretty(made.request)),
        "reply": None if made.reply is None else _clipped(_readable(made.reply)),
        "latency": made.latency,
        "cost": made.cost,
        "failed": made.failed,
        "curl": curl(settings, made.model, made.request),
    }


def curl(settings: Settings, spec: str, body: JsonValue) -> str:
    """A shell command that sends a request again; it names the key's variable and holds no key.

    Returns:
        Empty for a provider that is not asked over HTTP.
    """
    provider, _, model = spec.partition(":")
    headers = ["Content-Type: application/json"]
    match provider:
        case "openai":
            target = f"{settings.openai_url}/chat/completions"
            headers.append("Authorization: Bearer $OPENAI_API_KEY")
        case "anthropic":
            target = f"{settings.anthropic_url}/v1/messages"
            headers += ["anthropic-version: 2023-06-01", "x-api-key: $ANTHROPIC_API_KEY"]
        case "compatible" if (server := settings.compatible.get(model.partition("/")[0])) is not None:
            target = f"{server.base_url}/chat/completions"
            headers += [f"Authorization: Bearer ${server.api_key_env}"] if server.api_key_env else []
        case _:
            return ""
    lines = [f"curl {shlex.quote(target)}", *(f'-H "{one}"' for one in headers)]
    lines.append(f"--data {shlex.quote(json.dumps(body, ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def _readable(text: str) -> str:
    """A reply indented where it is JSON, else as it came."""
    try:
        return _pretty(json.loads(text))
    except ValueError:
        return text


def _pretty(value: JsonValue) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def _clipped(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}\n… {len(text) - LONGEST:,} characters more"


async def attempts(call: Call) -> web.StreamResponse:
    """Show a job's tasks, or what one of them asked and got."""
    job_id, asked = call.path["id"], call.query(Asked)
    if call.service.engine.entry(job_id) is None:
        raise call.missing("job", job_id, "/")
    if asked.state == "repeated":
        found = await call.service.look(lambda: view_repeated(call.service, job_id))
        return page("attempts.html", found, here="/")
    if not asked.item:
        found = await call.service.look(lambda: view_tasks(call.service, job_id, asked))
        return page("tasks.html", found, here="/")
    found = await call.service.look(lambda: view_item(call.service, job_id, asked.item))
    if not found["tasks"] and not found["records"] and not found["calls"]:
        raise call.missing("task, record or call", asked.item, f"/jobs/{job_id}/attempts")
    return page("attempts.html", found, here="/")


ROUTES: Final = (
    Route(
        method="GET", path="/jobs/{id}/attempts", scope="read", handler=attempts, query=Asked,
        summary="What tasks asked and got", page=True,
    ),
)  # fmt: skip
