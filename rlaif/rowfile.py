"""Files of rows (JSONL, JSON, CSV, Parquet, saved dataset folders), read one row at a time.

Owns formats, encodings and size limits, and keeps with every row the place to name when something is
wrong with it. A row that cannot be decoded is yielded with its fault, so that the reader's caller
decides whether one broken row stops everything; a file that cannot be followed any further raises.
Leaves the meaning of columns to whoever asked for the rows.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rlaif.complaints import shown
from rlaif.errors import InputError

MAX_LINE = 1024 * 1024
"""Most bytes in one line of a text file, and characters in one CSV field."""
MAX_JSON = 256 * 1024 * 1024
"""Most bytes in a JSON list, which is read whole; JSONL has no such limit."""
_BATCH = 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """One row and its place."""

    path: Path
    """The file."""
    index: int
    """0-based number among the file's rows."""
    line: int | None
    """1-based line it starts on; None in formats without lines."""
    value: object = None
    """The row as plain data; of no use when it has a fault."""
    fault: str = ""
    """Why it could not be decoded; empty when it was."""

    def error(self, message: str, field: str = "") -> InputError:
        """Return an error that names this row's place; formats without lines say ``rows.INDEX.field``."""
        if self.line is None:
            field = f"rows.{self.index}.{field}".rstrip(".")
        return InputError(message, path=self.path, line=self.line, field=field or None)


def read_rows(path: str | Path) -> Iterator[Row]:
    """Yield the rows of a file, whose format its suffix names; memory holds one batch at a time.

    Args:
        path: ``.jsonl`` (one JSON value a line; blank lines are skipped), ``.json`` (a list), ``.csv``
            (with a header), ``.parquet``, or a folder saved by Hugging Face ``datasets``.

    Raises:
        InputError: the file is missing, of another format, or damaged beyond its next row.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet,
    }  # fmt: skip
    if not path.exists():
        raise InputError("no such file or folder; check the name", path=path)
    reader = readers.get(path.suffix.lower())
    if reader is None or not path.is_file():
        allowed = ", ".join(readers)
        raise InputError(
            f"found the suffix {path.suffix!r}; allowed: {allowed}, or a saved dataset folder", path=path
        )
    return reader(path)


def _jsonl(path: Path) -> Iterator[Row]:
    index = 0
    for line, raw in _lines(path):
        if not raw.strip():
            continue
        try:
            yield Row(path, index, line, _decode(raw.decode("utf-8")))
        except UnicodeDecodeError as error:
            yield Row(path, index, line, fault=_not_utf8(raw, error))
        except ValueError as error:
            yield Row(path, index, line, fault=f"the line is not JSON: {error}")
        index += 1


def _json(path: Path) -> Iterator[Row]:
    size = path.stat().st_size
    if size > MAX_JSON:
        _fail(path, None, f"the file is {size} bytes; a JSON list may have {MAX_JSON}: save it as .jsonl")
    raw = path.read_bytes().removeprefix(_BOM)
    try:
        rows = _decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        _fail(path, raw.count(b"\n", 0, error.start) + 1, _not_utf8(raw, error))
    except json.JSONDecodeError as error:
        _fail(path, error.lineno, f"the file is not JSON: {error.msg}; one JSON value a line is .jsonl")
    except ValueError as error:
        _fail(path, 1, f"the file is not JSON: {error}")
    if not isinstance(rows, list):
        _fail(path, 1, f"found {shown(rows)} at the top; a .json file holds a list of rows")
    for index, value in enumerate(rows):
        yield Row(path, index, None, value)


def _csv(path: Path) -> Iterator[Row]:
    header: list[str] = []
    index = 0
    for line, cells in _records(path):
        if not header:
            header = _header(path, line, cells)
        elif cells:
            row = dict(zip(header, cells, strict=False))
            fault = f"found {len(cells)} columns; the header has {len(header)}: check the quotes"
            yield Row(path, index, line, row, "" if len(cells) == len(header) else fault)
            index += 1


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    # The csv module's only limit is global; it is raised to this module's own, always the same one.
    csv.field_size_limit(MAX_LINE)
    reader = csv.reader(_texts(path), strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        _fail(path, line, f"the row that starts here is not CSV: {error}; check its quotes")


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    if len(set(cells)) != len(cells) or "" in cells:
        _fail(path, line, f"the header is {shown(', '.join(cells))}; each column needs a name of its own")
    return cells


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from _batches(path, file.iter_batches(batch_size=_BATCH), 0)
    except (pa.ArrowException, OSError, ValueError) as error:
        _fail(path, None, f"this is not a Parquet file that can be read: {_clause(error)}", "rows")


def _folder(path: Path) -> Iterator[Row]:
    import pyarrow as pa

    if (path / "dataset_dict.json").is_file():
        splits = sorted(one.name for one in path.iterdir() if one.is_dir())
        _fail(path, None, f"this folder holds several splits; name one of: {', '.join(splits)}", "splits")
    index = 0
    for name in _arrow_files(path):
        try:
            with pa.memory_map(str(path / name)) as source, pa.ipc.open_stream(source) as batches:
                for row in _batches(path, batches, index):
                    yield row
                    index = row.index + 1
        except (pa.ArrowException, OSError, ValueError) as error:
            _fail(
                path / name, None, f"this is not an Arrow stream that can be read: {_clause(error)}", "rows"
            )


def _arrow_files(path: Path) -> list[str]:
    """Names of a saved dataset's data files, in order, none of them outside the folder."""
    state = path / "state.json"
    if not state.is_file():
        _fail(
            path, None, "the folder has no state.json, so it is no saved dataset; name a file", "state.json"
        )
    try:
        names = [one["filename"] for one in json.loads(state.read_bytes())["_data_files"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        _fail(state, 1, "the list of data files cannot be read; save the dataset again", "_data_files")
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not (path / name).is_file():
            _fail(state, 1, f"found the data file {shown(name)}; it must lie in the folder", "_data_files")
    return names


def _batches(path: Path, batches: Iterable[object], start: int) -> Iterator[Row]:
    for batch in batches:
        rows: list[object] = batch.to_pylist()  # type: ignore[attr-defined]
        for value in rows:
            yield Row(path, start, None, value)
            start += 1


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines with their ends, never holding more than one."""
    with path.open("rb") as handle:
        number = 0
        while raw := handle.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                _fail(path, number, f"the line is longer than {MAX_LINE} bytes (1 MiB), the most allowed")
            yield number, raw.removeprefix(_BOM) if number == 1 else raw


def _texts(path: Path) -> Iterator[str]:
    for line, raw in _lines(path):
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            _fail(path, line, _not_utf8(raw, error))


def _decode(text: str) -> object:
    """Decode JSON, strictly: no repeated keys, no NaN, no infinities.

    Raises:
        ValueError: with what is wrong.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shown(repeated)} is a duplicate")
    return found


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {shown(text)} is not finite")
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_constant)


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> str:
    return f"byte {raw[error.start]:#04x} is not UTF-8; save the file as UTF-8"


def _clause(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _fail(path: Path, line: int | None, message: str, field: str | None = None) -> NoReturn:
    raise InputError(message, path=path, line=line, field=field)
