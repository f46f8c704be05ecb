"""verl: prompts for its policy trainers, demonstrations, and pairs in the shape of its own writer.

Owns the columns of https://verl.readthedocs.io/en/latest/preparation/prepare_data.html and of
``examples/data_preprocess/full_hh_rlhf.py`` (https://github.com/volcengine/verl). verl trains no reward model
and has no direct method: it reads the pairs through a dataset class of one's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from rlaif.exports.rows import TURNS, Row, Table, trl_tables
from rlaif.exports.source import Source
from rlaif.exports.targets.base import TEXT, Part, Target, conversation, filled, recast, several_turns
from rlaif.records import MarginScale, Split

_PAIR = {
    "prompt": TEXT, "chosen": TEXT, "rejected": TEXT, "system": TEXT, "chosen_messages": TURNS,
    "rejected_messages": TURNS,
}  # fmt: skip
_SFT = {"messages": TURNS, "question": TEXT, "answer": TEXT, "system": TEXT}
_PROMPT = {
    "data_source": TEXT,
    "prompt": TURNS,
    "ability": TEXT,
    "reward_model": pa.struct([("style", TEXT), ("ground_truth", TEXT)]),
    "extra_info": pa.struct([("split", TEXT), ("index", pa.int64())]),
    "system": TEXT,
    "prompt_text": TEXT,
}
_DIGITS = 15
"""Hex digits of an id that fit a signed 64-bit number."""


def _pair(row: Row, split: Split) -> Row:
    return {
        "prompt": row["prompt_text"],
        "chosen": row["chosen_text"],
        "rejected": row["rejected_text"],
        "system": row["system"],
        "chosen_messages": conversation(row, "chosen"),
        "rejected_messages": conversation(row, "rejected"),
    }


def _sft(row: Row, split: Split) -> Row:
    return {
        "messages": conversation(row, "completion"),
        "question": row["prompt_text"],
        "answer": row["completion_text"],
        "system": row["system"],
    }


def _prompt(row: Row, split: Split) -> Row:
    return {
        "data_source": row["source"],
        "prompt": row["prompt"],
        "ability": "alignment",
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"split": split, "index": int(str(row["id"])[-_DIGITS:], 16)},
        "system": row["system"],
        "prompt_text": row["prompt_text"],
    }


def _tables(source: Source, margin: MarginScale | None) -> list[Table]:
    return list(_recast(trl_tables(source, margin)))


def _recast(tables: Sequence[Table]) -> Iterator[Table]:
    for table in tables:
        if table.kind == "preference":
            yield recast(table, _PAIR, _pair, folds=several_turns)
        elif table.kind == "prompt-completion":
            yield recast(table, _SFT, _sft)
        elif table.kind == "prompt-only":
            yield recast(table, _PROMPT, _prompt)


def _notes(parts: Sequence[Part]) -> Mapping[str, str]:
    return {"train.sh": filled("verl.txt", parts=parts)}


VERL = Target(_tables, jsonl=False, about="about_verl.txt", notes=_notes)
