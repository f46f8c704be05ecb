"""Questions in SQL from a person: read-only, with no way out of the file, and not for ever.

Owns the settings that make it so. Leaves the tables and views to ``migrations/*.sql`` and printing to
the command line.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from rlaif.errors import InputError, StoreError
from rlaif.store.database import CONFIG, translated

SECONDS: Final = 30.0
"""Time a question may take unless told otherwise."""
_QUESTIONS: Final = frozenset(
    # Short forms of SELECT count as it; PIVOT is taken apart into several statements.
    {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI}
)


def select(folder: Path, question: str, *, seconds: float = SECONDS) -> pa.Table:
    """Run a person's SQL over the store of a workspace and return the rows.

    The file is opened read-only, so nothing is added or repaired; files, network, extensions and
    settings are out of reach.

    Args:
        folder: the workspace.
        question: one SQL statement.
        seconds: time after which it is interrupted.

    Raises:
        InputError: DuckDB refuses or cannot answer the question, or it takes too long.
        StoreError: there is no store, it is damaged, or another process has it open.
    """
    path = folder / "store.duckdb"
    if not path.is_file():
        raise StoreError(f"{path} does not exist; make it with: rlaif run, or: rlaif db rebuild")
    config = CONFIG | {
        "enable_external_access": False,
        "python_enable_replacements": False,
        "max_execution_time": round(seconds * 1000),
        "lock_configuration": True,
    }
    with translated(path, opening=True):
        connection = duckdb.connect(str(path), read_only=True, config=config)
    try:
        return _answer(connection, question)
    except duckdb.InterruptException:
        raise InputError(f"the query took longer than {seconds:g} s and was stopped; ask for less") from None
    except duckdb.Error as error:
        raise InputError(f"the query failed: {_clause(error)}; tables: rlaif db sql 'SHOW TABLES'") from None
    finally:
        connection.close()


def _answer(connection: duckdb.DuckDBPyConnection, question: str) -> pa.Table:
    statements = connection.extract_statements(question)
    if not statements:
        raise InputError(f"{question!r} returns no rows; ask with SELECT")
    if len(statements) > 1:
        raise InputError(f"the query failed: found {len(statements)} statements; ask one at a time")
    kind = statements[0].type
    if kind not in _QUESTIONS:
        raise InputError(f"the query failed: found {kind.name}; allowed: SELECT, SHOW, DESCRIBE, EXPLAIN")
    table = connection.sql(statements[0]).to_arrow_table()
    twice = [name for name, times in Counter(table.column_names).items() if times > 1]
    if twice:
        raise InputError(f"the query failed: two columns are called {twice[0]!r}; name one of them with AS")
    return table


def _clause(error: duckdb.Error) -> str:
    """What DuckDB says, without the drawing of the query that follows in a paragraph of its own."""
    return " ".join(str(error).partition("\n\n")[0].split()).rstrip(".!")
