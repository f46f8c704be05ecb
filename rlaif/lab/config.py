"""A sweep as written in YAML.

Owns the schema, what must agree in it, and what a size means. Leaves running it to ``overoptimisation``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, TypeAdapter, model_validator

from rlaif.errors import InputError
from rlaif.lab.preferring import Judged
from rlaif.lab.worlds import COMPARISONS, WorldName
from rlaif.records import Record
from rlaif.symptoms import SYMPTOMS
from rlaif.training.dpo import DpoConfig
from rlaif.training.ppo import PpoConfig
from rlaif.training.scoring import RewardModel
from rlaif.yamlfile import YamlFile, apply_overrides, read_yaml, validate


@dataclass(frozen=True, slots=True)
class Size:
    """How much is drawn."""

    prompts: int
    """Held-out prompts that every point is measured on; eight times as many where no model is asked."""
    samples: int
    """Responses to each from a trained policy."""
    draws: int
    """Responses to each that best of n chooses from, at least."""
    teaching: int
    """Prompts that are trained on."""


SIZES: Final[Mapping[str, Size]] = {
    "toy": Size(8, 2, 16, 16), "small": Size(64, 4, 256, 256), "full": Size(200, 4, 1024, 1024),
}  # fmt: skip
"""What ``size`` may be."""


class Gold(Record):
    """The truth itself: the control, in which nothing can go wrong."""

    kind: Literal["gold"]
    """Names the proxy."""


class Flawed(Record):
    """The world's own flawed measure."""

    kind: Literal["world"]
    """Names the proxy."""
    comparisons: int = Field(default=COMPARISONS, ge=10)
    """In ``features``, comparisons its linear reward model is fitted to."""


