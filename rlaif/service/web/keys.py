"""The page of keys, providers and budgets.

Owns ``/keys``. Leaves keys to ``rlaif.service.keys``, providers to ``endpoints`` and money to the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from pydantic import Field, field_validator

from rlaif import inspection
from rlaif.records import KeyScope, Record, Submission
from rlaif.service.access import RANK
from rlaif.service.api.keys import DAYS, KeyName
from rlaif.service.api.providers import Asked
from rlaif.service.context import Service
from rlaif.service.endpoints import Endpoint, endpoints, reached
from rlaif.service.routes import Call, Route
from rlaif.service.web.render import page

SHOWN_JOBS: Final = 20
"""Jobs in the table of money, the dearest first."""


class KeyForm(Record):
    """The form of a new key."""

    name: KeyName
    """For people."""
    scope: KeyScope
    """Most its holder may do."""
    days: float | None = Field(default=None, gt=0.0, le=DAYS)
    """Days until it expires; empty for never."""

    @field_validator("days", mode="before")
    @classmethod
    def _never(cls, value: object) -> object:
        return None if value == "" else value


def view_keys(service: Service, known: Sequence[Endpoint]) -> dict[str, object]:
    """What the page shows: keys without the keys themselves, providers, and money by job."""
    caps = {one.job_id: one.budget for one in service.workspace.store.read(Submission, order="rowid")}
    jobs = [
        {
            "id": row["job_id"],
            "state": row["state"],
            "spent": row["spent_usd"],
            "cap": caps.get(str(row["job_id"])),
        }
        for row in inspection.list_jobs(service.workspace)
    ]
    jobs.sort(key=lambda one: -float(str(one["spent"])))
    return {
        "keys": service.keyring.views(),
        "providers": known,
        "jobs": jobs[:SHOWN_JOBS],
        "others": max(0, len(jobs) - SHOWN_JOBS),
        "spent": sum(float(str(one["spent"])) for one in jobs),
        "made": None,
    }


async def show(call: Call) -> web.StreamResponse:
    """Show the page; who may not administer sees no keys."""
    return await _page(call, probe=call.query(Asked).probe)


async def create(call: Call) -> web.StreamResponse:
    """Make a key and show it, this once."""
    wanted = call.body(KeyForm)
    key, about = await call.service.keyring.create(wanted.name, wanted.scope, wanted.days)
    return await _page(call, made={"key": key, "about": about})


async def revoke(call: Call) -> web.StreamResponse:
    """Revoke a key and show the page again."""
    if call.service.keyring.get(call.path["id"]) is None:
        raise call.missing("key", call.path["id"], "/keys")
    await call.service.keyring.revoke(call.path["id"])
    return web.Response(status=303, headers={"Location": "/keys"})


async def _page(call: Call, *, probe: bool = False, made: dict[str, object] | None = None) -> web.Response:
    known = endpoints(call.service.settings)
    if probe:
        known = await reached(known)
    data = await call.service.look(lambda: view_keys(call.service, known))
    admin = RANK[call.caller.scope] >= RANK["admin"]
    return page("keys.html", {**data, "admin": admin, "made": made, "probed": probe}, here="/keys")


ROUTES: Final = (
    Route(
        method="GET", path="/keys", scope="read", handler=show, query=Asked, media="text/html", page=True,
        summary="Keys, providers and budgets",
    ),
    Route(
        method="POST", path="/keys", scope="admin", handler=create, body=KeyForm, media="text/html",
        page=True, summary="Make a key", upload=2**14,
    ),
    Route(
        method="POST", path="/keys/{id}/revoke", scope="admin", handler=revoke, media="text/html", page=True,
        summary="Revoke a key",
    ),
)  # fmt: skip
