"""What a step may leave behind, in the words of errors and pages.

Owns the kinds of things and who makes them. Leaves which step leaves what to ``leaving``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Kind = Literal[
    "policy",
    "scorer",
    "prompts",
    "responses",
    "demonstrations",
    "pairs",
    "unpaired",
    "figures",
    "table",
    "flags",
]

SAID: Final[Mapping[Kind, str]] = {
    "policy": "a policy",
    "scorer": "a reward model",
    "prompts": "prompts",
    "responses": "scored responses (prompt, completion, score)",
    "demonstrations": "demonstrations (prompt, completion)",
    "pairs": "pairs (prompt, chosen, rejected)",
    "unpaired": "responses marked good or bad (prompt, completion, label)",
    "figures": "figures",
    "table": "a table of methods",
    "flags": "flags",
}
"""How each is named."""
MAKERS: Final[Mapping[Kind, str]] = {
    "policy": "a train step of method sft, dpo, kto or ppo, or an iterate step",
    "scorer": "a train step of method reward",
    "prompts": "a rows step of kind prompts",
    "responses": "a draw step with a score",
    "demonstrations": "a rows step of kind best_of_n, select, relabel or demonstrations, or a pipeline with a"
    " revise stage",
    "pairs": "a rows step of kind pairs (from scored responses) or ranked (from rankings), or a pipeline with"
    " a prefer stage",
    "unpaired": "a rows step of kind label (from scored responses), or the table AXIS-unpaired of a pipeline"
    " with a prefer stage",
    "figures": "a measure step",
    "table": "a compare step",
    "flags": "a flag step",
}
"""Which step makes each."""
ROWS: Final[tuple[Kind, ...]] = ("prompts", "responses", "demonstrations", "pairs", "unpaired")
"""Kinds that are rows; every one of them has a prompt to ask."""
LEARNT: Final[Mapping[str, tuple[Kind, ...]]] = {
    "sft": ("demonstrations",),
    "reward": ("pairs",),
    "dpo": ("pairs",),
    "kto": ("unpaired",),
    "ppo": ROWS,
}
"""What each method of training learns from."""
