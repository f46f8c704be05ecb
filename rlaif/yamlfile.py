"""YAML files a person wrote, read with line numbers and without surprises.

Owns the subset of YAML 1.2 that configuration may use, the line of every value, ``key=value``
overrides, and the step from such a file to a pydantic model. Leaves the wording of validation
errors to ``complaints`` and the meaning of every field to the model validated.

The subset: one document, a mapping at the top, string keys, no tags, anchors, aliases, merge keys
or directives, at most 20 levels and 256 KiB. Plain scalars follow the core schema (YAML 1.2,
section 10.3.2), so ``NO`` and ``2024-01-01`` stay text. A number where text is expected
(``version: 1.10``) is refused by strict validation, with the advice to quote it.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import BeforeValidator, JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_json
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from rlaif.complaints import Loc, complaints, dotted, entry, shown
from rlaif.errors import InputError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

T = TypeVar("T")


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("allowed: 1")
    return value


SchemaVersion = Annotated[Literal[1], BeforeValidator(_not_bool)]
"""Version of a file format; ``true``, which Python holds equal to 1, is refused."""

_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
# C0 except tab and line feed, a carriage return that ends no line, DEL, C1, line and paragraph
# separators, bidirectional marks and controls, byte order mark, lone surrogates.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
    "|\r(?!\n)"
)
_TAB_INDENT = re.compile(r"^[ ]*\t", re.MULTILINE)
_DIRECTIVE = re.compile(r"^%.*", re.MULTILINE)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True)
class YamlFile:
    """One file as plain data, with the place of every value."""

    path: Path
    """Where it was read from; what errors name."""
    data: dict[str, JsonValue]
    """The mapping at the top."""
    lines: Mapping[Loc, int] = field(repr=False)
    """1-based line of every key and list entry, by path of keys and indices."""
    plain: Mapping[Loc, str] = field(repr=False)
    """Unquoted scalars that are not text, as they were written, e.g. ``1.10``."""

    def line(self, loc: Loc) -> int:
        """Return the line of ``loc``, or of the nearest value around it that the file holds."""
        while loc not in self.lines:
            loc = loc[:-1]
        return self.lines[loc]


def read_yaml(path: str | Path) -> YamlFile:
    """Read one file of the subset described in the module's docstring.

    Args:
        path: a UTF-8 file of at most 256 KiB.

    Returns:
        The data and the line of every value.

    Raises:
        InputError: the file cannot be read or holds anything outside the subset; the message
            names it with file and line.
    """
    path = Path(path)
    builder = _Builder(path)
    builder.build(_text(path))
    if not isinstance(builder.root, dict):
        raise InputError(
            f"the top of the file is {shown(builder.root)}; it must be a mapping of 'key: value' lines",
            path=path,
            line=1,
        )
    return YamlFile(path, builder.root, builder.lines, builder.plain)


def validate(
    model: type[T] | TypeAdapter[T], file: YamlFile, data: Mapping[str, JsonValue] | None = None
) -> T:
    """Turn a file, or a changed copy of its data, into a model; nothing is coerced.

    Args:
        model: a pydantic model or type adapter.
        file: where the data came from, for line numbers.
        data: the data to validate when it is not ``file.data``, e.g. after overrides.

    Raises:
        InputError: the first error in the file's order, with path, line, dotted field, what was
            found and what is allowed; up to two further errors follow in the same message.
    """
    adapter: TypeAdapter[T] = model if isinstance(model, TypeAdapter) else TypeAdapter(model)
    data = file.data if data is None else data
    try:
        # JSON input lets a list fill a tuple and text fill a path while all else stays strict.
        return adapter.validate_json(to_json(data), strict=True)
    except ValidationError as error:
        plain = {loc: text for loc, text in file.plain.items() if _written(file, data, loc)}
        found = complaints(error, adapter, data, plain)
    ranked = sorted(found, key=lambda one: (one.rank, file.line(one.loc)))
    first, others = ranked[0], ranked[1:3]
    message = first.message
    if not _written(file, data, first.loc):
        message += " (this value was set by an override, not by the file)"
    message += "".join(
        f"; also line {file.line(one.loc)}: {dotted(one.loc)}: {one.message}" for one in others
    )
    if len(ranked) > 3:
        message += f"; and {len(ranked) - 3} more"
    line = file.line(first.loc) if _written(file, data, first.loc) else None
    raise InputError(message, path=file.path, line=line, field=dotted(first.loc) or None) from None


def apply_overrides(data: Mapping[str, JsonValue], overrides: Sequence[str]) -> dict[str, JsonValue]:
    """Return a copy of ``data`` with each ``dotted.key=value`` set, in order.

    A value is read as YAML (``k=4``, ``name="4"``, ``stop=[a, b]``). Mappings missing on the way are
    made, and the model then says whether such a key exists; list entries must exist.

    Raises:
        InputError: an override is not of that form, its value is not YAML of the subset, or its
            key leads through something that is neither mapping nor list.
    """
    changed: dict[str, JsonValue] = copy.deepcopy(dict(data))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not all(key.split(".")):
            raise InputError(
                f"the override {override!r} is not of the form dotted.key=value; write e.g. stages.0.k=4"
            )
        _assign(changed, key, _value(key, text))
    return changed


def _written(file: YamlFile, data: Mapping[str, JsonValue], loc: Loc) -> bool:
    """Whether what stands at ``loc`` of ``data`` is what the file says there."""
    if data is file.data:
        return True
    here: object = data
    there: object = file.data
    for part in loc:
        here, there = next(entry(here, part), None), next(entry(there, part), None)
    return here == there and type(here) is type(there)


def _assign(data: dict[str, JsonValue], key: str, value: JsonValue) -> None:
    parts = key.split(".")
    here: JsonValue = data
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(here, dict):
            if last:
                here[part] = value
            elif here.get(part) is None:
                here[part] = {}
            here = here[part]
        elif isinstance(here, list):
            index = _index(here, key, part)
            if last:
                here[index] = value
            here = here[index]
        else:
            above = ".".join(parts[:depth])
            raise InputError(f"{above!r} is {shown(here)}, so it has no {part!r} to override", field=key)


def _index(entries: list[JsonValue], key: str, part: str) -> int:
    if part.isascii() and part.isdigit() and len(part) < 10 and int(part) < len(entries):
        return int(part)
    raise InputError(
        f"found {part!r} where the number of a list entry belongs; "
        + (f"allowed: 0 to {len(entries) - 1}" if entries else "the list is empty"),
        field=key,
    )


def _value(key: str, text: str) -> JsonValue:
    if not text.strip():
        return ""
    builder = _Builder(None)
    try:
        builder.build(_checked(text, None))
    except InputError as error:
        raise InputError(f"the value {shown(text)} cannot be read: {error.message}", field=key) from None
    return builder.root


def _text(path: Path) -> str:
    """The file's text, once its size, encoding and characters are known to be acceptable."""
    if not path.exists():
        raise InputError("no such file; check the name", path=path)
    if not path.is_file():
        raise InputError("this is not a file; name a YAML file", path=path)
    with path.open("rb") as handle:
        raw = handle.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InputError(
            f"the file is {path.stat().st_size} bytes; at most {MAX_BYTES} (256 KiB) are read",
            path=path,
            line=1,
        )
    if raw.startswith(_BOMS):
        raise InputError(
            "the file starts with a byte order mark (BOM); save it as plain UTF-8", path=path, line=1
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8",
            path=path,
            line=raw.count(b"\n", 0, error.start) + 1,
        ) from None
    return _checked(text, path)


