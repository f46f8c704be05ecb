"""The machine's side: everything under ``/v1``, and health.

Owns the list of its rooms; each room has the routes of one kind of thing and the models they speak.
"""

from __future__ import annotations

from typing import Final

from rlaif.service.api import health
from rlaif.service.routes import Route

ROUTES: Final[tuple[Route, ...]] = (*health.ROUTES,)
