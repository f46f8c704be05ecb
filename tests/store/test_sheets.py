"""Figures in a file of their own: they come back as they were, replace their kind, and leave stores alone."""

from pathlib import Path

import pytest

from rlaif.errors import StoreError
from rlaif.store import read_sheet, write_sheets

ROWS = [
    {"name": "b", "value": 0.1, "number": 3, "nothing": None},
    {"name": "a'; DROP TABLE x; --", "value": None, "number": -1, "nothing": None},
]


def test_rows_come_back_as_they_were_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "lab.duckdb"
    write_sheets(path, {"points": ROWS})
    assert read_sheet(path, "points").to_pylist() == ROWS
    assert [str(one.type) for one in read_sheet(path, "points").schema] == [
        "string",
        "double",
        "int64",
        "double",
    ]


def test_a_table_is_replaced_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "lab.duckdb"
    write_sheets(path, {"points": ROWS, "fits": ROWS[:1]})
    write_sheets(path, {"points": [{"other": 1.5}]})
    assert read_sheet(path, "points").to_pylist() == [{"other": 1.5}]
    assert read_sheet(path, "fits").num_rows == 1


def test_what_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "lab.duckdb"
    write_sheets(path, {"points": ROWS})
    with pytest.raises(StoreError, match="nowhere"):
        read_sheet(path, "nowhere")
    with pytest.raises(StoreError):
        read_sheet(tmp_path / "no.duckdb", "points")


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "lab.duckdb"
    path.write_text("not a database at all")
    with pytest.raises(StoreError, match=r"lab\.duckdb"):
        write_sheets(path, {"points": ROWS})
