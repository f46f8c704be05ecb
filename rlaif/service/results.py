"""What a job made and what failed in it, as lines of JSON by the caller's own ids.

Owns the form of an output line, an error line and an attempt. Leaves records to the store and calls to the
journal. Everything here blocks, and yields as it reads: whoever is on the event loop takes a piece at a time
on a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import JsonValue
from pydantic_core import to_json

from rlaif import exports
from rlaif.journal import Call
from rlaif.pipeline import Loaded
from rlaif.pipeline.stages import task_ids
from rlaif.records import Job, Judgment, Prompt, Record, Sample, Score, TaskState
from rlaif.settings import Settings
from rlaif.store import Workspace

MOST_ATTEMPTS: Final = 200
"""Calls shown at a time."""
_FINISH: Final = {
    "stop": "stop", "max_tokens": "length", "content_filter": "content_filter", "error": "error",
}  # fmt: skip
_MADE: Final = "SELECT unnest(outputs) FROM task_states WHERE job_id = ? AND state = 'done'"


class Attempt(Record):
    """One call of a job and how often it took to answer it. Keys and other secrets never stand in it."""

    request_key: str
    """Id of the call; ``rlaif show`` explains it."""
    model: str
    """Model spec asked."""
    request: JsonValue
    """The body as it was sent."""
    reply: str | None
    """The raw reply; None where there is none yet."""
    latency: float | None
    """Seconds from send to last byte of the reply."""
    cost: float | None
    """USD the reply cost."""
    failed: tuple[FailedAttempt, ...]
    """Attempts that failed, oldest first."""


class FailedAttempt(Record):
    """One attempt without a usable reply."""

    attempt: int
    """1 for the first of its call."""
    reason: str
    """What went wrong."""
    billed: float
    """USD charged, or the worst case where that is unknown."""


def output_lines(workspace: Workspace, job_id: str) -> Iterator[bytes]:
    """Yield one line a prompt that has samples, in the form of an output file of the OpenAI Batch API.

    The body holds the samples as ``choices`` and, beside them, the preferences on every axis.
    """
    if not any(workspace.store.read(Job, "id = ?", [job_id])):
        return  # it has not begun
    for group in exports.groups(exports.stored(workspace, job_id)):
        drawn = [one for _, one in sorted(group.samples.items())]
        if drawn:
            answer: JsonValue = {
                "status_code": 200,
                "request_id": group.prompt.id,
                "body": _body(drawn, group),
            }
            yield _line(group.prompt.id, custom_id(group.prompt), response=answer, error=None)


def error_lines(workspace: Workspace, job_id: str, loaded: Loaded | None) -> Iterator[bytes]:
    """Yield one line a failed task, with the id of its prompt where it draws or judges.

    Args:
        workspace: where the job ran.
        job_id: the job.
        loaded: its pipeline, where it is at hand; the lines name no prompts without it.
    """
    failed = _failed(workspace, job_id)
    owners = _owners(workspace, job_id, loaded, set(failed)) if failed and loaded else {}
    for task_id, state in failed.items():
        prompt = owners.get(task_id)
        error: JsonValue = {
            "code": "task_failed",
            "message": state.reason,
            "stage": state.stage,
            "task": task_id,
        }
        asked = None if prompt is None else custom_id(prompt)
        yield _line(task_id, asked, response=None, error=error)


def attempts(workspace: Workspace, settings: Settings, job_id: str, item: str | None) -> list[Attempt]:
    """List calls of a job.

    Args:
        workspace: where it ran.
        settings: whose keys are struck from whatever is shown.
        job_id: the job.
        item: a ``custom_id``, or the id of a prompt, sample, judgment, score or call; when None, the calls
            that had a failed attempt.
    """
    keys = workspace.journal.troubled() if item is None else _keys(workspace, job_id, item)
    found: list[Attempt] = []
    for key in keys:
        call = workspace.journal.call(key)
        # An item's calls may have been bought by another job that asked the same.
        if call is not None and call.intent and (item is not None or call.intent["job_id"] == job_id):
            found.append(_attempt(call, settings))
        if len(found) == MOST_ATTEMPTS:
            break
    return found


# Lines


def custom_id(prompt: Prompt) -> JsonValue:
    """What the caller calls a prompt: its row's ``custom_id`` or ``id``, else our id."""
    return prompt.meta.get("custom_id", prompt.meta.get("id", prompt.id))


