"""What happens in the service, told live to any number of watchers as server-sent events.

Owns numbering, the short memory that ``Last-Event-ID`` reads from, and the wire form (WHATWG HTML, 9.2).
Leaves what is worth telling to whoever publishes.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

MEMORY: Final = 2_000
"""Events kept for watchers that come back."""
WAITING: Final = 500
"""Events one watcher may lag behind; then it is told to start afresh."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    number: int
    """Counts from 1 since the service started."""
    topic: str
    """What it is about, e.g. ``job/NAME-0123456789``."""
    name: str
    """What happened: the ``event`` field."""
    data: str
    """JSON on one line."""


@dataclass(slots=True, eq=False)
class Watcher:
    """One open stream's share of what happens."""

    topics: frozenset[str]
    """Topics wanted; empty for all."""
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(WAITING + 1))
    """What is to be told; None ends the stream."""
    lost: bool = False
    """It fell too far behind: events are missing, and it should read the state anew."""

    def offer(self, event: Event) -> None:
        """Put an event before this watcher, unless it is about something else."""
        if self.topics and event.topic not in self.topics:
            return
        if self.queue.qsize() >= WAITING:
            self.lost = True
            return
        self.queue.put_nowait(event)


class Hub:
    """Takes events from one side and gives them to every watcher; used from one event loop."""

    def __init__(self) -> None:
        self._run = secrets.token_hex(4)  # ids of another run of the service mean nothing here
        self._number = 0
        self._memory: deque[Event] = deque(maxlen=MEMORY)
        self._watchers: set[Watcher] = set()
        self._closed = False
        self.told: Counter[str] = Counter()
        """Events so far by name."""

    @property
    def watchers(self) -> int:
        """Open streams."""
        return len(self._watchers)

    def publish(self, topic: str, name: str, data: Mapping[str, object]) -> None:
        """Tell all watchers of a topic."""
        self._number += 1
        self.told[name] += 1
        event = Event(self._number, topic, name, json.dumps(data, separators=(",", ":")))
        self._memory.append(event)
        for watcher in self._watchers:
            watcher.offer(event)

    @contextmanager
    def watching(self, topics: frozenset[str] = frozenset(), last_id: str = "") -> Iterator[Watcher]:
        """Listen for the length of a block.

        Args:
            topics: topics wanted; empty for all.
            last_id: the ``Last-Event-ID`` a watcher came back with; what it missed is queued, and it is
                marked ``lost`` where that is no longer known.
        """
        watcher = Watcher(topics)
        missed = self._since(last_id)
        watcher.lost = missed is None
        for event in missed or ():
            watcher.offer(event)
        if self._closed:
            watcher.queue.put_nowait(None)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """End every stream, now and from now on."""
        self._closed = True
        for watcher in self._watchers:
            if watcher.queue.qsize() <= WAITING:
                watcher.queue.put_nowait(None)

    def frame(self, event: Event) -> bytes:
        """The event on the wire."""
        return f"id: {self._run}-{event.number}\nevent: {event.name}\ndata: {event.data}\n\n".encode()

    def mark(self) -> bytes:
        """An id on its own, of what happened last: a stream that begins with it misses nothing from here."""
        return f"id: {self._run}-{self._number}\n\n".encode()

    def _since(self, last_id: str) -> list[Event] | None:
        """What happened after an id; None where it cannot be told."""
        if not last_id:
            return []
        run, _, number = last_id.partition("-")
        if run != self._run or not number.isdecimal():
            return None
        first = self._memory[0].number if self._memory else self._number + 1
        if int(number) + 1 < first or int(number) > self._number:
            return None
        return [one for one in self._memory if one.number > int(number)]
