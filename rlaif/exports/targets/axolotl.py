"""axolotl: one table for its reward models, one for its direct methods, one for KTO.

Owns the columns of ``bradley_terry.chat_template``, ``chat_template.default`` and the KTO types
(https://github.com/axolotl-ai-cloud/axolotl, ``docs/rlhf.qmd`` and ``docs/reward_modelling.qmd``). The first
and the last take one turn; ``system`` has to be there, and may be empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from rlaif.exports.rows import TURN, TURNS, Row, Table, trl_tables
from rlaif.exports.source import Source
from rlaif.exports.targets.base import TEXT, Part, Target, filled, last, recast, several_turns
from rlaif.records import MarginScale, Split

_PAIR = {
    "messages": TURNS, "chosen": TURN, "rejected": TURN, "system": TEXT, "prompt_text": TEXT,
    "chosen_text": TEXT, "rejected_text": TEXT,
}  # fmt: skip
_REWARD = {"system": TEXT, "input": TEXT, "chosen": TEXT, "rejected": TEXT}
_UNPAIRED = {"system": TEXT, "prompt": TEXT, "completion": TEXT, "label": pa.bool_()}


def _pair(row: Row, split: Split) -> Row:
    return {
        "messages": row["prompt"],
        "chosen": last(row, "chosen"),
        "rejected": last(row, "rejected"),
        "system": row["system"],
        "prompt_text": row["prompt_text"],
        "chosen_text": row["chosen_text"],
        "rejected_text": row["rejected_text"],
    }


def _reward(row: Row, split: Split) -> Row:
    return {
        "system": row["system"],
        "input": row["prompt_text"],
        "chosen": row["chosen_text"],
        "rejected": row["rejected_text"],
    }


def _unpaired(row: Row, split: Split) -> Row:
    return {
        "system": row["system"],
        "prompt": row["prompt_text"],
        "completion": row["completion_text"],
        "label": row["label"],
    }


def _tables(source: Source, margin: MarginScale | None) -> list[Table]:
    return list(_recast(trl_tables(source, margin)))


def _recast(tables: Sequence[Table]) -> Iterator[Table]:
    for table in tables:
        if table.kind == "preference":
            yield recast(table, _PAIR, _pair)
            yield recast(table, _REWARD, _reward, name=f"{table.name}-reward", folds=several_turns)
        elif table.kind == "unpaired":
            yield recast(table, _UNPAIRED, _unpaired, folds=several_turns)


def _notes(parts: Sequence[Part]) -> Mapping[str, str]:
    runs = {run_of(one): one for one in parts}
    configs = {
        f"{run}.yaml": filled("axolotl_run.txt", one=one, method=method(one)) for run, one in runs.items()
    }
    return {"train.sh": filled("axolotl.txt", runs=runs), **configs}


def method(part: Part) -> str:
    """Return what a table is for: ``reward``, ``dpo`` or ``kto``."""
    if part.kind == "unpaired":
        return "kto"
    return "dpo" if "messages" in part.columns else "reward"


def run_of(part: Part) -> str:
    """Return the name of the run that trains on a table."""
    return part.name if method(part) == "reward" else f"{part.name}-{method(part)}"


AXOLOTL = Target(_tables, jsonl=True, about="about_axolotl.txt", notes=_notes)
