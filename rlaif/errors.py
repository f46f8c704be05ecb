"""The one exception tree, and the boundary where it becomes a sentence and an exit code.

Owns every exception the package raises on purpose::

    RlaifError                1   something went wrong that a user can read about
    ├── InputError            2   a file, field, name or setting is not usable
    │   ├── MissingExtraError 2   an optional dependency is not installed
    │   └── UnpricedError     2   no price is known for a model
    ├── StoreError            2   the store is locked, read-only or from a newer version
    ├── BudgetError           3   the money cap leaves no room for the next call
    ├── JobError              1   a job ended without completing
    ├── Interrupted         130   a person or the system asked the job to stop
    └── CallError             1   one attempt at a provider call failed

Leaves the wording to the raiser: a message says what was found, what is allowed, and what to do next.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

RetryClass = Literal["no", "transient", "rate_limit"]


class RlaifError(Exception):
    """Base of every error with a message written for a person."""

    exit_code = 1


class InputError(RlaifError):
    """Something the user supplied cannot be used.

    Args:
        message: one sentence: what was found, what is allowed, the next command.
        path: the file it was found in, if any.
        line: 1-based line in that file.
        field: dotted name of the field, e.g. ``stages.0.k``.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str] | None = None,
        line: int | None = None,
        field: str | None = None,
    ) -> None:
        self.message = message
        self.path = None if path is None else Path(path)
        self.line = line
        self.field = field
        where = "" if path is None else os.fspath(path)
        if line is not None:
            where += f":{line}"
        if field:
            where += f": {field}" if where else field
        super().__init__(f"{where}: {message}" if where else message)


class MissingExtraError(InputError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package!r} is not installed and is needed here; run: pip install 'rlaif[{extra}]'"
        )


class UnpricedError(InputError):
    """No price is known for a model, so no cap could be held."""


class StoreError(RlaifError):
    """The store cannot be opened or written as asked."""

    exit_code = 2


class BudgetError(RlaifError):
    """The next call's worst case does not fit under the job's cap."""

    exit_code = 3


class JobError(RlaifError):
    """A job ended without completing; the message says what failed and how to resume."""


class Interrupted(RlaifError):
    """A signal stopped the job; what was answered is kept."""

    exit_code = 130


class CallError(RlaifError):
    """One attempt at a provider call failed.

    Args:
        message: what the provider or the network said, without secrets.
        retry: ``no`` (asking again cannot help), ``transient``, or ``rate_limit``.
        retry_after: seconds the provider asked to wait, if it did.
        fatal: no call of this job can succeed (a bad key, an unknown model): stop at once.
        billed: the provider may have charged for the attempt (e.g. a read timeout).
    """

    def __init__(
        self,
        message: str,
        *,
        retry: RetryClass,
        retry_after: float | None = None,
        fatal: bool = False,
        billed: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry: RetryClass = retry
        self.retry_after = retry_after
        self.fatal = fatal
        self.billed = billed


@contextmanager
def boundary() -> Iterator[None]:
    """Turn whatever escapes into one sentence on stderr and the documented exit code.

    Raises:
        SystemExit: 1 job failed, 2 bad input, 3 budget, 130 interrupted. An unexpected exception
            exits with 1 and names the file its traceback was written to.
    """
    try:
        yield
    except RlaifError as error:
        tell(str(error))
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        tell("interrupted; nothing answered so far is lost")
        raise SystemExit(130) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        tell(f"{error.strerror or error}: {error.filename or 'an input or output file'}")
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        tell(f"{error.name!r} is not installed and is needed here; run: pip install --force-reinstall rlaif")
        raise SystemExit(2) from None
    except Exception as error:  # the one place where a bug becomes a sentence
        name = keep_traceback(error)
        tell(f"internal error ({type(error).__name__}); the traceback is in {name}; please report it")
        raise SystemExit(1) from None


def keep_traceback(error: BaseException) -> str:
    """Write an exception's traceback to a new file for a bug report, and return the file's name."""
    handle, name = tempfile.mkstemp(prefix="rlaif-traceback-", suffix=".txt", text=True)
    with os.fdopen(handle, "w", errors="backslashreplace") as file:
        traceback.print_exception(error, file=file)
    return name


def tell(message: str) -> None:
    """Say one sentence to a person on stderr, on one line."""
    print(f"rlaif: {plain(' '.join(message.split()))}", file=sys.stderr)


def plain(text: str) -> str:
    """Return one line that is safe to print: what is not visible as itself stands as a Python escape.

    Model text and file content are attacker-controlled. Line breaks, terminal escapes (ANSI, OSC), bidi
    and zero-width characters, and letters without a shape would all let a text pass for another.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if _visible(one) else one.encode("unicode_escape").decode() for one in text)


def _visible(character: str) -> bool:
    if character in _SHAPELESS:
        return False
    return character.isprintable() or unicodedata.category(character) == "Zs"


_SHAPELESS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols that are drawn as nothing."""
