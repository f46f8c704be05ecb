"""The people's side: pages, rendered on the server.

Owns the list of its rooms; each room has one group of pages: what they show as plain data (``view_*``,
which the static bundle uses too) and the routes that render it.
"""

from __future__ import annotations

from typing import Final

from rlaif.service.routes import Route
from rlaif.service.web import health, static
from rlaif.service.web.render import problem_page

__all__ = ["ROUTES", "problem_page"]

ROUTES: Final[tuple[Route, ...]] = (*static.ROUTES, *health.ROUTES)
