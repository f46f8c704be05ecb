"""What the person who runs the service should know before anything else, in one line each.

Owns the sentences about a disk that fills up and a store that takes nothing more. Leaves the full picture
to the health page.
"""

from __future__ import annotations

import os
import shutil
from typing import Final, NamedTuple

from rlaif.service.context import Service
from rlaif.service.web.wording import size

SCARCE: Final = 2**30
"""Bytes free from which a filling disk is worth a line."""
FULL: Final = 64 * 2**20
"""Bytes free from which a job will soon fail."""


class Notice(NamedTuple):
    """One line."""

    kind: str
    """``bad`` or ``warn``."""
    sentence: str
    """What is so, and what to do."""


def notices(service: Service) -> list[Notice]:
    """What is worth a line now, worst first."""
    return sorted([*_disk(service), *_writing(service)])


def _disk(service: Service) -> list[Notice]:
    free = shutil.disk_usage(service.folder).free
    if free >= SCARCE:
        return []
    kind = "bad" if free < FULL else "warn"
    return [
        Notice(kind, f"{size(free)} are free where {service.folder} lies; make room before jobs stop there.")
    ]


def _writing(service: Service) -> list[Notice]:
    if os.access(service.folder, os.W_OK):
        return []
    return [Notice("bad", f"{service.folder} cannot be written; allow writing there, then resume the jobs.")]
