"""The output folder of a recipe: a folder a step, named by what it was made from.

Owns the layout, and what is written of a finished step. Leaves what is in a step's folder to who works there.

    recipe.json              what was asked last
    lock                     held by the process that works here
    NN-NAME-DIGEST/          a step: its digest is of its body, its seed and all that it was made from
    NN-NAME-DIGEST/step.json what it left, written last: a folder without it is gone on with
    lineage.json             every checkpoint, and what made it
    report.html              the page

A step that is asked for again as it was is found by its digest; one that changed, or anything before it, has
another digest and so another folder. Nothing is overwritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import Field, JsonValue, ValidationError

from rlaif.errors import InputError
from rlaif.records import Record
from rlaif.store.workspace import Lock, usable
from rlaif.wholefile import put

STEP: Final = "step.json"
REPORT: Final = "report.html"
LINEAGE: Final = "lineage.json"
LOCK: Final = "lock"
_SHOWN: Final = 10
"""Digits of a digest in a folder's name."""


class Place(Record):
    """Where something lies that a step left."""

    path: str
    """File or folder, relative to the output folder; or a model's name, where ``model`` says so."""
    table: str | None = None
    """Table of an export."""
    content: str
    """Digest of what is there."""


class Raised(Record):
    """What came of one condition of a flag step."""

    title: str
    """What was asked."""
    said: str
    """What was found, in a sentence."""
    raised: bool
    """Whether it has to be said."""


class Done(Record):
    """A finished step."""

    name: str
    """The step's."""
    work: str
    """What it did, e.g. ``train dpo``."""
    digest: str
    """Of its body and of all that it was made from."""
    inputs: dict[str, str]
    """What it was made from: name to digest of content."""
    folder: str
    """Its folder, relative to the output folder."""
    places: dict[str, Place] = Field(default_factory=dict)
    """What it left, by table."""
    counts: dict[str, float] = Field(default_factory=dict)
    """What it came to, in numbers."""
    notices: tuple[str, ...] = ()
    """What to look at, one sentence each."""
    raised: tuple[Raised, ...] = ()
    """What its conditions came to."""
    models: dict[str, str] = Field(default_factory=dict)
    """Judges, constitutions and scores that took part, by what they did."""
    spent: float = 0.0
    """USD of its calls."""
    seconds: float = 0.0
    """Time it took, in the process that finished it."""
    cpu: float = 0.0
    """Processor time it took there, in seconds."""


class Folder:
    """One output folder.

    Args:
        root: the folder.

    Raises:
        InputError: it holds something no recipe wrote.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        found = {one.name for one in root.iterdir()} if root.is_dir() else set()
        if found - {LOCK} and "recipe.json" not in found:  # a lock alone: whoever took it has yet to begin
            raise InputError(
                "this folder holds something no recipe wrote; name another with output=FOLDER", path=root
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other run out of the folder for the block; a process that is killed gives it back too.

        Raises:
            StoreError: another process uses the folder, or it cannot be written to.
        """
        with usable(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = Lock(self.root)
        try:
            yield
        finally:
            lock.release()

    def claim(self, told: Mapping[str, JsonValue]) -> None:
        """Write what is asked now.

        Raises:
            InputError: another recipe wrote into the folder, or another control of this one.
        """
        path = self.root / "recipe.json"
        before = json.loads(path.read_bytes()) if path.is_file() else told
        if any(before.get(key) != told.get(key) for key in ("name", "control")):
            was = " under control ".join(str(before[key]) for key in ("name", "control") if before.get(key))
            raise InputError(
                f"this folder holds what came of {was!r}; name another with output=FOLDER", path=self.root
            )
        put(self.root / "recipe.json", json.dumps(told, indent=1) + "\n")

    def step(self, at: int, name: str, digest: str) -> Path:
        """Return the folder of a step: the one that was begun, wherever it stood then, or a new one."""
        short = digest[:_SHOWN]
        for one in sorted(self.root.glob(f"[0-9][0-9]-{name}-{short}")):
            return one
        made = self.root / f"{at + 1:02d}-{name}-{short}"
        made.mkdir(parents=True, exist_ok=True)
        return made

    def done(self, folder: Path) -> Done | None:
        """Return what a finished step left; None where it is not finished.

        Raises:
            InputError: what is there cannot be read.
        """
        path = folder / STEP
        if not path.is_file():
            return None
        try:
            return Done.model_validate_json(path.read_bytes())
        except ValidationError:
            raise InputError(
                "this does not say what a step left; remove it, and the step is done again", path=path
            ) from None


def put_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write rows as JSONL."""
    put(path, "".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def content(path: Path) -> str:
    """Return the digest of a file, or of all files in a folder.

    Raises:
        InputError: there is nothing.
    """
    if not path.exists():
        raise InputError("no such file or folder; check the name", path=path)
    made = hashlib.sha256()
    for one in [path] if path.is_file() else sorted(path.rglob("*")):
        if one.is_file():
            if one != path:
                made.update(str(one.relative_to(path)).encode())
            with one.open("rb") as file:
                made.update(hashlib.file_digest(file, "sha256").digest())
    return made.hexdigest()
