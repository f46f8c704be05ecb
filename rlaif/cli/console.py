"""The one exit for text: everything printed passes here, stripped of control characters.

Owns tables, outlines and the split between stdout (data) and stderr (words for people).
Model text is attacker-controlled, so line breaks, terminal escapes, bidi and other format characters
never reach a terminal raw; ``--json`` output is escaped by JSON instead and stays faithful.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pydantic_core
from pydantic import JsonValue

from rlaif.errors import plain

WIDE: Final = 200
"""Columns of a table that does not go to a terminal."""


def prepare() -> None:
    """Let both streams take any character: what their encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print a line for a person on stderr."""
    print(plain(text), file=sys.stderr)


def emit(text: str) -> None:
    """Print a line of data on stdout."""
    print(plain(text))


def emit_json(value: object) -> None:
    """Print one JSON document on stdout; non-ASCII characters are escaped.

    What DuckDB knows and JSON does not: dates become text, bytes base64, NaN and infinities null.
    """
    tree = pydantic_core.to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64")
    print(json.dumps(tree, ensure_ascii=True, allow_nan=False, indent=1))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, whole: int = 0) -> None:
    """Print an aligned table on stdout.

    Args:
        head: names of the columns.
        rows: cells; None stands for nothing.
        whole: how many columns from the left, such as ids, may never be folded.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(head):
        drawn.add_column(Text(plain(name)), overflow="fold", no_wrap=number < whole)
    for row in rows:
        drawn.add_row(*(Text("" if cell is None else plain(str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else WIDE).print(drawn)


def outline(value: Mapping[str, JsonValue], depth: int = 0) -> None:
    """Print nested data as an indented outline on stdout."""
    for name, one in value.items():
        _branch(name, one, depth)


def quoted(text: str, depth: int = 1) -> None:
    """Print a text as a block, each of its lines behind a mark that none of them can forge."""
    for line in text.split("\n"):
        emit(f"{'  ' * depth}| {line}")


def _branch(name: str, value: JsonValue, depth: int) -> None:
    indent = "  " * depth
    if isinstance(value, dict):
        emit(f"{indent}{name}:" + ("" if value else " none"))
        outline(value, depth + 1)
    elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
        for number, one in enumerate(value, 1):
            _branch(f"{name} {number}", one, depth)
    elif isinstance(value, list):
        emit(f"{indent}{name}: {', '.join(map(str, value)) or 'none'}")
    elif isinstance(value, str) and "\n" in value:
        emit(f"{indent}{name}:")
        quoted(value, depth + 1)
    else:
        emit(f"{indent}{name}: {'none' if value is None else value}")
