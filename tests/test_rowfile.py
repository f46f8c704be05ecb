"""Rows and their places, in each format."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaif.errors import InputError
from rlaif.rowfile import MAX_LINE, read_rows


def test_lines_of_jsonl_count_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n[2]\n"three"')
    rows = list(read_rows(path))
    assert [(row.index, row.line, row.value) for row in rows] == [
        (0, 1, {"a": 1}),
        (1, 4, [2]),
        (2, 5, "three"),
    ]


def test_a_faulty_line_is_a_row_with_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'1\n{"a": 1, "a": 2}\n\xff\n4\n')
    rows = list(read_rows(path))
    assert [row.fault == "" for row in rows] == [True, False, False, True]
    assert "the key 'a' is a duplicate" in rows[1].fault
    assert "0xff is not UTF-8" in rows[2].fault
    error = rows[1].error("bad", "a.b")
    assert (error.path, error.line, error.field) == (path, 2, "a.b")


def test_csv_lines_are_where_rows_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\r\n1,"two\r\nlines"\r\n\r\n3\r\n4,5\r\n')
    rows = list(read_rows(path))
    assert [row.line for row in rows] == [2, 5, 6]
    assert rows[0].value == {"a": "1", "b": "two\r\nlines"}
    assert rows[1].fault == "found 1 columns; the header has 2: check the quotes"
    assert rows[2].value == {"a": "4", "b": "5"}


def test_rows_without_lines_are_named_by_index(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1}, 2]')
    rows = list(read_rows(path))
    assert [row.value for row in rows] == [{"a": 1}, 2]
    assert str(rows[1].error("bad", "a")) == f"{path}: rows.1.a: bad"
    assert str(rows[1].error("bad")) == f"{path}: rows.1: bad"


def test_parquet_spans_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": range(3000)}), path, row_group_size=700)
    rows = list(read_rows(path))
    assert [row.index for row in rows] == list(range(3000))
    assert rows[2999].value == {"n": 2999}


def test_a_saved_dataset_of_two_files_counts_through(tmp_path: Path) -> None:
    names = ["data-0.arrow", "data-1.arrow"]
    for name, values in zip(names, ([1, 2], [3]), strict=True):
        table = pa.table({"n": values})
        stream = io.BytesIO()
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        (tmp_path / name).write_bytes(stream.getvalue())
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    assert [(row.index, row.value) for row in read_rows(tmp_path)] == [
        (0, {"n": 1}),
        (1, {"n": 2}),
        (2, {"n": 3}),
    ]


def test_a_folder_of_several_splits_names_them(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text("{}")
    (tmp_path / "test").mkdir()
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="name one of: test, train"):
        list(read_rows(tmp_path))


def test_the_longest_line_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'"' + b"x" * (MAX_LINE - 3) + b'"\n')
    assert len(next(read_rows(path)).value) == MAX_LINE - 3  # type: ignore[arg-type]
    path.write_bytes(b'"' + b"x" * (MAX_LINE - 2) + b'"\n')
    with pytest.raises(InputError, match="longer than 1048576 bytes"):
        next(read_rows(path))


def test_unknown_formats_are_told_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")
    with pytest.raises(InputError, match=r"found the suffix '.txt'; allowed: .jsonl, .json, .csv, .parquet"):
        read_rows(path)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_memory_holds_a_batch_and_not_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    texts = [f"{index} " + "x" * 1000 for index in range(20_000)]
    if suffix == "parquet":
        pq.write_table(pa.table({"prompt": texts}), path, row_group_size=2000)
    elif suffix == "csv":
        path.write_text("prompt\n" + "\n".join(texts) + "\n")
    else:
        path.write_text("\n".join(json.dumps({"prompt": text}) for text in texts))
    tracemalloc.start()
    count = sum(1 for _ in read_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 5_000_000, "the texts alone are 20 MB"
