"""The table of methods side by side: its rows, and how DuckDB has them.

Owns the records of a comparison. Leaves how they come about to ``comparing`` and the page to ``contest``.
"""

from __future__ import annotations

from typing import Final

from rlaif.iterations.records import Opinion
from rlaif.recipes.measuring import Rate
from rlaif.records import Record

UNREAD: Final = 0.05
"""Share of a judge's verdicts without a reading that is worth a sentence."""


class Wins(Record):
    """How often a method is better than the start, prompt by prompt, ties half."""

    prompts: int
    """Prompts that could be compared."""
    raw: Rate
    """With Wilson's interval."""
    even: Rate | None
    """The same where both responses are equally long, by regression; None where no line can be drawn."""

    @property
    def only_longer(self) -> bool:
        """Whether it wins for certain, and no longer does where both are equally long."""
        return self.raw.low > 0.5 and self.even is not None and self.even.low <= 0.5


class Cost(Record):
    """What a method took beyond what all of them have in common."""

    seconds: float
    """Processor time of its own steps."""
    calls: int
    """Calls of its own steps."""
    draws: int
    """Responses drawn for every answer it gives."""


class Method(Record):
    """One row of the table."""

    name: str
    """The policy's step, or ``best of n`` of one."""
    policy: str
    """Where the policy lies that answers."""
    gold: Opinion
    """The truth, or a second opinion in its place."""
    wins: Wins | None
    """By gold; None of the start."""
    judged: Wins | None
    """By the held-out judge; None of the start, where nobody was asked, and where nothing it said could be
    read."""
    unread: float | None
    """Share of the judge's verdicts on it that could not be read; None where nobody was asked."""
    kl: float
    """Nats a response from the start, mean of log pi - log pi_start; best of n adds its bound,
    ln n - (n - 1) / n."""
    kl_k3: float | None
    """The same by the estimator that is never negative; None of best of n."""
    tokens: float
    """Mean length of a response."""
    cost: Cost

    @property
    def only_longer(self) -> bool:
        """Whether gold or the judge has it win only before length is held equal."""
        return any(one is not None and one.only_longer for one in (self.wins, self.judged))

    def columns(self) -> dict[str, str | float | int | None]:
        """Return the row as a table of DuckDB has it."""
        told: dict[str, str | float | int | None] = {"method": self.name, "policy": self.policy}
        told |= {"gold": self.gold.mean, "gold_error": self.gold.error, "prompts": self.gold.prompts}
        for by, wins in (("wins", self.wins), ("judged", self.judged)):
            for how, rate in (("", wins and wins.raw), ("_even", wins and wins.even)):
                for part in ("mean", "low", "high"):
                    told[f"{by}{how}_{part}"] = getattr(rate, part) if rate else None
            told[f"{by}_prompts"] = None if wins is None else wins.prompts
            told[f"{by}_only_longer"] = None if wins is None else float(wins.only_longer)
        told |= {"unread": self.unread, "kl": self.kl, "kl_k3": self.kl_k3, "tokens": self.tokens}
        return told | {f"cost_{name}": value for name, value in self.cost.model_dump().items()}


class Table(Record):
    """What came of comparing."""

    name: str
    """Of the recipe."""
    seed: int
    size: str
    prompts: int
    """Held-out prompts every row is measured on."""
    judge: str | None
    """Who judged beside gold."""
    judge_calls: int
    """What that took."""
    common: Cost
    """What all of them but the start have in common: demonstrations, the start, the pairs."""
    rows: tuple[Method, ...]
    """The start first."""

    @property
    def start(self) -> Method:
        """What the others began as and are held against."""
        return self.rows[0]

    @property
    def notices(self) -> tuple[str, ...]:
        """What to look at, a sentence each."""
        longer = [
            f"{one.name} wins only before length is held equal: what it has gained may be length"
            for one in self.rows
            if one.only_longer
        ]
        lost = [
            f"{one.unread:.0%} of the judge's verdicts on {one.name} could not be read and count nothing"
            for one in self.rows
            if (one.unread or 0.0) > UNREAD
        ]
        return (*longer, *lost)
