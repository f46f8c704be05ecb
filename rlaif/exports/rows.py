"""The tables a trainer reads: column names, types and the rows one prompt gives.

Owns the columns of each target. TRL's are those of its dataset formats page
(https://huggingface.co/docs/trl/dataset_formats): an explicit ``prompt``, conversations as lists of
``role``/``content``. Our own columns ride along under names no trainer gives a meaning to; ``margin``
is not among them, because TRL's reward trainer subtracts a column of that name from its logits.
Leaves files to ``folder`` and joining to ``source``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pyarrow as pa

from rlaif.errors import InputError
from rlaif.exports.source import Group, Source
from rlaif.records import Margin, Message, PreferenceSet, canonical

Row = dict[str, object]
Kind = Literal["preference", "unpaired", "prompt-completion", "prompt-only"]
MarginScale = Literal["small", "large"]

MARGINS: Mapping[MarginScale, Mapping[Margin, float]] = {
    "small": {"significant": 1.0, "better": 2 / 3, "slight": 1 / 3, "negligible": 0.0},
    "large": {"significant": 3.0, "better": 2.0, "slight": 1.0, "negligible": 0.0},
}
"""m(r) of Llama 2, Table 27 (https://arxiv.org/abs/2307.09288)."""

_TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@dataclass(frozen=True, slots=True)
class Table:
    """One config of the exported folder."""

    name: str
    """Its folder and config name."""
    kind: Kind
    """TRL's word for the row type."""
    schema: pa.Schema
    """Columns, in order; every row has exactly these."""
    rows: Callable[[Group], Iterable[Row]]
    """The rows of one prompt, in a fixed order."""


@dataclass(frozen=True, slots=True)
class Target:
    """One trainer's way of reading the sets; adding a trainer is adding one function."""

    tables: Callable[[Source, MarginScale | None], Sequence[Table]]
    jsonl: bool
    """Whether JSONL copies lie beside the Parquet files."""


def target(name: str) -> Target:
    """Look a target up.

    Raises:
        InputError: there is none of that name.
    """
    if name not in TARGETS:
        raise InputError(f"{name!r} is not an export target; use one of {', '.join(TARGETS)}", field="to")
    return TARGETS[name]


def trl_tables(source: Source, margin: MarginScale | None) -> tuple[Table, ...]:
    """Build TRL's tables: three for each set, and the prompts.

    Raises:
        InputError: two of them would have the same name.
    """
    tables = [table for made in source.sets for table in _of_set(made, margin)]
    tables.append(Table("prompts", "prompt-only", _PROMPTS, _prompt_rows))
    for name, times in Counter(table.name for table in tables).items():
        if times > 1:
            raise InputError(
                f"{times} tables would be named {name!r}, from sets"
                f" {', '.join(repr(one.name) for one in source.sets)}; export them one at a time"
            )
    return tuple(tables)


TARGETS: Mapping[str, Target] = {
    "trl": Target(trl_tables, jsonl=True),
    "parquet": Target(trl_tables, jsonl=False),
}
"""Targets by the name the command line knows them by."""


def _of_set(made: PreferenceSet, margin: MarginScale | None) -> Iterator[Table]:
    pairs = _PAIRS if margin is None else _PAIRS.append(pa.field("margin", pa.float64()))
    yield Table(made.axis, "preference", pairs, partial(_preference_rows, made, margin))
    yield Table(f"{made.axis}-unpaired", "unpaired", _UNPAIRED, partial(_unpaired_rows, made))
    yield Table(f"{made.axis}-sft", "prompt-completion", _SFT, partial(_sft_rows, made))


_PAIRS = pa.schema(
    [
        ("prompt", _TURNS), ("chosen", _TURNS), ("rejected", _TURNS), ("id", pa.string()),
        ("p", pa.float64()), ("margin_level", pa.string()), ("p_chosen_first", pa.float64()),
        ("p_chosen_second", pa.float64()), ("consistent", pa.bool_()), ("mass", pa.float64()),
        ("judge", pa.string()), ("constitution", pa.string()), ("principle_id", pa.string()),
        ("prompt_id", pa.string()), ("chosen_id", pa.string()), ("rejected_id", pa.string()),
        ("chosen_model", pa.string()), ("rejected_model", pa.string()), ("set", pa.string()),
        ("licence", pa.string()),
    ]
)  # fmt: skip
_UNPAIRED = pa.schema(
    [
        ("prompt", _TURNS), ("completion", _TURNS), ("label", pa.bool_()), ("id", pa.string()),
        ("prompt_id", pa.string()), ("sample_id", pa.string()), ("model", pa.string()),
        ("set", pa.string()), ("licence", pa.string()),
    ]
)  # fmt: skip
_SFT = pa.schema(
    [
        ("prompt", _TURNS), ("completion", _TURNS), ("id", pa.string()), ("prompt_id", pa.string()),
        ("model", pa.string()), ("wins", pa.int64()), ("losses", pa.int64()), ("set", pa.string()),
        ("licence", pa.string()),
    ]
)  # fmt: skip
_PROMPTS = pa.schema(
    [
        ("prompt", _TURNS), ("id", pa.string()), ("source", pa.string()), ("licence", pa.string()),
        ("meta", pa.string()),
    ]
)  # fmt: skip


def _preference_rows(made: PreferenceSet, margin: MarginScale | None, group: Group) -> Iterator[Row]:
    prompt = _turns(group.prompt.messages)
    for one in group.preferences[made.id]:
        better, worse = group.samples[one.chosen_id], group.samples[one.rejected_id]
        row: Row = {
            "prompt": prompt,
            "chosen": _said(better.response),
            "rejected": _said(worse.response),
            "id": one.id,
            "p": one.p,
            "margin_level": one.margin,
            "p_chosen_first": one.p_chosen_first,
            "p_chosen_second": one.p_chosen_second,
            "consistent": one.consistent,
            "mass": one.mass,
            "judge": one.judge,
            "constitution": one.constitution,
            "principle_id": one.principle_id,
            "prompt_id": one.prompt_id,
            "chosen_id": one.chosen_id,
            "rejected_id": one.rejected_id,
            "chosen_model": better.model,
            "rejected_model": worse.model,
            "set": made.name,
            "licence": group.prompt.licence,
        }
        if margin is not None:
            row["margin"] = MARGINS[margin][one.margin]
        yield row


def _unpaired_rows(made: PreferenceSet, group: Group) -> Iterator[Row]:
    prompt = _turns(group.prompt.messages)
    for one in group.completions[made.id]:
        sample = group.samples[one.sample_id]
        yield {
            "prompt": prompt,
            "completion": _said(sample.response),
            "label": one.label,
            "id": one.id,
            "prompt_id": one.prompt_id,
            "sample_id": one.sample_id,
            "model": sample.model,
            "set": made.name,
            "licence": group.prompt.licence,
        }


def _sft_rows(made: PreferenceSet, group: Group) -> Iterator[Row]:
    """Each chosen response once, with how often it won and lost, so that a reader can be stricter."""
    wins = Counter(one.chosen_id for one in group.preferences[made.id])
    losses = Counter(one.rejected_id for one in group.preferences[made.id])
    prompt = _turns(group.prompt.messages)
    for sample_id in sorted(wins):
        sample = group.samples[sample_id]
        yield {
            "prompt": prompt,
            "completion": _said(sample.response),
            "id": sample_id,
            "prompt_id": group.prompt.id,
            "model": sample.model,
            "wins": wins[sample_id],
            "losses": losses[sample_id],
            "set": made.name,
            "licence": group.prompt.licence,
        }


def _prompt_rows(group: Group) -> Iterator[Row]:
    prompt = group.prompt
    yield {
        "prompt": _turns(prompt.messages),
        "id": prompt.id,
        "source": prompt.source,
        "licence": prompt.licence,
        # One JSON string, because Arrow gives a column one type and prompt files mix them.
        "meta": canonical(prompt.meta).decode(),
    }


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": one.role, "content": one.content} for one in messages]


def _said(response: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": response}]
