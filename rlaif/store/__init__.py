"""The store: every record in one DuckDB file that can always be rebuilt from the journal.

Owns the only door to DuckDB. Leaves what the records mean to everyone else.
"""

from rlaif.store.database import Store
from rlaif.store.sandbox import select
from rlaif.store.sheets import read_sheet, write_sheets
from rlaif.store.upkeep import Report, check, rebuild
from rlaif.store.workspace import InUse, Workspace

__all__ = [
    "InUse",
    "Report",
    "Store",
    "Workspace",
    "check",
    "read_sheet",
    "rebuild",
    "select",
    "write_sheets",
]
