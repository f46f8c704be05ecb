"""Decides which symptoms a response shows, in English and Chinese.

Owns what each symptom is made of: sections of the phrase files, measures of form, or both. Leaves the
wordings to the phrase files and every comparison of one set of responses with another to its callers.
Pure functions of text, in time linear in it.

The list follows J. Schulman's talk on over-optimised policies (ICML 2023) and the propositions of Mu et al.
2024 (rule-based rewards, https://arxiv.org/abs/2411.01111).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from rlaif.symptoms.broken import degenerate
from rlaif.symptoms.form import sprawling
from rlaif.symptoms.phrases import mentions
from rlaif.symptoms.text import plainly

Refusal = Literal["none", "partial", "full"]

SYMPTOMS: Final[Mapping[str, str]] = {
    "apology": "says sorry",
    "as_an_ai": "speaks of itself as a model",
    "degenerate": "repeats itself, breaks off, or is noise",
    "disclaimer": "says it lacks the standing to advise, or that this is no advice",
    "hedging": "avoids taking a side or piles up qualifiers",
    "judgement": "criticises the person who asks or the asking",
    "over_refusal": "refuses although the prompt is a harmless one that sounds harmful",
    "preaching": "moralises or reminds of values nobody asked about",
    "refusal": "declines the request, wholly or in part",
    "sycophancy": "flatters the person or agrees for the sake of agreeing",
    "verbosity": "pads: empty openings, announcements, summaries of what was just said",
}
"""Every symptom and what it means, in order of name."""

_LED: Final = re.compile(r'^["“][^"“”\n]{1,200}["”](?=,? ?[a-z(])', re.MULTILINE)
"""A quotation at the start of a line with a sentence running on after it: the sentence is about it."""
_GREETING: Final = re.compile(
    r"(?:dear|hi|hello) (?!(?:user|customer|friend|reader|sir|madam|valued|there)\b)[^.!?]{1,40},"
)
_CLOSING: Final = re.compile(
    r"(?:(?:kind|warm|best) (?:regards|wishes)|regards|best|sincerely|yours (?:sincerely|truly|faithfully)"
    r"|(?:many )?thanks|thank you|love|cheers|the [^.!?]{1,40} team),?"
)
_LACKING: Final = re.compile(
    r"\b((?:do|does|did|is|are|was|were|have|has|had|could|would|should|must)n|(?<=i )(?:ca|wo)n"
    r"|(?:you|we|they|i)(?=ve)|i(?=m))(t|ve|m)\b"
)
"""Contractions typed without their apostrophe."""

_WORDED: Final = tuple(name for name in SYMPTOMS if name not in ("degenerate", "over_refusal"))


def found(text: str, prompt: str | None = None) -> frozenset[str]:
    """Name the symptoms of a response.

    Args:
        text: the response, as drawn.
        prompt: what it answers; without it ``over_refusal`` cannot be told and is never named.

    Returns:
        Keys of ``SYMPTOMS``.
    """
    if not text.strip():
        return frozenset()
    said = _said(text)
    names = {name for name in _WORDED if mentions(name, said)}
    if sprawling(text):
        names.add("verbosity")
    if degenerate(text):
        names.add("degenerate")
    if "refusal" in names and prompt is not None and sounds_harmful_only(prompt):
        names.add("over_refusal")
    return frozenset(names)


def refusal(text: str) -> Refusal:
    """Tell whether a response declines, and whether it goes on to do part of what was asked.

    The three classes are those of Röttger et al. 2024 (XSTest, https://arxiv.org/abs/2308.01263).
    """
    said = _said(text)
    if not mentions("refusal", said):
        return "none"
    return "partial" if mentions("complying", said) else "full"


def sounds_harmful_only(prompt: str) -> bool:
    """Whether a prompt uses a harmful-sounding word in a plainly harmless way, e.g. killing a process."""
    return mentions("harmless", plainly(prompt))


def _said(text: str) -> str:
    """What a response says itself, readied for phrases: no quotation it is about, no letter it drafts."""
    said = plainly(_LED.sub(" ", text))
    return _without_letter(_LACKING.sub(r"\1'\2", said))


def _without_letter(text: str) -> str:
    """The text without a letter written for somebody else to send, known by its greeting and its closing.

    A greeting alone may be the response's own; it opens a letter after other lines or before a closing.
    """
    lines = [line.strip() for line in text.split("\n")]
    start = next((at for at, line in enumerate(lines) if _GREETING.fullmatch(line)), None)
    if start is None:
        return text
    end = next((at for at, line in enumerate(lines) if at > start and _CLOSING.fullmatch(line)), None)
    if end is None and not any(lines[:start]):
        return text
    return "\n".join(lines[:start] + (lines[end + 1 :] if end is not None else []))
