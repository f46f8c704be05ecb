"""Carries out the rows steps of a recipe: reads what they are made from and hands it to the rules.

Owns which rule a step's fields mean. Leaves the rules to ``rows`` and files to ``making``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rlaif.constitution import load_constitution
from rlaif.errors import InputError
from rlaif.judging import Context
from rlaif.judging.additive import AdditiveScorer
from rlaif.lab.asking import prompts_of
from rlaif.lab.worlds import Harm
from rlaif.lab.writing import answer, judgement
from rlaif.prompts import read_prompts, split_of
from rlaif.recipes import rows as rules
from rlaif.recipes.controls import spoiled
from rlaif.recipes.desk import Desk
from rlaif.recipes.rows import Row, column
from rlaif.recipes.scores import TRUE, of_rows, source, spoiling
from rlaif.recipes.transforms import (
    AnyRows,
    BestOfN,
    Demonstrations,
    Flip,
    Instruct,
    Judgements,
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
    Unsafe,
    Written,
)  # fmt: skip
from rlaif.records import Message, Prompt
from rlaif.rowfile import read_rows
from rlaif.training.controls import flip


def transformed(how: AnyRows, desk: Desk) -> dict[str, list[Row]]:
    """Return what a rows step makes, by table.

    Raises:
        InputError: what it is made from cannot be used, or nothing comes of it.
    """
    if isinstance(how, Prompts):
        return _prompts(how, desk)
    if isinstance(how, Split):
        first, second = rules.halves(desk.rows(how.of), how.salt)
        return {"first": first, "second": second}
    if isinstance(how, Ranked):
        made = [pair for row in _read(desk.home / how.path) for pair in rules.ranked(row)]
        made = spoiled(made, "pairs", desk.recipe.control, desk.recipe.seed)
    elif isinstance(how, Mix):
        # Without shares a part may be empty; with them an empty part would leave nothing of the others.
        every = [(one, desk.read(one.of) if one.share is None else desk.rows(one.of)) for one in how.sources]
        parts = [(one.of.removeprefix("@"), rows, one.share) for one, rows in every]
        made = rules.mix(parts, desk.recipe.seed)
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
            return flip(rows)
        case Instruct():
            return [{"prompt": rules.instructed(one["prompt"], how.text)} for one in rules.prompts(rows)]
        case Unsafe():
            return [row for row in rules.prompts(rows) if Harm().unsafe(rules.asked(row["prompt"]))]
        case Written():
            made = [_written(row, desk) for row in rules.prompts(rows)]
            return spoiled(made, "demonstrations", desk.recipe.control, desk.recipe.seed)
    rows = [dict(row) for row in rules.answered(rows)]
    match how:
        case Judgements():
            return _judgements(how, rows, desk)
        case Demonstrations():
            return rules.demonstrations(rows)
        case BestOfN():
            return rules.best_of_n(rows, how.n, desk.recipe.seed)
        case Select():
            return rules.select(rows, *_threshold(how, rows), how.scope)
        case Rescored():
            return _rescored(how, rows, desk)
        case Pairs():
            return _pairs(how, rows, desk)
        case Label():
            return _labelled(how.above, rows, desk)
        case Relabel():
            return _relabelled(how, rows, desk)


def _rescored(how: Rescored, rows: Sequence[Row], desk: Desk) -> list[Row]:
    bare = [{key: value for key, value in row.items() if key != TRUE} for row in rows]
    scores = of_rows(source(how.by, desk), bare)
    made = [{**row, "score": score} for row, score in zip(bare, scores, strict=True)]
    other = spoiling(how.by, desk)
    if other is None:
        return made
    told = of_rows(other, bare)
    return [{**row, "score": score, TRUE: row["score"]} for row, score in zip(made, told, strict=True)]


def threshold(how: Select, desk: Desk) -> dict[str, float]:
    """Return what a choice by a threshold came to: the threshold, the mean score of what is kept, the share
    of prompts that keep anything (a pooled threshold keeps the easy ones)."""
    rows = rules.answered(desk.rows(how.of))
    kept = rules.kept(rows, *_threshold(how, rows), how.scope)
    scores = [one.score for one in kept if one.score is not None]
    covered = len({one.prompt for one in kept}) / len(rules.by_prompt(rows))
    return {"threshold": min(scores), "mean score": sum(scores) / len(scores), "prompts kept": covered}


def _truly(rows: rules.Rows) -> tuple[list[Row], bool]:
    """Return rows with the scores they had before a control spoiled them, and whether it did.

    Labels are made of these and spoiled then, so that a threshold means what it says.
    """
    found = [{**row, "score": row[TRUE]} if TRUE in row else dict(row) for row in rows]
    return found, any(TRUE in row for row in rows)


def _pairs(how: Pairs, rows: Sequence[Row], desk: Desk) -> list[Row]:
    true, marked = _truly(rows)
    found = rules.pairs(true, how.gap, how.keep, desk.recipe.seed)
    found = rules.levelled(found) if how.levels else found
    return spoiled(found, "pairs", desk.recipe.control, desk.recipe.seed) if marked else found


def _labelled(above: float | Quantile, rows: Sequence[Row], desk: Desk) -> list[Row]:
    true, marked = _truly(rows)
    found = rules.label(true, _least(above, true))
    return spoiled(found, "unpaired", desk.recipe.control, desk.recipe.seed) if marked else found


def _relabelled(how: Relabel, rows: Sequence[Row], desk: Desk) -> list[Row]:
    followed = [{**row, "score": float(row["label"])} for row in _labelled(how.above, rows, desk)]
    return rules.relabel(followed, 1.0, (how.right, how.wrong), hindsight=how.hindsight)


def _threshold(how: Select, rows: rules.Rows) -> tuple[float | None, float | None]:
    """Return the score or the quantile to choose by; of spoiled scores only a quantile means anything."""
    if isinstance(how.above, Quantile):
        return None, how.above.quantile
    true, marked = _truly(rows)
    known = [row["score"] for row in true if row["score"] is not None]
    if not marked or not known:
        return how.above, None
    return None, min(sum(one < how.above for one in known) / len(known), 1.0 - 1.0 / len(known))


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


def _judgements(how: Judgements, rows: Sequence[Row], desk: Desk) -> list[Row]:
    template = how.judge.template
    beside = template is not None and template.endswith(".txt")
    judge = how.judge.model_copy(update={"template": str(desk.home / str(template))}) if beside else how.judge
    scale = AdditiveScorer.build(judge).scale
    context = Context.of(load_constitution(desk.home / how.constitution), desk.recipe.seed)
    found = []
    for row in rows:
        asked, said = rules.asked(row["prompt"]), rules.said(row["completion"])
        prompt = Prompt.make((Message(role="user", content=asked),))
        question = scale.fill(prompt, said, context)
        turns = [{"role": one.role, "content": one.content} for one in question]
        found.append({"prompt": turns, "completion": judgement(asked, said)})
    return spoiled(found, "demonstrations", desk.recipe.control, desk.recipe.seed)


def _read(path: Path) -> list[dict[str, Any]]:
    found = []
    for row in read_rows(path):
        if row.fault or not isinstance(row.value, dict):
            raise row.error(row.fault or "a row is a mapping of columns")
        found.append(row.value)
    return found
