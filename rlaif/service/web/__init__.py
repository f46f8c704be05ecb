"""The people's side: pages, rendered on the server.

Owns the list of its rooms; each room has one group of pages: what they show as plain data (``view_*``,
which the static bundle uses too) and the routes that render it.
"""

from __future__ import annotations

from typing import Final

from rlaif.service.routes import Route
from rlaif.service.web import (
    constitutions,
    datasets,
    docs,
    health,
    jobs,
    keys,
    login,
    overoptimisation,
    preferences,
    scorecards,
    static,
    training,
)
from rlaif.service.web.login import login_page
from rlaif.service.web.render import problem_page

__all__ = ["ROUTES", "login_page", "problem_page"]

ROUTES: Final[tuple[Route, ...]] = (
    *static.ROUTES, *jobs.ROUTES, *health.ROUTES, *login.ROUTES, *keys.ROUTES, *docs.ROUTES,
    *constitutions.ROUTES, *scorecards.ROUTES, *training.ROUTES, *overoptimisation.ROUTES,
    *preferences.ROUTES, *datasets.ROUTES,
)  # fmt: skip
