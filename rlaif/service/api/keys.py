"""Keys over HTTP: list, make, revoke.

Owns the routes under ``/v1/keys``. Leaves what a key is to ``rlaif.service.keys``.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from rlaif.records import KeyScope, Record
from rlaif.service.keys import KeyView
from rlaif.service.routes import Call, Route

KeyName = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
DAYS: Final = 3_650
"""Longest life of a key that expires at all."""


class Keys(Record):
    """Every key there is or was."""

    data: tuple[KeyView, ...]
    """The oldest first."""


class NewKey(Record):
    """What a key is to be."""

    name: KeyName
    """For people: who or what holds it."""
    scope: KeyScope = "read"
    """Most its holder may do: look, spend as well, or administer as well."""
    days: float | None = Field(default=None, gt=0.0, le=DAYS)
    """Days until it expires; null for never."""


class MadeKey(Record):
    """A key, shown this once."""

    id: str
    """Names it from now on."""
    key: str
    """The key itself: keep it, it is not known here any more."""
    about: KeyView
    """How it stands."""


async def list_keys(call: Call) -> Keys:
    """List keys, without the keys themselves."""
    return Keys(data=call.service.keyring.views())


async def create_key(call: Call) -> MadeKey:
    """Make a key. It is shown once; only its hash is kept."""
    wanted = call.body(NewKey)
    key, about = await call.service.keyring.create(wanted.name, wanted.scope, wanted.days)
    return MadeKey(id=about.id, key=key, about=about)


async def revoke_key(call: Call) -> KeyView:
    """Refuse a key, and the sessions opened with it, from now on."""
    if call.service.keyring.get(call.path["id"]) is None:
        raise call.missing("key", call.path["id"], "/v1/keys")
    return await call.service.keyring.revoke(call.path["id"])


ROUTES: Final = (
    Route(
        method="GET", path="/v1/keys", scope="admin", handler=list_keys, reply=Keys, summary="List keys"
    ),
    Route(
        method="POST", path="/v1/keys", scope="admin", handler=create_key, body=NewKey, reply=MadeKey,
        status=201, summary="Make a key", upload=2**16,
    ),
    Route(
        method="DELETE", path="/v1/keys/{id}", scope="admin", handler=revoke_key, reply=KeyView,
        summary="Revoke a key",
    ),
)  # fmt: skip
