"""What is kept of every round: whose data it was, what was made of it, and what came out.

Owns the rows of the table. Leaves how their numbers are found to ``making`` and ``measuring``, and what
they say together to ``notices``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Self

from pydantic import Field

from rlaif.records import Record


class Policy(Record):
    """A checkpoint that is drawn from, trained, or both."""

    name: str
    """A bundled name, a folder, or OWNER/NAME on the hub."""
    digest: str
    """Content of its weights, configuration, tokenizer and template."""

    @property
    def spec(self) -> str:
        """What pipelines call it."""
        return f"local:{self.name}"


class Opinion(Record):
    """What somebody thinks of a policy's responses, on average."""

    mean: float | None
    """Mean over prompts: of scores on the judge's own scale, or of wins against the first policy, ties half;
    None where nothing could be read."""
    error: float | None
    """Standard error of the mean; None of fewer than two prompts."""
    prompts: int
    """Prompts with a reading."""
    unreadable: float
    """Share of replies without one; they count nothing."""

    @classmethod
    def of(cls, values: Sequence[float], unreadable: float) -> Self:
        """Average one number a prompt."""
        error = stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        mean = fmean(values) if values else None
        return cls(mean=mean, error=error, prompts=len(values), unreadable=unreadable)


class Made(Record):
    """The data of one round; ``prompts = pairs + ties + without``."""

    policy: str
    """Digest of the checkpoint that drew every response, as each call says."""
    path: str
    """The rows that were chosen: ``prompt``, and ``chosen`` and ``rejected`` or ``completion``."""
    prompts: int
    """Prompts drawn for."""
    responses: int
    """Responses drawn."""
    pairs: int
    """Prompts with a best response and a worse one."""
    ties: int
    """Prompts whose responses all came out equal; they give nothing."""
    without: int
    """Prompts without two responses that could be told apart: equal texts, or replies nobody could read."""
    replies: int
    """Readings asked for: replies of a judge, or scores of a reward model; a response whose call was given up
    counts once."""
    unreadable: int
    """Of them, those without a verdict or score; they are counted and never made up."""


class Figures(Record):
    """What was measured of one policy, on prompts that no round draws from."""

    responses: int
    """Responses measured."""
    proxy: Opinion | None
    """By who chooses; a policy that judges itself is another judge in every round. None of the first policy
    where responses are compared with its own."""
    second: Opinion | None
    """By the second judge."""
    gold: Opinion | None
    """By the gold score, where there is one."""
    kl: float
    """Nats a response away from the first policy, at temperature 1: mean of log pi - log pi_first."""
    kl_k3: float
    """The same, by the estimator that is never negative."""
    tokens: float
    """Length of a response."""
    cut: float
    """Share that ran into the most tokens a response may have."""
    symptoms: dict[str, float]
    """Share of responses that show each symptom."""

    @property
    def opinions(self) -> dict[str, Opinion]:
        """Those there are, by name."""
        named = {"proxy": self.proxy, "second": self.second, "gold": self.gold}
        return {name: one for name, one in named.items() if one is not None}


class Row(Record):
    """One round: what it was made from, what was made, and what that is worth. Row 0 is the first policy."""

    round: int = Field(ge=0)
    """Number of the round."""
    policy: Policy
    """The policy that came out."""
    parent: Policy | None
    """The one its training began as; None where none was trained."""
    made: Made | None
    """The round's data; None of row 0."""
    data_digest: str | None
    """Content of all that was trained on, as token ids and labels."""
    figures: Figures
    """What was measured of the policy."""
    spent: float
    """USD of the round's calls."""
    calls: int = 0
    """Those calls; of judges and of the policy, where pipelines ask them."""
    notices: tuple[str, ...]
    """What to look at, one sentence each."""

    def numbers(self) -> Iterator[tuple[str, float]]:
        """Yield every number under the name it has in ``metrics.jsonl``."""
        for name, opinion in self.figures.opinions.items():
            yield f"{name}/unreadable", opinion.unreadable
            if opinion.mean is not None:
                yield name, opinion.mean
            if opinion.error is not None:
                yield f"{name}/error", opinion.error
        for name in ("responses", "kl", "kl_k3", "tokens", "cut"):
            yield name, float(getattr(self.figures, name))
        for name, share in self.figures.symptoms.items():
            yield f"symptom/{name}", share
        if self.made is not None:
            for name in ("prompts", "responses", "pairs", "ties", "without", "replies", "unreadable"):
                yield f"data/{name}", float(getattr(self.made, name))
        yield "spent", self.spent


class Outcome(Record):
    """What the rounds left behind."""

    folder: str
    """The output folder."""
    policy: str
    """The last policy."""
    best: int | None
    """Round of the policy that gold, or else the second judge, finds best; None where there is neither. It is
    never chosen by the proxy, which the rounds optimise."""
    rows: tuple[Row, ...]
    """One a round, from 0."""