def _checked(text: str, path: Path | None) -> str:
    """Refuse what can be seen before parsing."""
    sights: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
        (
            _FORBIDDEN,
            lambda it: f"found {_named(it)}; control and bidirectional characters are refused: delete it",
        ),
        (_TAB_INDENT, lambda _: "found a tab in the indentation; indent with spaces"),
        (
            _DIRECTIVE,
            lambda it: f"found the directive {shown(it)}; directives are refused, so remove the line",
        ),
    )
    for pattern, said in sights:
        if found := pattern.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise InputError(said(found[0]), path=path, line=line)
    return text


def _named(character: str) -> str:
    kinds = {"\x00": "a NUL character", "\r": "a carriage return that ends no line"}
    if character in kinds:
        return kinds[character]
    bidi = character in "\u061c\u200e\u200f" or "\u202a" <= character <= "\u202e"
    kind = "bidirectional" if bidi or "\u2066" <= character <= "\u2069" else "control"
    return f"the {kind} character U+{ord(character):04X}"


def _events(text: str, path: Path | None) -> Iterator[Event]:
    """Yield ruamel's parse events; the constructor, where tags and aliases act, is never reached."""
    yaml = YAML(typ="safe", pure=True)
    try:
        yield from yaml.parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        begun = error.context_mark
        since = f" from line {begun.line + 1} on" if begun is not None and begun.line + 1 != line else ""
        problem = ", ".join(part for part in (f"{error.context or ''}{since}", error.problem) if part)
        raise InputError(f"this is not YAML: {problem}", path=path, line=line) from None
    except (YAMLError, ValueError, OverflowError) as error:
        raise InputError(f"this is not YAML: {error}", path=path, line=1) from None


@dataclass
class _Frame:
    """A mapping or list being filled."""

    value: dict[str, JsonValue] | list[JsonValue]
    loc: Loc
    key: str | None = None


