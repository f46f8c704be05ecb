"""NeMo-RL: a context and two ranked completions, and the same pair flat.

Owns the columns of ``PreferenceDataset`` and ``BinaryPreferenceDataset``
(https://github.com/NVIDIA-NeMo/RL/blob/main/docs/guides/dpo.md, rm.md). The loader adds ``task_name``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from rlaif.exports.rows import TURNS, Row, Table, trl_tables
from rlaif.exports.source import Source
from rlaif.exports.targets.base import TEXT, Part, Target, filled, recast
from rlaif.records import MarginScale, Split

_PAIR = {
    "context": TURNS,
    "completions": pa.list_(pa.struct([("rank", pa.int64()), ("completion", TURNS)])),
    "prompt": TURNS,
    "chosen": TEXT,
    "rejected": TEXT,
    "system": TEXT,
    "prompt_text": TEXT,
}


def _pair(row: Row, split: Split) -> Row:
    return {
        "context": row["prompt"],
        "completions": [
            {"rank": 0, "completion": row["chosen"]},
            {"rank": 1, "completion": row["rejected"]},
        ],
        "prompt": row["prompt"],
        "chosen": row["chosen_text"],
        "rejected": row["rejected_text"],
        "system": row["system"],
        "prompt_text": row["prompt_text"],
    }


def _tables(source: Source, margin: MarginScale | None) -> list[Table]:
    return [recast(one, _PAIR, _pair) for one in trl_tables(source, margin) if one.kind == "preference"]


def _notes(parts: Sequence[Part]) -> Mapping[str, str]:
    return {"train.sh": filled("nemo_rl.txt", parts=parts)}


NEMO_RL = Target(_tables, jsonl=True, about="about_nemo_rl.txt", notes=_notes)
