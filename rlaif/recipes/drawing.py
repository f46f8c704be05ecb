"""Responses of policies: drawn prompt by prompt, scored, and kept as they come.

Owns the draw of a step and its going on after a kill. Leaves decoding to ``training.rollouts`` and numbers to
``scores``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rlaif.checkpoints import Checkpoint, load
from rlaif.generation import Engine, Limits
from rlaif.recipes.config import Drawing
from rlaif.recipes.desk import Desk, label
from rlaif.recipes.folder import put_rows
from rlaif.recipes.rows import Row, column, prompts
from rlaif.recipes.scores import PART_TOKENS, TRUE, Source, of_rollouts, source, spoiling
from rlaif.training.config import DataConfig
from rlaif.training.data import Asked, read_prompts
from rlaif.training.rollouts import Draw, Rollout, draw
from rlaif.wholefile import put

_AT_ONCE: Final = 8
"""Prompts drawn for before what was drawn is written."""


def drawn(drawing: Drawing, name: str, desk: Desk, folder: Path) -> tuple[Path, dict[str, float]]:
    """Draw and score all responses of a step, or go on with it.

    Returns:
        The file of responses, and what they came to.

    Raises:
        InputError: a model or the prompts cannot be used.
    """
    asked = put_rows(folder / "prompts.jsonl", prompts(desk.rows(drawing.prompts)))
    how = Draw(samples=drawing.k, temperature=drawing.temperature, max_tokens=drawing.max_tokens)
    rows: list[Row] = []
    for at, policy in enumerate(drawing.policies):
        path = folder / f"drawn-{at}.jsonl"
        seed = f"{desk.recipe.seed}:{name}:{at}"
        by = (source(drawing.score, desk), spoiling(drawing.score, desk))
        for some in _kept(path, desk.model(policy), asked, (how, seed, by)):
            rows += [{**row, "policy": label(policy)} for row in some]
    return put_rows(folder / "responses.jsonl", rows), _counts(rows)


def opened(model: str, path: Path, how: Draw) -> tuple[Checkpoint, Engine, Sequence[Asked]]:
    """Load a policy and the prompts it is to answer, all of them."""
    checkpoint = load(model)
    engine = Engine(checkpoint, Limits(rows=max(1, PART_TOKENS // how.max_tokens)))
    return (
        checkpoint,
        engine,
        read_prompts(DataConfig(path=str(path), test_share=0.0), checkpoint.tokenizer).train,
    )


def as_rows(one: Rollout) -> list[Row]:
    """Return what was drawn to one prompt."""
    every = zip(one.texts, map(len, one.group.responses), one.cut, map(sum, one.drawn), strict=True)
    return [
        {
            "prompt": column(one.asked.text),
            "completion": text,
            "tokens": tokens,
            "cut": cut,
            "logprob": logprob,
        }
        for text, tokens, cut, logprob in every
    ]


def _kept(
    path: Path, model: str, asked: Path, how: tuple[Draw, str, tuple[Source, Source | None]]
) -> Iterator[list[Row]]:
    """Yield each prompt's rows, those that are in the file already first; the others are drawn."""
    wanted, seed, by = how
    checkpoint, engine, places = opened(model, asked, wanted)
    known = _lines(path, places, wanted.samples)
    yield from known
    with path.open("a") as file:
        for first in range(len(known), len(places), _AT_ONCE):
            some = range(first, min(first + _AT_ONCE, len(places)))
            found = draw(engine, places, wanted, seed, some)
            for one, scores in zip(found, _scores(by, checkpoint, found), strict=True):
                rows = [{**row, **score} for row, score in zip(as_rows(one), scores, strict=True)]
                file.write(json.dumps(rows) + "\n")
                yield rows
            file.flush()


def _scores(
    by: tuple[Source, Source | None], checkpoint: Checkpoint, drawn: Sequence[Rollout]
) -> list[list[dict[str, float | None]]]:
    """Score what was drawn, and say beside a spoiled score what it was before."""
    true = of_rollouts(by[0], checkpoint.tokenizer, drawn)
    if by[1] is None:
        return [[{"score": one} for one in some] for some in true]
    told = of_rollouts(by[1], checkpoint.tokenizer, drawn)
    return [
        [{"score": score, TRUE: was} for score, was in zip(*both, strict=True)]
        for both in zip(told, true, strict=True)
    ]


def _lines(path: Path, places: Sequence[Asked], samples: int) -> list[list[Row]]:
    """What was drawn for the first prompts, in their order; what follows in the file is taken off it."""
    if not path.is_file():
        return []
    known: list[list[Row]] = []
    for line, one in zip(path.read_text().split("\n")[:-1], places, strict=False):
        rows = _read(line)
        if [row.get("prompt") for row in rows] != [column(one.text)] * samples:
            break  # cut short, or another prompt's
        known.append(rows)
    put(path, "".join(f"{json.dumps(rows)}\n" for rows in known))
    return known


def _read(line: str) -> list[Row]:
    """The rows of a line; none where it holds something else."""
    try:
        found = json.loads(line)
    except ValueError:
        return []
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else []


def _counts(rows: Sequence[Row]) -> dict[str, float]:
    scores = [row["score"] for row in rows if row["score"] is not None]
    return {
        "responses": float(len(rows)),
        "unscored": float(len(rows) - len(scores)),
        "mean score": sum(scores) / len(scores) if scores else 0.0,
        "cut": sum(row["cut"] for row in rows) / max(len(rows), 1),
    }
