"""The tables a trainer reads: column names, types and the rows one prompt gives.

Owns the columns of TRL's dataset formats page (https://huggingface.co/docs/trl/dataset_formats): an
explicit ``prompt``, conversations as lists of ``role``/``content``. Beside them stand the same texts flat,
and our own columns under names no trainer gives a meaning to; ``margin`` is not among them, because TRL's
reward trainer subtracts a column of that name from its logits. Other trainers' columns are made from
these rows in ``targets``. Leaves files to ``folder`` and joining to ``source``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pyarrow as pa

from rlaif.exports.source import Group, Source
from rlaif.exports.turns import Turn, said, system, text, turns
from rlaif.records import MARGINS, MarginScale, PreferenceSet, Split, canonical
from rlaif.scorecards import Weights

Row = dict[str, object]
Kind = Literal["preference", "unpaired", "prompt-completion", "prompt-only"]

TURN = pa.struct([("role", pa.string()), ("content", pa.string())])
TURNS = pa.list_(TURN)
_NAMES = pa.list_(pa.string())


def _as_it_is(row: Row, split: Split) -> Row:
    return row


def _never(row: Row) -> bool:
    return False


def _nothing(group: Group) -> Iterable[str]:
    return ()


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
    """The rows of one prompt as TRL reads them, in a fixed order."""
    shape: Callable[[Row, Split], Row] = _as_it_is
    """Such a row as the trainer reads it."""
    folds: Callable[[Row], bool] = _never
    """Whether the trainer reads such a row's conversation as one text."""
    absent: Callable[[Group], Iterable[str]] = _nothing
    """Why pairs of one prompt became no row, a reason each."""
    census: str | None = None
    """Id of the set whose preferred pairs have one row each; None where rows are something else."""


def trl_tables(source: Source, margin: MarginScale | None) -> tuple[Table, ...]:
    """Build TRL's tables: three for each set, one for each axis revised by, and the prompts."""
    tables = [table for made in source.sets for table in _of_set(made, margin, source.weights.get(made.id))]
    tables += [
        Table(f"{axis}-revised", "prompt-completion", _REVISED, partial(_revised_rows, axis))
        for axis in source.revised
    ]
    tables.append(Table("prompts", "prompt-only", _PROMPTS, _prompt_rows))
    return tuple(tables)


def _of_set(made: PreferenceSet, margin: MarginScale | None, weights: Weights | None) -> Iterator[Table]:
    pairs = _PAIRS if margin is None else _PAIRS.append(pa.field("margin", pa.float64()))
    if weights is not None:
        pairs = pairs.append(pa.field("weight", pa.float64())).append(pa.field("weight_slice", pa.string()))
    rows = partial(_preference_rows, made, margin, weights)
    yield Table(made.axis, "preference", pairs, rows, census=made.id)
    yield Table(f"{made.axis}-unpaired", "unpaired", _UNPAIRED, partial(_unpaired_rows, made))
    yield Table(f"{made.axis}-sft", "prompt-completion", _SFT, partial(_sft_rows, made))


_PAIRS = pa.schema(
    [
        ("prompt", TURNS), ("chosen", TURNS), ("rejected", TURNS), ("id", pa.string()),
        ("p", pa.float64()), ("margin_level", pa.string()), ("p_chosen_first", pa.float64()),
        ("p_chosen_second", pa.float64()), ("consistent", pa.bool_()), ("mass", pa.float64()),
        ("judge", pa.string()), ("constitution", pa.string()), ("principle_id", pa.string()),
        ("prompt_id", pa.string()), ("chosen_id", pa.string()), ("rejected_id", pa.string()),
        ("chosen_model", pa.string()), ("rejected_model", pa.string()), ("set", pa.string()),
        ("licence", pa.string()), ("chosen_flags", _NAMES), ("rejected_flags", _NAMES),
        ("system", pa.string()), ("prompt_text", pa.string()), ("chosen_text", pa.string()),
        ("rejected_text", pa.string()),
    ]
)  # fmt: skip
_UNPAIRED = pa.schema(
    [
        ("prompt", TURNS), ("completion", TURNS), ("label", pa.bool_()), ("id", pa.string()),
        ("prompt_id", pa.string()), ("sample_id", pa.string()), ("model", pa.string()),
        ("set", pa.string()), ("licence", pa.string()), ("flags", _NAMES), ("system", pa.string()),
        ("prompt_text", pa.string()), ("completion_text", pa.string()),
    ]
)  # fmt: skip
_SFT = pa.schema(
    [
        ("prompt", TURNS), ("completion", TURNS), ("id", pa.string()), ("prompt_id", pa.string()),
        ("model", pa.string()), ("wins", pa.int64()), ("losses", pa.int64()), ("set", pa.string()),
        ("licence", pa.string()), ("flags", _NAMES), ("system", pa.string()), ("prompt_text", pa.string()),
        ("completion_text", pa.string()),
    ]
)  # fmt: skip
_REVISED = pa.schema(
    [
        ("prompt", TURNS), ("completion", TURNS), ("id", pa.string()), ("prompt_id", pa.string()),
        ("model", pa.string()), ("step", pa.int64()), ("identical", pa.bool_()),
        ("principle_id", pa.string()), ("constitution", pa.string()), ("critique", pa.string()),
        ("before_id", pa.string()), ("root_id", pa.string()), ("licence", pa.string()),
        ("system", pa.string()), ("prompt_text", pa.string()), ("completion_text", pa.string()),
    ]
)  # fmt: skip
_PROMPTS = pa.schema(
    [
        ("prompt", TURNS), ("id", pa.string()), ("source", pa.string()), ("licence", pa.string()),
        ("meta", pa.string()), ("system", pa.string()), ("prompt_text", pa.string()),
    ]
)  # fmt: skip


