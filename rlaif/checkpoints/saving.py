"""Checkpoints on disk: an ordinary ``transformers`` folder that says where it came from.

Owns the lineage manifest and the atomic write. Leaves what is in the manifest to whoever trained the
model, and the state a stopped run goes on from to ``training``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field, JsonValue, ValidationError
from safetensors import SafetensorError

from rlaif.checkpoints.bundled import without_bars
from rlaif.errors import InputError
from rlaif.records import Record

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LINEAGE = "lineage.json"
_VERSIONS = ("rlaif", "torch", "transformers")
_SYSTEM: Final = re.compile(r"\(os error (\d+)\)")
"""Where a message of safetensors holds the number of the system's error."""


class Lineage(Record):
    """Where a checkpoint came from; nothing in it depends on the clock or the machine."""

    method: str
    """What trained it."""
    parent: str
    """Name of the model it began as."""
    parent_digest: str
    """Content of that model; see ``checkpoints.identity``."""
    data_digest: str
    """Content of what it was trained on, as token ids and labels."""
    config: dict[str, JsonValue]
    """Everything the run was told, its seed included."""
    steps: int
    """Updates made."""
    skipped: int
    """Updates left out because a loss or gradient was not finite."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """What was measured last."""
    versions: dict[str, str] = Field(default_factory=lambda: {name: version(name) for name in _VERSIONS})
    """Of this package and those that computed it."""


def save(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, lineage: Lineage | None = None
) -> None:
    """Write a model as a folder ``transformers`` loads as it stands; whole or not at all.

    Args:
        model: any model of ``transformers``, its adapters merged.
        tokenizer: with its chat template.
        folder: replaced where it is there.
        lineage: written beside the weights.
    """
    with written(folder) as partial, without_bars():
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if lineage is not None:
            (partial / LINEAGE).write_text(json.dumps(lineage.model_dump(mode="json"), indent=1) + "\n")


def read_lineage(folder: Path) -> Lineage | None:
    """Return what a checkpoint says of itself; None where it says nothing.

    Raises:
        InputError: the manifest is there and cannot be read.
    """
    path = folder / LINEAGE
    if not path.is_file():
        return None
    try:
        return Lineage.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"not a lineage manifest ({error.error_count()} faults); remove it or restore it", path=path
        ) from None


@contextmanager
def written(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` once the block ends well.

    Every file is on disk before the rename, so that a kill at any moment leaves the old folder, the new
    one, or a hidden one that the next write removes. What a block could not write takes no room.

    Raises:
        OSError: the disk is full or refuses writes, whoever noticed it.
    """
    partial, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "old"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    if old.exists() and not folder.exists():  # killed between the two renames below
        old.rename(folder)
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise _refused(error, folder) from None
    for path in sorted(partial.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # safetensors writes for the owner alone
        _sync(path)
    _sync(partial)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _refused(error: Exception, folder: Path) -> Exception:
    """The system's own error where safetensors only quotes its number; any other as it is."""
    told = _SYSTEM.search(str(error)) if isinstance(error, SafetensorError) else None
    return OSError(int(told[1]), os.strerror(int(told[1])), str(folder)) if told else error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
