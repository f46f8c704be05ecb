"""From the table of routes to an application: admit, validate, call, reply.

Owns the order in which a request is dealt with. Leaves what a route does to its handler, and who may call
to ``access``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ValidationError

from rlaif.errors import RlaifError, keep_traceback
from rlaif.service.access import Guard
from rlaif.service.context import SERVICE, Service
from rlaif.service.problems import Problem, invalid, problem_of
from rlaif.service.routes import Call, Route
from rlaif.service.table import ROUTES
from rlaif.service.web import problem_page

log = logging.getLogger(__name__)

GUARD: Final = web.AppKey("guard", Guard)
POLICY: Final = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(service: Service, guard: Guard, routes: Sequence[Route] = ROUTES) -> web.Application:
    """Build the application that serves one folder.

    Args:
        service: the parts behind it.
        guard: who may call.
        routes: the table; every route has a scope, and nothing outside the table is served.
    """
    app = web.Application(middlewares=[_problems], client_max_size=max(one.upload for one in routes))
    app[SERVICE] = service
    app[GUARD] = guard
    for route in routes:
        app.router.add_route(route.method, route.path, _answering(route))
    app.on_response_prepare.append(_headed)
    return app


async def _headed(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def _problems(request: web.Request, handler: _Answer) -> web.StreamResponse:
    """Whatever goes wrong becomes a problem; the one place where a bug does."""
    try:
        return await handler(request)
    except Problem as problem:
        return _told(request, problem)
    except RlaifError as error:
        return _told(request, problem_of(error))
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        return _told(request, Problem(refusal.status, _refusal(request, refusal)))
    except OSError as error:
        return _told(
            request, Problem(503, f"{error.strerror or error}; make room or allow it, then try again")
        )
    except Exception as error:
        where = keep_traceback(error)
        log.exception("internal error, the traceback is in %s", where)
        return _told(request, Problem(500, f"internal error; the traceback is in {where} on the server"))


def _refusal(request: web.Request, refusal: web.HTTPException) -> str:
    if refusal.status == 404:
        return f"there is nothing under {request.path!r}; the routes stand under /docs"
    if isinstance(refusal, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(refusal.allowed_methods))
        return f"{request.method} is not for {request.path!r}; allowed: {allowed}"
    return refusal.text or refusal.reason


def _told(request: web.Request, problem: Problem) -> web.Response:
    """The problem in the form its reader can use."""
    if "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/v1/"):
        return problem_page(problem)
    return problem.response()


def _answering(route: Route) -> _Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        caller = await request.app[GUARD].admit(request, route)
        path = dict(request.match_info)
        query = _query(request, route)
        body = await _body(request, route)
        reply = await route.handler(Call(request, request.app[SERVICE], caller, path, body, query))
        if isinstance(reply, web.StreamResponse):
            return reply
        return web.Response(
            body=reply.model_dump_json().encode(), status=route.status, content_type="application/json"
        )

    return answer


def _query(request: web.Request, route: Route) -> BaseModel | None:
    if route.query is None:
        if request.query_string and not route.page:
            name = next(iter(request.query))
            raise Problem(422, f"query.{name}: this route takes no query; leave it out")
        return None
    given: dict[str, object] = {}
    for name in request.query:
        values = request.query.getall(name)
        given[name] = values if len(values) > 1 else values[0]
    try:
        return route.query.model_validate(given)
    except ValidationError as error:
        raise invalid(error, "query") from None


async def _body(request: web.Request, route: Route) -> BaseModel | None:
    if route.body is None:
        return None
    if request.content_type not in ("application/json", *_FORMS[: route.page]):
        raise Problem(415, f"found a body of type {request.content_type!r}; send application/json")
    raw = await _bounded(request, route.upload)
    try:
        if request.content_type == "application/json":
            return route.body.model_validate_json(raw)
        return route.body.model_validate(dict(await request.post()))
    except ValidationError as error:
        raise invalid(error, "body") from None


_FORMS: Final = ("application/x-www-form-urlencoded",)


async def _bounded(request: web.Request, most: int) -> bytes:
    """Read a body, and stop as soon as it is longer than allowed."""
    length = request.content_length or 0
    parts: list[bytes] = []
    size = 0
    if length <= most:
        async for part in request.content.iter_chunked(2**16):
            size += len(part)
            if size > most:
                break
            parts.append(part)
    if length > most or size > most:
        raise Problem(
            413, f"the body has more than {most:,} bytes, the most this route takes; send less at a time"
        )
    return b"".join(parts)
