"""How a job tells a person that it goes on, and what went wrong inside it.

Owns the bars, the lines that stand for them off a terminal, and the handler of log records. Leaves
printing to ``console``.
"""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rlaif.cli import console
from rlaif.errors import keep_traceback, tell

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET_SECONDS: Final = 10.0
"""Between progress lines when stderr is not a terminal."""


class Bars:
    """Progress on stderr: bars on a terminal; elsewhere a line every ten seconds and one per stage."""

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
        self._finish(whole=error is None)
        if self._progress is not None:
            self._progress.stop()

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of at most ``total`` tasks: pairs that turn out identical need none."""
        self._finish(whole=True)
        self._name, self._total, self._ended, self._failed = name, total, 0, 0
        self._last = time.monotonic()
        if self._progress is not None:
            self._bar = self._progress.add_task(name, total=total)

    def task(self, ok: bool) -> None:
        """Count one ended task."""
        self._ended += 1
        self._failed += not ok
        if self._progress is not None and self._bar is not None:
            self._progress.update(self._bar, advance=1)
        elif time.monotonic() - self._last >= QUIET_SECONDS:
            self._last = time.monotonic()
            self._line(f"{self._ended:,} of {self._total:,}")

    def _finish(self, *, whole: bool) -> None:
        """Close the stage that ran: a bar ends full although some of its tasks were not needed."""
        if not self._name:
            return
        if self._progress is not None and self._bar is not None:
            if whole:
                self._progress.update(self._bar, total=self._ended, completed=self._ended)
        else:
            self._line(f"{self._ended:,} done" if whole else f"stopped at {self._ended:,} of {self._total:,}")
        self._name = ""

    def _line(self, how: str) -> None:
        if not self._quiet:
            console.say(f"{self._name}: {how}" + (f", {self._failed:,} failed" if self._failed else ""))


class Notices(logging.Handler):
    """Says a log record in one sentence; its traceback goes to a file.

    One of a kind is enough: the failures of a job's tasks are counted in its last lines.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[tuple[str, type[BaseException] | None]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record, and where its traceback is."""
        error = record.exc_info[1] if record.exc_info else None
        kind = (str(record.msg), None if error is None else type(error))
        if kind in self._said:
            return
        self._said.add(kind)
        where = "" if error is None else f"; the traceback is in {keep_traceback(error)}"
        tell(f"{record.levelname.lower()}: {record.getMessage()}{where}")
