"""Files that are there whole or not at all, whenever the process or the machine stops.

Owns the one way to write such a file. Leaves what stands in it to its writers, and places that only grow,
such as the journal, to their owners.
"""

from __future__ import annotations

import os
from pathlib import Path


def put(path: Path, text: str) -> None:
    """Write a text as UTF-8 beside its place, bring it to the disk, and move it there.

    Args:
        path: the file; its folder is made, a file that is there is replaced.
        text: all of it, line ends as they are.

    Raises:
        OSError: the disk is full or refuses writes; the file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
