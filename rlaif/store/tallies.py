"""What tables hold, in two numbers each.

Owns the numbers and their form in JSON. Leaves counting to ``database`` and comparing to ``recovery``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tally:
    """What a table, or the end of one, holds."""

    rows: int = 0
    """Rows."""
    content: int = 0
    """XOR over DuckDB's 64-bit hashes of all columns of each row: the order does not matter."""

    def with_rows(self, hashes: NDArray[np.uint64]) -> Tally:
        """The same with further rows, given by their hashes."""
        return Tally(self.rows + len(hashes), self.content ^ int(np.bitwise_xor.reduce(hashes)))

    def since(self, before: Tally) -> Tally:
        """What was added after ``before``: a row's hash in both cancels out."""
        return Tally(self.rows - before.rows, self.content ^ before.content)


Tallies = dict[str, Tally]
"""Tally by table name; an empty table has no entry."""


def to_json(tallies: Mapping[str, Tally]) -> dict[str, list[int]]:
    """Tallies as JSON keeps them."""
    return {name: [one.rows, one.content] for name, one in tallies.items()}


def from_json(told: Mapping[str, Sequence[int]]) -> Tallies:
    """Tallies as `to_json` wrote them."""
    return {name: Tally(*tally) for name, tally in told.items()}
