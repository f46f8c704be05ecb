"""Judges that stand ready: one that runs in this process is loaded once, not once a question.

Owns how long a judge stays open and how many questions are asked of paid ones at a time. Leaves asking to
``authoring.desk``.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from rlaif.authoring import Desk, Terms
from rlaif.authoring.desk import desk_in
from rlaif.judging import AnyJudge, build
from rlaif.pipeline.models import prices
from rlaif.records import digest
from rlaif.settings import Settings
from rlaif.store import Workspace

KEPT: Final = 4
"""Free judges kept open."""
PAID: Final = 32
"""Requests that have a paid judge open at a time: each has a cap, and so clients, of its own."""


@dataclass(slots=True)
class _Held:
    """A judge that is open."""

    desk: Desk
    stack: AsyncExitStack
    users: int = 0


class Desks:
    """Gives out judges over one workspace.

    Args:
        workspace: where calls are kept.
        settings: keys, servers and prices.
    """

    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        self._workspace = workspace
        self._settings = settings
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._opening = asyncio.Lock()  # invariant: a free judge is opened at most once
        self._paid = asyncio.Semaphore(PAID)

    @asynccontextmanager
    async def open(self, judge: AnyJudge, budget: float | None) -> AsyncIterator[Desk]:
        """Open a judge for one request.

        Args:
            judge: who judges.
            budget: most USD the request may spend; a judge that costs nothing needs none.

        Raises:
            InputError: an unusable judge, or one that costs while there is no budget.
            UnpricedError: no price is known for a model.
        """
        held = await self._free(judge)
        if held is None:
            async with self._paid, desk_in(*self._with(judge, budget)) as desk:
                yield desk
            return
        held.users += 1
        try:
            yield replace(held.desk, _kept=set())  # what is in the store already is looked up anew
        finally:
            held.users -= 1
            await self._shed()

    async def close(self) -> None:
        """Close every judge."""
        while self._held:
            await self._held.popitem()[1].stack.aclose()

    def _with(self, judge: AnyJudge, budget: float | None) -> tuple[Workspace, Settings, AnyJudge, Terms]:
        return self._workspace, self._settings, judge, Terms(budget, knob="'budget' in USD")

    async def _free(self, judge: AnyJudge) -> _Held | None:
        """The open judge; None for one that costs."""
        rates = prices(build(judge).models, self._settings, allow_unpriced=False)
        if any(one is None or one.input or one.output for one in rates.values()):
            return None
        name = digest("judge", judge)
        async with self._opening:
            if name not in self._held:
                stack = AsyncExitStack()
                desk = await stack.enter_async_context(desk_in(*self._with(judge, None)))
                self._held[name] = _Held(desk, stack)
            self._held.move_to_end(name)
            return self._held[name]

    async def _shed(self) -> None:
        for name in [name for name, one in self._held.items() if not one.users]:
            if len(self._held) <= KEPT:
                return
            await self._held.pop(name).stack.aclose()
