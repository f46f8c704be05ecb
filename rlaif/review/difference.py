"""Which words two texts share.

Owns the longest common subsequence of words, found with whole rows of the table as the bits of one number
(Hyyrö 2004, "Bit-parallel LCS-length computation revisited"), so that no text makes it slow, and its reading
as runs. Leaves how a difference is drawn to pages.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Final, NamedTuple

MOST_WORDS: Final = 4_000
"""Words of one text; longer texts are not compared."""

_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af]|\w+|\s+|[^\w\s]")


class Run(NamedTuple):
    """Consecutive words of one text."""

    text: str
    """The words with the space between them."""
    own: bool
    """Whether the other text lacks them."""


def difference(one: str, other: str) -> tuple[list[Run], list[Run]] | None:
    """Cut two texts into runs that they share and runs of their own.

    The runs of each text add up to it. White space counts as shared where the words around it are.

    Returns:
        Runs of each; None where a text has more than ``MOST_WORDS`` words and marks.
    """
    words, others = _WORD.findall(one), _WORD.findall(other)
    if max(len(words), len(others)) > MOST_WORDS:
        return None
    kept, kept_other = common(words, others)
    return _runs(words, kept), _runs(others, kept_other)


def common(one: list[str], other: list[str]) -> tuple[list[bool], list[bool]]:
    """Mark a longest common subsequence of two lists in both of them."""
    rows = _rows(one, other)
    kept, kept_other = [False] * len(one), [False] * len(other)
    at, row = len(one), len(other)
    while at and row:
        if rows[row] >> (at - 1) & 1:  # as much is shared without this word of the first list
            at -= 1
        elif row > 1 and not rows[row - 1] >> (at - 1) & 1:  # and as much without this one of the second
            row -= 1
        else:
            at, row = at - 1, row - 1
            kept[at] = kept_other[row] = True
    return kept, kept_other


def _rows(one: list[str], other: list[str]) -> list[int]:
    """After each word of ``other``: a number whose bit i is 0 where word i of ``one`` adds a shared word."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    whole = (1 << len(one)) - 1
    row, rows = whole, [whole]
    for word in other:
        hits = row & places.get(word, 0)
        row = ((row + hits) | (row - hits)) & whole
        rows.append(row)
    return rows


def _runs(words: list[str], kept: list[bool]) -> list[Run]:
    return [
        Run("".join(word for word, _ in run), own)
        for own, run in groupby(zip(words, kept, strict=True), key=lambda pair: not pair[1])
    ]
