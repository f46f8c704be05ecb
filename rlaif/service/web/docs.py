"""The page that documents the API, rendered from the same document programs read.

Owns ``/docs`` and the reading of JSON schemas into rows. Leaves the document to ``openapi``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from rlaif.service.openapi import REF, TABLE, document
from rlaif.service.routes import Call, Route
from rlaif.service.web.render import page

Tree = Mapping[str, Any]
_REF: Final = REF.partition("{")[0]


def view_docs(described: Tree) -> dict[str, object]:
    """What the page shows of an OpenAPI document: operations by room, then models.

    Args:
        described: the document.
    """
    rooms: dict[str, list[dict[str, object]]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            rooms.setdefault(operation["tags"][0], []).append(_operation(path, method, operation))
    models = [_model(name, schema) for name, schema in sorted(described["components"]["schemas"].items())]
    return {"rooms": rooms, "models": models, "version": described["info"]["version"]}


async def docs(call: Call) -> web.StreamResponse:
    """Show the page."""
    return page("docs.html", view_docs(document(call.request.app[TABLE])))


def _operation(path: str, method: str, operation: Tree) -> dict[str, object]:
    body = operation.get("requestBody", {}).get("content", {})
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "description": operation["description"],
        "scope": operation["x-scope"],
        "parameters": [
            {**one, "type": written(one["schema"]), "about": one.get("description", "")}
            for one in operation.get("parameters", ())
        ],
        "body": [{"media": media, **_linked(one["schema"])} for media, one in body.items()],
        "replies": [
            {"status": status, "about": one["description"], "media": media, **_linked(content["schema"])}
            for status, one in operation["responses"].items()
            for media, content in one["content"].items()
        ],
    }


def _model(name: str, schema: Tree) -> dict[str, object]:
    needed = schema.get("required", ())
    return {
        "name": name,
        "about": schema.get("description", ""),
        "fields": [
            {
                "name": field,
                "type": written(one),
                "model": _named(one),
                "about": one.get("description", ""),
                "needed": field in needed,
                "default": "default" in one and one["default"] not in (None, "", [], {}),
                "value": one.get("default"),
            }
            for field, one in schema.get("properties", {}).items()
        ],
        "type": written(schema),
    }


def written(schema: Tree) -> str:
    """Say in a few words what a JSON schema admits, e.g. ``list of Row`` or ``"read" or "run"``."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(map(written, schema[union])))
    if "enum" in schema:
        return " or ".join(f'"{one}"' for one in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if schema.get("type") == "array":
        return f"list of {written(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {written(schema['additionalProperties'])}"
    return str(schema.get("type", "anything"))


def _linked(schema: Tree) -> dict[str, object]:
    return {"type": written(schema), "model": _named(schema)}


def _named(schema: Tree) -> str | None:
    """The model a schema is, or has in it first; its table stands on the same page."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), schema.get("items")]
    found = (_named(one) for one in inner if isinstance(one, Mapping))
    return next((one for one in found if one), None)


ROUTES: Final = (
    Route(
        method="GET", path="/docs", scope="read", handler=docs, media="text/html", page=True,
        summary="What the API offers",
    ),
)  # fmt: skip
