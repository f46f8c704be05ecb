"""The page about the service itself: what it keeps, what is installed, what is worth a look.

Owns ``/health``. Leaves what is installed to ``inspection``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from rlaif import inspection
from rlaif.service.context import Service
from rlaif.service.routes import Call, Route
from rlaif.service.web.notices import Notice, notices
from rlaif.service.web.render import page


def view_health(service: Service) -> dict[str, Any]:
    """What the page shows."""
    facts = inspection.diagnose()
    disk = shutil.disk_usage(service.folder)
    return {
        "folder": str(service.folder),
        "notices": [*notices(service), *_keys(facts)],
        "kept": _kept(service.folder),
        "set_aside": _set_aside(service.folder),
        "rows": {name: tally.rows for name, tally in sorted(service.workspace.store.tallies.items())},
        "disk": {"free": disk.free, "total": disk.total, "share": disk.used / disk.total},
        "jobs": len(service.engine.entries),
        "running": len(service.engine.running()),
        "facts": facts,
    }


def _kept(folder: Path) -> dict[str, Any]:
    """Sizes in bytes, and when the write-ahead log was last moved into the store's file."""
    store, log = folder / "store.duckdb", folder / "store.duckdb.wal"
    segments = sorted((folder / "journal").glob("*.jsonl"))
    return {
        "journal": _bytes(segments),
        "segments": len(segments),
        "store": _bytes([store]),
        "log": _bytes([log]),
        "checkpoint": _changed(store),
    }


def _set_aside(folder: Path) -> list[dict[str, Any]]:
    """Files that were damaged: nothing reads them any more, a person may."""
    found = [*folder.glob("store.duckdb.damaged-*"), *(folder / "journal").glob("*.damaged-*")]
    return [{"name": one.name, "size": _bytes([one]), "at": _changed(one)} for one in sorted(found)]


def _keys(facts: dict[str, str]) -> list[Notice]:
    return [
        Notice("warn", f"{name} is not set: its models cannot be asked; export it and start again.")
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
        if facts.get(name) == "not set"
    ]


def _bytes(paths: Iterable[Path]) -> int:
    return sum(one.stat().st_size for one in paths if one.exists())


def _changed(path: Path) -> str | None:
    if not path.exists():
        return None
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")


async def health(call: Call) -> web.StreamResponse:
    """Show the page."""
    return page("health.html", await call.service.look(lambda: view_health(call.service)), here="/health")


ROUTES: Final = (
    Route(method="GET", path="/health", scope="read", handler=health, summary="Health", page=True),
)