def _body(samples: Sequence[Sample], group: exports.Group) -> dict[str, JsonValue]:
    return {
        "object": "chat.completion",
        "model": samples[0].model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": one.response},
                "finish_reason": _FINISH[one.stop_reason],
                "sample_id": one.id,
                "model": one.model,
            }
            for index, one in enumerate(samples)
        ],
        "preferences": [
            {
                "id": one.id, "axis": one.axis, "chosen": one.chosen_id, "rejected": one.rejected_id,
                "p": one.p, "margin": one.margin,
            }
            for found in group.preferences.values()
            for one in found
        ],
    }  # fmt: skip


def _line(id: str, asked: JsonValue, *, response: JsonValue, error: JsonValue) -> bytes:
    return to_json({"id": id, "custom_id": asked, "response": response, "error": error}) + b"\n"


# Tasks and calls


def _failed(workspace: Workspace, job_id: str) -> dict[str, TaskState]:
    """The tasks that have not ended well, each with its newest reason."""
    standing: dict[str, TaskState] = {}
    order = "(state = 'done'), rowid"
    for one in workspace.store.read(TaskState, "job_id = ?", [job_id], order=order):
        standing[one.task_id] = one
    return {id: one for id, one in standing.items() if one.state == "failed"}


def _owners(workspace: Workspace, job_id: str, loaded: Loaded, wanted: set[str]) -> dict[str, Prompt]:
    """The prompts that tasks are about, found by planning the job's tasks again."""
    found: dict[str, Prompt] = {}
    ids_of = task_ids(loaded, loaded.pipeline.seed)
    for group in exports.groups(exports.stored(workspace, job_id)):
        samples = [one for _, one in sorted(group.samples.items())]
        found.update((id, group.prompt) for id in ids_of(group.prompt, samples) if id in wanted)
    return found


def _prompts(workspace: Workspace, job_id: str) -> Iterator[Prompt]:
    return workspace.store.read(Prompt, f"id IN ({_MADE})", [job_id])


def _keys(workspace: Workspace, job_id: str, item: str) -> list[str]:
    """Request keys of what an item names."""
    if len(item) == 64 and workspace.journal.call(item) is not None:
        return [item]
    for made in _made(workspace, "id = ?", [item]):
        return [made.request_key]
    prompt = next((one for one in _prompts(workspace, job_id) if item in (one.id, custom_id(one))), None)
    if prompt is None:
        return []
    of_prompt = _made(workspace, f"prompt_id = ? AND id IN ({_MADE})", [prompt.id, job_id])
    return list(dict.fromkeys(one.request_key for one in of_prompt))


def _made(workspace: Workspace, where: str, params: Sequence[str]) -> Iterator[Sample | Judgment | Score]:
    """Records that follow from a call."""
    yield from workspace.store.read(Sample, where, params)
    yield from workspace.store.read(Judgment, where, params)
    yield from workspace.store.read(Score, where, params)


def _attempt(call: Call, settings: Settings) -> Attempt:
    assert call.intent is not None  # only calls that were sent are shown
    return Attempt(
        request_key=call.key,
        model=f"{call.intent['provider']}:{call.intent['model']}",
        request=struck(call.intent["body"], settings),
        reply=None if call.reply is None else str(struck(call.reply.text, settings)),
        latency=None if call.reply is None else call.reply.latency,
        cost=call.cost,
        failed=tuple(
            FailedAttempt(attempt=one.attempt, reason=str(struck(one.reason, settings)), billed=one.billed)
            for one in call.faults
        ),
    )


def struck(value: JsonValue, settings: Settings) -> JsonValue:
    """A value without the operator's keys: careless servers repeat them in what they reply."""
    if isinstance(value, str):
        for key in settings.keys.values():
            value = value.replace(key.get_secret_value(), "[redacted]")
        return value
    if isinstance(value, list):
        return [struck(one, settings) for one in value]
    if isinstance(value, dict):
        return {name: struck(one, settings) for name, one in value.items()}
    return value
