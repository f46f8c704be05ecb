"""``rlaif db``: check the store against its journal, rebuild it, query it read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rlaif.cli import console
from rlaif.cli.data import StoreOption
from rlaif.cli.make import Json
from rlaif.errors import StoreError

if TYPE_CHECKING:
    from rlaif.store import Report

app = typer.Typer(help="Check, rebuild and query the store.", no_args_is_help=True)


@app.command()
def check(store: StoreOption = None, as_json: Json = False) -> None:
    """Compare the store with the journal, row by row."""
    from rlaif.pipeline import find_folder
    from rlaif.store import check as compare

    report = compare(find_folder(store))
    if as_json:
        console.emit_json(report)
    else:
        _print(report)
    if not report.equal:
        raise StoreError("the store does not hold what the journal says; run: rlaif db rebuild")


@app.command()
def rebuild(store: StoreOption = None, as_json: Json = False) -> None:
    """Make the store again from the journal."""
    from rlaif.pipeline import find_folder
    from rlaif.store import rebuild as remake

    report = remake(find_folder(store))
    if as_json:
        console.emit_json(report)
    else:
        _print(report)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(metavar="QUERY")],
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Run a read-only query: no files, no network, no settings."""
    from rlaif.pipeline import find_folder
    from rlaif.store import select

    found = select(find_folder(store), query)
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
    if as_json:
        console.emit_json([dict(zip(found.column_names, row, strict=True)) for row in rows])
    else:
        console.table(found.column_names, rows)


def _print(report: Report) -> None:
    rows = [(name, one.journal, one.store) for name, one in report.tables.items()]
    console.table(("table", "journal", "store"), rows)
    mended = report.repair.damaged_lines + bool(report.repair.torn_bytes)
    console.emit(f"{report.commits:,} commits" + (f", {mended} damaged entries set aside" if mended else ""))
    console.emit(f"not equal: {report.problem}" if report.problem else "equal")