def _preference_rows(
    made: PreferenceSet, margin: MarginScale | None, weights: Weights | None, group: Group
) -> Iterator[Row]:
    prompt = turns(group.prompt.messages)
    flat = _flat(prompt)
    for one in group.preferences[made.id]:
        better, worse = group.samples[one.chosen_id], group.samples[one.rejected_id]
        row: Row = {
            "prompt": prompt,
            "chosen": said(better.response),
            "rejected": said(worse.response),
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
            "chosen_flags": group.flags[made.id].get(one.chosen_id, ()),
            "rejected_flags": group.flags[made.id].get(one.rejected_id, ()),
            **flat,
            "chosen_text": better.response,
            "rejected_text": worse.response,
        }
        if margin is not None:
            row["margin"] = MARGINS[margin][one.margin]
        if weights is not None:
            row |= {"weight": weights.of(one.p), "weight_slice": weights.slice}
        yield row


def _unpaired_rows(made: PreferenceSet, group: Group) -> Iterator[Row]:
    prompt = turns(group.prompt.messages)
    flat = _flat(prompt)
    for one in group.completions[made.id]:
        sample = group.samples[one.sample_id]
        yield {
            "prompt": prompt,
            "completion": said(sample.response),
            "label": one.label,
            "id": one.id,
            "prompt_id": one.prompt_id,
            "sample_id": one.sample_id,
            "model": sample.model,
            "set": made.name,
            "licence": group.prompt.licence,
            "flags": group.flags[made.id].get(one.sample_id, ()),
            **flat,
            "completion_text": sample.response,
        }


def _sft_rows(made: PreferenceSet, group: Group) -> Iterator[Row]:
    """Each chosen response once, with how often it won and lost, so that a reader can be stricter."""
    wins = Counter(one.chosen_id for one in group.preferences[made.id])
    losses = Counter(one.rejected_id for one in group.preferences[made.id])
    prompt = turns(group.prompt.messages)
    flat = _flat(prompt)
    for sample_id in sorted(wins):
        sample = group.samples[sample_id]
        yield {
            "prompt": prompt,
            "completion": said(sample.response),
            "id": sample_id,
            "prompt_id": group.prompt.id,
            "model": sample.model,
            "wins": wins[sample_id],
            "losses": losses[sample_id],
            "set": made.name,
            "licence": group.prompt.licence,
            "flags": group.flags[made.id].get(sample_id, ()),
            **flat,
            "completion_text": sample.response,
        }


def _revised_rows(axis: str, group: Group) -> Iterator[Row]:
    """The revision of every step that made one, in order of chain and step."""
    prompt = turns(group.prompt.messages)
    flat = _flat(prompt)
    for one in sorted(group.revisions, key=lambda step: (step.root_id, step.step, step.id)):
        if one.axis != axis or one.after_id is None:
            continue
        sample = group.samples[one.after_id]
        yield {
            "prompt": prompt,
            "completion": said(sample.response),
            "id": sample.id,
            "prompt_id": group.prompt.id,
            "model": sample.model,
            "step": one.step,
            "identical": one.identical,
            "principle_id": one.principle_id,
            "constitution": one.constitution,
            "critique": one.critique,
            "before_id": one.before_id,
            "root_id": one.root_id,
            "licence": group.prompt.licence,
            **flat,
            "completion_text": sample.response,
        }


def _prompt_rows(group: Group) -> Iterator[Row]:
    prompt = group.prompt
    asked = turns(prompt.messages)
    yield {
        "prompt": asked,
        "id": prompt.id,
        "source": prompt.source,
        "licence": prompt.licence,
        # One JSON string, because Arrow gives a column one type and prompt files mix them.
        "meta": canonical(prompt.meta).decode(),
        **_flat(asked),
    }


def _flat(prompt: Sequence[Turn]) -> Row:
    return {"system": system(prompt), "prompt_text": text(prompt)}
