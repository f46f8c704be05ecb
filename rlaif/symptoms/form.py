"""What the form of a text gives away: length, lists, nesting.

Owns the measures and the limits beyond which a form is a symptom. Leaves wordings to ``phrases``. Every
measure is linear in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LONG: Final = 600
"""Words (a Chinese character counts as half a word) from which a response is verbose whatever it says."""
DEEP: Final = 3
"""Levels of a nested list that count as a list of lists."""
WORD: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_]{1,40}")
"""A word, or one Chinese character."""
_WIDE: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
ITEM: Final = re.compile(r"^([ \t]{0,40})(?:[-*+•·]|\d{1,3}[.)、]|[(（]?[a-z一二三四五六七八九十][.)）、])\s")
"""The mark of an entry of a list, its indent as a group."""
_HEADING: Final = re.compile(r"^#{1,6}\s|^\*\*[^*\n]{1,80}\*\*:?\s*$")


@dataclass(frozen=True, slots=True)
class Shape:
    """Measures of one text's form."""

    characters: int
    words: float
    """Words; a Chinese character counts as half a word."""
    lines: int
    """Lines that are not blank."""
    items: int
    """Lines that are entries of a list."""
    headings: int
    """Lines that are Markdown headings or stand bold and alone."""
    depth: int
    """Levels of list nesting; 0 without a list."""
    marks: int
    """Pairs of Markdown emphasis, code fences and table rows."""


def shape(text: str) -> Shape:
    """Measure the form of a text."""
    lines = [line for line in text.splitlines() if line.strip()]
    items = [found for found in map(ITEM.match, lines) if found]
    return Shape(
        characters=len(text),
        words=words(text),
        lines=len(lines),
        items=len(items),
        headings=sum(_HEADING.match(line) is not None for line in lines),
        depth=_depth([len(found[1].expandtabs(4)) for found in items]),
        marks=text.count("**") // 2 + text.count("```") // 2 + sum(line.startswith("|") for line in lines),
    )


def words(text: str) -> float:
    """Count words; a Chinese character counts as half a word."""
    found = sum(1 for _ in WORD.finditer(text))
    return found - sum(1 for _ in _WIDE.finditer(text)) / 2


def sprawling(text: str) -> bool:
    """Whether a text is verbose by its form alone: very long, or lists within lists within lists."""
    form = shape(text)
    return form.words >= LONG or form.depth >= DEEP


def _depth(indents: list[int]) -> int:
    """Levels among the indents of list entries, in order of appearance."""
    open_at: list[int] = []
    deepest = 0
    for indent in indents:
        while open_at and open_at[-1] >= indent:
            open_at.pop()
        open_at.append(indent)
        deepest = max(deepest, len(open_at))
    return deepest
