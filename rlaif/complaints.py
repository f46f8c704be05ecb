"""Pydantic's validation errors, said the way this project says errors.

Owns the step from ``ValidationError`` to sentences: the place in the data (without the labels
pydantic adds for unions), what was found, what is allowed, the closest key or choice. Leaves files
and line numbers to ``yamlfile``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

Loc = tuple[str | int, ...]
"""Path of keys and list indices from the top of the data."""

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "nothing (null)",
}
_SHOWN = 80


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong with the data."""

    loc: Loc
    """Where, in the data's own terms."""
    message: str
    """What was found and what is allowed."""
    rank: int
    """Unknown keys (0) come before wrong values (1) and missing keys (2): a misspelt key causes all three."""


def dotted(loc: Loc) -> str:
    """Return ``stages.0.k`` for ``("stages", 0, "k")``."""
    return ".".join(str(part) for part in loc)


def shown(value: object) -> str:
    """Return a value's ``repr`` for a message, cut to 80 characters; containers by kind and size."""
    if isinstance(value, dict):
        return f"a mapping of {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN + 2 else f"{text[:_SHOWN]}…"


def closest(word: str, choices: Sequence[str]) -> str:
    """Return ``; did you mean 'x'?`` for the choice nearest to ``word``, or nothing."""
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def complaints(
    error: ValidationError, adapter: TypeAdapter[Any], data: Mapping[str, JsonValue], plain: Mapping[Loc, str]
) -> list[Complaint]:
    """Say every error of a failed validation.

    Args:
        error: what validating ``data`` raised.
        adapter: what it was validated against; its JSON schema names keys and choices.
        data: the data, as plain JSON values.
        plain: scalars that are not text, as they were written, by place.
    """
    schema = adapter.json_schema()
    found = []
    for detail in error.errors(include_url=False):
        loc = _place(detail, data)
        found.append(_complaint(detail, loc, _Schema(schema).at(data, loc[:-1]), plain.get(loc)))
    # Something wrong deeper inside explains a value that fits no branch of a union or is too short a
    # list: the outer complaint would only mislead.
    outer = {one.loc[:depth] for one in found for depth in range(len(one.loc))}
    return [one for one in found if one.rank != 1 or one.loc not in outer]


def _place(detail: ErrorDetails, data: JsonValue | Mapping[str, JsonValue]) -> Loc:
    """Find the error in the data: pydantic's path also holds a label for every union entered."""
    loc = detail["loc"]
    if detail["type"] == "missing":
        container = next(_paths(data, loc[:-1], detail["input"]), ())
        return (*container, loc[-1])
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return (*next(_paths(data, loc, detail["input"]), ()), _discriminator(detail))
    return next(_paths(data, loc, detail["input"]), ())


def _paths(data: object, loc: Loc, wanted: object) -> Iterator[Loc]:
    """Yield the readings of ``loc`` as a path into ``data``, those that end at ``wanted`` first."""
    readings = list(_readings(data, loc))
    yield from (path for path, value in readings if value == wanted)
    yield from (path for path, _ in readings)


def _readings(data: object, loc: Loc) -> Iterator[tuple[Loc, object]]:
    if not loc:
        yield (), data
        return
    head, rest = loc[0], loc[1:]
    for inside in entry(data, head):
        yield from (((head, *path), value) for path, value in _readings(inside, rest))
    if isinstance(head, str):
        yield from _readings(data, rest)


def entry(data: object, part: str | int) -> Iterator[object]:
    """Yield what ``data`` holds under a key or index; nothing where it has no such entry."""
    if isinstance(data, Mapping) and part in data:
        yield data[part]
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        yield data[part]


