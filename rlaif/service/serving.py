"""One process that serves one folder until it is told to stop.

Owns opening and closing the folder, the socket and the signals. Leaves requests to ``app``.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from rlaif.errors import InputError
from rlaif.pipeline import opened
from rlaif.service.access import Guard
from rlaif.service.app import build_app
from rlaif.service.context import Service
from rlaif.settings import Settings

PORT: Final = 7585
CLOSING_SECONDS: Final = 2.0
"""Given to open streams and replies when the service stops."""


@asynccontextmanager
async def serving(folder: Path, settings: Settings, *, host: str, port: int) -> AsyncIterator[str]:
    """Serve a folder for the length of a block; yields the service's address.

    Raises:
        InputError: the port is taken or the host is not this machine's.
        StoreError: another process uses the folder.
    """
    async with opened(folder) as workspace:
        service = Service(workspace, settings)
        runner = web.AppRunner(build_app(service, Guard()), access_log=None, handle_signals=False)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, shutdown_timeout=CLOSING_SECONDS)
            try:
                await site.start()
            except OSError as error:
                raise InputError(
                    f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
                ) from None
            bound = runner.addresses[0][1]
            yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        finally:
            await runner.cleanup()


async def serve(
    folder: Path, settings: Settings, *, host: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve a folder until SIGINT or SIGTERM.

    Args:
        folder: the output folder; made where there is none.
        settings: keys, servers and prices.
        host: address to listen on.
        port: TCP port; 0 for any that is free.
        ready: told the service's address once it answers.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serving(folder, settings, host=host, port=port) as address:
        ready(address)
        await stopped.wait()
