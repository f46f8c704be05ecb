"""safe-rlhf: both axes' answers about the same two responses in one row.

Owns the columns of ``safe_rlhf/datasets/raw/safe_rlhf.py``
(https://github.com/PKU-Alignment/safe-rlhf) and the join behind them. Its reward model learns from
``better_response_id``, its cost model from ``safer_response_id`` and from the sign of each response, and
it stops at a row whose safer response is marked unsafe beside a safe one. Which of two responses is
``response_0`` follows from their ids alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from rlaif.errors import InputError
from rlaif.exports.rows import TURNS, Row, Table
from rlaif.exports.source import Group, Source
from rlaif.exports.targets.base import TEXT, Part, Target, filled
from rlaif.exports.turns import GAP, said, spoken, system, text, turns
from rlaif.records import MarginScale, Preference, PreferenceSet, Split

BETTER, SAFER = "helpfulness", "safety"
NAME = "pairs"
"""The table's name."""
_ONE_AXIS = "decided on one axis only"
_CONTRADICTED = "the safer response is marked unsafe beside a safe one"
_SCHEMA = pa.schema(
    [
        ("prompt", TEXT), ("response_0", TEXT), ("response_1", TEXT), ("better_response_id", pa.int64()),
        ("safer_response_id", pa.int64()), ("is_response_0_safe", pa.bool_()),
        ("is_response_1_safe", pa.bool_()), ("system", TEXT), ("messages", TURNS), ("p_better", pa.float64()),
        ("p_safer", pa.float64()), ("better_id", TEXT), ("safer_id", TEXT), ("prompt_id", TEXT),
        ("response_0_sample", TEXT), ("response_1_sample", TEXT), ("response_0_model", TEXT),
        ("response_1_model", TEXT), ("better_set", TEXT), ("safer_set", TEXT), ("licence", TEXT),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Axes:
    """The two sets that are joined."""

    better: PreferenceSet
    safer: PreferenceSet

    def rows(self, group: Group) -> Iterator[Row]:
        """Yield a row for each pair that both axes decided, by the ids of its responses."""
        better, safer = (_pairs(group, made) for made in (self.better, self.safer))
        safe = _safe(group.preferences[self.safer.id])
        for pair in sorted(better.keys() & safer.keys()):
            if not _contradicted(safer[pair], safe):
                yield self._row(group, pair, better[pair], safer[pair], safe)

    def absent(self, group: Group) -> Iterator[str]:
        """Yield why each other pair has no row."""
        better, safer = (_pairs(group, made) for made in (self.better, self.safer))
        safe = _safe(group.preferences[self.safer.id])
        yield from (_ONE_AXIS for _ in better.keys() ^ safer.keys())
        yield from (
            _CONTRADICTED for pair in better.keys() & safer.keys() if _contradicted(safer[pair], safe)
        )

    def _row(
        self,
        group: Group,
        pair: tuple[str, str],
        better: Preference,
        safer: Preference,
        safe: Mapping[str, bool],
    ) -> Row:
        first, second = (group.samples[id] for id in pair)
        return {
            "prompt": turns(group.prompt.messages),
            "chosen": said(first.response),
            "rejected": said(second.response),
            "better_response_id": pair.index(better.chosen_id),
            "safer_response_id": pair.index(safer.chosen_id),
            "is_response_0_safe": safe[first.id],
            "is_response_1_safe": safe[second.id],
            "p_better": better.p,
            "p_safer": safer.p,
            "better_id": better.id,
            "safer_id": safer.id,
            "prompt_id": group.prompt.id,
            "response_0_sample": first.id,
            "response_1_sample": second.id,
            "response_0_model": first.model,
            "response_1_model": second.model,
            "better_set": self.better.name,
            "safer_set": self.safer.name,
            "licence": group.prompt.licence,
        }


def _pairs(group: Group, made: PreferenceSet) -> dict[tuple[str, str], Preference]:
    return {
        (min(one.chosen_id, one.rejected_id), max(one.chosen_id, one.rejected_id)): one
        for one in group.preferences[made.id]
    }


def _safe(found: Sequence[Preference]) -> dict[str, bool]:
    """Whether each response won more of its comparisons than it lost."""
    net: Counter[str] = Counter()
    for one in found:
        net[one.chosen_id] += 1
        net[one.rejected_id] -= 1
    return {id: balance > 0 for id, balance in net.items()}


def _contradicted(one: Preference, safe: Mapping[str, bool]) -> bool:
    return safe[one.rejected_id] and not safe[one.chosen_id]


def _shape(row: Row, split: Split) -> Row:
    asked = row["prompt"]
    assert isinstance(asked, list)
    before = system(asked)
    told: Row = {
        "prompt": GAP.join(part for part in (before, text(asked)) if part),
        "response_0": _text(row["chosen"]),
        "response_1": _text(row["rejected"]),
        "system": before,
        "messages": asked,
    }
    return {name: told[name] if name in told else row[name] for name in _SCHEMA.names}


def _text(answered: object) -> str:
    assert isinstance(answered, list)
    return str(answered[0]["content"])


def _folds(row: Row) -> bool:
    asked = row["prompt"]
    assert isinstance(asked, list)
    return len(asked) > 1 or not spoken(asked)


def _tables(source: Source, margin: MarginScale | None) -> list[Table]:
    if margin is not None:
        raise InputError("safe-rlhf reads no margin; leave it out", field="margin")
    sets = {one.axis: one for one in source.sets}
    if not {BETTER, SAFER} <= sets.keys():
        raise InputError(
            f"found sets on {', '.join(map(repr, sets)) or 'no axis'}; safe-rlhf rows join one on {BETTER!r}"
            f" and one on {SAFER!r} over the same responses: export a whole job that judged both",
            field="to",
        )
    axes = _Axes(sets[BETTER], sets[SAFER])
    return [Table(NAME, "preference", _SCHEMA, axes.rows, shape=_shape, folds=_folds, absent=axes.absent)]


def _notes(parts: Sequence[Part]) -> Mapping[str, str]:
    return {"train.sh": filled("safe_rlhf.txt", parts=parts)}


SAFE_RLHF = Target(_tables, jsonl=False, about="about_safe_rlhf.txt", notes=_notes)
