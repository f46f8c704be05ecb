"""Bodies made from the models' own JSON schemas: the smallest that fits, and every place for a text in it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

Tree = dict[str, Any]
Place = tuple[str | int, ...]
DEEPEST = 7


class Examples:
    """Examples of one model."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._schema = model.model_json_schema()

    def bodies(self) -> Iterator[Tree]:
        """Bodies that between them have every optional field and every branch of a union once."""
        yield self._made(self._schema, 0)
        for place, schema in self._optional(self._schema, (), 0):
            body = self._made(self._schema, 0)
            if put(body, place, self._made(schema, len(place))):
                yield body

    def _resolved(self, schema: Tree) -> Tree:
        while "$ref" in schema:
            schema = self._schema["$defs"][schema["$ref"].rpartition("/")[2]]
        return schema

    def _branches(self, schema: Tree) -> list[Tree]:
        schema = self._resolved(schema)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if not branches:
            return [schema]
        found = [one for branch in branches for one in self._branches(branch)]
        return [one for one in found if one.get("type") != "null"]

    def _made(self, schema: Tree, depth: int) -> Any:
        """The smallest value a schema admits."""
        schema = self._branches(schema)[0]
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "object":
                needed = schema.get("required", ())
                fields = schema.get("properties", {})
                return {name: self._made(fields[name], depth + 1) for name in needed}
            case "array":
                return [self._made(schema.get("items", {}), depth + 1)] * schema.get("minItems", 1)
            case "integer" | "number":
                return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
            case "boolean":
                return False
            case "null":
                return None
            case _:
                return _text(schema)

    def _optional(self, schema: Tree, place: Place, depth: int) -> Iterator[tuple[Place, Tree]]:
        if depth > DEEPEST:
            return
        branches = self._branches(schema)
        for branch in branches:
            if len(branches) > 1 and place:
                yield place, branch
            for name, field in branch.get("properties", {}).items():
                if name not in branch.get("required", ()):
                    yield (*place, name), field
                yield from self._optional(field, (*place, name), depth + 1)
            if branch.get("type") == "array":
                yield from self._optional(branch.get("items", {}), (*place, 0), depth + 1)


def put(tree: Any, place: Place, value: Any) -> bool:
    """Set one place of a tree; False where the tree has no such place."""
    for step in place[:-1]:
        if not isinstance(tree, dict | list) or (isinstance(tree, list) and not tree):
            return False
        if isinstance(tree, dict) and step not in tree:
            tree[step] = {} if isinstance(place[place.index(step) + 1], str) else [{}]
        tree = tree[step]
    if not isinstance(tree, dict | list):
        return False
    if isinstance(tree, list) and not tree:
        tree.append(value)
    else:
        tree[place[-1]] = value
    return True


def with_text(tree: Tree, text: str) -> Iterator[tuple[Place, Tree]]:
    """Copies of a body, each with ``text`` in one of the places that hold a text."""
    for place in texts(tree):
        changed = copy.deepcopy(tree)
        put(changed, place, text)
        yield place, changed


def texts(tree: Any, place: Place = ()) -> Iterator[Place]:
    """Places of a tree that hold a text."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from texts(value, (*place, name))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from texts(value, (*place, index))
    elif isinstance(tree, str):
        yield place


def _text(schema: Tree) -> str:
    pattern = schema.get("pattern")
    plain = "a" * max(1, schema.get("minLength", 1))
    if pattern is None or re.search(pattern, plain):
        return plain
    return next(one for one in ("A", "/", "0", "openai:x", "2026-01-01", "") if re.search(pattern, one))
