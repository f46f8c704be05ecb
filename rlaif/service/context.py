"""The parts one running service is made of, and their life from start to stop.

Owns which parts there are. Leaves what each does to its module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

from rlaif.service.events import Hub
from rlaif.settings import Settings
from rlaif.store import Workspace

T = TypeVar("T")


@dataclass(slots=True)
class Service:
    """One output folder, owned and served."""

    workspace: Workspace
    """The folder's journal and store; nobody else writes there while the service runs."""
    settings: Settings
    """Keys, servers and prices: the operator's."""
    hub: Hub = field(default_factory=Hub)
    """What happens, told to whoever watches."""

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self.workspace.folder

    async def look(self, read: Callable[[], T]) -> T:
        """Run a read of the store on a thread: a query takes milliseconds, which others need not wait.

        Raises:
            StoreError: the store cannot be read.
        """
        return await asyncio.to_thread(read)


SERVICE: Final = web.AppKey("service", Service)
