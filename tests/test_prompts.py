"""Prompts: every format gives the same records, once each, on a side that never changes."""

from __future__ import annotations

import csv
import json
import math
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlaif.errors import InputError
from rlaif.prompts import PromptFile, read_prompts, split_of
from rlaif.records import Message, Prompt

SHIPPED = Path(__file__).parent.parent / "pipelines" / "prompts" / "quickstart.jsonl"

ROWS: list[dict[str, Any]] = [
    {"prompt": "Which way is north?", "source": "made", "licence": "CC0-1.0", "id": "a/1"},
    {"prompt": "Two lines,\nand a \"quote\".", "source": "made", "licence": "CC0-1.0", "id": "a/2"},
    {"prompt": "Où est la gare ? 🚉", "source": "made", "licence": "CC0-1.0", "id": "a/3"},
]  # fmt: skip


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def one(tmp_path: Path, row: object) -> Prompt:
    (prompt,) = read_prompts(jsonl(tmp_path / "one.jsonl", [row])).prompts
    return prompt


def as_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)


def as_folder(path: Path) -> None:
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(str(path))


WRITERS: dict[str, Any] = {
    "rows.jsonl": lambda path: jsonl(path, ROWS),
    "rows.json": lambda path: path.write_text(json.dumps(ROWS, indent=2)),
    "bom.json": lambda path: path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS).encode()),
    "rows.csv": as_csv,
    "bom.csv": lambda path: (as_csv(path), path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())),
    "ROWS.PARQUET": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
    "folder": as_folder,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_prompts(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    read = read_prompts(tmp_path / name)
    assert [prompt.text for prompt in read.prompts] == [row["prompt"] for row in ROWS]
    assert {prompt.source for prompt in read.prompts} == {"made"}
    assert {prompt.licence for prompt in read.prompts} == {"CC0-1.0"}
    assert [prompt.meta for prompt in read.prompts] == [{"id": row["id"]} for row in ROWS]
    assert read.digest == read_prompts(jsonl(tmp_path / "again.jsonl", ROWS)).digest


@pytest.mark.parametrize("name", ["turns.jsonl", "turns.parquet", "turns_folder"])
def test_conversations(tmp_path: Path, name: str) -> None:
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Which way is north?"},
    ]
    path = tmp_path / name
    if name.endswith("jsonl"):
        jsonl(path, [{"messages": turns}])
    elif name.endswith("parquet"):
        pq.write_table(pa.table({"messages": [turns]}), path)
    else:
        from datasets import Dataset

        Dataset.from_list([{"messages": turns}]).save_to_disk(str(path))
    (prompt,) = read_prompts(path).prompts
    assert prompt.messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi."),
        Message(role="assistant", content="Hello."),
        Message(role="user", content="Which way is north?"),
    )
    assert prompt.source == name


