"""Training runs that the service itself starts: one child process each, ``rlaif train``, stopped with it.

Owns which configuration and data a start means, how many run at once, and stopping. Leaves training to the
child and reading what it writes to ``runs``.

A caller names a file of the operator's ``pipelines`` folder and a dataset of this one; what the child is told
besides (where the data lies, where the run goes) is decided here, so that no path comes from outside.
"""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from rlaif.errors import InputError
from rlaif.exports import MANIFEST, Manifest
from rlaif.records import PreferenceSet
from rlaif.service.problems import Fault, Problem
from rlaif.service.project import project_folder
from rlaif.store import Workspace
from rlaif.training.methods import load_config

AT_ONCE: Final = 1
"""Runs at a time: each takes the machine whole."""
STOPPING_SECONDS: Final = 10.0
"""Given to a child to end by itself."""
NAME: Final = r"^[a-z0-9][a-z0-9_.-]{0,59}$"
"""What a run may be called."""
_TABLES: Final = {"sft": "-sft", "kto": "-unpaired"}  # what stands after the axis in the table a method reads

Ended = Literal["running", "completed", "stopped", "failed"]


@dataclass(slots=True)
class Child:
    """One started run."""

    folder: Path
    """Where it writes."""
    log: Path
    """What it says."""
    process: asyncio.subprocess.Process
    stopped: bool = False
    """Somebody stopped it."""

    @property
    def state(self) -> Ended:
        """How it stands."""
        code = self.process.returncode
        if code is None:
            return "running"
        return "completed" if code == 0 else "stopped" if self.stopped else "failed"

    @property
    def said(self) -> str:
        """The last line it said."""
        with suppress(OSError):
            return (self.log.read_text("utf-8", "replace").strip().splitlines() or [""])[-1][-500:]
        return ""


@dataclass(slots=True)
class Trainings:
    """The runs a service started, by name.

    Args:
        workspace: of the service; runs go to its folder's ``training``.
    """

    workspace: Workspace
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where started runs lie."""
        return self.workspace.folder / "training"

    async def start(self, config: str, dataset: str, name: str = "") -> str:
        """Start a run.

        Args:
            config: name of a training file in the ``pipelines`` folder, e.g. ``train_dpo``.
            dataset: id of a preference set that has been exported.
            name: of the run; made of the file's name when empty.

        Returns:
            The run's name.

        Raises:
            Problem: 422 for a name that means nothing; 409 where the set has no export, the name is taken,
                or another run is under way.
        """
        path = configs().get(config)
        if path is None:
            raise _wrong("config", f"there is no training file {config!r}; allowed: {', '.join(configs())}")
        name = self._named(name, config)
        told = await asyncio.to_thread(self._told, path, dataset)
        if sum(one.state == "running" for one in self.children.values()) >= AT_ONCE:
            raise Problem(409, "a run is under way already; wait until it ends, or stop it", kind="job")
        self.folder.mkdir(exist_ok=True)
        log = self.folder / f".{name}.log"
        with log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rlaif", "train", str(path.resolve()), *told,
                f"output={(self.folder / name).resolve()}",
                stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        self.children[name] = Child(self.folder / name, log, process)
        return name

    async def stop(self, name: str) -> bool:
        """Stop a run; False where the service runs none of that name."""
        child = self.children.get(name)
        if child is None or child.state != "running":
            return False
        child.stopped = True
        with suppress(ProcessLookupError):
            child.process.terminate()
        try:
            await asyncio.wait_for(child.process.wait(), STOPPING_SECONDS)
        except TimeoutError:
            with suppress(ProcessLookupError):
                child.process.kill()
            await child.process.wait()
        return True

    async def close(self) -> None:
        """Stop every run: their checkpoints stay, and ``rlaif train --resume`` goes on with them."""
        await asyncio.gather(*(self.stop(name) for name in list(self.children)))

    def _named(self, name: str, config: str) -> str:
        if name and not re.fullmatch(NAME, name):
            said = f"found {name!r}; a name has lower-case letters, digits, '_', '-' and '.', at most 60"
            raise _wrong("name", said)
        stem = name or config.removeprefix("train_")
        taken = {*self.children, *(one.name for one in self.folder.glob("*"))}
        if name and name in taken:
            raise Problem(409, f"there is a run {name!r} already; choose another name")
        numbered = (f"{stem}-{number}" for number in range(2, 10_000))
        return stem if stem not in taken else next(one for one in numbered if one not in taken)

    def _told(self, path: Path, dataset: str) -> list[str]:
        """What the child is told about its data; read first, so that a broken file is said at once."""
        made = next(iter(self.workspace.store.read(PreferenceSet, "id = ?", [dataset])), None)
        if made is None:
            said = f"there is no dataset {dataset!r}; those there are stand under /v1/datasets"
            raise _wrong("dataset", said)
        try:
            asked = load_config(path)
        except InputError as error:
            raise _wrong("config", str(error)) from None
        table = f"{made.axis}{_TABLES.get(asked.method, '')}"
        export = self._export(dataset, table)
        if export is None:
            raise Problem(
                409,
                f"{made.name!r} has not been exported with the table {table!r}; export it first:"
                f" POST /v1/datasets/{dataset}/exports",
            )
        return [f"data.path={export.resolve()}", f"data.table={table}"]

    def _export(self, dataset: str, table: str) -> Path | None:
        """The newest export that holds a set in a table."""
        found = sorted(
            (self.workspace.folder / "exports").rglob(MANIFEST), key=lambda one: -one.stat().st_mtime
        )
        for path in found:
            with suppress(ValueError):  # of another version, or no manifest of ours
                held = Manifest.model_validate_json(path.read_bytes())
                if table in held.configs and dataset in {one.id for one in held.sets}:
                    return path.parent
        return None


def configs() -> dict[str, Path]:
    """Training files the operator offers, by name."""
    folder = project_folder("pipelines")
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("train_*.yaml"))}


def _wrong(name: str, said: str) -> Problem:
    return Problem(422, f"body.{name}: {said}", [Fault(field=f"body.{name}", message=said)])
