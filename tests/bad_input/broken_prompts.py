"""Prompt files that are broken on purpose, each with where the fault is.

Every file is made from a seed and a table of faults, so the corpus is the same everywhere and needs no
place in the repository. ``write_all`` leaves it in a folder for a look.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BIG = 1024 * 1024


@dataclass(frozen=True)
class Broken:
    """One broken file or folder."""

    name: str
    """File name; the suffix is the format."""
    write: Callable[[Path], None]
    """Writes it at a path."""
    line: int | None = None
    """Line the error must name; None where the format has none, or the fault is the whole file."""
    field: str | None = None
    """Field the error must name; None where any or none will do."""


def _row(prompt: object, **columns: object) -> bytes:
    return json.dumps({"prompt": prompt, **columns}).encode()


def _turns(*turns: object) -> bytes:
    return _row(list(turns))


USER = {"role": "user", "content": "Which way is north?"}

# (name, the line's bytes, the field named)
LINES: tuple[tuple[str, bytes, str | None], ...] = (
    ("cut_off", b'{"prompt": "Which way', None),
    ("single_quotes", b"{'prompt': 'Which way?'}", None),
    ("trailing_comma", b'{"prompt": "Which way?",}', None),
    ("two_objects", b'{"prompt": "a"} {"prompt": "b"}', None),
    ("bare_word", b"prompt", None),
    ("not_a_number", b'{"prompt": "a", "x": NaN}', None),
    ("infinity", b'{"prompt": "a", "x": -Infinity}', None),
    ("overflow", b'{"prompt": "a", "x": 1e999}', None),
    ("endless_integer", b'{"prompt": "a", "x": ' + b"9" * 5000 + b"}", None),
    ("repeated_key", b'{"prompt": "a", "prompt": "b"}', None),
    ("raw_newline_escape", b'{"prompt": "a\x01b"}', None),
    ("bad_escape", b'{"prompt": "\\x41"}', None),
    ("latin_1", '{"prompt": "café"}'.encode("latin-1"), None),
    ("utf_16", '{"prompt": "a"}'.encode("utf-16-le"), None),
    ("stray_byte", b'{"prompt": "a\xff"}', None),
    ("deep", b'{"prompt": "a", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", None),
    ("deep_enough_for_json", b'{"prompt": "a", "x": ' + b"[" * 600 + b"]" * 600 + b"}", None),
    ("surrogate_in_column", b'{"prompt": "a", "x": "\\ud800"}', "meta"),
    ("number_row", b"5", None),
    ("list_row", b'["a"]', None),
    ("null_row", b"null", None),
    ("true_row", b"true", None),
    ("text_row", b'"Which way?"', None),
    ("empty_row", b"{}", "prompt"),
    ("other_columns", b'{"question": "a", "text": "b"}', "prompt"),
    ("null_prompt", _row(None), "prompt"),
    ("true_prompt", _row(True), "prompt"),
    ("number_prompt", _row(7), "prompt"),
    ("mapping_prompt", _row({"role": "user"}), "prompt"),
    ("empty_prompt", _row(""), "prompt"),
    ("blank_prompt", _row(" \n\t "), "prompt"),
    ("nul_prompt", _row("a\x00b"), "prompt"),
    ("surrogate_prompt", b'{"prompt": "\\udfff"}', "prompt"),
    ("long_prompt", _row("x" * 200_001), "prompt"),
    ("no_turns", _turns(), "prompt"),
    ("text_turn", _turns("hello"), "prompt.0"),
    ("null_turn", _turns(USER, None), "prompt.1"),
    ("no_content", _turns({"role": "user"}), "prompt.0"),
    ("no_role", _turns({"content": "a"}), "prompt.0"),
    ("share_gpt", _turns({"from": "human", "value": "a"}), "prompt.0"),
    ("unknown_role", _turns({"role": "tool", "content": "a"}), "prompt.0.role"),
    ("number_role", _turns({"role": 1, "content": "a"}), "prompt.0.role"),
    ("list_role", _turns({"role": [], "content": "a"}), "prompt.0.role"),
    ("null_content", _turns({"role": "user", "content": None}), "prompt.0.content"),
    ("parts_content", _turns({"role": "user", "content": [{"text": "a"}]}), "prompt.0.content"),
    ("tool_calls", _turns({**USER, "tool_calls": [1]}), "prompt.0"),
    ("ends_in_assistant", _turns(USER, {"role": "assistant", "content": "That way."}), "prompt"),
    ("ends_in_system", _turns(USER, {"role": "system", "content": "Be brief."}), "prompt"),
    ("blank_last_turn", _turns({"role": "user", "content": " "}), "prompt"),
    ("long_conversation", _turns(*[{"role": "user", "content": "x" * 50_001}] * 4), "prompt"),
    ("text_messages", b'{"messages": "a"}', None),
    ("number_messages", b'{"messages": 5}', "messages"),
    ("number_source", _row("a", source=5), "source"),
    ("list_licence", _row("a", licence=["MIT"]), "licence"),
    ("nul_source", _row("a", source="\x00"), "source"),
    ("long_line", _row("a", x="y" * BIG), None),
)
FINE_AFTER_ALL = {"text_messages"}  # a text under either name is one user turn


def good_rows(rng: random.Random, count: int) -> list[dict[str, object]]:
    words = ("light", "river", "paper", "window", "seven", "quiet", "orange", "travel", "music")
    return [
        {"prompt": f"{index}: {' '.join(rng.choices(words, k=6))}?", "source": "made"}
        for index in range(count)
    ]


def _lines(rows: list[dict[str, object]]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


def broken_jsonl() -> Iterator[Broken]:
    """Each fault as the first, an inner and the last of otherwise good lines."""
    for name, line, field in LINES:
        if name in FINE_AFTER_ALL:
            continue
        for place, count in (("first", 5), ("inner", 40), ("last", 12)):
            rng = random.Random(f"{name} {place}")
            at = {"first": 0, "inner": rng.randrange(1, count - 1), "last": count - 1}[place]
            lines = _lines(good_rows(rng, count))
            lines[at] = line
            content = b"\n".join(lines) + b"\n"
            yield Broken(f"{name}_{place}.jsonl", _writer(content), at + 1, field)
    for name, content in (("empty", b""), ("blank_lines", b"\n\n \n"), ("bom_only", b"\xef\xbb\xbf")):
        yield Broken(f"{name}.jsonl", _writer(content), 1)


def broken_json() -> Iterator[Broken]:
    good = _lines(good_rows(random.Random("json"), 4))
    whole = (
        ("empty", b"", 1), ("mapping", b'{"prompt": "a"}', 1), ("text", b'"a"', 1), ("empty_list", b"[]", 1),
        ("is_jsonl", b"\n".join(good), 2), ("unclosed", b"[" + b",\n".join(good), 4),
        ("not_utf8", b'[\n"\xff"]', 2), ("deep", b"[" * 100_000, 1), ("nan", b"[NaN]", 1),
    )  # fmt: skip
    for name, content, line in whole:
        yield Broken(f"{name}.json", _writer(content), line)
    for name, line, field in LINES:
        rows = [*good[:2], line, *good[2:]]
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            continue
        if field is not None and name not in FINE_AFTER_ALL:
            content = b"[" + b",\n".join(rows) + b"]"
            yield Broken(f"row_{name}.json", _writer(content), None, f"rows.2.{field}")


def broken_csv() -> Iterator[Broken]:
    def table(*rows: list[str]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    good = [["Which way is north?", "made"], ["Two lines\nin one cell?", "made"]]
    head = ["prompt", "source"]
    files: tuple[tuple[str, bytes, int, str | None], ...] = (
        ("empty", b"", 1, None),
        ("header_only", table(head), 1, None),
        ("other_columns", table(["question", "source"], *good), 2, "prompt"),
        ("empty_name", table(["prompt", ""], *good), 1, None),
        ("repeated_name", table(["prompt", "prompt"], *good), 1, None),
        ("extra_cell", table(head, *good, ["a", "b", "c"]), 5, None),
        ("missing_cell", table(head, *good, ["a"]), 5, None),
        ("empty_prompt", table(head, *good, ["", "made"]), 5, "prompt"),
        ("blank_prompt", table(head, *good, ["  ", "made"]), 5, "prompt"),
        ("nul", table(head, *good) + b"a\x00b,made\n", 5, "prompt"),
        ("unclosed_quote", table(head, *good) + b'"a,made\nb,made\n', 5, None),
        ("text_after_quote", table(head, *good) + b'"a"b,made\n', 5, None),
        ("not_utf8", table(head, *good) + b"caf\xe9,made\n", 5, None),
        ("long_line", table(head, *good) + b"x" * (BIG + 1) + b",made\n", 5, None),
        ("long_cell", table(head, *good) + b'"' + b"x\n" * 600_000 + b'",made\n', 5, None),
        ("utf_16", table(head, *good).decode().encode("utf-16"), 1, None),
        ("semicolons", table(head, *good).replace(b",", b";"), 2, None),
        ("bare_return", b"prompt,source\na\rb,made\n", 2, None),
    )
    for name, content, line, field in files:
        yield Broken(f"{name}.csv", _writer(content), line, field)


def broken_parquet() -> Iterator[Broken]:
    def tables(column: str, values: list[object]) -> Callable[[Path], None]:
        return lambda path: pq.write_table(pa.table({column: values}), path)

    def cut(path: Path) -> None:
        tables("prompt", ["a", "b"])(path)
        path.write_bytes(path.read_bytes()[:-20])

    def scribbled(path: Path) -> None:
        tables("prompt", [f"question {index}" for index in range(200)])(path)
        raw = bytearray(path.read_bytes())
        raw[-60:-12] = b"\xa5" * 48
        path.write_bytes(raw)

    turns = [[{"role": "user", "content": "a"}], [{"role": "assistant", "content": "b"}]]
    yield Broken("empty.parquet", _writer(b""), field="rows")
    yield Broken("text.parquet", _writer(b'{"prompt": "a"}'), field="rows")
    yield Broken("magic_only.parquet", _writer(b"PAR1PAR1"), field="rows")
    yield Broken("cut.parquet", cut, field="rows")
    yield Broken("scribbled.parquet", scribbled, field="rows")
    yield Broken("no_rows.parquet", tables("prompt", []), 1)
    yield Broken("other_column.parquet", tables("question", ["a"]), None, "rows.0.prompt")
    yield Broken("null.parquet", tables("prompt", ["a", None]), None, "rows.1.prompt")
    yield Broken("number.parquet", tables("prompt", [1, 2]), None, "rows.0.prompt")
    yield Broken("bool.parquet", tables("prompt", [True]), None, "rows.0.prompt")
    yield Broken("blank.parquet", tables("prompt", ["a", " "]), None, "rows.1.prompt")
    yield Broken("ends_in_assistant.parquet", tables("messages", turns), None, "rows.1.messages")


def broken_folders() -> Iterator[Broken]:
    def folder(files: dict[str, bytes]) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            path.mkdir()
            for name, content in files.items():
                (path / name).write_bytes(content)

        return write

    def state(*names: object) -> bytes:
        return json.dumps({"_data_files": [{"filename": name} for name in names]}).encode()

    stream = io.BytesIO()
    table = pa.table({"prompt": ["a", ""]})
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    arrow = stream.getvalue()
    yield Broken("plain_folder", folder({"a.txt": b""}), None, "state.json")
    yield Broken("several_splits", folder({"dataset_dict.json": b"{}"}), None, "splits")
    yield Broken("broken_state", folder({"state.json": b"{"}), 1, "_data_files")
    yield Broken("empty_state", folder({"state.json": b"{}"}), 1, "_data_files")
    yield Broken("list_state", folder({"state.json": b"[]"}), 1, "_data_files")
    yield Broken("missing_data", folder({"state.json": state("a.arrow")}), 1, "_data_files")
    yield Broken("outside", folder({"state.json": state("../../etc/passwd")}), 1, "_data_files")
    yield Broken("number_name", folder({"state.json": state(5)}), 1, "_data_files")
    yield Broken("no_arrow", folder({"state.json": state("a.arrow"), "a.arrow": b"no"}), None, "rows")
    yield Broken("cut_arrow", folder({"state.json": state("a.arrow"), "a.arrow": arrow[:200]}), None, "rows")
    good = {"state.json": state("a.arrow"), "a.arrow": arrow}
    yield Broken("empty_prompt", folder(good), None, "rows.1.prompt")


def broken_names() -> Iterator[Broken]:
    yield Broken("missing.jsonl", lambda _: None)
    yield Broken("wrong_suffix.txt", _writer(b"a"))
    yield Broken("no_suffix", _writer(b"a"))


def broken_prompt_files() -> list[Broken]:
    """All of them, in a fixed order."""
    makers = (broken_jsonl, broken_json, broken_csv, broken_parquet, broken_folders, broken_names)
    return [one for maker in makers for one in maker()]


def scrambled(seed: int) -> tuple[str, bytes]:
    """A good file after a few random edits: it may be broken, and then must be refused in words."""
    rng = random.Random(seed)
    suffix = rng.choice(("jsonl", "json", "csv"))
    rows = good_rows(rng, 20)
    if suffix == "jsonl":
        raw = bytearray(b"\n".join(_lines(rows)))
    elif suffix == "json":
        raw = bytearray(json.dumps(rows).encode())
    else:
        raw = bytearray(b"prompt,source\n" + b"\n".join(f'"{row["prompt"]}",made'.encode() for row in rows))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw))
        edit = rng.choice(("cut", "byte", "repeat"))
        if edit == "cut":
            del raw[at : at + rng.randint(1, 200)]
        elif edit == "byte":
            raw[at:at] = bytes([rng.choice(b'\x00\xff"{}[],:\\\r\n\xe2')])
        else:
            raw[at:at] = raw[at : at + rng.randint(1, 50)]
        raw = raw or bytearray(b" ")
    return f"scrambled_{seed}.{suffix}", bytes(raw)


def _writer(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def write_all(folder: Path) -> None:
    """Leave the whole corpus in a folder."""
    for one in broken_prompt_files():
        one.write(folder / one.name)