def test_a_text_and_a_single_user_turn_are_one_prompt(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi."}]
    rows = [{"prompt": "Hi."}, {"prompt": turns}, {"messages": turns}, {"prompt": None, "messages": turns}]
    read = read_prompts(jsonl(tmp_path / "p.jsonl", rows))
    assert (read.report.rows, read.report.prompts, read.report.duplicates) == (4, 1, 3)


def test_prompt_stands_before_messages(tmp_path: Path) -> None:
    """Sets for TRL hold the prompt and the whole conversation side by side."""
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    prompt = one(tmp_path, {"prompt": "Hi.", "messages": turns})
    assert prompt.text == "Hi."
    assert prompt.meta == {"messages": turns}


def test_text_is_kept_but_for_normal_form(tmp_path: Path) -> None:
    assert one(tmp_path, {"prompt": "  x\r\n\ty \u202e\x07"}).text == "  x\r\n\ty \u202e\x07"
    assert one(tmp_path, {"prompt": "cafe\u0301"}).text == "caf\u00e9"
    assert one(tmp_path, {"prompt": "\ufb01"}).text == "\ufb01", "compatibility forms stay"


def test_labelled_rows_are_prompt_rows(tmp_path: Path) -> None:
    row = {
        "id": "set/1", "source": "set", "dimension": "safety", "slice": "set",
        "prompt": [{"role": "user", "content": "Hi."}], "responses": ["Hello.", "Go away."],
        "human": {"preferred": 0, "votes": None}, "meta": {"k": [1, 2.5, True]},
    }  # fmt: skip
    prompt = one(tmp_path, row)
    assert prompt.source == "set"
    assert prompt.meta == {
        "id": "set/1", "dimension": "safety", "slice": "set", "responses": ["Hello.", "Go away."],
        "human": {"preferred": 0, "votes": None}, "meta": {"k": [1, 2.5, True]},
    }  # fmt: skip


def test_the_labelled_data_can_be_read() -> None:
    folder = os.environ.get("RLAIF_EVAL_DATA")
    if not folder:
        pytest.skip("RLAIF_EVAL_DATA does not name a folder of labelled rows")
    for path in sorted(Path(folder).glob("*.jsonl")):
        with path.open() as file:
            rows = [json.loads(line) for line in file]
        if "responses" in rows[0]:
            report = read_prompts(path, skip_bad_rows=True).report
            assert report.rows == len(rows)
            assert report.skipped <= 0.05 * len(rows)


def test_licence_in_either_spelling(tmp_path: Path) -> None:
    assert one(tmp_path, {"prompt": "a", "license": "MIT"}).licence == "MIT"
    assert one(tmp_path, {"prompt": "a", "licence": None}).licence is None


def test_other_columns_become_json(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    columns = {
        "prompt": ["a"], "when": [datetime(2024, 5, 6, 7, 8, 9)], "raw": [b"\x00\xff"], "score": [math.nan],
        "none": [None],
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    assert read_prompts(path).prompts[0].meta == {"when": "2024-05-06T07:08:09", "raw": "AP8=", "score": None}


def test_large_columns_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "id": "x", "big": "y" * 65_536}, {"prompt": "b", "id": "z", "big": "y" * 65_000}]
    read = read_prompts(jsonl(tmp_path / "p.jsonl", rows))
    assert read.report.meta_dropped == 1
    assert read.prompts[0].meta == {"id": "x"}
    assert read.prompts[1].meta == {"id": "z", "big": "y" * 65_000}


def test_one_broken_line_among_ten_thousand(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    lines = [json.dumps({"prompt": f"Question {index}?"}) for index in range(10_000)]
    lines[7_331] = '{"prompt": "Question'
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as caught:
        read_prompts(path)
    assert caught.value.line == 7_332
    read = read_prompts(path, skip_bad_rows=True)
    assert (read.report.rows, read.report.prompts, read.report.skipped) == (10_000, 9_999, 1)
    assert f"{path}:7332: the line is not JSON" in read.report.reasons[0]


def test_skipping_is_counted_and_its_reasons_bounded(tmp_path: Path) -> None:
    rows: list[object] = [{"prompt": True}] * 30 + [{"prompt": "a"}, {"prompt": "a"}]
    report = read_prompts(jsonl(tmp_path / "p.jsonl", rows), skip_bad_rows=True).report
    assert (report.rows, report.prompts, report.duplicates, report.skipped) == (32, 1, 1, 30)
    assert len(report.reasons) == 20
    assert ":1: prompt: found true" in report.reasons[0]


def test_a_file_of_broken_rows_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of the 2 rows can be used; the first: .*:1: prompt"):
        read_prompts(jsonl(tmp_path / "p.jsonl", [{"prompt": 1}, {"prompt": 2}]), skip_bad_rows=True)


def test_limit_counts_distinct_prompts_and_stops_reading(tmp_path: Path) -> None:
    rows: list[object] = [{"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"}, {"prompt": 5}]
    read = read_prompts(jsonl(tmp_path / "p.jsonl", rows), limit=2)
    assert [prompt.text for prompt in read.prompts] == ["a", "b"]
    assert read.report.rows == 3


def test_the_first_of_equal_prompts_stays(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "id": 1}, {"prompt": "a", "id": 2}]
    (prompt,) = read_prompts(jsonl(tmp_path / "p.jsonl", rows)).prompts
    assert prompt.meta == {"id": 1}


def many(tmp_path: Path, share: float, *, backwards: bool = False) -> PromptFile:
    rows = [{"prompt": f"Question {index}?"} for index in range(4000)]
    return read_prompts(
        jsonl(tmp_path / "p.jsonl", rows[::-1] if backwards else rows), test_share=share
    )  # fmt: skip


def test_the_split_has_the_share_asked_for(tmp_path: Path) -> None:
    read = many(tmp_path, 0.1)
    # four standard deviations of a binomial with 4,000 draws at 0.1
    assert abs(read.report.test - 400) < 4 * math.sqrt(4000 * 0.1 * 0.9)
    assert read.report.test == sum(prompt.split == "test" for prompt in read.prompts)
    assert many(tmp_path, 0.0).report.test == 0


def test_no_prompt_changes_side(tmp_path: Path) -> None:
    """Not with its file, its place or its neighbours; and a larger share only adds to the test side."""
    sides = {prompt.id: prompt.split for prompt in many(tmp_path, 0.2).prompts}
    assert {prompt.id: prompt.split for prompt in many(tmp_path, 0.2, backwards=True).prompts} == sides
    alone = read_prompts(jsonl(tmp_path / "q.jsonl", [{"prompt": "Question 17?"}]), test_share=0.2).prompts[0]
    assert sides[alone.id] == alone.split
    small = {prompt.id for prompt in many(tmp_path, 0.1).prompts if prompt.split == "test"}
    assert small < {name for name, side in sides.items() if side == "test"}


def test_split_by_hand() -> None:
    assert split_of("pr_80000000000000000000ffff", 0.5) == "train"
    assert split_of("pr_7fffffffffffff000000ffff", 0.5) == "test"
    assert split_of("pr_000000000000000000000000", 0.0) == "train"


def test_the_digest_is_of_the_set_whatever_its_order(tmp_path: Path) -> None:
    assert many(tmp_path, 0.1).digest == many(tmp_path, 0.1, backwards=True).digest
    assert many(tmp_path, 0.1).digest == many(tmp_path, 0.3).digest
    fewer = read_prompts(jsonl(tmp_path / "q.jsonl", [{"prompt": "Question 17?"}]))
    assert fewer.digest != many(tmp_path, 0.1).digest


def test_the_prompt_id_is_that_of_its_messages(tmp_path: Path) -> None:
    expected = Prompt.make((Message(role="user", content="Hi."),)).id
    assert one(tmp_path, {"prompt": "Hi.", "source": "x", "id": 5}).id == expected


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.text(st.sampled_from('{}[]":,prompt\\u0 1\n'), max_size=60).map(str.encode)
)
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_any_bytes_are_read_or_refused_in_words(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"p.{suffix}"
    path.write_bytes(content)
    try:
        prompts = read_prompts(path).prompts
    except InputError as error:
        assert error.line or error.field  # noqa: PT017 (either outcome is right)
    else:
        assert all(prompt.text.strip() for prompt in prompts)


def test_shipped_prompts() -> None:
    read = read_prompts(SHIPPED, test_share=0.2)
    assert read.report.prompts == read.report.rows >= 24
    assert {prompt.source for prompt in read.prompts} == {"quickstart"}
    assert {prompt.licence for prompt in read.prompts} == {"Apache-2.0"}
    first = [prompt.split for prompt in read.prompts[:16]]
    assert 0 < first.count("test") < 8, "the demo uses the first sixteen and needs both sides"
