"""Negative controls: what is learned from, spoiled in a known way.

Owns what each control makes of pairs, labels and demonstrations. Leaves where a control is applied, and what
has to come of it, to who asks for one.

``flipped``   every label turned round: what is trained has to get worse
``shuffled``  labels dealt by a coin, demonstrations to other prompts: nothing can be learned
``constant``  everything told both ways round: nothing is said
``still``     a learning rate at which nothing moves
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

Control = Literal["flipped", "shuffled", "constant", "still"]
Row = dict[str, Any]
Rows = Sequence[Mapping[str, Any]]

STILL_RATE: Final = 1e-12
"""Learning rate of ``still``. A great beta would not do: AdamW divides the gradient by its own size, so that
a policy on a short leash takes steps as long as any other's."""


def pairs(rows: Rows, control: Control | None, seed: int) -> list[Row]:
    """Return pairs as a control has them learned from.

    Args:
        rows: with ``chosen`` and ``rejected``.
        control: None leaves everything as it is.
        seed: of the coin.
    """
    return _told([dict(row) for row in rows], flip(rows), control, seed)


def labelled(rows: Rows, control: Control | None, seed: int) -> list[Row]:
    """Return responses marked good or bad, ``label``, as a control has them learned from."""
    turned = [{**row, "label": not row["label"]} for row in rows]
    return _told([dict(row) for row in rows], turned, control, seed)


def demonstrations(rows: Rows, control: Control | None, seed: int) -> list[Row]:
    """Return demonstrations as a control has them learned from: shuffled, each belongs to another prompt.

    There is nothing in them to turn round; other controls leave them as they are.
    """
    if control != "shuffled":
        return [dict(row) for row in rows]
    order = sorted(range(len(rows)), key=lambda at: lot(seed, str(at), _said(rows[at])))
    after = dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return [{**row, "completion": rows[after[at]]["completion"]} for at, row in enumerate(rows)]


def flip(rows: Rows) -> list[Row]:
    """Return pairs with chosen and rejected exchanged, and whatever is said of either with them."""
    exchanged = {"chosen": "rejected", "rejected": "chosen"}

    def name(column: str) -> str:
        head, mark, rest = column.partition("_")
        return f"{exchanged.get(head, head)}{mark}{rest}"

    return [{name(column): value for column, value in row.items()} for row in rows]


def lot(seed: int, *parts: object) -> float:
    """Return a number from 0 to 1 that depends on what is named alone."""
    raw = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(raw[:7]) / 2**56


def _told(rows: list[Row], turned: list[Row], control: Control | None, seed: int) -> list[Row]:
    both = list(zip(rows, turned, strict=True))
    match control:
        case "flipped":
            return turned
        case "shuffled":
            return [other if lot(seed, _said(row)) < 0.5 else row for row, other in both]
        case "constant":
            return [one for two in both for one in two]
    return rows


def _said(row: Mapping[str, Any]) -> str:
    columns = ("prompt", "chosen", "rejected", "completion")
    return json.dumps([row.get(name) for name in columns], sort_keys=True)
