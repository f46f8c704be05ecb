"""The parts one running service is made of, and their life from start to stop.

Owns which parts there are. Leaves what each does to its module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

from rlaif.service.desks import Desks
from rlaif.service.engine import Engine
from rlaif.service.events import Hub
from rlaif.service.keys import Keyring
from rlaif.service.metrics import Metrics
from rlaif.service.sessions import Sessions
from rlaif.service.sharing import Moment, Readings
from rlaif.service.trainings import Trainings
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
    sessions: Sessions = field(default_factory=Sessions)
    """Who is logged in."""
    metrics: Metrics = field(default_factory=Metrics)
    """What ``/metrics`` says."""
    engine: Engine = field(init=False)
    """The queue of jobs; reads how they stand when the application starts."""
    desks: Desks = field(init=False)
    """Judges that stand ready."""
    keyring: Keyring = field(init=False)
    """Keys given out."""
    exporting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a set is exported: no two exports write one folder at a time."""
    trainings: Trainings = field(init=False)
    """Training runs started from here."""
    changes: int = 0
    """Requests so far that may have changed something."""
    readings: Readings = field(init=False)
    """What was just read, for those who ask for the same."""

    def __post_init__(self) -> None:
        """Read what the folder keeps."""
        self.keyring = Keyring(self.workspace)
        self.engine = Engine(self.workspace, self.settings, self.hub)
        self.desks = Desks(self.workspace, self.settings)
        self.trainings = Trainings(self.workspace)
        self.readings = Readings(self._now)

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self.workspace.folder

    async def look(self, read: Callable[[], T], share: Hashable = None) -> T:
        """Run a read of the store on a thread: a query takes milliseconds, which others need not wait.

        Args:
            read: the read.
            share: names what many ask for, again and again: they share one read, see ``sharing``.

        Raises:
            StoreError: the store cannot be read.
        """
        return await (asyncio.to_thread(read) if share is None else self.readings.get(share, read))

    def _now(self) -> Moment:
        changes = self.changes, self.hub.told["state"]
        return Moment(changes, self.workspace.applied, bool(self.engine.running()))


SERVICE: Final = web.AppKey("service", Service)
