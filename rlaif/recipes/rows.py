"""What recipes do to rows between drawing, judging and training: pure functions, nothing read or written.

Owns the step from some rows to others. Rows are mappings of columns, a prompt is text or a list of turns, and
all rows of one prompt stay together wherever rows are told apart. Leaves the choice among scored responses to
``training.rejection`` and ``training.bestofn``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, islice
from typing import Any, Final, Literal

from rlaif.errors import InputError
from rlaif.records import Margin, Message
from rlaif.training.bestofn import best_and_worst
from rlaif.training.encoding import Text
from rlaif.training.rejection import Scope, Scored, best_of_each, improve
from rlaif.training.rejection import rows as columns

Column = str | list[dict[str, str]]
"""Text, or turns of ``role`` and ``content``."""
Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]
LEVELS: Final[Sequence[Margin]] = ("negligible", "slight", "better", "significant")
"""How clear a preference is, in rising order."""


def turns(texts: Iterable[str]) -> list[Row]:
    """Return texts as prompts of one turn."""
    return [{"prompt": [{"role": "user", "content": one}]} for one in texts]


def by_prompt(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    """Gather rows by their prompt, prompts in the order they first appear."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(_key(row), []).append(row)
    return found


def answered(rows: Rows) -> list[Mapping[str, Any]]:
    """Return the rows whose response says something: an empty one teaches nothing and is in no pair."""
    return [row for row in rows if said(row["completion"]).strip()]


def prompts(rows: Rows) -> list[Row]:
    """Return every prompt once."""
    return [{"prompt": some[0]["prompt"]} for some in by_prompt(rows).values()]


def demonstrations(rows: Rows) -> list[Row]:
    """Return responses as something to imitate."""
    return [{"prompt": row["prompt"], "completion": row["completion"]} for row in rows]


def best_of_n(rows: Rows, n: int | None, seed: int) -> list[Row]:
    """Return the best of the first n responses to each prompt; prompts without a score have none.

    Args:
        rows: scored responses.
        n: how many of each prompt are looked at; all when None.
        seed: decides among equal scores.
    """
    looked = [row for some in by_prompt(rows).values() for row in islice(some, n)]
    return columns(best_of_each(list(map(scored, looked)), seed))


def select(rows: Rows, above: float | None, quantile: float | None, scope: Scope) -> list[Row]:
    """Return responses at or above a threshold: a score, or else a quantile of scores.

    Raises:
        InputError: nothing is left.
    """
    return columns(kept(rows, above, quantile, scope))


def kept(rows: Rows, above: float | None, quantile: float | None, scope: Scope) -> list[Scored]:
    """Return what ``select`` makes demonstrations of, scores and all.

    Raises:
        InputError: nothing is left.
    """
    found = list(map(scored, rows))
    if above is not None:
        some = [one for one in found if one.score is not None and one.score >= above]
    else:
        (left,) = improve(found, [quantile or 0.0], scope)
        some = list(left.samples)
    if not some:
        raise InputError(
            f"no response of {len(found)} scores {above!r} or more; lower the threshold, or give a quantile",
            field="above",
        )
    return some


def threshold(rows: Rows, quantile: float) -> float | None:
    """Return the score that a share of all scores lies below; None where nothing is scored."""
    (left,) = improve(list(map(scored, rows)), [quantile], "pooled")
    return left.threshold


def pairs(rows: Rows, gap: float, keep: Literal["all", "best_worst"], seed: int) -> list[Row]:
    """Return pairs of each prompt's responses, the higher score chosen; K scores give at most C(K, 2).

    Scores no further apart than ``gap`` are equal, and equal scores and equal texts give no pair; nor does a
    response without a score.

    Args:
        rows: scored responses.
        gap: how close is equal.
        keep: all pairs, or the best against the worst.
        seed: decides which of equal best ones is taken.
    """
    found: list[Row] = []
    for key, some in by_prompt(rows).items():
        known = [row for row in some if row.get("score") is not None]
        if keep == "all":
            couples = list(combinations(known, 2))
        else:
            texts, scores = [said(row["completion"]) for row in known], [row["score"] for row in known]
            places = best_and_worst(texts, scores, f"{seed} {key}")
            couples = [] if places is None else [(known[places[0]], known[places[1]])]
        found += [_pair(one, other) for one, other in couples if _differ(one, other, gap)]
    return found


def ranked(row: Mapping[str, Any]) -> list[Row]:
    """Return the pairs of one ranking of K responses: C(K, 2) less those of equal rank.

    Raises:
        InputError: responses and ranks do not belong together.
    """
    responses, ranks = row.get("responses"), row.get("ranks")
    if not isinstance(responses, list) or not isinstance(ranks, list) or len(responses) != len(ranks):
        raise InputError(
            "a ranking has a prompt, responses, and as many ranks, 1 the best; check the columns",
            field="ranks",
        )
    drawn = [
        {"prompt": row["prompt"], "completion": one, "score": -float(rank)}
        for one, rank in zip(responses, ranks, strict=True)
    ]
    return pairs(drawn, 0.0, "all", 0)


