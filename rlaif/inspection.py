"""Looks into an output folder: what any id is and follows from, how jobs stand, what is set up.

Owns the answers behind ``rlaif show``, ``jobs`` and ``doctor``. Leaves layout to the command line.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from rlaif import __version__
from rlaif.complaints import shown
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
    Revision,
    Sample,
    Score,
    TaskState,
)
from rlaif.settings import Settings
from rlaif.store import Workspace

Tree = dict[str, JsonValue]
T = TypeVar("T", bound=Fact)

_CALL = re.compile("[0-9a-f]{64}")
PACKAGES = ("duckdb", "pyarrow", "openai", "anthropic", "torch", "transformers", "datasets", "trl")


def explain(workspace: Workspace, id: str) -> Tree:
    """Describe the record, job, document or call with this id.

    Raises:
        InputError: nothing has it.
    """
    if _CALL.fullmatch(id) and (call := _call(workspace, id)) is not None:
        return {"kind": "call", **call}
    found = workspace.store.find(id) or _set(workspace, id)
    if found is None:
        raise InputError(
            f"nothing in {str(workspace.folder)!r} has the id {shown(id)}; ids stand in every export, those"
            " of jobs are listed by: rlaif jobs, and all can be found with: rlaif db sql"
        )
    return {**_plain(found), **_around(workspace, found)}


def list_jobs(workspace: Workspace, running: Collection[str] = ()) -> list[Tree]:
    """Every job of a store: state, census and cost, newest change first.

    Args:
        workspace: where they are.
        running: the jobs this process runs. A folder has one owner, so any other that says so was killed.
    """
    rows: list[Tree] = workspace.store.query("jobs").to_pylist()
    for row in rows:
        job_id = str(row["job_id"])
        if row["state"] == "running" and job_id not in running:
            row["state"] = "interrupted"
            row["note"] = f"its process was killed; go on with: rlaif resume {job_id}"
        sets = workspace.store.read(PreferenceSet, "job_id = ?", [job_id], order="rowid")
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
    match record:
        case Preference():
            return _preference(workspace, record)
        case Judgment():
            return _judgment(workspace, record)
        case Score():
            return _score(workspace, record)
        case Revision():
            return _revision(workspace, record)
        case Sample():
            return {
                "prompt": _prompt(workspace, record.prompt_id),
                "call": _call(workspace, record.request_key),
            }
        case Prompt():
            drawn = workspace.store.read(Sample, "prompt_id = ?", [record.id])
            return {"samples": [{"id": one.id, "response": one.response} for one in drawn]}
        case PreferenceSet():
            return {"clauses": _clauses(workspace, record.constitution, None)}
        case Job():
            return _job(workspace, record)
        case _:
            return {}


def _preference(workspace: Workspace, record: Preference) -> Tree:
    made = _one(workspace, PreferenceSet, record.set)
    job = None if made is None else _one(workspace, Job, made.job_id)
    return {
        "set_name": None if made is None else made.name,
        "job_id": None if job is None else job.id,
        "seed": None if job is None else job.seed,
        "consistent": record.consistent,
        "prompt": _prompt(workspace, record.prompt_id),
        "chosen": _sample(workspace, record.chosen_id),
        "rejected": _sample(workspace, record.rejected_id),
        "clauses": _clauses(workspace, record.constitution, record.principle_id),
        "judgments": [_answer(workspace, id) for id in record.judgment_ids],
    }


def _answer(workspace: Workspace, id: str) -> JsonValue:
    """The judgment, or the pointwise score, with this id, and its call."""
    found = _one(workspace, Judgment, id) or _one(workspace, Score, id)
    return None if found is None else {**_plain(found), "call": _call(workspace, found.request_key)}


def _judgment(workspace: Workspace, record: Judgment) -> Tree:
    return {
        "prompt": _prompt(workspace, record.prompt_id),
        "first": _sample(workspace, record.first_id),
        "second": _sample(workspace, record.second_id),
        "clauses": _clauses(workspace, record.constitution, record.principle_id),
        "template_text": _document(workspace, record.template),
        "support": [_call(workspace, key) for key in record.support_keys],
        "call": _call(workspace, record.request_key),
    }


def _revision(workspace: Workspace, record: Revision) -> Tree:
    return {
        "prompt": _prompt(workspace, record.prompt_id),
        "before": _sample(workspace, record.before_id),
        "after": None if record.after_id is None else _sample(workspace, record.after_id),
        "clauses": _clauses(workspace, record.constitution, record.principle_id),
        "critique_call": _call(workspace, record.critique_key),
        "call": _call(workspace, record.revision_key),
    }


def _score(workspace: Workspace, record: Score) -> Tree:
    return {
        "prompt": _prompt(workspace, record.prompt_id),
        "sample": _sample(workspace, record.sample_id),
        "clauses": _clauses(workspace, record.constitution, None),
        "template_text": _document(workspace, record.template),
        "call": _call(workspace, record.request_key),
    }


def _job(workspace: Workspace, record: Job) -> Tree:
    events = workspace.store.read(JobEvent, "job_id = ?", [record.id], order="rowid")
    sets = workspace.store.read(PreferenceSet, "job_id = ?", [record.id], order="rowid")
    spend = workspace.journal.spend(record.id)
    return {
        "events": [{"at": one.at, "state": one.state, "note": one.note} for one in events],
        "tasks": workspace.store.query("task_census", job_id=record.id).to_pylist(),
        "sets": [_plain(one) for one in sets],
        "failed_tasks": _failed(workspace, record.id),
        "spent_usd": spend.settled,
        "perhaps_billed_usd": spend.pending,
    }


def _failed(workspace: Workspace, job_id: str) -> list[JsonValue]:
    """The tasks that have not ended well, each with its newest reason."""
    standing: dict[str, TaskState] = {}
    for one in workspace.store.read(TaskState, "job_id = ?", [job_id], order="(state = 'done'), rowid"):
        standing[one.task_id] = one
    failed = (one for one in standing.values() if one.state == "failed")
    return [{"task": one.task_id, "stage": one.stage, "reason": one.reason} for one in failed]


def _one(workspace: Workspace, model: type[T], id: str) -> T | None:
    return next(iter(workspace.store.read(model, "id = ?", [id])), None)


def _set(workspace: Workspace, name: str) -> PreferenceSet | None:
    """The newest set of this name."""
    found = list(workspace.store.read(PreferenceSet, "name = ?", [name], order="rowid"))
    return found[-1] if found else None


def _plain(record: Fact) -> Tree:
    return {"kind": type(record).__name__.lower(), **record.model_dump(mode="json")}


def _prompt(workspace: Workspace, id: str) -> JsonValue:
    found = _one(workspace, Prompt, id)
    return None if found is None else [turn.model_dump() for turn in found.messages]


def _sample(workspace: Workspace, id: str) -> JsonValue:
    found = _one(workspace, Sample, id)
    if found is None:
        return None
    kept = {"id", "model", "index", "stop_reason", "request_key", "response"}
    return {**found.model_dump(mode="json", include=kept), "seed": found.params.seed}


def _document(workspace: Workspace, id: str) -> JsonValue:
    found = _one(workspace, Document, id)
    return None if found is None else found.text


def _clauses(workspace: Workspace, constitution: str, principle_id: str | None) -> JsonValue:
    """The principles a judge was shown, numbered as it saw them; all unless one had been drawn."""
    found = _one(workspace, Document, constitution)
    if found is None:
        return None
    try:
        principles = json.loads(found.text)["principles"]
        return [
            {"number": number, "constitution": found.name, "id": one["id"], "text": one["text"]}
            for number, one in enumerate(principles, 1)
            if principle_id in (None, one["id"])
        ]
    except (ValueError, KeyError, TypeError):  # a document of another origin has no clauses we could number
        return None


def _call(workspace: Workspace, key: str) -> Tree | None:
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
