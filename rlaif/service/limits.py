"""How much one caller, and all together, may ask for at a time.

Owns the counting of requests, streams and uploads in progress, and the 429 for one too many. Leaves sizes
to ``bodies`` and money to the jobs' budgets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from rlaif.service.problems import Problem
from rlaif.service.routes import Caller, Route

STREAM: Final = "text/event-stream"
UPLOAD: Final = 2**20
"""Bytes from which a body counts as an upload, as does one of unknown length."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most of each at a time."""

    requests: int = 256
    """Requests being answered."""
    streams: int = 512
    """Open streams of events."""
    uploads: int = 2
    """Uploads of one caller."""


@dataclass(slots=True)
class Turnstile:
    """Counts what is in progress; used from one event loop."""

    bounds: Bounds = Bounds()
    """Most of each."""
    inside: Counter[str] = field(default_factory=Counter)
    """In progress, by what is counted."""

    @contextmanager
    def passing(self, route: Route) -> Iterator[None]:
        """Count a request for as long as it is answered.

        Raises:
            Problem: 429 when as many are in progress as may be.
        """
        if route.media == STREAM:
            with self._counted("streams", self.bounds.streams):
                yield
        else:
            with self._counted("requests", self.bounds.requests):
                yield

    @contextmanager
    def uploading(self, request: web.Request, caller: Caller) -> Iterator[None]:
        """Count an upload of a caller, unless the body is a small one.

        Raises:
            Problem: 429 when the caller has as many in progress as may be.
        """
        length = request.content_length
        large = request.body_exists and (length is None or length > UPLOAD)
        with ExitStack() as stack:
            if large:
                name = f"uploads of {caller.key_id or caller.name}"
                stack.enter_context(self._counted(name, self.bounds.uploads))
            yield

    @contextmanager
    def _counted(self, what: str, most: int) -> Iterator[None]:
        if self.inside[what] >= most:
            raise Problem(
                429,
                f"{most} {what.partition(' ')[0]} are in progress, the most at a time; try again in a second",
                headers={"Retry-After": "1"},
            )
        self.inside[what] += 1
        try:
            yield
        finally:
            self.inside[what] -= 1
            if not self.inside[what]:
                del self.inside[what]
