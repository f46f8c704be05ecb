"""The machine's side: everything under ``/v1``, and health.

Owns the list of its rooms; each room has the routes of one kind of thing and the models they speak.
"""

from __future__ import annotations

from typing import Final

from rlaif.service.api import (
    audits,
    batches,
    constitutions,
    datasets,
    events,
    health,
    jobs,
    judgments,
    keys,
    labels,
    meta,
    preferences,
    providers,
    quotes,
    records,
    training,
)
from rlaif.service.routes import Route

ROUTES: Final[tuple[Route, ...]] = (
    *health.ROUTES, *jobs.ROUTES, *batches.ROUTES, *quotes.ROUTES,
    *records.ROUTES, *judgments.ROUTES, *events.ROUTES,
    *meta.ROUTES, *keys.ROUTES, *providers.ROUTES, *constitutions.ROUTES, *audits.ROUTES, *training.ROUTES,
    *datasets.ROUTES,
    *labels.ROUTES,
    *preferences.ROUTES,
)  # fmt: skip
