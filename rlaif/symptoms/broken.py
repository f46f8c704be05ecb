"""What gives a broken text away: repetition, noise, a missing end.

Owns the measures and their limits. Leaves length and lists to ``form`` and wordings to ``phrases``. Every
measure is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from typing import Final

from rlaif.symptoms.form import ITEM, WORD, words

DISTINCT: Final = 0.5
"""Share of distinct runs of four words (distinct-4) below which a text repeats itself."""
ENOUGH: Final = 16
"""Words from which repetition can be told."""
SQUEEZED: Final = 0.12
"""Compressed size, as a share of the text's, below which a long text is repetition in any language."""
LONG_ENOUGH: Final = 400
"""Bytes from which compression tells anything."""

FEW: Final = 0.4
"""Share of distinct words below which a short text goes round in circles; a whole stretch: three quarters."""
STRETCH: Final = 60
"""Words of a stretch: longer ones repeat words without a fault."""
COVERED: Final = 0.5
"""Share of the words that runs of four said over and over cover from which a text repeats itself."""
OVER: Final = 40
"""Words for each of which, but thrice at least, a run of four must be said to count for that."""
TURNS: Final = 0.6
"""Share of words in another script than the one before from which scripts are mixed without sense."""
GARBLED: Final = 0.15
"""Share of the characters that come of a wrong encoding from which they are no longer the topic."""
TOKENS: Final = 3
"""Marks of a vocabulary (``<|endoftext|>``) from which they are no longer the topic."""
RESTARTED: Final = 8
"""Words after the last full stop that, without one of their own, are a sentence cut off."""
HALTED: Final = 14
"""Words of a lone sentence without an end that is cut off; titles and entries are shorter."""

_RUN: Final = re.compile(r"([?!？！~。…])\1{3,}|([^\w\s.=_*#|-])(?:\s?\2){5,}|(\w)\3{7,}")
_TWICE: Final = re.compile(r"\b(\w{1,30})(?: \1\b){3,}|\b(\w{1,30})(?:, ?\2\b){4,}")
_DOUBLED: Final = re.compile(r"\b([a-z]{1,30}) \1\b")
_STUTTER: Final = re.compile(
    r"\b(an?|and|at|because|but|by|can|for|from|i|if|is|it|my|of|or|the|they|this|to|was|we|with|your?)"
    r" \1\b"
)
"""Words that are never said twice running, as ``had``, ``that`` and ``very`` may be."""
_TOKEN: Final = re.compile(
    r"<\|[a-z_]{2,30}\|>|</?s>|<(?:unk|pad|eos|bos|mask)>|\[(?:/?INST|UNK|PAD|SEP|CLS|MASK)\]"
)
_LEAKED: Final = re.compile(r"(?:<\|[a-z_]{2,30}\|>|</s>|<eos>)\s{0,9}\Z")
_MOJIBAKE: Final = re.compile(r"\ufffd|â€\S?|ï¿½|ÿþ|[ÂÃÐÑ][^\sA-Za-z]|ÂÂ")
_MIDWORD: Final = re.compile(r"[A-Za-z](?:\ufffd|â€.|Ã.|Â.)[a-z]")
_BARE: Final = re.compile(r"(?:(?<!\S)\(?(?:\d{1,3}|[a-z])[.)]\s{1,4}){5}\(?(?:\d{1,3}|[a-z])[.)](?!\S)")
_EMPTY: Final = re.compile(r"(?m)(?:^[ \t]{0,9}(?:\d{1,3}[.)]|[-*•])[ \t]{0,9}\n){3}|\n\d{1,3}[.)]\s{0,9}\Z")
_LETTERS: Final = re.compile(r"[^\W\d_]{1,40}")
_FENCED: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_PIECE: Final = re.compile(r"[^\s.,:/@'\"()_-]{3,40}")
_NOISE: Final = re.compile(
    r"[A-Za-z]\d{1,9}[A-Za-z]|\d[A-Za-z]{1,9}\d|[A-Za-z0-9][#%;^~|{}\[\]]{1,9}[A-Za-z0-9]|\d[#%;^~|{}\[\]]"
    r"|[b-df-hj-np-tv-xz]{5}"
)
_SENTENCE: Final = re.compile(r"[.!?][\"')”’]?\s{1,3}(?=[A-Z])")
_ECHO: Final = re.compile(r"([\u3400-\u9fff]{2,8})\1{3,}|([\u3400-\u9fff])\2{5,}")
_CLOSED: Final = re.compile(
    r"[.!?。！？…:：;；)）\]】}\"'”’」』`*~>|]$|[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]$"
)
_GREETING: Final = re.compile(r"\n[^\n]{1,24}[,，]$")
_PLEADING: Final = re.compile(
    r"(?:\b(?:pls|plz|please|halp|help)\b[\s,.!?]*){2,8}$|(?:\bpl[sz]{1,9}\b.{0,30}?){3}", re.IGNORECASE
)

_JOINING: Final = re.compile(
    r"(?:[\s,](?:and|or|the|a|an|of|to|in|on|at|with|for|that|which|who|when|while|because|but|is|are|was"
    r"|were|be|has|had|have|will|would|can|could|should|your|their|his|its|our|this|these|by|from|as|if|not"
    r"|my|we|they|since|than|into|onto|during|between|whose|every|including|such|also|very|must|might|don't"
    r"|doesn't|can't|it's|i'm|upon|unless|although|until|where|whether|towards?)|[,，、]"
    r"|(?:的|和|与|或|但|因为|并且|以及|如果|在|是|把|被|将))$"
)


