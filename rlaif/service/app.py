"""From the table of routes to an application: admit, validate, call, reply.

Owns the order in which a request is dealt with. Leaves what a route does to its handler, and who may call
to ``access``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from rlaif.errors import RlaifError, keep_traceback
from rlaif.service import bodies
from rlaif.service.access import Guard, refuse_key_in_address
from rlaif.service.audit import Log
from rlaif.service.context import SERVICE, Service
from rlaif.service.limits import Turnstile
from rlaif.service.metrics import METRICS, measured
from rlaif.service.openapi import TABLE
from rlaif.service.problems import Problem, invalid, problem_of
from rlaif.service.routes import Call, Route
from rlaif.service.sessions import TOKEN_FIELD
from rlaif.service.table import ROUTES
from rlaif.service.visitor import VISITOR, Visitor
from rlaif.service.web import login_page, problem_page

log = logging.getLogger(__name__)

GUARD: Final = web.AppKey("guard", Guard)
TURNSTILE: Final = web.AppKey("turnstile", Turnstile)
LOG: Final = web.AppKey("log", Log)
POLICY: Final = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
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
    app = web.Application(
        middlewares=[measured, _problems], client_max_size=max(one.upload for one in routes)
    )
    app[SERVICE] = service
    app[GUARD] = guard
    app[TURNSTILE] = Turnstile()
    app[LOG] = Log(service.folder)
    app[METRICS] = service.metrics
    app[TABLE] = tuple(routes)
    for route in routes:
        # A slot takes any one segment: left to itself the router would refuse braces in it.
        app.router.add_route(route.method, route.path.replace("}", ":[^/]+}"), _answering(route))
    app.on_response_prepare.append(_headed)
    app.on_startup.append(_started)
    app.on_shutdown.append(_stopped)
    return app


async def _started(app: web.Application) -> None:
    await app[SERVICE].engine.start()


async def _stopped(app: web.Application) -> None:
    """Jobs drain first, so that whoever watches sees how they end."""
    await app[SERVICE].engine.close()
    await app[SERVICE].desks.close()
    await app[SERVICE].trainings.close()
    app[SERVICE].hub.close()


async def _headed(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


@web.middleware
async def _problems(request: web.Request, handler: _Answer) -> web.StreamResponse:
    """Whatever goes wrong becomes a problem; the one place where a bug does."""
    VISITOR.set(Visitor())  # a connection's earlier request may have been another person's
    try:
        refuse_key_in_address(request)
        return await handler(request)
    except Problem as problem:
        return _told(request, problem)
    except RlaifError as error:
        return _told(request, problem_of(error))
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        allowed = {name: value for name, value in refusal.headers.items() if name == hdrs.ALLOW}
        return _told(request, Problem(refusal.status, _refusal(request, refusal), headers=allowed))
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
    request.app[LOG].refuse(request, problem.status)
    if "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/v1/"):
        return login_page(request, problem) if problem.status == 401 else problem_page(problem)
    return problem.response()


def _answering(route: Route) -> _Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        service, turnstile = request.app[SERVICE], request.app[TURNSTILE]
        with turnstile.passing(route):
            caller = await request.app[GUARD].admit(request, route)
            with turnstile.uploading(request, caller):
                path = _path(request)
                query = _query(request, route)
                body = await _body(request, route)
                try:
                    reply = await route.handler(Call(request, service, caller, path, body, query))
                finally:
                    service.changes += route.method != hdrs.METH_GET
            sent = reply if isinstance(reply, web.StreamResponse) else _model(reply, route.status)
            if sent.status < 400:
                request.app[LOG].note(request, route, caller, reply, sent.status)
            else:  # a page that says what is wrong
                request.app[LOG].refuse(request, sent.status)
            return sent

    return answer


def _model(reply: BaseModel, status: int) -> web.Response:
    return web.Response(body=reply.model_dump_json().encode(), status=status, content_type="application/json")


def _path(request: web.Request) -> dict[str, str]:
    """The values of the path's slots: each is one plain segment."""
    path = dict(request.match_info)
    for name, value in path.items():
        bodies.check_text(value, f"path.{name}")
        if value in (".", "..") or "/" in value or "\\" in value or not value.isprintable():
            raise Problem(404, f"path.{name}: {value!r} names nothing; names are printable, without a slash")
    return path


def _query(request: web.Request, route: Route) -> BaseModel | None:
    if route.query is None:
        if request.query_string and not route.page:
            name = next(iter(request.query))
            raise Problem(422, f"query.{name}: this route takes no query; leave it out")
        return None
    given: dict[str, object] = {}
    for name in request.query:
        values = request.query.getall(name)
        for value in values:
            bodies.check_text(value, f"query.{name[:100]}")
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
    try:
        if request.content_type == "application/json":
            # Strict: a number is no text and 0 is not false; forms know no types, JSON does.
            return route.body.model_validate_json(await bodies.json_text(request, route.upload), strict=True)
        fields = await bodies.form(request, route.upload)
        fields.pop(TOKEN_FIELD, None)
        return route.body.model_validate(fields)
    except ValidationError as error:
        raise invalid(error, "body") from None


_FORMS: Final = (bodies.FORM_TYPE,)
