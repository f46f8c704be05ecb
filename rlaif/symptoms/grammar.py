"""The small language of the phrase files, read into patterns of ``re`` and what each match must hold.

Owns the grammar: text, ``(one|of|these)``, and ``..`` for a gap. Leaves files and searches to ``phrases``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Language = Literal["en", "zh"]

ENDS: Final = r".!?;\n。！？；"
"""Marks that end a sentence, as a class of ``re``."""
_GAP: Final[Mapping[Language, int]] = {"en": 40, "zh": 16}
_EDGE: Final = r"(?!(?<=\w)\w)"  # anywhere but inside a word
_PART: Final = re.compile(r"\.\.|[()|]|(?:(?!\.\.)[^()|])+")


class Piece(NamedTuple):
    """A part of a phrase."""

    pattern: str
    """As ``re`` takes it."""
    literals: tuple[str, ...]
    """Every match holds one of these; none where that cannot be said."""
    width: int
    """Most characters of a match."""


def gap(language: Language) -> Piece:
    """What ``..`` stands for: a few characters of one sentence, in English whole words."""
    most = _GAP[language]
    pattern = rf"[^{ENDS}]{{0,{most}}}?"
    return Piece(_EDGE + pattern + _EDGE if language == "en" else pattern, (), most)


def read(body: str, between: Piece) -> Piece:
    """Read a phrase.

    Args:
        body: without the marks at its start, no space around ``..``.
        between: what ``..`` stands for.

    Raises:
        ValueError: parentheses do not pair.
    """
    return _Reader(body, between).whole()


class _Reader:
    """Reads one phrase by recursive descent."""

    def __init__(self, body: str, between: Piece) -> None:
        self._rest = _PART.findall(body)
        self._at = 0
        self._gap = between

    def whole(self) -> Piece:
        found = self._choice()
        if self._at < len(self._rest):
            raise ValueError("a parenthesis closes nothing")
        return found

    def _choice(self) -> Piece:
        ways = [self._sequence()]
        while self._next() == "|":
            self._at += 1
            ways.append(self._sequence())
        sure = all(one.literals for one in ways)
        literals = tuple(text for one in ways for text in one.literals) if sure else ()
        return Piece(f"(?:{'|'.join(one.pattern for one in ways)})", literals, max(one.width for one in ways))

    def _sequence(self) -> Piece:
        parts: list[Piece] = []
        while (part := self._next()) not in ("", "|", ")"):
            self._at += 1
            if part == "..":
                parts.append(self._gap)
            elif part == "(":
                parts.append(self._choice())
                if self._next() != ")":
                    raise ValueError("a parenthesis is not closed")
                self._at += 1
            else:
                parts.append(Piece(re.escape(part), (part,), len(part)))
        best = max((one.literals for one in parts), key=_telling, default=())
        return Piece("".join(one.pattern for one in parts), best, sum(one.width for one in parts))

    def _next(self) -> str:
        return self._rest[self._at] if self._at < len(self._rest) else ""


def _telling(literals: tuple[str, ...]) -> float:
    """How much a set of literals rules out: long ones do, and few of them are quick to look for."""
    return min(map(len, literals), default=0) - len(literals) / 8 if literals else -1e9
