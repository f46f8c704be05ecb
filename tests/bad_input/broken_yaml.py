"""YAML files and constitutions that are broken on purpose, each with where the fault is."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BrokenYaml:
    """One broken file."""

    name: str
    content: bytes
    says: str
    """Words the message must hold."""
    line: int | None = None
    """Line the error must name; None where any will do."""
    field: str | None = None
    """Field the error must name; None where any or none will do."""


def _nested(depth: int) -> str:
    return "\n".join(" " * level + "a:" for level in range(depth))


SYNTAX: tuple[tuple[str, str | bytes, str, int], ...] = (
    ("anchor", "a: 1\nb: &x 2\n", "anchor", 2),
    ("anchor_on_list", "a: &x\n  - 1\n", "anchor", 1),
    ("anchor_on_key", "&x a: 1\n", "anchor", 1),
    ("alias", "a: 1\nb: *x\n", "alias", 2),
    ("alias_bomb", "a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchor", 1),
    ("alias_key", "*x : 1\n", "alias", 1),
    ("merge", "a: 1\n<<: {b: 2}\n", "merge key", 2),
    ("merge_list", "<<: [{a: 1}]\n", "merge key", 1),
    ("python_tag", "a: !!python/object/apply:os.system ['true']\n", "tag", 1),
    ("local_tag", "a: 1\nb: !thing 2\n", "tag", 2),
    ("standard_tag", "a: !!int '3'\n", "tag", 1),
    ("verbatim_tag", "a: !<tag:yaml.org,2002:str> b\n", "tag", 1),
    ("plain_tag", "a: ! b\n", "tag", 1),
    ("tag_on_map", "a: !!map {}\n", "tag", 1),
    ("duplicate", "a: 1\nb: 2\na: 3\n", "duplicate", 3),
    ("duplicate_quoted", "a: 1\n'a': 2\n", "duplicate", 2),
    ("duplicate_inner", "x:\n  - b: 1\n    b: 2\n", "duplicate", 3),
    ("duplicate_flow", "x: {b: 1, b: 2}\n", "duplicate", 1),
    ("tab_indent", "a:\n\tb: 1\n", "tab", 2),
    ("tab_after_spaces", "a:\n  b: 1\n  \tc: 1\n", "tab", 3),
    ("tab_in_block", "a: |\n  x\n\ty\n", "tab", 3),
    ("bom", b"\xef\xbb\xbfa: 1\n", "BOM", 1),
    ("bom_utf16", "a: 1\n".encode("utf-16"), "BOM", 1),
    ("bom_inside", "a: 1\nb: \ufeff2\n", "U+FEFF", 2),
    ("utf16", "a: 1\n".encode("utf-16-le"), "NUL", 1),
    ("latin_1", "a: 1\nb: café\n".encode("latin-1"), "UTF-8", 2),
    ("nul", "a: 1\nb: x\x00y\n", "NUL", 2),
    ("nul_escape", 'a: 1\nb: "\\0"\n', "NUL", 2),
    ("escape", "a: \x1b[31m\n", "U+001B", 1),
    ("escape_escape", 'a: "\\e[31m"\n', "U+001B", 1),
    ("next_line", "a: x\x85y\n", "U+0085", 1),
    ("line_separator", "a: x\u2028y\n", "U+2028", 1),
    ("bidi_override", "a: x\u202ey\n", "bidirectional", 1),
    ("bidi_isolate", "a: 1\nb: x\u2066y\n", "bidirectional", 2),
    ("bidi_mark", "a: x\u200fy\n", "bidirectional", 1),
    ("bidi_in_comment", "a: 1 # \u202e\n", "bidirectional", 1),
    ("bidi_escape", 'a: "\\u202e"\n', "bidirectional", 1),
    ("surrogate_escape", 'a: "\\ud800"\n', "U+D800", 1),
    ("beyond_unicode", 'a: "\\U00110000"\n', "not YAML", 1),
    ("bare_return", b"a: 1\rb: 2\n", "carriage return", 1),
    ("depth_21", _nested(21) + " 1\n", "20 levels", 21),
    ("depth_flow", "a: " + "[" * 3000 + "\n", "20 levels", 1),
    ("depth_braces", "a: " + "{b: " * 400 + "\n", "20 levels", 1),
    ("too_big", "a: " + "x" * (256 * 1024) + "\n", "256 KiB", 1),
    ("empty", "", "mapping", 1),
    ("comment_only", "# nothing\n", "mapping", 1),
    ("list", "- a\n- b\n", "mapping", 1),
    ("text", "hello\n", "mapping", 1),
    ("number", "5\n", "mapping", 1),
    ("two_documents", "a: 1\n---\nb: 2\n", "second document", 2),
    ("two_documents_end", "a: 1\n...\n---\nb: 2\n", "second document", 3),
    ("directive", "%YAML 1.1\n---\na: 1\n", "directive", 1),
    ("directive_unknown_version", "%YAML 1.9\n---\na: 1\n", "directive", 1),
    ("directive_tag", "%TAG ! tag:x,2000:\n---\na: 1\n", "directive", 1),
    ("number_key", "a: 1\n1: 2\n", "key", 2),
    ("bool_key", "true: 1\n", "key", 1),
    ("null_key", "a: 1\n~: 2\n", "key", 2),
    ("list_key", "? [a, b]\n: 1\n", "key", 1),
    ("map_key", "{a: 1}: 2\n", "key", 1),
    ("infinite", "a: .inf\n", "finite", 1),
    ("negative_infinite", "a: 1\nb: -.INF\n", "finite", 2),
    ("not_a_number", "a: .nan\n", "finite", 1),
    ("overflow", "a: 1e400\n", "finite", 1),
    ("huge_integer", "a: 1\nb: 9223372036854775808\n", "64 bits", 2),
    ("endless_integer", "a: " + "9" * 6000 + "\n", "64 bits", 1),
    ("unclosed_list", "a: [1, 2\nb: 3\n", "not YAML", 2),
    ("unclosed_map", "a: {b: 1\n", "line 1", 2),
    ("unclosed_quote", "a: 'x\nb: 1\n", "line 1", 3),
    ("two_colons", "a: b: c\n", "not YAML", 1),
    ("at_sign", "a: 1\nb: @x\n", "not YAML", 2),
    ("backtick", "a: `x`\n", "not YAML", 1),
    ("bad_escape", 'a: "\\q"\n', "not YAML", 1),
    ("dedent", "a:\n    b: 1\n  c: 2\n", "not YAML", 3),
    ("text_then_map", "hello\na: 1\n", "not YAML", 2),
    ("extra_bracket", "a: [1]]\n", "not YAML", 1),
)


def broken_syntax() -> list[BrokenYaml]:
    """Files outside the accepted subset of YAML."""
    return [
        BrokenYaml(name, text if isinstance(text, bytes) else text.encode(), says, line)
        for name, text, says, line in SYNTAX
    ]


def fields(data: Any, loc: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in nested data, from the outside in."""
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield (*loc, key)
        yield from fields(value, (*loc, key))


