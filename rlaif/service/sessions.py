"""Browser sessions: a key shown once at login stands behind a random cookie from then on.

Owns sessions, which live in memory and end with the process, and the token that every form of a page
carries. Leaves who may do what to ``access``.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

HOURS: Final = 12
"""A session ends this long after login."""
MOST: Final = 1_000
"""Sessions at a time; the oldest gives way."""
TOKEN_FIELD: Final = "csrf"  # noqa: S105 - a name
"""Hidden field of every form that changes something."""
TOKEN_HEADER: Final = "X-CSRF-Token"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Session:
    """One login."""

    id: str
    """Digest of the cookie."""
    key_id: str
    """The key it was opened with; the session can do what the key can, for as long."""
    ends: float
    """On the clock of the sessions."""


class Sessions:
    """The sessions of one process; used from one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._open: dict[str, Session] = {}  # oldest first

    def begin(self, key_id: str) -> str:
        """Open a session and return its cookie's value."""
        cookie = secrets.token_urlsafe(32)
        while len(self._open) >= MOST:
            del self._open[next(iter(self._open))]
        session = Session(_digest(cookie), key_id, self._clock() + HOURS * 3600)
        self._open[session.id] = session
        return cookie

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie, unless it has ended."""
        session = self._open.get(_digest(cookie))
        if session is not None and self._clock() >= session.ends:
            del self._open[session.id]
            return None
        return session

    def end(self, cookie: str) -> None:
        """Close a session; one that is not open needs no closing."""
        self._open.pop(_digest(cookie), None)

    def token(self, session: Session | None) -> str:
        """The token of a session's forms; one for all callers on the loopback that have none."""
        about = "" if session is None else session.id
        return hmac.new(self._secret, about.encode(), hashlib.sha256).hexdigest()

    def proves(self, token: str, session: Session | None) -> bool:
        """Whether a token came from a page of ours."""
        given = token.encode("utf-8", "surrogateescape")  # a header may hold any bytes
        return hmac.compare_digest(given, self.token(session).encode())


def cookie_name(request: web.Request) -> str:
    """Name of the cookie: cookies are not kept apart by port, and two services may run on one machine."""
    where = request.transport.get_extra_info("sockname") if request.transport else None
    return f"rlaif_{where[1]}" if where else "rlaif"


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
