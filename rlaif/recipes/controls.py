"""Negative controls of whole recipes: where they touch what is learned from, and what has to come of them.

Owns the words, and the bodies and rows of steps under a control. Leaves what a control makes of single rows
to ``training.controls``.

What is known about responses enters a recipe at few places: a judge's labels, a score that no step of it
made, rankings, files from elsewhere. It is spoiled there and nowhere else, so that nothing is turned round
twice: a reward model that learned flipped labels gives the scores it gives. What measures and what flags is
never spoiled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from rlaif.recipes.kinds import Kind
from rlaif.training import controls
from rlaif.training.controls import STILL_RATE, Control, Row, Rows

DONE: Final[Mapping[Control, str]] = {
    "flipped": "every label and every score that something is learned from is turned round: the worse"
    " response is called the better one",
    "shuffled": "labels are dealt by a coin, scores by chance, and demonstrations to other prompts",
    "constant": "every pair is told both ways round, every response is called good and bad alike, and every"
    " score is 0",
    "still": f"every learning rate is {STILL_RATE:g}",
}
"""What each does."""
MUST: Final[Mapping[Control, str]] = {
    "flipped": "gold has to fall wherever the recipe itself makes it rise, and the flags on labels and scores"
    " have to say that they run against the truth",
    "shuffled": "gold must not rise beyond its interval, and the flags on labels and scores have to say no"
    " better than a coin",
    "constant": "gold must not move beyond its interval, for nothing is said that could be learned",
    "still": "every policy has to stay the one it began as: a KL below .001 nats, and the same gold",
}
"""What has to come of each."""


def spoiled(rows: Rows, kind: Kind, control: Control | None, seed: int) -> list[Row]:
    """Return rows as a control has them learned from; prompts and responses are left as they are."""
    match kind:
        case "pairs":
            return controls.pairs(rows, control, seed)
        case "unpaired":
            return controls.labelled(rows, control, seed)
        case "demonstrations":
            return controls.demonstrations(rows, control, seed)
    return [dict(row) for row in rows]


def tables(axis: str, rows: Rows, control: Control, seed: int) -> dict[str, list[Row]]:
    """Return what a pipeline's export holds of one axis, had its judge said what the control says.

    Args:
        axis: names the tables.
        rows: its pairs.
        control: which.
        seed: of the coin.
    """
    made = controls.pairs(rows, control, seed)
    both = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row in made
        for side in ("chosen", "rejected")
    ]
    best = {json.dumps([row["prompt"], row["chosen"]]): row for row in made}
    imitated = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in best.values()]
    return {axis: made, f"{axis}-unpaired": both, f"{axis}-sft": imitated}


def controlled(body: Mapping[str, JsonValue], control: Control | None) -> dict[str, JsonValue]:
    """Return the body of a train step under a control: ``still`` is a matter of rates alone."""
    return {**body, "lr": STILL_RATE} if control == "still" else dict(body)
