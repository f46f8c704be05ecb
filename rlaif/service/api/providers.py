"""Providers over HTTP.

Owns ``/v1/providers``. Leaves the answers to ``endpoints``.
"""

from __future__ import annotations

from typing import Final

from rlaif.records import Record
from rlaif.service.endpoints import Endpoint, endpoints, reached
from rlaif.service.routes import Call, Route


class Asked(Record):
    """What to find out."""

    probe: bool = False
    """Whether to try a connection to each server; nothing is sent over it."""


class Providers(Record):
    """Where models can be asked."""

    data: tuple[Endpoint, ...]
    """Local models, then the operator's servers."""


async def providers(call: Call) -> Providers:
    """List the providers the operator has set up; there are no others for any caller."""
    known = endpoints(call.service.settings)
    return Providers(data=await reached(known) if call.query(Asked).probe else known)


ROUTES: Final = (
    Route(
        method="GET", path="/v1/providers", scope="read", handler=providers, query=Asked, reply=Providers,
        summary="List providers of models",
    ),
)  # fmt: skip
