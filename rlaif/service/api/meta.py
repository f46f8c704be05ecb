"""What the service says about itself to machines: readiness, metrics, its own description.

Owns ``/readyz``, ``/metrics`` and ``/openapi.json``. Leaves the names of metrics to ``metrics`` and the
document to ``openapi``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from rlaif.records import AccessKey, Record
from rlaif.service.context import Service
from rlaif.service.metrics import OUTCOMES, Reading
from rlaif.service.openapi import TABLE, document
from rlaif.service.problems import Problem
from rlaif.service.routes import Call, Route

LEAST_FREE: Final = 64 * 2**20
"""Bytes of disk below which no job should begin."""


class Ready(Record):
    """The service can take work."""

    store: str = "answers"
    """A query of the store was answered."""
    disk: str = "writable"
    """A file was written to the output folder and removed."""
    free_bytes: int
    """Left on its disk."""


async def ready(call: Call) -> Ready:
    """Ask the store something and write to the disk; 503 says what cannot be done."""
    return await call.service.look(lambda: check_ready(call.service))


def check_ready(service: Service) -> Ready:
    """Try what every job needs.

    Raises:
        StoreError: the store does not answer.
        OSError: the disk is full or refuses writes.
        Problem: 503 with too little room.
    """
    service.workspace.store.count(AccessKey)
    with tempfile.TemporaryFile(dir=service.folder) as file:
        file.write(b"ready")
        file.flush()
    free = shutil.disk_usage(service.folder).free
    if free < LEAST_FREE:
        raise Problem(503, f"{free / 2**20:.0f} MiB are free beside {service.folder}; make room")
    return Ready(free_bytes=free)


async def metrics(call: Call) -> web.Response:
    """Figures of requests, jobs, calls, money and sizes, in the text format of Prometheus."""
    reading = {**read_jobs(call.service), **await call.service.look(lambda: read_sizes(call.service))}
    return web.Response(
        body=call.service.metrics.exposition(reading), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


def read_jobs(service: Service) -> Reading:
    """What ``/metrics`` tells of jobs, on the loop they run on."""
    entries, calls, in_flight = service.engine.entries, service.metrics.calls, 0
    for entry in entries:
        if (said := service.engine.progress(entry.job_id)) is not None:
            calls.add(entry.job_id, entry.meter, {name: getattr(said, name) for name in OUTCOMES})
            in_flight += said.in_flight
    journal = service.workspace.journal
    return {
        "rlaif_jobs": Counter(one.state for one in entries),
        "rlaif_calls": calls.total(),
        "rlaif_calls_in_flight": in_flight,
        "rlaif_spent_usd": sum(journal.spend(one.job_id).settled for one in entries),
        "rlaif_watchers": service.hub.watchers,
    }


def read_sizes(service: Service) -> Reading:
    """What ``/metrics`` tells of files."""
    return {
        "rlaif_journal_bytes": _size(service.folder / "journal"),
        "rlaif_store_bytes": _size(service.workspace.store.path),
    }


async def openapi(call: Call) -> web.Response:
    """This document: every route, and every model it speaks."""
    body = json.dumps(document(call.request.app[TABLE])).encode()
    return web.Response(body=body, content_type="application/json")


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files if one.is_file())


ROUTES: Final = (
    Route(
        method="GET", path="/readyz", scope="open", handler=ready, reply=Ready, summary="Can it take work"
    ),
    Route(
        method="GET", path="/metrics", scope="read", handler=metrics, media="text/plain",
        summary="Figures for Prometheus",
    ),
    Route(
        method="GET", path="/openapi.json", scope="read", handler=openapi, summary="This document",
    ),
)  # fmt: skip
