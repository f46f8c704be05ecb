"""Finds output folders and the jobs in them, by name or by what was used last.

Owns the rule for which folder a command means. Leaves opening it to ``store``.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rlaif.errors import InputError
from rlaif.pipeline.config import Loaded, load_pipeline
from rlaif.records import Document, Job
from rlaif.store import Workspace

OUTPUTS = Path("outputs")


def bundled(name: str) -> Path:
    """Path of a pipeline file that comes with the project.

    Raises:
        InputError: the installation has no such file.
    """
    beside = Path(__file__).parents[2] / "pipelines" / name
    installed = Path(sysconfig.get_path("data")) / "share" / "rlaif" / "pipelines" / name
    for path in (beside, installed):
        if path.is_file():
            return path
    raise InputError(f"{name!r} is not part of this installation; run from a checkout of the project")


def find_folder(folder: Path | None, job_id: str | None = None) -> Path:
    """Choose the output folder a command means.

    Args:
        folder: the one named by the user, if any.
        job_id: a job, whose name says the folder.

    Raises:
        InputError: there is none.
    """
    if folder is not None:
        if not (folder / "journal").is_dir():
            raise InputError(f"{str(folder)!r} is not an output folder; it has no 'journal' in it")
        return folder
    if job_id is not None and (OUTPUTS / job_id.rpartition("-")[0] / "journal").is_dir():
        return OUTPUTS / job_id.rpartition("-")[0]
    found = sorted(OUTPUTS.glob("*/journal"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError("there is no output folder under 'outputs/' yet; make one with: rlaif demo")
    return found[-1].parent


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Workspace]:
    """Open a workspace for the length of a command."""
    workspace = Workspace.open(folder)
    try:
        yield workspace
    finally:
        await workspace.close()


async def find_job(job_id: str, folder: Path | None) -> tuple[Loaded, Path]:
    """Load the pipeline a stored job was made from, and name its folder.

    Raises:
        InputError: there is no such folder or job, or its pipeline file has gone.
    """
    chosen = find_folder(folder, job_id)
    async with opened(chosen) as workspace:
        job = next(iter(workspace.store.read(Job, "id = ?", [job_id])), None)
        if job is None:
            known = ", ".join(repr(one.id) for one in workspace.store.read(Job)) or "none"
            raise InputError(f"there is no job {job_id!r} in {str(chosen)!r}; jobs there: {known}")
        (document,) = workspace.store.read(Document, "id = ?", [job.pipeline])
    origin = json.loads(document.text)
    return load_pipeline(Path(origin["path"]), origin["overrides"]), chosen
