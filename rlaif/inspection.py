"""Looks into an output folder: what any id is and follows from, how jobs stand, what is set up.

Owns the answers behind ``rlaif show``, ``jobs`` and ``doctor``. Leaves layout to the command line.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from rlaif import __version__
from rlaif.errors import InputError
from rlaif.journal import Call
from rlaif.records import (
    Document,
    Fact,
    Job,
    JobEvent,
    Judgment,
    Preference,
    PreferenceSet,
    Prompt,
    Sample,
    Score,
    TaskState,
)
from rlaif.settings import Settings
from rlaif.store import Workspace

Tree = dict[str, JsonValue]
T = TypeVar("T", bound=Fact)

CALL_DIGITS = 64
PACKAGES = ("duckdb", "pyarrow", "openai", "anthropic", "torch", "transformers", "datasets", "trl")


def explain(workspace: Workspace, id: str) -> Tree:
    """Describe the record, job, document or call with this id.

    Raises:
        InputError: nothing has it.
    """
    if len(id) == CALL_DIGITS and "_" not in id:
        return {"call": _call(workspace, id)}
    found = workspace.store.find(id)
    if found is None:
        raise InputError(
            f"no record {id!r} in {str(workspace.folder)!r}; ids are printed by 'rlaif jobs --json', stand in"
            " every export, and can be searched with 'rlaif db sql'"
        )
    return {**_plain(found), **_around(workspace, found)}


def list_jobs(workspace: Workspace) -> list[Tree]:
    """Every job of a store: state, census and cost, newest change first."""
    rows: list[Tree] = workspace.store.query("jobs").to_pylist()
    for row in rows:
        job_id = str(row["job_id"])
        sets = workspace.store.read(PreferenceSet, "job_id = ?", [job_id])
        newest = {one.name: one.counts.get("preferred", 0) for one in sets}
        tasks = workspace.store.query("task_census", job_id=job_id).to_pylist()
        row["preferences"] = sum(newest.values())
        row["failed"] = sum(one["tasks"] for one in tasks if one["state"] == "failed")
        row["spent_usd"] = round(workspace.journal.spend(job_id).settled, 6)
    return rows


def diagnose() -> dict[str, str]:
    """What is installed, configured and at hand; opens no connection."""
    settings = Settings.load()
    facts = {"python": platform.python_version(), "rlaif": __version__}
    for package in PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            facts[package] = "not installed"
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        facts[variable] = "set" if os.environ.get(variable) else "not set"
    facts["servers"] = ", ".join(sorted(settings.compatible)) or "none configured (rlaif.toml)"
    facts["home"] = str(settings.home)
    facts["free disk"] = f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB"
    return facts


def _around(workspace: Workspace, record: Fact) -> Tree:
    """What a reader wants beside the record itself."""
    if isinstance(record, Preference):
        return _preference(workspace, record)
    if isinstance(record, Judgment):
        return _judgment(workspace, record)
    if isinstance(record, Score):
        return {"sample": _text(workspace, record.sample_id), "call": _call(workspace, record.request_key)}
    if isinstance(record, Sample):
        return {
            "prompt": _prompt(workspace, record.prompt_id),
            "call": _call(workspace, record.request_key),
        }
    if isinstance(record, Prompt):
        drawn = workspace.store.read(Sample, "prompt_id = ?", [record.id])
        return {"samples": [{"id": one.id, "response": one.response} for one in drawn]}
    if isinstance(record, Job):
        return _job(workspace, record)
    return {}


def _preference(workspace: Workspace, record: Preference) -> Tree:
    judgments = [_one(workspace, Judgment, id) for id in record.judgment_ids]
    sets = _one(workspace, PreferenceSet, record.set)
    return {
        "set_name": sets.name if sets else None,
        "consistent": record.consistent,
        "prompt": _prompt(workspace, record.prompt_id),
        "chosen": _text(workspace, record.chosen_id),
        "rejected": _text(workspace, record.rejected_id),
        "constitution_text": _document(workspace, record.constitution),
        "judgments": [
            {**_plain(one), "call": _call(workspace, one.request_key)} for one in judgments if one is not None
        ],
    }


def _judgment(workspace: Workspace, record: Judgment) -> Tree:
    return {
        "prompt": _prompt(workspace, record.prompt_id),
        "first": _text(workspace, record.first_id),
        "second": _text(workspace, record.second_id),
        "constitution_text": _document(workspace, record.constitution),
        "template_text": _document(workspace, record.template),
        "call": _call(workspace, record.request_key),
    }


def _job(workspace: Workspace, record: Job) -> Tree:
    events: Sequence[JobEvent] = list(workspace.store.read(JobEvent, "job_id = ?", [record.id], order="at"))
    failed = list(workspace.store.read(TaskState, "job_id = ? AND state = 'failed'", [record.id]))
    spend = workspace.journal.spend(record.id)
    return {
        "events": [{"at": one.at, "state": one.state, "note": one.note} for one in events],
        "sets": [_plain(one) for one in workspace.store.read(PreferenceSet, "job_id = ?", [record.id])],
        "failed_tasks": [{"task": one.task_id, "stage": one.stage, "reason": one.reason} for one in failed],
        "spent_usd": spend.settled,
        "perhaps_billed_usd": spend.pending,
    }


def _one(workspace: Workspace, model: type[T], id: str) -> T | None:
    return next(iter(workspace.store.read(model, "id = ?", [id])), None)


def _plain(record: Fact) -> Tree:
    return {"kind": type(record).__name__.lower(), **record.model_dump(mode="json")}


def _prompt(workspace: Workspace, id: str) -> JsonValue:
    found = _one(workspace, Prompt, id)
    return None if found is None else [turn.model_dump() for turn in found.messages]


def _text(workspace: Workspace, id: str) -> JsonValue:
    found = _one(workspace, Sample, id)
    return None if found is None else {"id": id, "model": found.model, "response": found.response}


def _document(workspace: Workspace, id: str) -> JsonValue:
    found = _one(workspace, Document, id)
    return None if found is None else found.text


def _call(workspace: Workspace, key: str) -> JsonValue:
    found: Call | None = workspace.journal.call(key)
    if found is None:
        return None
    return {
        "request_key": key,
        "request": None if found.intent is None else dict(found.intent),
        "raw_reply": None if found.reply is None else found.reply.text,
        "latency_s": None if found.reply is None else found.reply.latency,
        "cost_usd": found.cost,
        "failed_attempts": [
            {"attempt": one.attempt, "reason": one.reason, "billed_usd": one.billed} for one in found.faults
        ],
    }