def changed(data: Any, loc: tuple[str | int, ...], value: Any) -> Any:
    """A copy with one place set."""
    copied = copy.deepcopy(data)
    here = copied
    for part in loc[:-1]:
        here = here[part]
    here[loc[-1]] = value
    return copied


def without(data: Any, loc: tuple[str | int, ...], instead: str | None = None) -> Any:
    """A copy with one key gone, or under another name."""
    copied = copy.deepcopy(data)
    here = copied
    for part in loc[:-1]:
        here = here[part]
    value = here.pop(loc[-1])
    if instead is not None:
        here[instead] = value
    return copied


def written(data: Any) -> tuple[str, dict[tuple[str | int, ...], int]]:
    """Write nested data as block YAML, one key or dash a line, and say on which line each place begins."""
    lines: list[str] = []
    places: dict[tuple[str | int, ...], int] = {}

    def put(value: Any, loc: tuple[str | int, ...], indent: str) -> None:
        entries = list(value.items() if isinstance(value, dict) else enumerate(value))
        for key, inner in entries:
            here = (*loc, key)
            lead = indent + ("-" if isinstance(key, int) else f"{key}:")
            nested = isinstance(inner, dict | list) and bool(inner)
            lines.append(lead if nested else f"{lead} {json.dumps(inner)}")
            # an entry of a list begins with its first key, which stands on the line after the dash
            places[here] = len(lines) + (nested and isinstance(key, int))
            if nested:
                put(inner, here, indent + "  ")

    put(data, (), "")
    return "\n".join(lines) + "\n", places


def scrambled_yaml(seed: int, good: bytes) -> bytes:
    """Good YAML after a few random edits: it may be broken, and then must be refused in words."""
    rng = random.Random(seed)
    tokens = (
        b"\t", b": ", b"- ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!int ", b"|", b">-\n", b"|9\n",
        b"%YAML 1.3\n", b"---\n", b"...\n", b"'", b'"', b"\\x", b"\\U1234", b"#", b"? ", b"<<: ", b"\x00",
        b"\xff", b"\r", b"@", b"\xe2\x80\xa8", b"!<a>", b",", b"\n", b"  ", b"0x", b"1e9", b"~", b"true",
        b"1.10",
    )  # fmt: skip
    raw = bytearray(good)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(raw) + 1)
        edit = rng.random()
        if edit < 0.6:
            raw[at:at] = rng.choice(tokens)
        elif edit < 0.8:
            del raw[at : at + rng.randint(1, 40)]
        else:
            raw[at:at] = raw[at : at + rng.randint(1, 60)]
    return bytes(raw)
