"""The table of all routes.

Owns their order and nothing else; each room below writes its own rows.
"""

from __future__ import annotations

from typing import Final

from rlaif.service import api, web
from rlaif.service.routes import Route

ROUTES: Final[tuple[Route, ...]] = (*api.ROUTES, *web.ROUTES)
