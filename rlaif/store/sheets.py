"""Figures in a DuckDB file of their own: tables made whole each time, with no journal behind them.

Owns writing and reading such a file. Leaves records, which are projected from a journal, to ``database``: a
sheet holds what a run can compute again, so it needs no recovery and never enters a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from rlaif.store.database import CONFIG, sql, translated

Rows = Sequence[Mapping[str, str | float | int | None]]


def write_sheets(path: Path, sheets: Mapping[str, Rows]) -> None:
    """Write tables, in place of those of the same names.

    Args:
        path: the file; made where it is not there.
        sheets: rows by table, at least one; all rows of one have the same columns. A column without any
            value is one of numbers.

    Raises:
        StoreError: another process has the file open, it is damaged, or the disk refuses writes.
    """
    with translated(path, opening=True), duckdb.connect(str(path), config=CONFIG) as connection:
        connection.begin()
        for name, rows in sheets.items():
            connection.register("batch", _table(rows))
            connection.execute(sql("sheet", table=name))
            connection.unregister("batch")
        connection.commit()


def read_sheet(path: Path, name: str) -> pa.Table:
    """Return a table, as it was written.

    Raises:
        StoreError: another process has the file open, or it holds no such table.
    """
    statement = sql("read", columns="*", table=name, where="true", order="rowid")
    with translated(path, opening=True), duckdb.connect(str(path), read_only=True, config=CONFIG) as found:
        return found.sql(statement).to_arrow_table()


def _table(rows: Rows) -> pa.Table:
    made = pa.Table.from_pylist([dict(one) for one in rows])
    typed = [pa.field(one.name, pa.float64()) if pa.types.is_null(one.type) else one for one in made.schema]
    return made.cast(pa.schema(typed))
