"""The page about the service itself.

Owns ``/health``.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from rlaif import inspection
from rlaif.service.context import Service
from rlaif.service.routes import Call, Route
from rlaif.service.web.render import page


def view_health(service: Service) -> dict[str, object]:
    """What the page shows."""
    return {"folder": str(service.folder), "facts": inspection.diagnose()}


async def health(call: Call) -> web.StreamResponse:
    """Show the page."""
    return page("health.html", await call.service.look(lambda: view_health(call.service)), here="/health")


ROUTES: Final = (
    Route(method="GET", path="/health", scope="read", handler=health, summary="Health", page=True),
)
