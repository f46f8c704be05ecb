"""Is the service up, and what is it made of.

Owns ``/healthz`` and ``/v1/health``.
"""

from __future__ import annotations

from typing import Final

from rlaif import inspection
from rlaif.records import Record
from rlaif.service.routes import Call, Route


class Alive(Record):
    """The process answers."""

    status: str = "ok"
    """Always ``ok``: a process that is not does not answer."""


class Health(Record):
    """What is installed, configured and at hand."""

    folder: str
    """The output folder served."""
    facts: dict[str, str]
    """What ``rlaif doctor`` says."""


async def alive(_call: Call) -> Alive:
    """Answer."""
    return Alive()


async def health(call: Call) -> Health:
    """Say what ``rlaif doctor`` says."""
    facts = await call.service.look(inspection.diagnose)
    return Health(folder=str(call.service.folder), facts=facts)


ROUTES: Final = (
    Route(
        method="GET", path="/healthz", scope="open", handler=alive, reply=Alive, summary="Is the process up"
    ),
    Route(
        method="GET", path="/v1/health", scope="read", handler=health, reply=Health, summary="What is at hand"
    ),
)
