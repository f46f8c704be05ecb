"""What happens, live: server-sent events (WHATWG HTML, 9.2) of all jobs or of one.

Owns the stream on the wire: resuming by ``Last-Event-ID``, heartbeats, and ``lost`` where events are missing.
Leaves numbering and memory to ``service.events``, and what is told to whoever publishes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import web

from rlaif.service.events import Event, Hub, Watcher
from rlaif.service.limits import STREAM
from rlaif.service.routes import Call, Route

HEARTBEAT_SECONDS: Final = 15.0
"""After so long without an event a comment is sent, so that dead connections are noticed."""
STUCK_SECONDS: Final = 30.0
"""A reader that takes nothing for so long is let go; it may come back with its last id."""
_RETRY: Final = b"retry: 1000\n"
_HEARTBEAT: Final = b": still here\n\n"
_LOST: Final = b"event: lost\ndata: {}\n"


async def all_events(call: Call) -> web.StreamResponse:
    """Tell everything that happens."""
    return await _told(call, frozenset())


async def job_events(call: Call) -> web.StreamResponse:
    """Tell what happens to one job."""
    if call.service.engine.entry(call.path["id"]) is None:
        raise call.missing("job", call.path["id"], "/v1/jobs")
    return await _told(call, frozenset({f"job/{call.path['id']}"}))


async def _told(call: Call, topics: frozenset[str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type = STREAM
    hub, last = call.service.hub, call.request.headers.get("Last-Event-ID", "")[:100]
    with hub.watching(topics, last) as watcher:
        await response.prepare(call.request)
        first = _RETRY if last and not watcher.lost else _RETRY + hub.mark()
        # A reader that has gone, or takes nothing, is no error: it comes back or it does not.
        with suppress(ConnectionError, TimeoutError):
            await _sent(response, first)
            while await _next(response, hub, watcher):
                pass
    return response


async def _next(response: web.StreamResponse, hub: Hub, watcher: Watcher) -> bool:
    """Send what is there, or a heartbeat; False at the end of the stream."""
    if watcher.lost and watcher.queue.empty():
        watcher.lost = False
        await _sent(response, _LOST + hub.mark())
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            events: list[Event | None] = [await watcher.queue.get()]
    except TimeoutError:
        await _sent(response, _HEARTBEAT)
        return True
    while not watcher.queue.empty():
        events.append(watcher.queue.get_nowait())
    frames = b"".join(hub.frame(one) for one in events if one is not None)
    if frames:
        await _sent(response, frames)
    return None not in events


async def _sent(response: web.StreamResponse, content: bytes) -> None:
    async with asyncio.timeout(STUCK_SECONDS):
        await response.write(content)


ROUTES: Final = (
    Route(
        method="GET", path="/v1/events", scope="read", handler=all_events, media=STREAM,
        summary="What happens to all jobs, live",
    ),
    Route(
        method="GET", path="/v1/jobs/{id}/events", scope="read", handler=job_events, media=STREAM,
        summary="What happens to one job, live",
    ),
)  # fmt: skip
