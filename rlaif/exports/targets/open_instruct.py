"""open-instruct: whole conversations in ``chosen``, ``rejected`` and ``messages``.

Owns the columns of ``open_instruct/dataset_transformation.py``
(https://github.com/allenai/open-instruct), which takes all turns but the last for the prompt, and the
lines of its data mixer: a file, then the share of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rlaif.exports.rows import TURNS, Row, Table, trl_tables
from rlaif.exports.source import Source
from rlaif.exports.targets.base import TEXT, Part, Target, conversation, filled, recast
from rlaif.records import MarginScale, Split

_PAIR = {
    "chosen": TURNS, "rejected": TURNS, "system": TEXT, "prompt_text": TEXT, "chosen_text": TEXT,
    "rejected_text": TEXT,
}  # fmt: skip
_SFT = {"messages": TURNS, "system": TEXT, "prompt_text": TEXT, "completion_text": TEXT}
_PROMPT = {"messages": TURNS, "ground_truth": TEXT, "dataset": TEXT, "system": TEXT, "prompt_text": TEXT}


def _pair(row: Row, split: Split) -> Row:
    return {
        "chosen": conversation(row, "chosen"),
        "rejected": conversation(row, "rejected"),
        "system": row["system"],
        "prompt_text": row["prompt_text"],
        "chosen_text": row["chosen_text"],
        "rejected_text": row["rejected_text"],
    }


def _sft(row: Row, split: Split) -> Row:
    return {
        "messages": conversation(row, "completion"),
        "system": row["system"],
        "prompt_text": row["prompt_text"],
        "completion_text": row["completion_text"],
    }


def _prompt(row: Row, split: Split) -> Row:
    return {
        "messages": row["prompt"],
        "ground_truth": "",
        "dataset": "rlaif",
        "system": row["system"],
        "prompt_text": row["prompt_text"],
    }


def _tables(source: Source, margin: MarginScale | None) -> list[Table]:
    return list(_recast(trl_tables(source, margin)))


def _recast(tables: Sequence[Table]) -> Iterator[Table]:
    for table in tables:
        if table.kind == "preference":
            yield recast(table, _PAIR, _pair)
        elif table.kind == "prompt-completion":
            yield recast(table, _SFT, _sft)
        elif table.kind == "prompt-only":
            yield recast(table, _PROMPT, _prompt)


def _notes(parts: Sequence[Part]) -> Mapping[str, str]:
    return {"train.sh": filled("open_instruct.txt", parts=parts)}


OPEN_INSTRUCT = Target(_tables, jsonl=True, about="about_open_instruct.txt", notes=_notes)
