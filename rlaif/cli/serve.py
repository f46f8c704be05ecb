"""The verb that serves: ``serve``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli import console


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    app.command()(serve)


def serve(
    store: Annotated[
        Path, typer.Option("--store", metavar="DIR", help="Output folder to own and serve.")
    ] = Path("outputs/service"),
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for any free one.")] = 7585,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Another Host name to answer to, with its port."),
    ] = None,
    require_key: Annotated[
        bool, typer.Option("--require-key", help="Ask for a key on this machine too.")
    ] = False,
    training: Annotated[
        list[Path] | None,
        typer.Option("--training", metavar="DIR", help="Another folder of training runs to show."),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Hand in the quick start's job, to have something to watch.")
    ] = False,
) -> None:
    """Serve the API and the pages of one output folder."""
    from rlaif.service.serving import serve as serve_until_told
    from rlaif.service.serving import serving
    from rlaif.settings import Settings

    settings = Settings.load()
    named = (*settings.service.training, *map(str, training or ()))
    settings = settings.model_copy(
        update={"service": settings.service.model_copy(update={"training": named})}
    )

    def ready(address: str) -> None:
        console.say(f"serving {store} at {address} (stop with Ctrl-C)")

    service = serving(
        store,
        settings,
        host=host,
        port=port,
        allow_hosts=allow_host or (),
        require_key=require_key,
        demo=demo,
    )
    asyncio.run(serve_until_told(service, ready))
