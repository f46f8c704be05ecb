"""Which file a checkpoint left behind and what is in it, so that opening it again need not read it all.

Owns the small file beside a store, ``store.duckdb.seal``. It names the store by what no later write leaves
as it was: its place on disk, its size, and when it was written to and changed. While the file is still that
one, its rows are those that were counted, and only what the log adds is new. A file that anybody has written
to, copied or restored is another one, and a seal that is missing, garbled or of another file is no seal:
then everything is read. Leaves deciding what to read to ``recovery``.

What a seal cannot see is a disk that changes bytes by itself. DuckDB's checksums do, when a block is read.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

from rlaif.store.tallies import Tallies, from_json, to_json

TICK_SECONDS: Final = 0.012
"""Writes further apart than this have different times, where times are finer than a second."""


def read(path: Path) -> Tallies | None:
    """What the tables of the store at ``path`` held when it was sealed; None if it is not that file."""
    try:
        check, _, told = _path(path).read_bytes().partition(b" ")
        if check != b"%08x" % crc32(told):
            return None
        sealed = json.loads(told)
        return from_json(sealed["tallies"]) if sealed["file"] == _identity(path) else None
    except OSError:  # no seal, or no store
        return None


def write(path: Path, tallies: Tallies) -> None:
    """Seal a store that has just been checkpointed: no log is left, and nobody writes to it meanwhile.

    The store is not opened for it, for closing a file drops the locks that DuckDB has on it. A seal that
    cannot be written costs the next opening its time and nothing else, so that goes unsaid.
    """
    with suppress(OSError):
        # A later write in the same tick of the clock would leave the times as they are.
        time.sleep(min(TICK_SECONDS, max(0.0, TICK_SECONDS - (time.time() - path.stat().st_ctime))))
        identity = _identity(path)
        if identity[-1] % 1_000_000_000 == 0:  # this file system counts whole seconds
            return
        told = json.dumps({"file": identity, "tallies": to_json(tallies)}).encode()
        partial = _path(path).with_name(f"{path.name}.seal.partial")
        partial.write_bytes(b"%08x %s" % (crc32(told), told))
        partial.replace(_path(path))


def _path(path: Path) -> Path:
    return path.with_name(f"{path.name}.seal")


def _identity(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
