"""The recipe file: one published system as a list of steps.

Owns the schema of the file and of the steps that are recipes' own. Leaves the bodies of ``pipeline``,
``train`` and ``iterate`` to the packages whose files they are, and references to ``leaving``.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from rlaif.lab.gold_judge import Temper
from rlaif.lab.preferring import Judged
from rlaif.lab.worlds import TextName
from rlaif.recipes.settling import Size
from rlaif.recipes.transforms import AnyRows
from rlaif.recipes.worth import AnyScore
from rlaif.records import Record
from rlaif.training.controls import Control
from rlaif.yamlfile import SchemaVersion

NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,59}$"
"""Names of recipes and steps: folders are called by them."""
WORK: Final = ("pipeline", "train", "iterate", "rows", "draw", "measure", "compare", "flag")
"""What a step may do; each does one of these."""

Body = dict[str, JsonValue]


class WorldConfig(Record):
    """A world of the laboratory, in which the truth is known."""

    name: TextName
    """Which one: ``cover``, ``exploit`` or ``harm``."""
    judge: Temper = Temper()
    """What its gold judge is like; pipelines ask it as ``compatible:world/gold``."""
    second: Temper | None = None
    """What a second judge of the same truth is like, whose errors are its own:
    ``compatible:world_second/gold``; none when left out."""


class Drawing(Record):
    """Draw responses from policies, and score them."""

    prompts: str
    """Rows to answer, ``@STEP`` or ``@STEP/TABLE``."""
    policies: tuple[str, ...] = Field(min_length=1)
    """Who answers: ``@STEP``, a bundled name, a folder, or OWNER/NAME on the hub."""
    k: int = Field(default=4, ge=1, le=1024)
    """Responses of each policy to each prompt."""
    temperature: float = Field(default=1.0, gt=0.0, le=2.0)
    """Of the draw; there is no nucleus."""
    max_tokens: int = Field(default=48, ge=1)
    """Most tokens of a response."""
    score: AnyScore
    """What puts a number on each."""


class Measuring(Record):
    """Measure policies side by side on prompts nothing was trained on; the first is what others are held
    against."""

    prompts: str
    """Held-out rows, ``@STEP/TABLE``."""
    policies: tuple[str, ...] = Field(min_length=1)
    """Who is measured, the one to compare with first."""
    k: int = Field(default=2, ge=1, le=1024)
    """Responses of each to each prompt, drawn at temperature 1, or KL would be another policy's."""
    max_tokens: int = Field(default=48, ge=1)
    """Most tokens of a response."""
    gold: AnyScore
    """What decides: the truth of a world, or a reward model nothing was trained against."""
    proxy: AnyScore | None = None
    """What was trained against, to be shown beside it."""
    best_of: tuple[Annotated[int, Field(ge=2)], ...] = ()
    """Show also the best of so many responses by the proxy, over all choices of them among ``k``."""

    @model_validator(mode="after")
    def _can(self) -> Self:
        if self.best_of and (self.proxy is None or max(self.best_of) > self.k):
            raise ValueError(f"best_of {max(self.best_of)} needs a proxy to choose by and k of at least that")
        return self


class Comparing(Record):
    """Put methods side by side: all measured policies, against the first of the first measure step."""

    of: tuple[str, ...] = Field(min_length=1)
    """Figures of measure steps, ``@STEP``, on the same prompts."""
    judge: Judged | None = None
    """A judge that nothing was trained for, to be asked beside gold; its constitution is relative to the
    recipe."""


class SameRevisions(Record):
    """Raised where most revisions repeat what they revise: nothing was learned from criticism."""

    kind: Literal["identical_revisions"]
    """Names the condition."""
    of: str
    """A pipeline's table of revisions."""
    most: float = Field(default=0.5, gt=0.0, le=1.0)
    """Share of revisions that may repeat their original."""


class BlindScore(Record):
    """Raised where a score has nothing to do with the truth, or runs against it."""

    kind: Literal["scores"]
    """Names the condition."""
    of: str
    """Scored responses."""
    against: AnyScore
    """The truth, or a second opinion."""


class BlindLabels(Record):
    """Raised where labels of pairs agree with the truth no more than a coin, or less."""

    kind: Literal["labels"]
    """Names the condition."""
    of: str
    """Pairs."""
    against: AnyScore
    """The truth, or a second opinion."""


class Parted(Record):
    """Raised where what was optimised and what only watched come apart from the first policy to the last."""

    kind: Literal["gap"]
    """Names the condition."""
    of: str
    """Figures of a measure step with gold and proxy, e.g. reward models of two halves of one set."""


Condition = Annotated[SameRevisions | BlindScore | BlindLabels | Parted, Field(discriminator="kind")]


class Step(Record):
    """One step: its name, and the one thing it does."""

    name: str = Field(pattern=NAME)
    """What later steps refer to it by, as ``@NAME``."""
    why: str = ""
    """A sentence for the report."""
    pipeline: Body | None = None
    """The body of a pipeline file: ``prompts`` and ``stages``."""
    train: Body | None = None
    """The body of a training file, of any method."""
    reward: AnyScore | None = None
    """What scores responses in a train step of method ppo or in an iterate step, in place of a reward in its
    body: a world does not fit in there."""
    iterate: Body | None = None
    """The body of an iteration file."""
    rows: AnyRows | None = None
    """Rows made from rows."""
    draw: Drawing | None = None
    """Responses drawn and scored."""
    measure: Measuring | None = None
    """Policies measured."""
    compare: Comparing | None = None
    """Methods side by side."""
    flag: tuple[Condition, ...] | None = None
    """What has to be said about this run if it is so."""

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        found = [name for name in WORK if getattr(self, name) is not None]
        if len(found) != 1:
            said = " and ".join(found) or "nothing to do"
            raise ValueError(f"a step does one of {', '.join(WORK)}; {self.name!r} has {said}")
        ppo = self.train is not None and self.train.get("method") == "ppo"
        if self.reward is not None and not ppo and self.iterate is None:
            raise ValueError("reward beside a body is for iterate, or for train of method ppo; leave it out")
        return self

    @property
    def work(self) -> str:
        """Which of ``WORK`` it does."""
        return next(name for name in WORK if getattr(self, name) is not None)


class Recipe(Record):
    """One resolved recipe."""

    schema_version: SchemaVersion
    """Version of this file format."""
    name: str = Field(pattern=NAME)
    """Short name; the output folder's, where none is given."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of everything drawn, and of the world."""
    size: Size = "toy"
    """How much of everything: ``toy`` is minutes on two cores, ``full`` is the paper's order of magnitude
    where one machine can hold it."""
    control: Control | None = None
    """Run it as a negative control: labels and scores turned round, dealt by chance or made to say nothing,
    or rates at which nothing moves. None is the recipe itself."""
    output: str | None = None
    """Output folder, relative to where the command runs; ``outputs/NAME`` when left out, and of a control
    ``outputs/NAME-CONTROL``."""
    expect: str
    """The figure to expect, in words: what the paper found, and what this size can show of it."""
    world: WorldConfig | None = None
    """A world in which the truth is known; none when left out."""
    values: dict[str, JsonValue] = Field(default_factory=dict)
    """What steps refer to as ``${NAME}``: models, sizes and files that a user may want to change."""
    steps: tuple[Step, ...] = Field(min_length=1)
    """What is done, in order; ``@NAME`` is what an earlier step left."""
