"""Carries out the rows steps of a recipe: reads what they are made from and hands it to the rules.

Owns which rule a step's fields mean. Leaves the rules to ``rows`` and files to ``making``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rlaif.errors import InputError
from rlaif.lab.asking import prompts_of
from rlaif.prompts import read_prompts, split_of
from rlaif.recipes import rows as rules
from rlaif.recipes.desk import Desk
from rlaif.recipes.drawing import column
from rlaif.recipes.rows import Row
from rlaif.recipes.scores import of_rows, source
from rlaif.recipes.transforms import (
    AnyRows,
    BestOfN,
    Demonstrations,
    Flip,
    Instruct,
    Label,
    Mix,
    Pairs,
    Prompts,
    Quantile,
    Ranked,
    Relabel,
    Rescored,
    Select,
    Split,
    Written,
)  # fmt: skip
from rlaif.recipes.writing import answer
from rlaif.rowfile import read_rows


def transformed(how: AnyRows, desk: Desk) -> dict[str, list[Row]]:
    """Return what a rows step makes, by table.

    Raises:
        InputError: what it is made from cannot be used, or nothing comes of it.
    """
    if isinstance(how, Prompts):
        return _prompts(how, desk)
    if isinstance(how, Split):
        first, second = rules.halves(desk.rows(how.of))
        return {"first": first, "second": second}
    if isinstance(how, Ranked):
        made = [pair for row in _read(desk.home / how.path) for pair in rules.ranked(row)]
    elif isinstance(how, Mix):
        made = rules.mix(
            [(one.of.removeprefix("@"), desk.rows(one.of), one.share) for one in how.sources],
            desk.recipe.seed,
        )
    else:
        made = _of_one(how, desk)
    if not made:
        raise InputError(f"nothing came of rows of kind {how.kind!r}; look at what it was made from")
    return {"": made}


def _of_one(how: AnyRows, desk: Desk) -> list[Row]:
    """Transform the rows of one source."""
    assert not isinstance(how, Prompts | Split | Ranked | Mix)
    rows = desk.rows(how.of)
    match how:
        case Flip():
            return rules.flip(rows)
        case Instruct():
            return [{"prompt": rules.instructed(one["prompt"], how.text)} for one in rules.prompts(rows)]
        case Written():
            return [_written(row, desk) for row in rules.prompts(rows)]
    rows = [dict(row) for row in rules.answered(rows)]
    match how:
        case Demonstrations():
            return rules.demonstrations(rows)
        case BestOfN():
            return rules.best_of_n(rows, how.n, desk.recipe.seed)
        case Select():
            named = isinstance(how.above, Quantile)
            above = None if named else how.above
            quantile = how.above.quantile if isinstance(how.above, Quantile) else None
            return rules.select(rows, above, quantile, how.scope)  # type: ignore[arg-type]
        case Rescored():
            scores = of_rows(source(how.by, desk), rows)
            return [{**row, "score": score} for row, score in zip(rows, scores, strict=True)]
        case Pairs():
            found = rules.pairs(rows, how.gap, how.keep, desk.recipe.seed)
            return rules.levelled(found) if how.levels else found
        case Label():
            return rules.label(rows, _least(how.above, rows))
        case Relabel():
            instructions = (how.right, how.wrong)
            return rules.relabel(rows, _least(how.above, rows), instructions, hindsight=how.hindsight)


def _least(above: float | Quantile, rows: Sequence[Row]) -> float:
    if not isinstance(above, Quantile):
        return above
    found = rules.threshold(rows, above.quantile)
    if found is None:
        raise InputError("no response has a score, so there is no quantile of scores", field="above")
    return found


def _prompts(how: Prompts, desk: Desk) -> dict[str, list[Row]]:
    if how.path is None:
        assert desk.world is not None  # checked when the recipe was read
        test, train = prompts_of(desk.world, how.test, how.train)
        return {"train": rules.turns(train), "test": rules.turns(test)}
    share = how.test / (how.train + how.test)
    sides: dict[str, list[Row]] = {"train": [], "test": []}
    for one in read_prompts(desk.home / how.path).prompts:
        sides[split_of(one.id, share)].append({"prompt": column(one.messages)})
    found = {"train": list(islice(sides["train"], how.train)), "test": list(islice(sides["test"], how.test))}
    for side, some in found.items():
        if not some:
            raise InputError(f"no prompt of it is on the {side} side; give more", path=desk.home / how.path)
    return found


def _written(row: Row, desk: Desk) -> Row:
    assert desk.world is not None  # checked when the recipe was read
    return {**row, "completion": answer(desk.world, rules.asked(row["prompt"]))}


def _read(path: Path) -> list[dict[str, Any]]:
    found = []
    for row in read_rows(path):
        if row.fault or not isinstance(row.value, dict):
            raise row.error(row.fault or "a row is a mapping of columns")
        found.append(row.value)
    return found
