"""What a request carries, read within bounds and refused where JSON's readers would disagree about it.

Owns sizes, encodings, depth, and the shape of lines and forms. Leaves what the fields mean to the models.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from rlaif.service.problems import Fault, Problem

MOST_LINE: Final = 2**20
"""Bytes of a line of an uploaded file."""
MOST_ROWS: Final = 50_000
"""Lines of an uploaded file, and members of any list in a body."""
MOST_TEXT: Final = 2**18
"""Characters of any text in a body; a prompt may have fewer."""
MOST_DEPTH: Final = 64
"""Objects and lists inside each other."""
MOST_FIELDS: Final = 1_000
"""Fields of a form."""
MOST_FORM: Final = 2**22
"""Bytes of a form."""
LARGE: Final = 2**18
"""Bytes from which a body is parsed on a thread."""
FORM_TYPE: Final = "application/x-www-form-urlencoded"

_RAW: Final = web.RequestKey("raw body", bytes)


async def raw(request: web.Request, most: int) -> bytes:
    """Read the whole body, once.

    Raises:
        Problem: 413 as soon as it is longer than ``most`` bytes, 415 for a compressed one.
    """
    if _RAW not in request:
        request[_RAW] = b"".join([part async for part in parts(request, most)])
    return request[_RAW]


async def parts(request: web.Request, most: int) -> AsyncIterator[bytes]:
    """Read a body piece by piece.

    Raises:
        Problem: as `raw` does.
    """
    check_encoding(request)
    if (request.content_length or 0) > most:
        raise _large(most)
    size = 0
    async for part in request.content.iter_chunked(2**16):
        size += len(part)
        if size > most:
            raise _large(most)
        yield part


async def lines(request: web.Request, most: int) -> AsyncIterator[bytes]:
    """Read an uploaded file of JSON lines one by one, without holding it; empty lines are left out.

    Raises:
        Problem: as `raw` does; 413 for a line or a number of lines over the bounds; as `json_text` does for
            a line, saying which.
    """
    rest, number = b"", 0
    async for part in parts(request, most):
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            number += 1
            if _check_line(line, number):
                yield line
        _check_size(rest, number + bool(rest))
    if _check_line(rest, number + 1):
        yield rest


async def json_text(request: web.Request, most: int) -> bytes:
    """Read a JSON body that every reader reads alike.

    Raises:
        Problem: as `raw` does; 400 for what is no JSON, 422 for what this service takes from nobody.
    """
    content = await raw(request, most)
    if len(content) > LARGE:
        await asyncio.to_thread(check_json, content)
    else:
        check_json(content)
    return content


async def form(request: web.Request, most: int) -> dict[str, str | list[str]]:
    """Read a form; a field that stands more than once has a list of values.

    Raises:
        Problem: as `raw` does; 400 for too many fields or bytes that are not UTF-8.
    """
    content = await raw(request, min(most, MOST_FORM))
    try:
        pairs = parse_qsl(
            content.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError as error:
        raise Problem(400, f"body: no form: {error}; send fields as UTF-8, {MOST_FIELDS} at most") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        check_text(value, f"body.{name[:100]}")
        found[name] = [*_listed(found[name]), value] if name in found else value
    return found


async def form_field(request: web.Request, name: str, most: int) -> str:
    """One field of a form; empty where the body is none or does not have it."""
    if request.content_type != FORM_TYPE:
        return ""
    value = (await form(request, most)).get(name, "")
    return value if isinstance(value, str) else ""


def check_encoding(request: web.Request) -> None:
    """Refuse a compressed body: a few of its bytes can become very many.

    Raises:
        Problem: 415.
    """
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity")
    if encoding.lower() != "identity":
        raise Problem(415, f"found a body with Content-Encoding {encoding[:100]!r}; send it uncompressed")


def check_json(content: bytes) -> None:
    """Refuse JSON that is broken, ambiguous, or larger than a request may be.

    Raises:
        Problem: 400 or 422, naming the field.
    """
    try:
        tree = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Problem(400, f"body: byte {error.start} is not UTF-8; send JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise Problem(
            400,
            f"body: not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            [Fault(field="body", message=error.msg, line=error.lineno)],
        ) from None
    except RecursionError:
        raise _bad("body", f"nested more than {MOST_DEPTH} deep") from None
    except ValueError:  # Python refuses to read integers of thousands of digits
        raise _bad("body", "a number has thousands of digits") from None
    _walk(tree)


def check_text(text: str, where: str) -> None:
    """Refuse text that cannot be stored as it is.

    Raises:
        Problem: 422, naming the field.
    """
    if "\x00" in text:
        raise _bad(where, "the text has a NUL character")
    with suppress(UnicodeEncodeError):
        text.encode()
        return
    raise _bad(where, "the text has half of a surrogate pair, which no UTF-8 can hold")


def _walk(tree: object) -> None:
    waiting: list[tuple[str, int, object]] = [("body", 0, tree)]
    while waiting:
        where, depth, value = waiting.pop()
        if isinstance(value, str):
            if len(value) > MOST_TEXT:
                raise _bad(where, f"{len(value):,} characters; at most {MOST_TEXT:,} are taken")
            check_text(value, where)
        elif isinstance(value, float) and not math.isfinite(value):
            raise _bad(where, "a number too large to be held; send a finite one")
        elif isinstance(value, dict | list):
            if depth >= MOST_DEPTH:
                raise _bad(where[:200], f"nested more than {MOST_DEPTH} deep")
            waiting += [(f"{where}.{name}", depth + 1, one) for name, one in _members(where, value)]


def _members(where: str, value: dict[str, object] | list[object]) -> list[tuple[object, object]]:
    if isinstance(value, list):
        if len(value) > MOST_ROWS:
            raise _bad(where, f"a list of {len(value):,}; at most {MOST_ROWS:,} are taken at a time")
        return list(enumerate(value))
    for name in value:
        check_text(name, where)
    return [(name[:100], one) for name, one in value.items()]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _bad("body", f"the name {twice[:100]!r} stands twice in one object; write it once")
    return found


def _refuse_constant(name: str) -> None:
    raise _bad("body", f"{name} is no JSON number; leave the field out or send null")


def _check_line(line: bytes, number: int) -> bool:
    """Whether a line has anything in it; what it has is JSON that every reader reads alike."""
    if not line.strip():
        return False
    _check_size(line, number)
    try:
        check_json(line)
    except Problem as problem:
        raise Problem(problem.status, f"line {number}: {problem}", problem.errors) from None
    return True


def _check_size(line: bytes, number: int) -> None:
    if len(line) > MOST_LINE:
        raise Problem(413, f"line {number:,} has more than {MOST_LINE:,} bytes, the most a line may have")
    if number > MOST_ROWS:
        raise Problem(
            413, f"more than {MOST_ROWS:,} lines, the most one request may have; send the rest in another"
        )


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _large(most: int) -> Problem:
    return Problem(
        413, f"the body has more than {most:,} bytes, the most this route takes; send less at a time"
    )


def _bad(where: str, message: str) -> Problem:
    shown = where.encode("utf-8", "replace").decode().replace("\x00", "�")
    return Problem(422, f"{shown}: {message}", [Fault(field=shown, message=message)])
