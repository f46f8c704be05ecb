"""The journal's line format, and how a damaged segment is mended.

Owns one file at a time: what a whole line is, which lines are broken, what can be saved of them.
Leaves the meaning of entries to `journal`. Nothing here parses JSON except to read one entry back.

One entry is one line, ``CRC32HEX KIND KEY JSON``, where ``CRC32HEX`` is the CRC-32, in eight lower-case
hex digits, of everything after the space that follows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import pydantic_core

Span = tuple[int, int]
"""Start and end of a line in its file, the newline excluded."""

_KINDS: Final = frozenset((b"I ", b"R ", b"F ", b"C "))
# `{"` cannot stand unescaped inside a JSON string, so no model text can pose as an entry.
_START: Final = re.compile(rb'[0-9a-f]{8} [IRFC] [!-~]+ \{"')


@dataclass(frozen=True, slots=True)
class Repair:
    """What opening a journal found and mended."""

    torn_bytes: int = 0
    """Bytes of an unfinished last line, cut off; such an entry was never acknowledged."""
    damaged_lines: int = 0
    """Lines that failed their checksum and were moved aside."""
    moved_to: tuple[Path, ...] = ()
    """Files that now hold the damaged lines, verbatim."""

    def __add__(self, other: Repair) -> Repair:
        return Repair(
            self.torn_bytes + other.torn_bytes,
            self.damaged_lines + other.damaged_lines,
            self.moved_to + other.moved_to,
        )


def encode(kind: bytes, key: str, entry: Mapping[str, object]) -> bytes:
    """Make the line of an entry, newline included."""
    rest = b"%b %b %b" % (kind, key.encode(), pydantic_core.to_json(entry))
    return b"%08x %b\n" % (crc32(rest), rest)


def decode(line: bytes) -> tuple[str, dict[str, Any]]:
    """Key and JSON of a whole line."""
    _, _, key, body = line.split(b" ", 3)
    return key.decode(), pydantic_core.from_json(body)


def whole(line: bytes) -> bool:
    """Whether a line, newline excluded, is an entry as it was written."""
    return line[:9] == b"%08x " % crc32(memoryview(line)[9:]) and line[9:11] in _KINDS


def split(data: bytes) -> tuple[list[Span], list[Span]]:
    """Spans of the whole and of the broken lines; a last line without newline is broken."""
    sound: list[Span] = []
    broken: list[Span] = []
    view = memoryview(data)
    start, size, find = 0, len(data), data.find
    while start < size:
        end = find(b"\n", start)
        if end < 0:
            broken.append((start, size))
            break
        # `whole`, written out: a copy of every line would halve the speed of a scan.
        intact = data[start : start + 9] == b"%08x " % crc32(view[start + 9 : end])
        (sound if intact and data[start + 9 : start + 11] in _KINDS else broken).append((start, end))
        start = end + 1
    return sound, broken


def mend(path: Path, data: bytes, broken: list[Span], *, last: bool) -> tuple[bytes, Repair]:
    """Take the broken lines out of a segment, on disk and in memory.

    Args:
        path: the segment's file.
        data: its content.
        broken: spans found by `split`.
        last: the segment is the newest, where an open last line is a write cut short: it is dropped.

    Returns:
        The new content and what was done.
    """
    kept: list[bytes] = []
    moved: list[bytes] = []
    torn = at = 0
    for start, end in broken:
        entries = salvage(data[start:end])
        kept += [data[at:start], *(entry + b"\n" for entry in entries)]
        at = end + 1
        if last and end == len(data) and not entries:
            torn = end - start
        else:
            moved.append(data[start : end + 1])
    kept.append(data[at:])
    # Aside first: a crash in between leaves a copy too many, never one too few.
    files = (_set_aside(path, b"".join(moved)),) if moved else ()
    mended = b"".join(kept)
    replace(path, mended)
    return mended, Repair(torn, len(moved), files)


def salvage(span: bytes) -> list[bytes]:
    """Find entries that lie whole inside a broken span: a newline was lost, or zeros came before."""
    starts = [match.start() for match in _START.finditer(span)]
    found: list[bytes] = []
    for start, following in pairwise([*starts, len(span) + 1]):
        piece = span[start : following - 1]
        # A byte that took the place of the newline at the very end is no part of the entry.
        found += [line for line in (piece, piece[:-1]) if whole(line)][:1]
    return found


def _set_aside(path: Path, damaged: bytes) -> Path:
    """Write damaged lines to the first free ``NAME.damaged-N``."""
    number = 1
    while (target := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    replace(target, damaged)
    return target


def replace(path: Path, content: bytes) -> None:
    """Give a file new content in one step that a crash cannot split."""
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a new or renamed name in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
