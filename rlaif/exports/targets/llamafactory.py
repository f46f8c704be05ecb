"""LLaMA-Factory: every row in both of its formats, and the ``dataset_info.json`` that tells them apart.

Owns the columns of ``data/README.md`` and ``src/llamafactory/data/converter.py``
(https://github.com/hiyouga/LLaMA-Factory). The alpaca format takes texts and earlier turns as pairs in
``history``; the sharegpt format takes turns, which must alternate from a user's on, or the row is emptied
without an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from rlaif.exports.rows import TURN, TURNS, Row, Table, trl_tables
from rlaif.exports.source import Source
from rlaif.exports.targets.base import TEXT, Part, Target, filled, last, recast
from rlaif.exports.turns import Turn, alternating, spoken
from rlaif.records import MarginScale, Split

_ASKED = {
    "instruction": TEXT, "input": TEXT, "system": TEXT, "history": pa.list_(pa.list_(TEXT)),
    "conversations": TURNS,
}  # fmt: skip
_PAIR = {**_ASKED, "chosen": TEXT, "rejected": TEXT, "chosen_turn": TURN, "rejected_turn": TURN}
_SFT = {**_ASKED, "output": TEXT}
_UNPAIRED = {**_SFT, "kto_tag": pa.bool_()}
_ALPACA = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
_TURNS_OF = {"messages": "conversations", "system": "system"}
_TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}


def _asked(row: Row, answer: Sequence[object] = ()) -> Row:
    turns = _alternating(row)
    texts = [one["content"] for one in turns]
    return {
        "instruction": texts[-1],
        "input": "",
        "system": row["system"],
        "history": [texts[at : at + 2] for at in range(0, len(texts) - 1, 2)],
        "conversations": [*turns, *answer],
    }


def _pair(row: Row, split: Split) -> Row:
    return {
        **_asked(row),
        "chosen": row["chosen_text"],
        "rejected": row["rejected_text"],
        "chosen_turn": last(row, "chosen"),
        "rejected_turn": last(row, "rejected"),
    }


def _sft(row: Row, split: Split) -> Row:
    return {**_asked(row, [last(row, "completion")]), "output": row["completion_text"]}


def _unpaired(row: Row, split: Split) -> Row:
    return {**_sft(row, split), "kto_tag": row["label"]}


def _alternating(row: Row) -> list[Turn]:
    asked = row["prompt"]
    assert isinstance(asked, list)
    return alternating(asked)


def _folds(row: Row) -> bool:
    asked = row["prompt"]
    assert isinstance(asked, list)
    return alternating(asked) != spoken(asked)


def _tables(source: Source, margin: MarginScale | None) -> list[Table]:
    return list(_recast(trl_tables(source, margin)))


def _recast(tables: Sequence[Table]) -> Iterator[Table]:
    for table in tables:
        if table.kind == "preference":
            yield recast(table, _PAIR, _pair, folds=_folds)
        elif table.kind == "unpaired":
            yield recast(table, _UNPAIRED, _unpaired, folds=_folds)
        elif table.kind == "prompt-completion":
            yield recast(table, _SFT, _sft, folds=_folds)


def _notes(parts: Sequence[Part]) -> Mapping[str, str]:
    listed = {name: entry for part in parts for name, entry in _entries(part)}
    return {
        "train.sh": filled("llamafactory.txt", parts=parts),
        "dataset_info.json": json.dumps(listed, indent=2) + "\n",
    }


def _entries(part: Part) -> Iterator[tuple[str, dict[str, object]]]:
    """Both formats of every file: an entry names one file, and a large table has several."""
    for split, paths in (("train", part.train), ("test", part.test)):
        for number, path in enumerate(paths):
            name = f"{part.name}_{split}" + (f"_{number}" if number else "")
            yield name, _entry(part, path, turns=False)
            yield f"{name}_turns", _entry(part, path, turns=True)


def _entry(part: Part, path: str, *, turns: bool) -> dict[str, object]:
    columns = dict(_TURNS_OF if turns else _ALPACA)
    entry: dict[str, object] = {"file_name": path, "columns": columns}
    if part.kind == "preference":
        entry["ranking"] = True
        end = "_turn" if turns else ""
        columns |= {"chosen": f"chosen{end}", "rejected": f"rejected{end}"}
    elif not turns:
        columns["response"] = "output"
    if part.kind == "unpaired":
        columns["kto_tag"] = "kto_tag"
    if turns:
        entry |= {"formatting": "sharegpt", "tags": _TAGS}
    return entry


LLAMAFACTORY = Target(_tables, jsonl=True, about="about_llamafactory.txt", notes=_notes)
