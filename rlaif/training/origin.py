"""Where a run begins: its parent, its data, its configuration, and the folder it may write to.

Owns the refusal to go on with a run that was told something else, and how a longer run takes over from a
shorter one. Leaves the state it goes on from to ``snapshots``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from rlaif.checkpoints import Checkpoint, Lineage
from rlaif.complaints import shown
from rlaif.errors import InputError
from rlaif.records import Record
from rlaif.training import snapshots
from rlaif.training.config import FREE, RunConfig
from rlaif.training.reporting import METRICS
from rlaif.wholefile import put

CONFIG = "config.json"
_NAMES: Final = frozenset({"output", "path", "model", "parent", "safety", "helpfulness"})
"""Fields that say what a file or a model is called, wherever they stand."""


class Origin(Record):
    """What a run begins from and learns from."""

    parent: str
    """Name of the model it begins as."""
    parent_digest: str
    """Content of that model."""
    data_digest: str
    """Content of the data, as token ids and labels."""

    @classmethod
    def of(cls, config: RunConfig, checkpoint: Checkpoint, data_digest: str) -> Origin:
        """Name what a run of this configuration begins from."""
        return cls(parent=config.model, parent_digest=checkpoint.digest, data_digest=data_digest)

    def lineage(self, config: RunConfig, steps: int, skipped: int, metrics: Mapping[str, float]) -> Lineage:
        """Say where the checkpoint made of it came from."""
        return Lineage(
            method=str(getattr(config, "method", "")), config=config.model_dump(mode="json"), steps=steps,
            skipped=skipped, metrics=dict(metrics), **self.model_dump(),
        )  # fmt: skip


def claim(folder: Path, config: RunConfig, origin: Origin, *, resume: bool) -> None:
    """Take an output folder for a run.

    Args:
        folder: of the run; made where it is not there.
        config: what the run was told.
        origin: what it begins and learns from.
        resume: a run that is there may be gone on with.

    Raises:
        InputError: another run is there, or the one there was told something else.
    """
    told: dict[str, JsonValue] = {**config.model_dump(mode="json"), **origin.model_dump()}
    path = folder / CONFIG
    if path.is_file():
        if not resume:
            raise InputError(
                "this folder holds a run already; add --resume to go on with it, or name another output",
                path=folder,
            )
        _check(path, told)
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError("this folder holds something no run wrote; name another output", path=folder)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")


def lengthened(before: Path, config: RunConfig) -> None:
    """Let a longer run begin where a finished shorter one of the same configuration ended, bit for bit.

    What the shorter one could have gone on from is moved: it has its ``final/``. Nothing is done where it
    left nothing, or the longer one has begun.

    Args:
        before: output folder of the shorter run.
        config: of the longer run; its learning rate must not depend on how long it is.
    """
    folder = Path(config.output)
    found = snapshots.newest(before)
    if found is None or snapshots.newest(folder) is not None:
        return
    told = json.loads((before / CONFIG).read_bytes())
    told |= {"output": config.output, "steps": config.steps}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(told, indent=1) + "\n")
    shutil.copyfile(before / METRICS, folder / METRICS)
    found.replace(folder / found.name)  # last, so that a stop before it costs time and nothing else


def moved(config: RunConfig) -> None:
    """Let a run go on whose files and models are called otherwise now, as from another working folder.

    Names alone are taken over; digests of the data and of the first model are held against each other as
    ever. Other models, such as a reward, are not: whoever calls this knows that they are the same ones.
    Nothing is done where no run was begun.

    Args:
        config: what the run is told now.
    """
    path = Path(config.output) / CONFIG
    before = _told(path) if path.is_file() else None
    if before is not None:
        now = {**config.model_dump(mode="json"), "parent": config.model}
        put(path, json.dumps(_named(before, now), indent=1) + "\n")


def _named(before: JsonValue, now: JsonValue) -> JsonValue:
    """Take what files and models are called from ``now``, and everything else from ``before``."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return before
    made = {key: _named(one, now.get(key)) for key, one in before.items()}
    names = {key for key in _NAMES & made.keys() if isinstance(made[key], str)}
    return made | {key: now[key] for key in names if isinstance(now.get(key), str)}


def _told(path: Path) -> dict[str, JsonValue] | None:
    """What the run was told; None where it was killed while it wrote that, its first file."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _check(path: Path, told: Mapping[str, JsonValue]) -> None:
    before = _told(path)
    if before is None:  # it has made no checkpoint either
        return
    keys = sorted((told.keys() | before.keys()) - FREE)
    changed = [
        f"{key} ({shown(before.get(key))} before, {shown(told.get(key))} now)"
        for key in keys
        if before.get(key) != told.get(key)
    ]
    if changed:
        raise InputError(
            f"the run that is there was told otherwise: {', '.join(changed)}; put these back, or name another"
            " output",
            path=path,
        )
