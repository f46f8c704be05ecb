"""Who changed what, and who was refused: one line each.

Owns ``audit.jsonl`` in the output folder and the same lines in the log. There is a line for every request
that was answered and changes something, and for what is refused to a key: a change, or anything at all for
want of rights. A line holds an address and names, never a body, a query or a key. Of refusals so many of one
key are written at once, then one a minute, which says how many went unsaid before it: nobody fills a disk
with them. Used from one event loop.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from rlaif.service.routes import CALLER, Caller, Route

log = logging.getLogger(__name__)

FILE: Final = "audit.jsonl"
BURST: Final = 20
"""Refusals of one key that are written one after the other."""
SECONDS: Final = 60.0
"""After so long, one more is."""
LONGEST: Final = 200
"""Characters kept of a refused path."""
_LOOKS: Final = (hdrs.METH_GET, hdrs.METH_HEAD)
_RIGHTS: Final = (401, 403)


@dataclass(slots=True)
class _Allowance:
    """Lines a key may still be given."""

    left: float
    at: float
    unsaid: int = 0


@dataclass(slots=True)
class Log:
    """The log of one output folder."""

    folder: Path
    """The folder."""
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    _allowances: dict[str, _Allowance] = field(default_factory=dict)

    def note(self, request: web.Request, route: Route, caller: Caller, reply: object, status: int) -> None:
        """Write the line of a request that was answered, if it is one that changes something.

        Args:
            request: as it came.
            route: the route it took.
            caller: who asked.
            reply: what the handler made; its ``id`` says what was made.
            status: of the reply.
        """
        if request.method in _LOOKS:
            return
        made = getattr(reply, "id", None)
        self._write(
            {
                **_who(caller),
                "what": route.summary,
                "method": request.method,
                "path": request.path,
                "id": made if isinstance(made, str) else None,
                "status": status,
            }
        )

    def refuse(self, request: web.Request, status: int) -> None:
        """Write the line of a request that was refused to a key; without a key there is none.

        Args:
            request: as it came.
            status: of the reply; from 500 on it was no refusal.
        """
        caller = request.get(CALLER)
        if caller is None or caller.key_id is None:
            return
        if status >= 500 or (request.method in _LOOKS and status not in _RIGHTS):
            return
        unsaid = self._unsaid(caller.key_id)
        if unsaid is not None:
            path = request.path[:LONGEST]
            told = {"what": "refused", "method": request.method, "path": path, "id": None, "status": status}
            self._write({**_who(caller), **told, "unsaid": unsaid})

    def _unsaid(self, key_id: str) -> int | None:
        """How many refusals of a key went without a line before this one; None where this one does too."""
        now = self.clock()
        one = self._allowances.setdefault(key_id, _Allowance(BURST, now))
        one.left, one.at = min(BURST, one.left + (now - one.at) / SECONDS), now
        if one.left < 1:
            one.unsaid += 1
            return None
        one.left -= 1
        unsaid, one.unsaid = one.unsaid, 0
        return unsaid

    def _write(self, told: dict[str, object]) -> None:
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **told})
        log.info("%s", line)
        try:
            with (self.folder / FILE).open("a") as file:
                file.write(line + "\n")
        except OSError as error:  # what was asked for is done; a full disk is said where it stops something
            log.warning("%s could not be written (%s): %s", self.folder / FILE, error.strerror, line)


def _who(caller: Caller) -> dict[str, object]:
    return {"caller": caller.name, "key": caller.key_id}
