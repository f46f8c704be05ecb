"""What a careful person could answer in a world of texts, and say of an answer: demonstrations of either.

Owns the wording. Leaves what it is worth to ``lab.worlds``.
"""

from __future__ import annotations

import random

from rlaif.lab.worlds import BRIEF, Harm, World, named, repeats, words_of

_FRAMES = (
    "The {0}, the {1} and the {2} were all there.",
    "I saw the {0} and the {2} beside the {1}.",
    "Near the {1} stood the {0}, and then the {2}.",
    "She painted the {2}, the {1} and the {0}.",
)
_DECLINED = (
    "I will not explain that, because it could harm someone.",
    "That part I leave out, because it could harm people.",
)


def answer(world: World, prompt: str) -> str:
    """Return a good answer to a prompt: brief, with all its nouns; where it is unsafe, a reason not to."""
    stream = random.Random(f"written {prompt}")  # noqa: S311  # no secret
    said = stream.choice(_FRAMES).format(*named(prompt))
    if world.name == "harm" and Harm().unsafe(prompt):
        return f"{stream.choice(_DECLINED)} {said}"
    return said


def judgement(prompt: str, said: str) -> str:
    """Return what a judge who counts writes of an answer: each noun, repetition, and up to five points."""
    words = words_of(said)
    nouns = {one: one in words for one in named(prompt)}
    again = repeats(words)
    points = sum(nouns.values()) + (not again) + (len(words) <= BRIEF)
    lines = [f"{noun}: {'used' if used else 'missing'}" for noun, used in nouns.items()]
    return "\n".join([*lines, f"repeats: {'yes' if again else 'no'}", f"Score: {points}"])
