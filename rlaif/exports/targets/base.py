"""What a target is: TRL's tables with other columns, and the command or config that reads them.

Owns the frame every target fills. Leaves each trainer's columns to its own module and files to ``write``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined

from rlaif.exports.rows import Kind, Row, Table
from rlaif.exports.source import Source
from rlaif.exports.turns import spoken
from rlaif.records import MarginScale, Split

TEXT = pa.string()
_SAID = frozenset((
    "prompt", "chosen", "rejected", "completion", "system", "prompt_text", "chosen_text", "rejected_text",
    "completion_text",
))  # fmt: skip
"""Columns that hold the conversation; each target writes them its own way."""


@dataclass(frozen=True, slots=True)
class Part:
    """One written table, as a command names it."""

    name: str
    kind: Kind
    columns: tuple[str, ...]
    train: tuple[str, ...]
    """Its files of training rows, relative to the folder."""
    test: tuple[str, ...]
    """Those of test rows; none where there are no such rows."""


@dataclass(frozen=True, slots=True)
class Target:
    """One trainer's way of reading the sets."""

    tables: Callable[[Source, MarginScale | None], Sequence[Table]]
    jsonl: bool
    """Whether JSONL copies lie beside the Parquet files, and the commands read those."""
    about: str
    """The text beside this module that tells a reader what its columns hold and by which rules."""
    notes: Callable[[Sequence[Part]], Mapping[str, str]]
    """Texts beside the data by file name, the ready command and the config it reads, from the tables that
    hold training rows."""


def recast(
    table: Table, columns: Mapping[str, pa.DataType], shape: Callable[[Row, Split], Row], **changes: object
) -> Table:
    """Write a table's conversations in other columns and keep ours behind them.

    Args:
        table: as TRL reads it.
        columns: the trainer's columns, in order.
        shape: fills them from a row as TRL reads it.
        **changes: other fields of the table that change.
    """
    ours = [field for field in table.schema if field.name not in _SAID and field.name not in columns]

    def shaped(row: Row, split: Split) -> Row:
        return {**shape(row, split), **{field.name: row[field.name] for field in ours}}

    schema = pa.schema([*columns.items(), *ours])
    return replace(table, schema=schema, shape=shaped, **changes)  # type: ignore[arg-type]


def conversation(row: Row, said: str) -> list[object]:
    """Return the prompt's turns and a response's as one list.

    Args:
        row: as TRL reads it.
        said: the response's column.
    """
    asked, answered = row["prompt"], row[said]
    assert isinstance(asked, list)
    assert isinstance(answered, list)
    return [*asked, *answered]


def last(row: Row, said: str) -> object:
    """Return a response's one turn.

    Args:
        row: as TRL reads it.
        said: the response's column.
    """
    answered = row[said]
    assert isinstance(answered, list)
    return answered[-1]


def several_turns(row: Row) -> bool:
    """Whether a prompt has more than one turn that is not the system's."""
    asked = row["prompt"]
    assert isinstance(asked, list)
    return len(spoken(asked)) > 1


def filled(template: str, **values: object) -> str:
    """Fill one of the texts beside this module.

    Args:
        template: its file name.
        **values: what it names.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    # No page is made here: what is filled in are file names, of letters, digits, '-' and '_'.
    return Environment(
        loader=PackageLoader("rlaif.exports.targets", "."),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
