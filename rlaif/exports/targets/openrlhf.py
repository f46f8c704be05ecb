"""OpenRLHF: whole conversations in ``chosen`` and ``rejected``, the columns its flags name by default.

Owns the columns of ``openrlhf/datasets/reward_dataset.py``, ``sft_dataset.py`` and ``prompts_dataset.py``
(https://github.com/OpenRLHF/OpenRLHF). Without ``--data.prompt_key`` the reward and the DPO trainer render
the whole list, and take all but its last turn for the prompt; a column named ``prompt`` would invite the
flag and a prompt rendered twice, so there is none.
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
_SFT = {"input": TURNS, "output": TURNS, "system": TEXT, "input_text": TEXT, "output_text": TEXT}
_PROMPT = {"input": TURNS, "datasource": TEXT, "system": TEXT, "input_text": TEXT}


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
        "input": row["prompt"],
        "output": row["completion"],
        "system": row["system"],
        "input_text": row["prompt_text"],
        "output_text": row["completion_text"],
    }


def _prompt(row: Row, split: Split) -> Row:
    return {
        "input": row["prompt"],
        "datasource": row["source"],
        "system": row["system"],
        "input_text": row["prompt_text"],
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
    return {"train.sh": filled("openrlhf.txt", parts=parts)}


OPENRLHF = Target(_tables, jsonl=False, about="about_openrlhf.txt", notes=_notes)
