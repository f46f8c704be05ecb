"""Reads that many share: one at a time, none past a change, none too old."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from rlaif.service.sharing import Moment, Readings


@dataclass
class World:
    """Readers of a number that counts how often it was read, with a clock and events set by hand."""

    clock: float = 0.0
    changes: int = 0
    stored: int = 0
    busy: bool = False
    reads: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        now = lambda: Moment(self.changes, self.stored, self.busy)  # noqa: E731
        self.readings = Readings(now, lambda: self.clock)

    def read(self) -> int:
        self.reads += 1
        found = self.reads
        assert self.gate.wait(10)
        return found

    async def get(self, name: str = "a") -> Any:
        return await self.readings.get(name, self.read)


async def test_fifty_at_once_share_one_read():
    world = World()
    assert await asyncio.gather(*(world.get() for _ in range(50))) == [1] * 50


async def test_names_are_told_apart():
    world = World()
    assert [await world.get("a"), await world.get("b"), await world.get("a")] == [1, 2, 1]


async def test_nothing_is_shown_past_a_change():
    world = World(busy=True)
    assert await world.get() == 1
    world.changes += 1
    assert await world.get() == 2


async def test_one_that_began_before_a_change_is_not_shown_after_it():
    world = World()
    world.gate.clear()
    early = asyncio.create_task(world.get())
    await asyncio.sleep(0.01)
    world.changes += 1
    late = asyncio.create_task(world.get())
    await asyncio.sleep(0.01)
    world.gate.set()
    assert [await early, await late] == [1, 2]


@pytest.mark.parametrize(("busy", "shown"), [(False, 2), (True, 1)])
async def test_what_is_stored_counts_at_once_unless_a_job_runs(busy: bool, shown: int):
    world = World(busy=busy)
    await world.get()
    world.stored += 1
    assert await world.get() == shown


async def test_after_a_second_it_is_read_anew_and_nobody_waits():
    world = World(busy=True)
    await world.get()
    world.clock = 1.0
    world.gate.clear()
    assert await asyncio.wait_for(world.get(), 1) == 1  # the second read has begun and hangs
    assert await asyncio.wait_for(world.get(), 1) == 1
    world.gate.set()
    await asyncio.sleep(0.05)
    assert await world.get() == 2
    assert world.reads == 2


async def test_after_two_seconds_nothing_is_shown_again():
    world = World(busy=True)
    await world.get()
    world.clock = 2.0
    assert await world.get() == 2


async def test_a_failed_read_is_for_those_who_waited_and_no_one_else():
    world = World()

    def fail() -> int:
        raise ValueError("no")

    for one in await asyncio.gather(
        *(world.readings.get("a", fail) for _ in range(3)), return_exceptions=True
    ):
        assert isinstance(one, ValueError)
    assert await world.get() == 1


async def test_one_who_goes_away_takes_nothing_from_the_others():
    world = World()
    world.gate.clear()
    first, second = asyncio.create_task(world.get()), asyncio.create_task(world.get())
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    world.gate.set()
    assert await second == 1


async def test_only_so_many_are_kept():
    world = World()
    for number in range(65):
        await world.get(str(number))
    assert await world.get("64") == 65
    assert await world.get("0") == 66
