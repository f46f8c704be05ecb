"""``rlaif keys``: make, list and revoke the keys of an output folder's service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rlaif.cli import console
from rlaif.cli.data import StoreOption
from rlaif.cli.make import Json
from rlaif.errors import InputError
from rlaif.records import KeyScope

if TYPE_CHECKING:
    from rlaif.service.keys import Keyring, KeyView

T = TypeVar("T")

app = typer.Typer(help="Make, list and revoke keys of the service.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", help="Who or what holds it.")],
    scope: Annotated[
        str, typer.Option("--scope", help="read (look), run (look and spend) or admin (everything).")
    ] = "read",
    days: Annotated[
        float | None,
        typer.Option("--days", min=0.01, max=3650.0, help="Days until it expires; default: never."),
    ] = None,
    store: Annotated[
        Path, typer.Option("--store", metavar="DIR", help="Output folder; made where there is none.")
    ] = Path("outputs/service"),
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    wanted = _scope(scope)
    if not name.strip() or len(name) > 100:
        raise InputError(f"{name[:100]!r} is no name; give 1 to 100 characters", field="--name")
    key, about = _with(store, lambda keyring: keyring.create(name.strip(), wanted, days))
    if as_json:
        console.emit_json({"key": key, "about": about})
        return
    console.say(f"the key {about.name!r} may {about.scope}; it is shown this once:")
    console.emit(key)


@app.command("list")
def list_keys(store: StoreOption = None, as_json: Json = False) -> None:
    """List keys, without the keys themselves."""
    from rlaif.pipeline import find_folder

    async def read(keyring: Keyring) -> tuple[KeyView, ...]:
        return keyring.views()

    views = _with(find_folder(store), read)
    if as_json:
        console.emit_json(views)
        return
    if not views:
        console.say("no keys yet; make one with: rlaif keys create --name NAME --scope run")
        return
    head = ("id", "name", "begins with", "scope", "good", "made (UTC)", "expires", "last used")
    console.table(head, [_row(one) for one in views], whole=1)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Of the key, as listed.")],
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Refuse a key from now on."""
    from rlaif.pipeline import find_folder

    about = _with(find_folder(store), lambda keyring: keyring.revoke(key_id))
    if as_json:
        console.emit_json(about)
    else:
        console.say(f"the key {about.name!r} opens nothing any more")


def _with(folder: Path, act: Callable[[Keyring], Awaitable[T]]) -> T:
    """Do something with the keys of a folder.

    Raises:
        StoreError: a service owns the folder.
    """
    from rlaif.pipeline import opened
    from rlaif.service.keys import Keyring

    async def run() -> T:
        async with opened(folder) as workspace:
            return await act(Keyring(workspace))

    return asyncio.run(run())


def _scope(text: str) -> KeyScope:
    match text:
        case "read" | "run" | "admin":
            return text
        case _:
            raise InputError(f"{text!r} is no scope; allowed: read, run, admin", field="--scope")


def _row(view: KeyView) -> tuple[object, ...]:
    good = "yes" if view.good else "revoked" if view.revoked_at else "expired"
    return (
        view.id, view.name, view.prefix, view.scope, good, view.created_at[:16], view.expires_at or "never",
        view.last_used_on or "never",
    )  # fmt: skip
