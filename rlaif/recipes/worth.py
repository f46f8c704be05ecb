"""What can put a number on a response, as recipes write it.

Owns the fields. Leaves the numbers to ``scores``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rlaif.records import Record
from rlaif.training.scoring import Gate, RewardModel


class OfWorld(Record):
    """A number the world itself gives."""

    kind: Literal["world"]
    """Names the score."""
    of: Literal["gold", "proxy", "safety"] = "gold"
    """The truth; the world's own flawed measure of it, which in ``harm`` is helpfulness alone; or, in
    ``harm``, whether a response is safe, 0 or 1."""


class AtRandom(Record):
    """A number that has nothing to do with the response: the control."""

    kind: Literal["random"]
    """Names the score."""


AnyScore = Annotated[OfWorld | AtRandom | RewardModel | Gate, Field(discriminator="kind")]
"""What can put a number on a response."""
