"""Logging in and out with a key, for browsers.

Owns ``/login`` and ``/logout`` and the page that stands where a key is missing. Leaves cookies' meaning to
``sessions``.
"""

from __future__ import annotations

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field, StringConstraints

from rlaif.records import Record
from rlaif.service.access import good_key
from rlaif.service.origins import over_tls
from rlaif.service.problems import Problem
from rlaif.service.routes import Call, Route
from rlaif.service.sessions import cookie_name
from rlaif.service.web.render import page

Address = Annotated[str, StringConstraints(pattern=r"^/([^/\\\s][^\\\s]*)?$", max_length=2_000)]
"""Where to go on: a page of this service and no other, so never ``//host``."""


class Arrival(Record):
    """Why somebody logs in."""

    next: Address = "/"
    """The page asked for."""


class Login(Record):
    """A key and where to go on."""

    key: str = Field(max_length=200)
    """A key of this service."""
    next: Address = "/"
    """The page asked for."""


def login_page(request: web.Request, problem: Problem) -> web.Response:
    """Ask for a key in the place of a page that needs one."""
    asked = request.path_qs if request.method == "GET" else "/"
    reply = page("login.html", {"problem": problem.details, "next": asked}, status=problem.status)
    reply.headers.update(problem.headers)
    return reply


async def ask(call: Call) -> web.StreamResponse:
    """Show the form."""
    return page("login.html", {"problem": None, "next": call.query(Arrival).next})


async def log_in(call: Call) -> web.StreamResponse:
    """Take a key and give a cookie."""
    given = call.body(Login)
    record = good_key(call.service.keyring, given.key.strip())
    reply = web.Response(status=303, headers={"Location": given.next})
    reply.set_cookie(
        cookie_name(call.request),
        call.service.sessions.begin(record.id),
        path="/",
        httponly=True,
        samesite="Strict",
        secure=over_tls(call.request),
    )
    return reply


async def log_out(call: Call) -> web.StreamResponse:
    """End the session."""
    name = cookie_name(call.request)
    call.service.sessions.end(call.request.cookies.get(name, ""))
    reply = web.Response(status=303, headers={"Location": "/login"})
    reply.del_cookie(name, path="/", httponly=True, samesite="Strict")
    return reply


ROUTES: Final = (
    Route(
        method="GET", path="/login", scope="open", handler=ask, query=Arrival, summary="Log in", page=True,
        media="text/html",
    ),
    Route(
        method="POST", path="/login", scope="open", handler=log_in, body=Login, summary="Log in", page=True,
        media="text/html", upload=2**14,
    ),
    Route(
        method="POST", path="/logout", scope="open", handler=log_out, summary="Log out", page=True,
        media="text/html", upload=2**14,
    ),
)  # fmt: skip
