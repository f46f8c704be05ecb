"""The verb that writes a job's pages as files: ``report``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli import console
from rlaif.cli.data import StoreOption
from rlaif.cli.make import Json


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(report)


def report(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job; see: rlaif jobs.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="New folder for the pages.")],
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Write the service's pages about one job as files that open from disk."""
    written = asyncio.run(_written(job, out, store))
    if as_json:
        console.emit_json({"job": job, "files": [str(one) for one in written]})
    else:
        console.say(f"{len(written)} files in {out}; open {written[0]}")


async def _written(job: str, out: Path, store: Path | None) -> list[Path]:
    from rlaif.pipeline import find_folder, opened
    from rlaif.service.context import Service
    from rlaif.service.web.bundle import write_bundle
    from rlaif.settings import Settings
    from rlaif.store.workspace import usable

    async with opened(find_folder(store, job)) as workspace:
        service = Service(workspace, Settings.load())
        service.engine.recall()
        with usable(out):
            return write_bundle(service, job, out)
