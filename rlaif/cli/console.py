"""The one exit for text: everything printed passes here, stripped of control characters.

Owns tables, progress bars and the split between stdout (data) and stderr (words for people).
Model text is attacker-controlled, so terminal escapes, bidi and other format characters never
reach a terminal; ``--json`` output is escaped by JSON instead and stays faithful.
"""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pydantic_core
from pydantic import JsonValue

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET_SECONDS = 10.0
"""Between progress lines when stderr is not a terminal."""


def plain(text: str) -> str:
    """Replace control and format characters (ANSI, OSC, bidi, zero-width) by visible escapes."""
    return "".join(one if _printable(one) else f"\\u{ord(one):04x}" for one in text)


def _printable(character: str) -> bool:
    return character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Co", "Cs")


def say(text: str) -> None:
    """Print a line for a person on stderr."""
    print(plain(text), file=sys.stderr)


def emit(text: str) -> None:
    """Print data for a person or a pipe on stdout."""
    print(plain(text))


def emit_json(value: object) -> None:
    """Print one JSON document on stdout; non-ASCII control characters are escaped."""
    import json

    print(json.dumps(pydantic_core.to_jsonable_python(value), ensure_ascii=True, indent=1))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print an aligned table on stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD)
    for name in head:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(plain(str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else 200).print(drawn)


def tree(value: Mapping[str, JsonValue], depth: int = 0) -> None:
    """Print nested data as an indented outline on stdout."""
    for name, one in value.items():
        _branch(name, one, "  " * depth)


def _branch(name: str, value: JsonValue, indent: str) -> None:
    deeper = len(indent) // 2 + 1
    if isinstance(value, dict):
        emit(f"{indent}{name}:")
        tree(value, deeper)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, one in enumerate(value, 1):
            _branch(f"{name} {number}", one, indent)
    elif isinstance(value, str) and "\n" in value:
        emit(f"{indent}{name}:")
        for line in value.splitlines():
            emit(f"{indent}  | {line}")
    else:
        emit(f"{indent}{name}: {value}")


class Bars:
    """Progress on stderr: bars on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._name = ""
        self._total = self._ended = self._failed = 0
        self._last = 0.0
        self._progress: Progress | None = None
        self._bar: TaskID | None = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TimeRemainingColumn

            columns = (SpinnerColumn(), *Progress.get_default_columns()[:-1], TimeRemainingColumn())
            self._progress = Progress(*columns, console=Console(stderr=True))
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of ``total`` tasks."""
        self._name, self._total, self._ended, self._failed = name, total, 0, 0
        if self._progress is not None:
            self._bar = self._progress.add_task(name, total=total)
        else:
            self._line()

    def task(self, ok: bool) -> None:
        """Count one ended task."""
        self._ended += 1
        self._failed += not ok
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, advance=1)
        elif time.monotonic() - self._last >= QUIET_SECONDS or self._ended == self._total:
            self._line()

    def _line(self) -> None:
        self._last = time.monotonic()
        if not self._quiet:
            failed = f", {self._failed} failed" if self._failed else ""
            say(f"{self._name}: {self._ended} of {self._total}{failed}")