def _complaint(detail: ErrorDetails, loc: Loc, around: _Schema, plain: str | None) -> Complaint:
    kind, context = detail["type"], detail.get("ctx", {})
    name = str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        keys = around.keys()
        allowed = f"; allowed: {', '.join(keys)}" if keys else ""
        return Complaint(loc, f"unknown key {name!r}{closest(name, keys) or allowed}", 0)
    if kind == "missing" and isinstance(loc[-1], int):
        return Complaint(loc, f"entry {loc[-1]} (counting from 0) is missing; add it", 2)
    if kind == "missing":
        return Complaint(loc, f"the required key {name!r} is missing; add it{around.meaning(name)}", 2)
    if kind == "union_tag_not_found":
        choices = " or ".join(repr(one) for one in around.tags())
        return Complaint(loc, f"the required key {name!r} is missing; allowed: {choices}", 2)
    if kind == "union_tag_invalid":
        tags = around.tags()
        found = str(context["tag"])
        allowed = " or ".join(repr(one) for one in tags) or str(context["expected_tags"])
        return Complaint(loc, f"found {found!r}; allowed: {allowed}{closest(found, tags)}", 1)
    return Complaint(loc, _wrong_value(detail, plain), 1)


def _wrong_value(detail: ErrorDetails, plain: str | None) -> str:
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return f"{context['error']} (found {shown(found)})"
    if kind in ("literal_error", "enum"):
        choices = [part.strip("' ") for part in context["expected"].replace(" or ", ", ").split(", ")]
        near = closest(found, choices) if isinstance(found, str) else ""
        return f"found {shown(found)}; allowed: {context['expected']}{near}"
    if kind == "string_type" and plain is not None:
        quoted = f'"{plain}"'
        return f"found {plain or 'nothing'} where text belongs; quote it: {quoted}"
    if kind == "string_type" and isinstance(found, dict):
        return f"found {shown(found)}; allowed: text (put text that holds ': ' in quotes)"
    wanted = _WANTED.get(kind)
    if wanted is None:
        rule = detail["msg"].partition(" should ")[2] or f"be valid ({detail['msg']})"
        return f"found {shown(found)}; it should {rule}"
    return f"found {shown(found)}; allowed: {wanted}"


def _discriminator(detail: ErrorDetails) -> str:
    return str(detail["ctx"]["discriminator"]).strip("'")


class _Schema:
    """One place in a JSON schema, followed along the data so that unions choose by their tag."""

    def __init__(self, root: Mapping[str, Any], node: Mapping[str, Any] | None = None) -> None:
        self._root = root
        self._node = root if node is None else node

    def at(self, data: object, loc: Loc) -> _Schema:
        """Return the schema of ``data`` at ``loc``; an empty one where the schema does not say."""
        here = self._chosen(data)
        for part in loc:
            if isinstance(part, int):
                node = here._node.get("items", {})
                data = data[part] if isinstance(data, list) and part < len(data) else None
            else:
                node = here._node.get("properties", {}).get(part) or here._node.get("additionalProperties")
                data = data.get(part) if isinstance(data, Mapping) else None
            here = _Schema(self._root, node if isinstance(node, Mapping) else {})._chosen(data)
        return here

    def keys(self) -> list[str]:
        """The property names of an object."""
        return list(self._node.get("properties", {}))

    def tags(self) -> list[str]:
        """The tags a union is told apart by."""
        return list(self._node.get("discriminator", {}).get("mapping", {}))

    def meaning(self, key: str) -> str:
        """What a property is for, in brackets, if its model says."""
        text = self._node.get("properties", {}).get(key, {}).get("description", "")
        return f" ({' '.join(text.split()).rstrip('.')})" if text else ""

    def _chosen(self, data: object) -> _Schema:
        """Follow references and, at a union, the branch the data belongs to."""
        node = self._node
        while True:
            if "$ref" in node:
                node = self._root["$defs"][node["$ref"].rpartition("/")[2]]
                continue
            union = node.get("discriminator")
            if union and isinstance(data, Mapping):
                tag = data.get(union["propertyName"])
                if isinstance(tag, str) and tag in union["mapping"]:
                    node = {"$ref": union["mapping"][tag]}
                    continue
            kind = "object" if isinstance(data, Mapping) else "array"
            branches = [one for one in node.get("anyOf", ()) if one.get("type", "object") == kind]
            if len(branches) == 1:
                node = branches[0]
                continue
            return _Schema(self._root, node)
