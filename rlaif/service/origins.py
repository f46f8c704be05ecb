"""Where a request comes from: which Host names this service goes by, and whose page sent it.

Owns the allow-list against DNS rebinding (a foreign name that resolves to this machine), and what
``Origin`` and ``Sec-Fetch-*`` say (https://fetch.spec.whatwg.org/#origin-header,
https://www.w3.org/TR/fetch-metadata/). Leaves keys to ``access``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from rlaif.service.problems import Problem

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""What a form of any page in the world can send without being asked first (fetch, CORS-safelisted)."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address to listen on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Names:
    """The names a service goes by."""

    allowed: tuple[str, ...] = ()
    """Names besides those of the loopback, with or without a port, as the operator gave them."""

    def check(self, request: web.Request) -> None:
        """Refuse a request for another name.

        Raises:
            Problem: 403.
        """
        given = request.headers.getall(hdrs.HOST, [])
        known = self._known(_port(request))
        if len(given) != 1 or given[0].lower() not in known:
            found = ", ".join(map(repr, given)) or "none"
            raise Problem(
                403,
                f"the Host header names {found}; this service answers to {', '.join(sorted(known))}"
                " (another name: rlaif serve --allow-host NAME)",
            )

    def _known(self, port: int) -> frozenset[str]:
        names = {f"{name}:{port}" for name in LOOPBACK} | {one.lower() for one in self.allowed}
        if port == 80:
            names |= set(LOOPBACK)
        return frozenset(names)


def check_origin(request: web.Request, *, page: bool) -> None:
    """Refuse what another site's page sends, with a key or without.

    A link followed to one of our pages is no such thing: it shows the page to its reader alone.

    Args:
        request: as it came.
        page: whether the route is a page for people.

    Raises:
        Problem: 403.
    """
    origins = request.headers.getall(hdrs.ORIGIN, [])
    if len(origins) > 1 or (origins and not _own(origins[0], request)):
        raise Problem(403, f"a page of {_shown(origins)} may not call this service; only its own may")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in ("same-origin", "none") and not (page and _followed(request)):
        raise Problem(403, f"a {_shown([site])} page may not call this service; only its own may")


def proves_own(request: web.Request) -> bool:
    """Whether the request says, as only a browser can, that our own page sent it."""
    return hdrs.ORIGIN in request.headers or request.headers.get("Sec-Fetch-Site") == "same-origin"


def from_program(request: web.Request) -> bool:
    """Whether no browser's page can have sent the request: nothing of a browser, and no form's body."""
    if hdrs.ORIGIN in request.headers or any(name.startswith("Sec-Fetch-") for name in request.headers):
        return False
    if hdrs.CONTENT_TYPE not in request.headers:
        return not request.body_exists
    return request.content_type not in _FORMS


def over_tls(request: web.Request) -> bool:
    """Whether the browser's side is HTTPS, behind a proxy that ends it."""
    return request.headers.get(hdrs.ORIGIN, "").startswith("https://")


def _own(origin: str, request: web.Request) -> bool:
    """An origin is ours if it names the host the request was sent to."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    host = request.headers.get(hdrs.HOST, "").lower()
    return parts.scheme in ("http", "https") and origin.lower() == f"{parts.scheme}://{host}" and bool(host)


def _followed(request: web.Request) -> bool:
    """Whether a person followed a link, or typed an address."""
    headers = request.headers
    return (
        request.method in (hdrs.METH_GET, hdrs.METH_HEAD)
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )


def _port(request: web.Request) -> int:
    where = request.transport.get_extra_info("sockname") if request.transport else None
    return int(where[1]) if where else 0


def _shown(values: Sequence[str]) -> str:
    return ", ".join(repr(one[:100]) for one in values)
