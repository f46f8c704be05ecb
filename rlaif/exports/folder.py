"""Writes tables to a folder that is either wholly there or not there.

Owns bytes on disk: shards, digests, fsync and the swap of an old export for a new one. Equal rows
give equal bytes: row groups and shards are cut at fixed counts, and nothing of the clock or the
machine is written. Leaves the rows to ``rows``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic_core
from pydantic import BaseModel, ValidationError

from rlaif.errors import InputError
from rlaif.exports.manifest import MANIFEST, File
from rlaif.exports.rows import Row, Table
from rlaif.records import Split

ROW_GROUP = 1_000
"""Rows held in memory before they are written."""
SHARD = 100_000
"""Rows of one file."""
_CUTS = tuple((mark.encode(), f"\\u{ord(mark):04x}".encode()) for mark in "\u2028\u2029\x85")


class Shards:
    """The files of one split of one table.

    Args:
        folder: the export's folder.
        table: the table.
        split: its split.
        jsonl: write a JSONL copy beside each Parquet file.

    At least one file is written, so that an empty split still has its columns.
    """

    def __init__(self, folder: Path, table: Table, split: Split, *, jsonl: bool) -> None:
        (folder / table.name).mkdir(exist_ok=True)
        self.rows = 0
        self.files: list[File] = []
        self._folder = folder
        self._table = table
        self._split = split
        self._jsonl = jsonl
        self._pending: list[Row] = []
        self._open()

    def extend(self, rows: Iterable[Row]) -> None:
        """Add rows, writing full row groups as they fill."""
        for row in rows:
            if self._in_shard == SHARD:
                self._close()
                self._open()
            self._pending.append(row)
            self._in_shard += 1
            if len(self._pending) == ROW_GROUP:
                self._flush()

    def close(self) -> list[File]:
        """Write what is pending and return the files, on disk and digested."""
        self._close()
        return self.files

    def _open(self) -> None:
        stem = self._folder / self._table.name / f"{self._split}-{len(self.files) // (1 + self._jsonl):05d}"
        self._parquet = pq.ParquetWriter(stem.with_suffix(".parquet"), self._table.schema, compression="zstd")
        self._lines: BinaryIO | None = None
        if self._jsonl:
            self._lines = stem.with_suffix(".jsonl").open("wb")
        self._stem = stem
        self._in_shard = 0

    def _flush(self) -> None:
        if self._pending:
            batch = pa.RecordBatch.from_pylist(self._pending, schema=self._table.schema)
            self._parquet.write_batch(batch, row_group_size=ROW_GROUP)
            if self._lines is not None:
                self._lines.writelines(line(row) for row in self._pending)
            self._pending.clear()

    def _close(self) -> None:
        self._flush()
        self._parquet.close()
        self.rows += self._in_shard
        written = [self._stem.with_suffix(".parquet")]
        if self._lines is not None:
            self._lines.close()
            written.append(self._stem.with_suffix(".jsonl"))
        self.files += [sealed(path, self._folder, rows=self._in_shard) for path in written]


def line(row: Row) -> bytes:
    """Return one JSONL line; U+2028, U+2029 and U+0085 are escaped, for ``str.splitlines`` cuts at them."""
    text = pydantic_core.to_json(row)
    for mark, escape in _CUTS:
        text = text.replace(mark, escape)
    return text + b"\n"


def sealed(path: Path, folder: Path, *, rows: int | None) -> File:
    """Force a finished file to disk and digest it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    return File(path=path.relative_to(folder).as_posix(), sha256=sha256, bytes=size, rows=rows)


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``out`` when the block ends well.

    A reader sees the old folder or the new one. A process killed between the two renames leaves the
    old folder under a hidden name, and the next export puts it back first.

    Raises:
        InputError: ``out`` holds something no export wrote.
    """
    out = out.resolve()
    partial, old = (out.with_name(f".{out.name}.{state}") for state in ("partial", "old"))
    out.parent.mkdir(parents=True, exist_ok=True)
    _recover(out, old)
    _check_ours(out)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for folder in (partial, *(one for one in partial.rglob("*") if one.is_dir())):
            _sync(folder)
        if out.exists():
            out.rename(old)
        partial.rename(out)
        _sync(out.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _recover(out: Path, old: Path) -> None:
    if not old.exists():
        return
    if out.exists():
        shutil.rmtree(old)
    else:
        old.rename(out)


def _check_ours(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError("a file stands here; name a folder with --out", path=out)
    written = _written(out) if (out / MANIFEST).is_file() else set()
    found = (one.relative_to(out).as_posix() for one in out.rglob("*") if not one.is_dir())
    strange = min((path for path in found if path not in written), default=None)
    if strange is not None:
        raise InputError(
            f"holds {strange!r}, which no export wrote; an export replaces its folder, so move that file"
            " away or name another folder with --out",
            path=out,
        )


class _Listing(BaseModel):
    """What a manifest of any version says about its folder."""

    rlaif: str
    files: list[_Listed]


class _Listed(BaseModel):
    path: str


def _written(out: Path) -> set[str]:
    try:
        listing = _Listing.model_validate_json((out / MANIFEST).read_bytes())
    except ValidationError as error:
        raise InputError(
            f"is not a manifest of an export ({error.error_count()} faults); name another folder with --out",
            path=out / MANIFEST,
        ) from None
    return {MANIFEST, *(one.path for one in listing.files)}


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
