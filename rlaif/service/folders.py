"""Where the files of jobs that were handed in lie: one folder a job, put there whole, never changed.

Owns ``submitted/JOB``. Leaves what stands in the files to ``submitting``.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rlaif.pipeline import Line, Loaded, load_pipeline
from rlaif.prompts import PromptFile

SUBMITTED: Final = "submitted"
"""Folder of the jobs handed in, under the output folder."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that has been found runnable; its files are not yet in their place."""

    job_id: str
    loaded: Loaded
    prompts: PromptFile
    lines: tuple[Line, ...]
    """What it will ask for."""
    folder: Path
    """Where its files lie for now."""

    @property
    def usd(self) -> float:
        """Most the job can cost, by the estimate."""
        return sum(one.usd or 0.0 for one in self.lines)


@contextmanager
def new_folder(root: Path) -> Iterator[Path]:
    """Yield an empty folder for a request's files; it goes again when the block fails.

    Raises:
        OSError: the disk is full or refuses writes.
    """
    folder = root / SUBMITTED / f".{secrets.token_hex(8)}.partial"
    (folder / "constitutions").mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(discard, folder)
        yield folder
        stack.pop_all()


def discard(folder: Path) -> None:
    """Remove a request's files, unless ``keep`` has moved them away."""
    shutil.rmtree(folder, ignore_errors=True)


def keep(root: Path, made: Prepared) -> Path:
    """Move a request's files to where its job will look for them, all of them or none; return that folder.

    Raises:
        OSError: the disk is full or refuses writes.
    """
    target = root / SUBMITTED / made.job_id
    if not target.exists():
        for path in (*made.folder.rglob("*"), made.folder):
            _sync(path)
        made.folder.rename(target)
        _sync(target.parent)
    return target


def sweep(folder: Path) -> None:
    """Remove what a killed process left half written."""
    for path in (folder / SUBMITTED).glob(".*.partial"):
        discard(path)


def load(folder: Path) -> Loaded:
    """Load the pipeline of a job that was handed in.

    Raises:
        InputError: its files are gone or damaged.
    """
    return load_pipeline(folder / "pipeline.yaml")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
