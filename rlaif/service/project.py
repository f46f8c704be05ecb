"""Folders that come with the project, in a checkout or where an installation put them.

Owns where constitutions, training files and guides are found.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path


def project_folder(name: str) -> Path | None:
    """A folder that comes with the project, e.g. ``constitutions``; None where it is not installed."""
    beside = Path(__file__).parents[2] / name
    installed = Path(sysconfig.get_path("data")) / "share" / "rlaif" / name
    return next((path for path in (beside, installed) if path.is_dir()), None)