def levelled(rows: Rows) -> list[Row]:
    """Return pairs with a column ``margin_level``: by quarters of their gaps, the widest the clearest."""
    order = sorted(range(len(rows)), key=lambda at: rows[at]["gap"])
    level = {place: LEVELS[4 * rank // len(rows)] for rank, place in enumerate(order)}
    return [{**row, "margin_level": level[at]} for at, row in enumerate(rows)]


def label(rows: Rows, least: float) -> list[Row]:
    """Return responses marked good at or above a score; those without a score are left out."""
    return [
        {"prompt": row["prompt"], "completion": row["completion"], "label": row["score"] >= least}
        for row in rows
        if row.get("score") is not None
    ]


def mix(parts: Sequence[tuple[str, Rows, float | None]], seed: int) -> list[Row]:
    """Return one set of several, each row with its source.

    With shares, as many rows as can be had without repeating one; which ones is a matter of the seed.

    Args:
        parts: name, rows and share of each; shares sum to 1, or are all None.
        seed: of the choice.
    """
    if any(share is None for _, _, share in parts):
        return [{**row, "source": name} for name, rows, _ in parts for row in rows]
    total = min(len(rows) / (share or 1.0) for _, rows, share in parts)
    found = []
    for name, rows, share in parts:
        order = sorted(range(len(rows)), key=lambda at: _lot(seed, name, at))
        chosen = sorted(order[: int(total * (share or 1.0) + 1e-9)])
        found += [{**rows[at], "source": name} for at in chosen]
    return found


def relabel(rows: Rows, least: float, instructions: tuple[str, str], *, hindsight: bool) -> list[Row]:
    """Return every response under the instruction it follows.

    Args:
        rows: scored responses, drawn under either instruction or none.
        least: from which score a response is right.
        instructions: for right responses and for others.
        hindsight: off leaves all of them under the first, whatever they turned out to be.
    """
    right, wrong = instructions
    return [
        {
            "prompt": instructed(
                bare(row["prompt"], instructions), right if row["score"] >= least or not hindsight else wrong
            ),
            "completion": row["completion"],
        }
        for row in rows
        if row.get("score") is not None
    ]


def instructed(prompt: Column, text: str) -> Column:
    """Put an instruction before a prompt, inside the last turn where it is a conversation."""
    if isinstance(prompt, str):
        return f"{text}\n{prompt}"
    *before, last = prompt
    return [*before, {**last, "content": f"{text}\n{last['content']}"}]


def bare(prompt: Column, instructions: Sequence[str]) -> Column:
    """Take whichever of some instructions stands before a prompt off it."""
    if not isinstance(prompt, str):
        *before, last = prompt
        return [*before, {**last, "content": str(bare(last["content"], instructions))}]
    for one in instructions:
        if prompt.startswith(f"{one}\n"):
            return prompt[len(one) + 1 :]
    return prompt


def halves(rows: Rows, salt: str = "") -> tuple[list[Row], list[Row]]:
    """Cut rows in two by prompt: which half is a function of the prompt and the salt alone."""
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        sides[hashlib.sha256(f"{salt}{_key(row)}".encode()).digest()[0] % 2].append(dict(row))
    return sides


def scored(row: Mapping[str, Any]) -> Scored:
    """Return a row as the selections of training take it."""
    return Scored(text(row["prompt"]), said(row["completion"]), row.get("score"))


def text(prompt: Column) -> Text:
    """Return a prompt column as trainers hold it."""
    if isinstance(prompt, str):
        return prompt
    return tuple(Message.model_validate(one) for one in prompt)


def column(prompt: Text) -> Column:
    """Return a prompt as a column holds it: the reverse of ``text``."""
    return (
        prompt if isinstance(prompt, str) else [{"role": one.role, "content": one.content} for one in prompt]
    )


def said(column: Column) -> str:
    """Return what a column of a response says: its text, or that of its turns."""
    return column if isinstance(column, str) else "\n".join(one["content"] for one in column)


def asked(prompt: Column) -> str:
    """Return what a prompt column asks: the text, or its last turn."""
    return prompt if isinstance(prompt, str) else prompt[-1]["content"]


def _pair(one: Mapping[str, Any], other: Mapping[str, Any]) -> Row:
    better, worse = (one, other) if one["score"] > other["score"] else (other, one)
    return {
        "prompt": better["prompt"],
        "chosen": better["completion"],
        "rejected": worse["completion"],
        "chosen_score": better["score"],
        "rejected_score": worse["score"],
        "gap": better["score"] - worse["score"],
    }


def _differ(one: Mapping[str, Any], other: Mapping[str, Any], gap: float) -> bool:
    apart = abs(one["score"] - other["score"])
    return apart > gap and said(one["completion"]) != said(other["completion"])


def _key(row: Mapping[str, Any]) -> str:
    return json.dumps(row["prompt"], sort_keys=True)


def _lot(seed: int, *parts: object) -> bytes:
    return hashlib.sha256(repr((seed, *parts)).encode()).digest()
