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
) -> None:
    """Serve the API and the pages of one output folder."""
    from rlaif.service.serving import serve as serve_folder
    from rlaif.settings import Settings

    def ready(address: str) -> None:
        console.say(f"serving {store} at {address} (stop with Ctrl-C)")

    asyncio.run(serve_folder(store, Settings.load(), host=host, port=port, ready=ready))
