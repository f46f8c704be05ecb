"""Styles and scripts, served from the package under addresses that change with their content.

Owns which files there are. Everything is read once; nothing a caller names is opened.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Final

from aiohttp import web

from rlaif.service.routes import Call, Route

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@cache
def files() -> dict[str, tuple[bytes, str]]:
    """Content and type of every file by its name, e.g. ``page.css`` or ``htmx.min.js``."""
    folder = resources.files("rlaif.service.web") / "static"
    found = [*folder.iterdir(), *(folder / "vendor").iterdir()]
    named = {one.name: one for one in found if any(one.name.endswith(end) for end in _TYPES)}
    return {name: (one.read_bytes(), _TYPES["." + name.rpartition(".")[2]]) for name, one in named.items()}


@cache
def address(name: str) -> str:
    """Where a file is served; a changed file has a new address, so it may be kept for good."""
    content, _ = files()[name]
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


async def static(call: Call) -> web.StreamResponse:
    """Send one file."""
    found = files().get(call.path["name"])
    if found is None:
        raise call.missing("file", call.path["name"], "/docs")
    content, kind = found
    return web.Response(
        body=content,
        content_type=kind,
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


ROUTES: Final = (
    Route(
        method="GET", path="/static/{name}", scope="open", handler=static, summary="Styles and scripts",
        media="text/css", page=True,
    ),
)  # fmt: skip
