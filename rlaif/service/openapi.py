"""The OpenAPI 3.1 document, made from the table of routes and the models they speak.

Owns the mapping; nothing in the document is written by hand. Leaves words to docstrings: a model's fields,
a route's summary and its handler's own.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from rlaif import __version__
from rlaif.service.limits import STREAM
from rlaif.service.problems import TITLES, ProblemDetails
from rlaif.service.routes import Route

Tree = dict[str, Any]

TABLE: Final[web.AppKey[Sequence[Route]]] = web.AppKey("table", tuple)
"""The routes an application serves."""
REF: Final = "#/components/schemas/{model}"
SLOT: Final = re.compile(r"\{(\w+)\}")

_Wanted = tuple[type[BaseModel], JsonSchemaMode]
Refs = Mapping[tuple[Any, JsonSchemaMode], Tree]
"""Reference to each model's schema."""


def document(routes: Sequence[Route]) -> Tree:
    """Describe the routes that are for programs."""
    served = [one for one in routes if not one.page]
    refs, definitions = models_json_schema(
        list(dict.fromkeys(_models(served))), ref_template=REF, title="rlaif"
    )
    paths: Tree = {}
    for route in served:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rlaif",
            "version": __version__,
            "summary": "Preference data from written constitutions and AI judges.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key made by `rlaif keys create`. On the loopback none is needed unless"
                    " the service was started with --require-key.",
                }
            },
        },
    }


def operation_id(route: Route) -> str:
    """A name no other route has, e.g. ``keys.revoke``."""
    room = room_of(route)
    return f"{room}.{route.handler.__name__}"


def room_of(route: Route) -> str:
    """The group a route belongs to: the module its handler stands in."""
    return str(route.handler.__module__).rpartition(".")[2]


def _models(routes: Iterable[Route]) -> Iterable[_Wanted]:
    yield ProblemDetails, "serialization"
    for route in routes:
        if route.body is not None:
            yield route.body, "validation"
        if route.query is not None:
            yield route.query, "validation"
        if route.reply is not None:
            yield route.reply, "serialization"


def _operation(route: Route, refs: Refs) -> Tree:
    made: Tree = {
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": inspect.getdoc(route.handler) or route.summary,
        "tags": [room_of(route)],
        "security": [] if route.scope == "open" else [{"key": [route.scope]}, {}],
        "x-scope": route.scope,
        "responses": _responses(route, refs),
    }
    if parameters := [*_slots(route), *_queries(route)]:
        made["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": refs[route.body, "validation"]}}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _slots(route: Route) -> Iterable[Tree]:
    for name in SLOT.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _queries(route: Route) -> Iterable[Tree]:
    if route.query is None:
        return
    schema = route.query.model_json_schema(ref_template=REF)
    for name, field in schema.get("properties", {}).items():
        described = {key: value for key, value in field.items() if key != "description"}
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": field.get("description", ""),
            "schema": described,
        }


def _responses(route: Route, refs: Refs) -> Tree:
    good: Tree = {"description": route.summary}
    if route.reply is not None:
        good["content"] = {"application/json": {"schema": refs[route.reply, "serialization"]}}
    else:
        good["content"] = {one: {"schema": _unmodelled(one)} for one in route.media.split(", ")}
    problem = {"application/problem+json": {"schema": refs[ProblemDetails, "serialization"]}}
    found: Tree = {str(route.status): good}
    for status in _problems(route):
        found[str(status)] = {"description": TITLES[status], "content": problem}
    return found


def _unmodelled(media: str) -> Tree:
    """What a file or a stream is to JSON Schema: text, or bytes."""
    if media == "application/json":
        return {}
    return {"type": "string"} if media.startswith("text/") or media == STREAM else {}


def _problems(route: Route) -> list[int]:
    """Statuses of what can go wrong on this route."""
    found = {422, 429, 500, 503}
    if route.scope != "open":
        found |= {401, 403}
    if SLOT.search(route.path):
        found.add(404)
    if route.method != "GET":
        found |= {400, 403, 404, 409, 413, 415, 502}
    return sorted(found)
