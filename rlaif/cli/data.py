"""The verbs that look at data and carry it out: ``jobs``, ``show``, ``export``, ``doctor``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from rlaif.cli import console, explained, remote
from rlaif.cli.make import Json

StoreOption = Annotated[
    Path | None, typer.Option("--store", metavar="DIR", help="Output folder; default: the one used last.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    app.command()(jobs)
    app.command()(show)
    app.command()(export)
    app.command()(doctor)


def jobs(store: StoreOption = None, as_json: Json = False) -> None:
    """List jobs: how they stand, what they cost, what failed."""
    from rlaif.inspection import list_jobs
    from rlaif.pipeline import find_folder, opened

    async def read() -> list[dict[str, JsonValue]]:
        async with opened(find_folder(store)) as workspace:
            return list_jobs(workspace)

    rows = asyncio.run(remote.here_or_there(read, remote.jobs))
    if as_json:
        console.emit_json(rows)
        return
    if not rows:
        console.say("no jobs yet; make one with: rlaif run PIPELINE.yaml")
        return
    head = ("job", "state", "changed (UTC)", "pairs", "failed", "USD")
    console.table(head, [_job(row) for row in rows], whole=1)
    for row in rows:
        if row["note"]:
            console.emit(f"{row['job_id']}: {row['note']}")


def _job(row: Mapping[str, JsonValue]) -> tuple[object, ...]:
    changed = str(row["changed_at"] or "")[:16].replace("T", " ")
    return row["job_id"], row["state"], changed, row["preferences"], row["failed"], f"{row['spent_usd']:.4f}"


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Of a preference, judgment, sample, job, call ...")],
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Explain any record: clause, judge, order, seed, raw calls."""
    from rlaif.inspection import Tree, explain
    from rlaif.pipeline import find_folder, opened

    async def read() -> Tree:
        async with opened(find_folder(store)) as workspace:
            return explain(workspace, id)

    tree = asyncio.run(remote.here_or_there(read, lambda service: service.explain(id)))
    if as_json:
        console.emit_json(tree)
    else:
        explained.show(tree)


def export(
    name: Annotated[str, typer.Argument(metavar="SET", help="JOB, JOB/AXIS, or a pipeline's name.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="Whose columns to write: trl, parquet, openrlhf, verl, nemo-rl, axolotl, llamafactory,"
            " safe-rlhf or open-instruct.",
        ),
    ] = "trl",
    accept_flags: Annotated[
        bool,
        typer.Option(
            "--accept-flags", help="Export although more than 1 % of preferred responses have a flag."
        ),
    ] = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Write preference sets as a folder that trainers load as it stands."""
    from rlaif import exports
    from rlaif.pipeline import find_folder, opened

    async def write() -> exports.Manifest:
        async with opened(find_folder(store)) as workspace:
            source = exports.stored(workspace, name)
            if not accept_flags:
                exports.refuse_flagged(workspace.store, source.sets, accept="--accept-flags")
            return exports.export(source, out, to=to)

    manifest = asyncio.run(write())
    if as_json:
        console.emit_json(manifest)
        return
    for file in manifest.files:
        console.emit(f"{out / file.path}" + ("" if file.rows is None else f"  {file.rows} rows"))


def doctor(as_json: Json = False) -> None:
    """Say what is installed, configured and reachable, without calling anyone."""
    from rlaif.inspection import diagnose

    facts = diagnose()
    if as_json:
        console.emit_json(facts)
        return
    console.table(("what", "state"), list(facts.items()))
