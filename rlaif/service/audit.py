"""Who changed what: one line for every request that changes something.

Owns ``audit.jsonl`` in the output folder and the same line in the log. A line holds an address and names,
never a body, a query or a key.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from rlaif.service.routes import Caller, Route

log = logging.getLogger(__name__)

FILE: Final = "audit.jsonl"


def note(
    folder: Path, request: web.Request, route: Route, caller: Caller, reply: object, status: int
) -> None:
    """Write the line of a request that was answered, if it is one that changes something.

    Args:
        folder: the output folder.
        request: as it came.
        route: the route it took.
        caller: who asked.
        reply: what the handler made; its ``id`` says what was made.
        status: of the reply.
    """
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
        return
    made = getattr(reply, "id", None)
    line = json.dumps(
        {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "caller": caller.name,
            "key": caller.key_id,
            "what": route.summary,
            "method": request.method,
            "path": request.path,
            "id": made if isinstance(made, str) else None,
            "status": status,
        }
    )
    log.info("%s", line)
    try:
        with (folder / FILE).open("a") as file:
            file.write(line + "\n")
    except OSError as error:  # what was asked for is done; a full disk is said where it stops something
        log.warning("%s could not be written (%s): %s", folder / FILE, error.strerror, line)
