"""One process that serves one folder until it is told to stop.

Owns opening and closing the folder, the socket and the signals. Leaves requests to ``app``.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from rlaif.errors import InputError
from rlaif.pipeline import opened
from rlaif.service import demo as demonstration
from rlaif.service.access import Guard
from rlaif.service.app import build_app
from rlaif.service.context import Service
from rlaif.settings import Settings

PORT: Final = 7585
CLOSING_SECONDS: Final = 2.0
"""Given to open streams and replies when the service stops."""
LONGEST_HEADER: Final = 2**14
"""Bytes of a header; below it a header that is too long is refused with a sentence."""
LONGEST_ADDRESS: Final = 2**16
"""Bytes of a request's first line; likewise."""


@asynccontextmanager
async def serving(
    folder: Path,
    settings: Settings,
    *,
    host: str,
    port: int,
    allow_hosts: Sequence[str] = (),
    require_key: bool = False,
    demo: bool = False,
) -> AsyncIterator[str]:
    """Serve a folder for the length of a block; yields the service's address.

    Raises:
        InputError: the port is taken, the host is not this machine's, or others could call and there is
            no key yet.
        StoreError: another process uses the folder.
    """
    async with opened(folder) as workspace:
        service = Service(workspace, demonstration.with_mock(settings) if demo else settings)
        guard = Guard(
            service.keyring, service.sessions, host=host, allowed=allow_hosts, require_key=require_key
        )
        runner = web.AppRunner(
            build_app(service, guard),
            access_log=None,
            handle_signals=False,
            max_field_size=LONGEST_HEADER,
            max_line_size=LONGEST_ADDRESS,
            shutdown_timeout=CLOSING_SECONDS,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as error:
                raise InputError(
                    f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
                ) from None
            bound = runner.addresses[0][1]
            address = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
            workspace.announce(address)
            if demo:
                await demonstration.submit(service)
            yield address
        finally:
            await runner.cleanup()


async def serve(service: AbstractAsyncContextManager[str], ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        service: what ``serving`` gives.
        ready: told the service's address once it answers.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with service as address:
        ready(address)
        await stopped.wait()
