"""How records lie in tables: one table a kind, one column a field.

Owns the mapping between frozen records and Arrow columns, derived from the records' own fields. Leaves
the tables' DDL to ``migrations/*.sql`` (a test compares the two) and all SQL to ``database``.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pydantic_core
from pydantic import TypeAdapter

from rlaif.errors import InputError
from rlaif.records import (
    RECORDS,
    AccessKey,
    Completion,
    Document,
    Fact,
    Flag,
    HumanLabel,
    Job,
    JobEvent,
    Judgment,
    KeyEvent,
    Preference,
    PreferenceSet,
    Prompt,
    Ranking,
    Revision,
    Sample,
    Score,
    StoredScorecard,
    Submission,
    TaskState,
)

R = TypeVar("R", bound=Fact)

NAMES: Final[dict[type[Fact], str]] = {
    Document: "documents",
    Job: "jobs",
    Prompt: "prompts",
    Sample: "samples",
    Judgment: "judgments",
    Score: "scores",
    Ranking: "rankings",
    Preference: "preferences",
    Completion: "completions",
    PreferenceSet: "sets",
    Revision: "revisions",
    Flag: "flags",
    StoredScorecard: "scorecards",
    TaskState: "tasks",
    JobEvent: "job_events",
    Submission: "submissions",
    AccessKey: "access_keys",
    KeyEvent: "key_events",
    HumanLabel: "human_labels",
}
"""Table of each record kind."""

_TEXT: Final = pa.large_string()  # 64-bit offsets: a batch of long prompts may pass 2 GiB
_TYPES: Final[dict[object, tuple[str, pa.DataType]]] = {
    str: ("VARCHAR", _TEXT),
    float: ("DOUBLE", pa.float64()),
    bool: ("BOOLEAN", pa.bool_()),
    int: ("BIGINT", pa.int64()),
    tuple[str, ...]: ("VARCHAR[]", pa.list_(_TEXT)),
    tuple[float, ...]: ("DOUBLE[]", pa.list_(pa.float64())),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a record's table."""

    name: str
    """Name of the field, and of the column."""
    sql: str
    """Its DuckDB type."""
    arrow: pa.DataType
    """Its Arrow type."""
    json: bool
    """Whether the field is written as JSON text."""


@dataclass(frozen=True, slots=True)
class Table:
    """The table of one record kind."""

    name: str
    """Its name in the database."""
    columns: tuple[Column, ...]
    """One per field, in the record's order."""
    rows: TypeAdapter[list[Any]]
    """Validates rows back into records."""


@cache
def table(model: type[Fact]) -> Table:
    """The table that holds records of kind ``model``."""
    columns = tuple(_column(name, field.annotation) for name, field in model.model_fields.items())
    return Table(NAMES[model], columns, TypeAdapter(list[model]))  # type: ignore[valid-type]


def tables() -> Iterable[Table]:
    """All tables, in the order of ``records.RECORDS``."""
    return map(table, RECORDS)


def encode(model: type[Fact], records: Sequence[Fact]) -> pa.Table:
    """Turn records of one kind, each passed by `check_storable`, into Arrow columns."""
    arrays = [_array(column, records) for column in table(model).columns]
    return pa.table(arrays, names=[column.name for column in table(model).columns])


def decode(model: type[R], batch: pa.RecordBatch) -> list[R]:
    """Turn Arrow columns back into the records they were made from."""
    columns = table(model).columns
    values = [_values(column, batch.column(at)) for at, column in enumerate(columns)]
    names = [column.name for column in columns]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    return table(model).rows.validate_python(rows)


def check_storable(records: Iterable[Fact]) -> None:
    """Refuse, before anything is journalled, a record that could not be read back as it is.

    Raises:
        InputError: a whole number does not fit 64 bits, or a number is not finite (JSON has neither
            NaN nor the infinities).
    """
    for record in records:
        for column in _numeric(type(record)):
            value = getattr(record, column.name)
            if value is not None and not _FITS[column.sql](value):
                raise InputError(
                    f"{NAMES[type(record)]}.{column.name} of {record.id!r} is {value!r}; whole numbers"
                    " from -2**63 to 2**63 - 1 and finite numbers can be stored"
                )


_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    "BIGINT": lambda value: -(2**63) <= value < 2**63,
    "DOUBLE": math.isfinite,
    "DOUBLE[]": lambda values: all(map(math.isfinite, values)),
}


@cache
def _numeric(model: type[Fact]) -> tuple[Column, ...]:
    return tuple(column for column in table(model).columns if column.sql in _FITS)


def _column(name: str, annotation: object) -> Column:
    found = _TYPES.get(_plain(annotation))
    sql, arrow = found or _TYPES[str]
    return Column(name, sql, arrow, json=found is None)


def _plain(annotation: object) -> object:
    """Strip what does not change how a value is stored: None, constraints, the menu of a Literal."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        (one,) = (one for one in get_args(annotation) if one is not type(None))
        return _plain(one)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin is Literal:
        return type(get_args(annotation)[0])
    return annotation


def _array(column: Column, records: Sequence[Fact]) -> pa.Array:
    get: Callable[[Fact], object] = attrgetter(column.name)
    values: Iterable[object] = map(get, records)
    if column.json:
        values = map(_to_json, values)
    return pa.array(list(values), column.arrow)


def _values(column: Column, array: pa.Array) -> list[object]:
    values: list[object] = array.to_pylist()
    return [_from_json(value) for value in values] if column.json else values


def _to_json(value: object) -> str | None:
    return None if value is None else pydantic_core.to_json(value).decode()


def _from_json(text: object) -> object:
    return None if text is None else pydantic_core.from_json(text)  # type: ignore[arg-type]
