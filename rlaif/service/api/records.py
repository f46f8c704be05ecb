"""Any record by its id, explained as ``rlaif show`` explains it.

Owns the route. Leaves the explaining to ``inspection``.
"""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

from rlaif import inspection
from rlaif.errors import InputError
from rlaif.records import Record
from rlaif.service.results import struck
from rlaif.service.routes import Call, Route


class Explained(Record):
    """A record and what a reader wants beside it."""

    data: JsonValue
    """The record's fields, and with them prompts, samples, clauses and calls it follows from."""


async def explain(call: Call) -> Explained:
    """Explain a record."""
    service, id = call.service, call.path["id"]
    try:
        tree = await service.look(lambda: inspection.explain(service.workspace, id))
    except InputError:
        raise call.missing("record", id, "/v1/preferences and /v1/jobs") from None
    return Explained(data=struck(tree, service.settings))


ROUTES: Final = (
    Route(
        method="GET", path="/v1/records/{id}", scope="read", handler=explain, reply=Explained,
        summary="Explain any record by its id: clause, judge, order, seed, raw calls",
    ),
)  # fmt: skip
