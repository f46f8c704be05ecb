"""The rows steps of recipes: what each is called, what it takes, and what it makes.

Owns their schema. Leaves what they do to ``rows``, and files to ``making``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rlaif.judging.additive import AdditiveConfig
from rlaif.recipes.worth import AnyScore
from rlaif.records import Record
from rlaif.training.rejection import Scope


class Quantile(Record):
    """A threshold given by how many scores lie below it."""

    quantile: float = Field(ge=0.0, lt=1.0)
    """Share of scores below the threshold."""


class Prompts(Record):
    """Prompts, some to train on (table ``train``) and others to measure on (table ``test``)."""

    kind: Literal["prompts"]
    """Names the transform."""
    path: str | None = None
    """File of prompts, relative to the recipe; left out, the world's own."""
    train: int = Field(ge=1)
    """Most prompts to train on."""
    test: int = Field(ge=1)
    """Most prompts to measure on."""


class Written(Record):
    """What a person could have answered in the recipe's world: demonstrations."""

    kind: Literal["written"]
    """Names the transform."""
    of: str
    """Rows with prompts."""


class Unsafe(Record):
    """Those prompts that ask for something unsafe: in world ``harm`` alone."""

    kind: Literal["unsafe"]
    """Names the transform."""
    of: str
    """Rows with prompts."""


class Judgements(Record):
    """What a careful judge could have written about responses in the recipe's world: to learn judging."""

    kind: Literal["judgements"]
    """Names the transform."""
    of: str
    """Responses."""
    constitution: str
    """Constitution file; relative to the recipe."""
    judge: AdditiveConfig
    """Whose question it is that they answer."""


class Demonstrations(Record):
    """All responses, to be imitated as they are."""

    kind: Literal["demonstrations"]
    """Names the transform."""
    of: str
    """Responses."""


class BestOfN(Record):
    """The best of n responses to each prompt, to be imitated."""

    kind: Literal["best_of_n"]
    """Names the transform."""
    of: str
    """Scored responses."""
    n: int | None = Field(default=None, ge=1)
    """Look at only the first so many of each prompt; at all when left out."""


class Select(Record):
    """Responses that score at or above a threshold, to be imitated (ReST)."""

    kind: Literal["select"]
    """Names the transform."""
    of: str
    """Scored responses."""
    above: float | Quantile
    """The threshold: a score, or the quantile it is."""
    scope: Scope = "pooled"
    """Whether a quantile is of all scores, as in the paper, or of each prompt's own."""


class Rescored(Record):
    """The same responses with another score: by a reward model, or by chance for a control."""

    kind: Literal["score"]
    """Names the transform."""
    of: str
    """Responses."""
    by: AnyScore
    """What puts a number on each."""


class Pairs(Record):
    """Every two responses to a prompt that score differently, the higher one chosen."""

    kind: Literal["pairs"]
    """Names the transform."""
    of: str
    """Scored responses."""
    gap: float = Field(default=0.0, ge=0.0)
    """Scores that lie no further apart are equal, and equal scores give no pair."""
    keep: Literal["all", "best_worst"] = "all"
    """All pairs of a prompt, or the best against the worst."""
    levels: bool = False
    """Say of each pair how clear it is, in the four levels that margins of reward models know: by quarters of
    all gaps."""


class Ranked(Record):
    """Rankings by people or judges, as pairs: rows of ``prompt``, ``responses`` and ``ranks``, 1 the best."""

    kind: Literal["ranked"]
    """Names the transform."""
    path: str
    """File of rankings, relative to the recipe."""


class Label(Record):
    """Responses marked good where they score at or above a threshold, and bad elsewhere."""

    kind: Literal["label"]
    """Names the transform."""
    of: str
    """Scored responses."""
    above: float | Quantile
    """The threshold: a score, or the quantile it is."""


class Flip(Record):
    """Pairs with their sides changed: people who attack a model choose the more harmful response."""

    kind: Literal["flip"]
    """Names the transform."""
    of: str
    """Pairs."""


class Part(Record):
    """One part of a mixture."""

    of: str
    """Rows."""
    share: float | None = Field(default=None, gt=0.0, le=1.0)
    """Share of the mixture it makes up; all parts have one, or none has."""


class Mix(Record):
    """Rows of several sources, with a column ``source``; all of them where no share is given."""

    kind: Literal["mix"]
    """Names the transform."""
    sources: tuple[Part, ...] = Field(min_length=1)
    """The parts, all of one kind of rows."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        shares = [one.share for one in self.sources if one.share is not None]
        if shares and (len(shares) != len(self.sources) or abs(sum(shares) - 1.0) > 1e-6):
            raise ValueError(f"the shares of a mixture sum to 1, found {shares}; give all, or none")
        return self


class Relabel(Record):
    """Every response under the instruction it turned out to follow, to be imitated (HIR)."""

    kind: Literal["relabel"]
    """Names the transform."""
    of: str
    """Scored responses."""
    above: float | Quantile
    """From which score a response is right."""
    right: str
    """Instruction that a right response follows, put before the prompt in place of either that is there."""
    wrong: str
    """Instruction that any other follows."""
    hindsight: bool = True
    """Off is the control: every response stands under ``right``, which was asked for."""


class Instruct(Record):
    """Prompts with an instruction before each."""

    kind: Literal["instruct"]
    """Names the transform."""
    of: str
    """Rows with prompts."""
    text: str
    """The instruction."""


class Split(Record):
    """Two halves by prompt, tables ``first`` and ``second``: to train one judge of quality and keep one."""

    kind: Literal["split"]
    """Names the transform."""
    of: str
    """Rows."""
    salt: str = ""
    """Any text; another one gives other halves, as cutting a half again needs."""


AnyRows = Annotated[
    Prompts | Written | Unsafe | Judgements | Demonstrations | BestOfN | Select | Rescored | Pairs | Ranked
    | Label | Flip | Mix | Relabel | Instruct | Split,
    Field(discriminator="kind"),
]  # fmt: skip