def degenerate(text: str) -> bool:
    """Whether a text repeats itself, is noise, breaks off, runs on one mark, pleads, or is next to nothing.

    Marks and pleas at the end of policies that went wrong: Lee et al. 2023, https://arxiv.org/abs/2309.00267,
    appendix on examples; distinct n-grams: Li et al. 2016, https://arxiv.org/abs/1510.03055.
    """
    if not WORD.search(text):
        return True
    if any(one.search(text) for one in (_RUN, _ECHO, _PLEADING, _BARE, _EMPTY)) or _TWICE.search(
        text.lower()
    ):
        return True
    return _repeats(text) or _doubles(text) or _garbled(text) or _mixed(text) or _random(text) or _cut(text)


def _repeats(text: str) -> bool:
    """Whether a text says the same runs of words again, or the same few words."""
    found = [one for one in WORD.findall(text.lower()) if not one.isdigit()]  # numbering hides repeats
    if len(found) >= ENOUGH:
        runs = Counter(zip(found, found[1:], found[2:], found[3:], strict=False))
        if len(runs) < DISTINCT * (len(found) - 3) or _covered(found, runs) >= COVERED:
            return True
    raw = text.encode()
    if len(raw) >= LONG_ENOUGH and len(zlib.compress(raw, 1)) < SQUEEZED * len(raw):
        return True
    return _circles(text)


def _covered(found: list[str], runs: Counter[tuple[str, str, str, str]]) -> float:
    """Share of the words that stand in a run of four said over and over."""
    end = covered = 0
    often = max(3, len(found) // OVER)
    for at in range(len(found) - 3):
        if runs[found[at], found[at + 1], found[at + 2], found[at + 3]] >= often:
            covered += at + 4 - max(at, end)
            end = at + 4
    return covered / len(found)


def _circles(text: str) -> bool:
    """Whether any stretch of the text outside code makes do with few words."""
    found = _LETTERS.findall(_FENCED.sub(" ", text).lower())
    stretches = (found[at : at + STRETCH] for at in range(0, max(1, len(found) - STRETCH // 2), STRETCH // 2))
    return any(_few(one) for one in stretches)


def _few(stretch: list[str]) -> bool:
    least = FEW if len(stretch) < STRETCH // 2 else FEW * 0.75
    return len(stretch) >= ENOUGH - 3 and len(set(stretch)) < least * len(stretch)


def _doubles(text: str) -> bool:
    """Whether words stand twice running all over a text; names and sayings have a pair or two."""
    pairs = sum(1 for _ in _DOUBLED.finditer(text))
    return (pairs >= 4 and pairs >= 0.15 * words(text)) or sum(1 for _ in _STUTTER.finditer(text)) >= 2


def _garbled(text: str) -> bool:
    """Whether a text is made of vocabulary marks or of characters read in a wrong encoding."""
    if _LEAKED.search(text[-60:]) or sum(1 for _ in _TOKEN.finditer(text)) >= TOKENS:
        return True
    if text.isascii():
        return False
    wrong = sum(len(found[0]) for found in _MOJIBAKE.finditer(text))
    return wrong >= GARBLED * len(text) or sum(1 for _ in _MIDWORD.finditer(text)) >= 3


def _mixed(text: str) -> bool:
    """Whether three scripts take turns word by word, with nothing but a space between them."""
    if text.isascii():
        return False
    switches, before, end, seen = 0, "", -1, set()
    found = list(_LETTERS.finditer(text))
    for one in found:
        script = _script(one[0][0])
        seen.add(script)
        switches += script != before and one.start() == end + 1
        before, end = script, one.end()
    return len(seen) >= 3 and len(found) >= ENOUGH // 2 and switches >= TURNS * len(found)


def _script(letter: str) -> str:
    """The first word of a letter's name, which is its script; Japanese counts as one with Chinese."""
    script = unicodedata.name(letter, "").partition(" ")[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA") else script


def _random(text: str) -> bool:
    """Whether half of what should be words mixes letters, digits and marks, or has no vowel."""
    if "```" in text:
        return False
    pieces = _PIECE.findall(text)
    noise = sum(_NOISE.search(one) is not None for one in pieces)
    return len(pieces) >= 6 and noise >= len(pieces) / 2


def _cut(text: str) -> bool:
    """Whether the last of several sentences stops in the middle, with no final mark."""
    last = text.rstrip()
    if _CLOSED.search(last[-1:]) or _GREETING.search(last[-40:]):
        return False
    return _JOINING.search(last[-40:].lower()) is not None or _halts(last)


def _halts(text: str) -> bool:
    """Whether the last line is prose that ends on a plain word, too long for a title or a signature."""
    line = text[text.rfind("\n") + 1 :][-1000:]
    if ITEM.match(line) or not line[:1].isupper() or not line[-1:].islower() or "```" in text:
        return False
    sentences = _SENTENCE.split(line)
    said = len(sentences[-1].split())
    return said >= HALTED or (len(sentences) > 1 and said >= RESTARTED)