class Bonus(Record):
    """Gold, and so much more for every response that shows a symptom."""

    kind: Literal["bonus"]
    """Names the proxy."""
    symptom: str
    """A symptom, e.g. ``hedging``."""
    size: float = Field(default=2.0)
    """What it adds."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.symptom not in SYMPTOMS:
            raise ValueError(f"{self.symptom!r} is no symptom; allowed: {', '.join(SYMPTOMS)}")
        return self


Control = Literal["none", "flip", "shuffle", "constant"]
Proxy = Annotated[Gold | Flawed | Bonus | RewardModel, Field(discriminator="kind")]


class BestOfN(Record):
    """The best of n responses of one policy, by the proxy."""

    kind: Literal["best_of_n"]
    """Names the sweep."""
    values: tuple[Annotated[int, Field(ge=2)], ...] = Field(min_length=1)
    """What n is."""


class Kl(Record):
    """A policy for each cost of moving away."""

    kind: Literal["kl"]
    """Names the sweep."""
    values: tuple[Annotated[float, Field(gt=0.0)], ...] = Field(min_length=1)
    """What beta is."""


class Steps(Record):
    """A policy for each number of updates: one run, looked at on its way, where a constant rate without
    warm-up lets it be one; else a run each."""

    kind: Literal["steps"]
    """Names the sweep."""
    values: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    """How many updates each is trained for."""


HeldOut = Annotated[RewardModel | Judged, Field(discriminator="kind")]
Sweep = Annotated[BestOfN | Kl | Steps, Field(discriminator="kind")]


class Sweeping(Record):
    """One sweep: what is optimised, where, how far, and what says whether it helped."""

    schema_version: Literal[1]
    """Version of this file's format."""
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$")
    """Names the output folder, where none is given."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the world and everything drawn."""
    output: str | None = None
    """Output folder, relative to where the command runs; ``outputs/NAME`` when left out."""
    size: Literal["toy", "small", "full"] = "small"
    """How much is drawn, and so how wide the errors are."""
    prompts: int | None = Field(default=None, ge=4)
    """Held-out prompts, in place of what the size means."""
    samples: int | None = Field(default=None, ge=1)
    """Responses to each from a trained policy, in place of what the size means."""
    world: WorldName
    """Where the truth is known."""
    proxy: Proxy
    """What is optimised."""
    control: Control = "none"
    """Spoil the proxy, for a sweep whose outcome is known: ``flip`` turns its sign, ``shuffle`` puts noise in
    its place, ``constant`` one number."""
    held_out: HeldOut | None = None
    """What says which point to use, in place of the world's gold score: a second reward model, whose scores
    then stand where gold would; or a judge, which says how often a point's responses are better than the
    start's, and gold is shown beside it."""
    model: str | None = None
    """Policy to begin as. Left out, a table answers in its place: eight normal numbers in ``features``, stock
    sentences elsewhere."""
    max_tokens: int = Field(default=48, ge=1)
    """Most tokens of a response."""
    sweep: Sweep
    """What is varied."""
    train: Annotated[PpoConfig | DpoConfig, Field(discriminator="method")] | None = None
    """How a policy is trained for each value; model, data, output, reward, seed and what is swept are filled
    in."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for broken in (self._of_features(), self._of_texts()):
            if broken:
                raise ValueError(broken)
        if len(set(self.sweep.values)) != len(self.sweep.values):
            raise ValueError(f"sweep.values holds a value twice: {list(self.sweep.values)}")
        return self

    def _of_features(self) -> str | None:
        if self.world != "features":
            return None
        if self.model is not None or self.train is not None or self.held_out is not None:
            return "world features has no model; leave model, train and held_out out, or take world cover"
        if self.proxy.kind not in ("gold", "world"):
            return f"world features has the proxies gold and world, found {self.proxy.kind!r}"
        if self.sweep.kind == "steps":
            return "world features has the sweeps best_of_n and kl, found 'steps'"
        if self.sweep.kind == "kl" and self.control != "none":
            return f"the sweep kl of features has no controls, found {self.control!r}; sweep best_of_n"
        if self.sweep.kind == "kl" and self.proxy.kind == "gold":
            return "the sweep kl of features moves along a linear proxy, found 'gold'; take proxy world"
        return None

    def _of_texts(self) -> str | None:
        if self.world == "features":
            return None
        trains = self.sweep.kind != "best_of_n"
        if trains and (self.model is None or self.train is None):
            return f"sweep {self.sweep.kind} trains a policy for each value; give model and train"
        if not trains and self.train is not None:
            return "sweep best_of_n trains nothing; leave train out"
        if isinstance(self.train, DpoConfig) and isinstance(self.sweep, Kl):
            kind = self.train.objective.kind
            if not hasattr(self.train.objective, "beta"):
                return f"the objective {kind!r} has no beta to sweep; sweep steps, or take sigmoid"
        if self.proxy.kind == "model" and self.control != "none":
            return f"a reward model is not spoiled, found control {self.control!r}; take a proxy of the world"
        if isinstance(self.held_out, Judged) and not trains:
            return "a judge compares what a policy says with what the start says; sweep kl or steps"
        if self.model is None and (self.held_out is not None or self.proxy.kind == "model"):
            return "a reward model reads a model's tokens; give model, or take another proxy"
        return None

    @property
    def folder(self) -> Path:
        """The output folder."""
        return Path(self.output or f"outputs/{self.name}")

    @property
    def drawn(self) -> Size:
        """What the size means, less what is given beside it."""
        size = SIZES[self.size]
        return replace(size, prompts=self.prompts or size.prompts, samples=self.samples or size.samples)


_SWEEPING: Final[TypeAdapter[Sweeping]] = TypeAdapter(Sweeping)
_FILLED: Final = ("data", "output", "model", "seed", "reward")
"""Fields of ``train`` that every point has its own of."""


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Sweeping:
    """Read, override and validate a sweep file.

    Args:
        path: the YAML file.
        overrides: ``dotted.key=value`` strings, checked by the same schema.

    Raises:
        InputError: with file, line and field.
    """
    file = read_yaml(path)
    return validate(_SWEEPING, file, _completed(file, apply_overrides(file.data, overrides)))


def _completed(file: YamlFile, data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Put something in the fields of training that points fill in, so that the others are checked.

    Raises:
        InputError: the file fills one of them in.
    """
    train = data.get("train")
    if not isinstance(train, dict):
        return data
    for name in _FILLED:
        if name in train:
            raise InputError(
                f"found {train[name]!r}; every point of a sweep has its own: leave it out",
                path=file.path, line=file.line(("train", name)), field=f"train.{name}",
            )  # fmt: skip
    return data | {"train": {**train, "data": {"path": "."}, "output": "."}}