@dataclass
class _Builder:
    """Folds parse events into plain data, refusing what the subset leaves out.

    Iterative, so that nesting is bounded by ``MAX_DEPTH`` alone and never by the interpreter's stack.
    """

    path: Path | None
    root: JsonValue = None
    lines: dict[Loc, int] = field(default_factory=lambda: {(): 1})
    plain: dict[Loc, str] = field(default_factory=dict)
    _stack: list[_Frame] = field(default_factory=list)
    _documents: int = 0

    def build(self, text: str) -> None:
        """Consume the whole text."""
        for event in _events(text, self.path):
            if isinstance(event, DocumentStartEvent):
                self._document(event)
            elif isinstance(event, CollectionEndEvent):
                self._stack.pop()
            elif isinstance(event, NodeEvent):
                self._node(event)

    def _document(self, event: DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            self._refuse(event, "a second document starts here; a file holds one, so remove the '---'")

    def _node(self, event: NodeEvent) -> None:
        if isinstance(event, AliasEvent):
            self._refuse(
                event,
                f"found the alias {shown('*' + event.anchor)}; aliases are refused, so write the value out",
            )
        if event.anchor is not None:
            self._refuse(
                event, f"found the anchor {shown('&' + event.anchor)}; anchors are refused, so remove it"
            )
        if isinstance(event, CollectionStartEvent | ScalarEvent) and event.tag is not None:
            self._refuse(event, f"found the tag {shown(event.tag)}; tags are refused, so remove it")
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self._key(event, frame)
        elif isinstance(event, ScalarEvent):
            self._scalar(event)
        else:
            self._open(event)

    def _key(self, event: NodeEvent, frame: _Frame) -> None:
        if not isinstance(event, ScalarEvent):
            self._refuse(event, "found a list or mapping as a key; keys are text")
        key = self._resolve(event)
        if not isinstance(key, str):
            self._refuse(
                event, f"the key {shown(event.value)} is not text; write it in quotes if it is meant"
            )
        if key == "<<" and event.implicit[0]:
            self._refuse(event, "found the merge key '<<'; merging is refused, so write the keys out")
        loc = (*frame.loc, key)
        if loc in self.lines:
            self._refuse(event, f"the key {key!r} is a duplicate; line {self.lines[loc]} has it already", loc)
        self.lines[loc] = event.start_mark.line + 1
        frame.key = key

    def _scalar(self, event: ScalarEvent) -> None:
        value = self._resolve(event)
        loc = self._place(event, value)
        if not isinstance(value, str):
            self.plain[loc] = event.value

    def _open(self, event: NodeEvent) -> None:
        if len(self._stack) == MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} levels deep; the depth allowed is {MAX_DEPTH}")
        value: dict[str, JsonValue] | list[JsonValue] = {} if isinstance(event, MappingStartEvent) else []
        self._stack.append(_Frame(value, self._place(event, value)))

    def _place(self, event: NodeEvent, value: JsonValue) -> Loc:
        """Put a value where the innermost open container wants it."""
        if not self._stack:
            self.root = value
            return ()
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            loc = (*frame.loc, len(frame.value))
            self.lines[loc] = event.start_mark.line + 1
            frame.value.append(value)
            return loc
        key = frame.key or ""
        frame.value[key] = value
        frame.key = None
        return (*frame.loc, key)

    def _resolve(self, event: ScalarEvent) -> str | int | float | bool | None:
        text: str = event.value
        if forbidden := _FORBIDDEN.search(text):
            self._refuse(event, f"an escape in this text stands for {_named(forbidden[0])}; remove it")
        if not event.implicit[0]:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return self._int(event, text)
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            return self._float(event, text)
        return text

    def _int(self, event: ScalarEvent, text: str) -> int:
        if len(text) <= 24:
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            number = int(text[2:] if base != 10 else text, base)
            if -(2**63) <= number < 2**63:
                return number
        self._refuse(event, f"the number {shown(text)} does not fit 64 bits; for text, write it in quotes")

    def _float(self, event: ScalarEvent, text: str) -> float:
        number = math.inf if _NOT_FINITE.fullmatch(text) else float(text)
        if not math.isfinite(number):
            self._refuse(event, f"the number {shown(text)} is not finite; for text, write it in quotes")
        return number

    def _refuse(self, event: Event, message: str, loc: Loc | None = None) -> NoReturn:
        frame = self._stack[-1] if self._stack else _Frame({}, ())
        if loc is None:
            loc = frame.loc if frame.key is None else (*frame.loc, frame.key)
        raise InputError(
            message,
            path=self.path,
            line=None if self.path is None else event.start_mark.line + 1,
            field=None if self.path is None else dotted(loc) or None,
        )
