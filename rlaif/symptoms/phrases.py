"""The phrase files: a small language for wordings, matched in time linear in the text.

Owns the reading of ``en.txt`` and ``zh.txt`` and the search for what they list. Leaves what a find means
to ``detectors``.

A file is sections of phrases, one phrase a line::

    [refusal opening]           phrases of one section; ``opening`` holds only near the start of a text
    ^ i (cannot|can't) .. help  ``^`` only where a clause begins; ``(a|(b|c) d)`` one of these,
                                an empty one for nothing; ``..`` for at most 40 characters (``zh``: 16)
                                without the end of a sentence
    ! i cannot stress           what this covers is taken out before the section's phrases are looked for

Nothing else is special: there are no unbounded repeats to write, and so no text that makes a search slow.
Most phrases are ruled out by ``candidates``, for want of their longest literal part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from rlaif.errors import InputError
from rlaif.symptoms.candidates import Candidates
from rlaif.symptoms.grammar import ENDS, Language, gap, read

LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
OPENING: Final[Mapping[Language, int]] = {"en": 320, "zh": 90}
"""Characters from the start of a text within which an ``opening`` phrase must lie."""

_START: Final = rf"(?:(?<![^{ENDS}:,：，])|(?<=[{ENDS}:,] ))"
_HEAD: Final = re.compile(r"\[([a-z_]+)( opening)?\]")


@dataclass(frozen=True, slots=True)
class Phrase:
    """One line of a phrase file, compiled."""

    line: str
    """As written."""
    literals: tuple[str, ...]
    """Every match holds one of these."""
    width: int
    """Most characters of a match."""
    pattern: re.Pattern[str]

    def near(self, literal: str, text: str, end: int) -> re.Match[str] | None:
        """Find a match that holds one of the literals, which is in the text, before ``end``."""
        start, last = text.find(literal) - self.width, text.rfind(literal) + self.width
        space = text.find(" ", last)  # no word is cut: its beginning might be taken for the whole
        return self.pattern.search(text, max(start, 0), min(end, len(text) if space < 0 else space))


@dataclass(frozen=True, slots=True)
class Section:
    """The phrases of one name in one language."""

    language: Language
    opening: bool
    phrases: tuple[Phrase, ...]
    exceptions: tuple[Phrase, ...]
    candidates: Candidates[Phrase]

    def first(self, text: str) -> re.Match[str] | None:
        """Find any of the phrases in normalised text, exceptions taken out."""
        found = self._any(text)
        if found is None or not self.exceptions:
            return found
        cleared = self._cleared(text)
        return found if cleared == text else self._any(cleared)

    def _any(self, text: str) -> re.Match[str] | None:
        end = min(len(text), OPENING[self.language]) if self.opening else len(text)
        found = (phrase.near(literal, text, end) for literal, phrase in self.candidates.of(text))
        return next((one for one in found if one is not None), None)

    def _cleared(self, text: str) -> str:
        """The text with every exception covered by marks that no phrase holds, at the same places."""
        for one in self.exceptions:
            if any(literal in text for literal in one.literals):
                text = one.pattern.sub(lambda found: "#" * len(found[0]), text)
        return text


@cache
def sections(name: str) -> tuple[Section, ...]:
    """Return the sections of one name in all languages; none has the name when it is empty."""
    return tuple(one for language in LANGUAGES for one in _file(language).get(name, ()))


def mentions(name: str, text: str) -> bool:
    """Whether normalised text holds a phrase of the sections of this name."""
    return any(one.first(text) is not None for one in sections(name))


@cache
def _file(language: Language) -> Mapping[str, Sequence[Section]]:
    text = resources.files("rlaif.symptoms").joinpath(f"{language}.txt").read_text("utf-8")
    return read_phrases(text, language)


def read_phrases(text: str, language: Language) -> dict[str, list[Section]]:
    """Parse a phrase file.

    Args:
        text: the file's content.
        language: decides word boundaries and the width of gaps.

    Returns:
        Sections by name.

    Raises:
        InputError: a line stands in no section, or its parentheses do not pair.
    """
    lines: dict[tuple[str, bool], list[tuple[int, str]]] = {}
    here: list[tuple[int, str]] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if head := _HEAD.fullmatch(line):
            here = lines.setdefault((head[1], head[2] is not None), [])
        elif here is None:
            raise _wrong(language, number, line, "it stands in no [section]")
        else:
            here.append((number, line))
    made: dict[str, list[Section]] = {}
    for (name, opening), found in lines.items():
        made.setdefault(name, []).append(_section(found, language, opening))
    return made


def _section(lines: Iterable[tuple[int, str]], language: Language, opening: bool) -> Section:
    phrases: list[Phrase] = []
    exceptions: list[Phrase] = []
    for number, line in lines:
        kept = exceptions if line.startswith("!") else phrases
        try:
            kept.append(_phrase(line.removeprefix("!").strip(), language))
        except ValueError as error:
            raise _wrong(language, number, line, str(error)) from None
    candidates = Candidates({one: one.literals for one in phrases})
    return Section(language, opening, tuple(phrases), tuple(exceptions), candidates)


def _wrong(language: Language, number: int, line: str, why: str) -> InputError:
    message = f"found {line!r}: {why}; allowed: [section], then phrases with paired parentheses"
    return InputError(message, path=f"{language}.txt", line=number)


def _phrase(line: str, language: Language) -> Phrase:
    body = re.sub(r" *\.\. *", "..", line.removeprefix("^").strip())
    pattern, literals, width = read(body, gap(language))
    if language == "en":  # a word is matched whole; Chinese has no spaces to go by
        pattern = rf"(?<!\w){pattern}(?!\w)"
    if line.startswith("^"):
        pattern = _START + pattern
    return Phrase(line, literals, width, re.compile(pattern))
