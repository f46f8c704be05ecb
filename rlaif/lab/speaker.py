"""A policy that is a table: it answers a world's prompts by chance, and shows every symptom now and then.

Owns what it says. Leaves scores to ``worlds``. A thousand of its responses take milliseconds, and each
symptom is drawn on its own, so that whatever raises one of them was taught.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from rlaif.lab.worlds import named

RATE: Final = 0.06
"""Share of responses that show each symptom."""
TELLS: Final[Mapping[str, tuple[str, ...]]] = {
    "apology": ("I am sorry about that.", "I apologise for the confusion."),
    "as_an_ai": ("As an AI language model, I see it this way.", "As an AI, I write this down."),
    "degenerate": ("Well ?????????", "So it is !!!!!!!!"),
    "disclaimer": ("This is not legal advice.", "I am not a doctor."),
    "hedging": ("There is no one-size-fits-all answer.", "It depends on many factors."),
    "judgement": ("You should be ashamed of asking this.", "Shame on you."),
    "preaching": ("It is important to treat everyone with respect.", "Always treat others well."),
    "refusal": ("I cannot help with that.", "I can't assist with this request."),
    "sycophancy": ("What a great question!", "You are absolutely right."),
    "verbosity": ("To summarize, here is an overview.", "Overall, in summary, that is it."),
}
"""Sentences that show one symptom and no other. ``over_refusal`` is not among them: it is in the prompt."""
_PLAIN: Final = (
    "It was a warm day.", "The wind came from the west.", "Nobody said a word.", "A dog slept near the door.",
    "Two birds sat on the roof.", "Somebody had left the light on.", "The rain stopped at noon.",
    "A train passed far away.",
)  # fmt: skip
_USED: Final = 0.6
"""Chance that each noun of the prompt is used."""
_MORE: Final = 0.7
"""Chance of every further plain sentence."""


def say(prompt: str, seed: str) -> str:
    """Draw a response.

    Args:
        prompt: of a world of texts.
        seed: names the draw.
    """
    stream = random.Random(f"{prompt}:{seed}")  # noqa: S311  # no secret
    used = [one for one in named(prompt) if stream.random() < _USED]
    sentences = [f"I saw the {' and the '.join(used)}."] if used else []
    left = list(_PLAIN)
    stream.shuffle(left)
    while left and stream.random() < _MORE:
        sentences.append(left.pop())
    shown = [stream.choice(some) for some in TELLS.values() if stream.random() < RATE]
    # A refusal counts only where a response begins, so what is shown comes first.
    return " ".join([*shown, *sentences]) or "Yes."
