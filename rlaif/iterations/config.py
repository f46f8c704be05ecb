"""The iteration file: what begins, what every round draws, judges and trains, and what is measured.

Owns the schema and what can be checked before anything is made. Leaves the fields of a judge, of prompts
and of a training run to the packages they belong to; those that differ from round to round, a model, its
data and its folder, are filled in by the rounds and are refused here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, TypeAdapter, model_validator

from rlaif.constitution import Constitution, load_constitution
from rlaif.errors import InputError
from rlaif.judging import AnyJudge, build
from rlaif.pipeline.config import PromptsConfig
from rlaif.providers.limits import Limits
from rlaif.records import Record, SamplingParams
from rlaif.training.controls import Control
from rlaif.training.dpo import DpoConfig
from rlaif.training.scoring import RewardSource
from rlaif.training.sft import SftConfig
from rlaif.yamlfile import SchemaVersion, YamlFile, apply_overrides, read_yaml, validate

POLICY: Final = "policy"
"""Stands for the policy of the round, as the ``model`` of a judge."""
_PATHS: Final = ("weights", "scorecard")
"""Fields of judges that name a file beside the one they are written in."""
_JUDGE: TypeAdapter[AnyJudge] = TypeAdapter(AnyJudge)
_OWN: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "begin": (("model",), ("output",)),
    "train": (("model",), ("output",), ("data", "path"), ("data", "table")),
}
"""Fields that the rounds fill in, by section."""


class Draws(Record):
    """What a round draws from its policy. Defaults: Yuan et al. 2024, sec. 3 (arXiv 2401.10020)."""

    k: int = Field(default=4, ge=2, le=1024)
    """Responses to each prompt, of which the best and the worst are compared."""
    params: SamplingParams = SamplingParams(temperature=0.7, top_p=0.9)
    """Knobs of the draw."""


class JudgedBy(Record):
    """A judge and what it judges by."""

    constitution: str
    """Constitution file; relative to the iteration file."""
    judge: AnyJudge
    """Who judges, and how; a ``model`` that reads ``policy`` is the policy of the round itself."""


class Evaluation(Record):
    """What is measured of every policy, on prompts no round draws from."""

    k: int = Field(default=1, ge=1, le=1024)
    """Responses to each prompt."""
    params: SamplingParams = SamplingParams()
    """Knobs of the draw; at temperature 1 and ``top_p`` 1 the KL divergence is unbiased."""
    second: JudgedBy | None = None
    """A judge that chose nothing: a proxy that rises alone has been exploited."""


class Iteration(Record):
    """One resolved iteration file."""

    schema_version: SchemaVersion
    """Version of this file format."""
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")
    """Short name; the output folder's, where none is given."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of everything drawn."""
    output: str | None = None
    """Output folder, relative to where the command runs; ``outputs/NAME`` when left out."""
    model: str = "smollm2-135m-instruct"
    """Where to begin: a bundled name, a folder, or OWNER/NAME on the hub."""
    begin: SftConfig | None = None
    """Imitation before the first round, e.g. of answers and of judgements; its ``data.path`` is relative to
    where the command runs, as in any training file."""
    rounds: int = Field(default=2, ge=1, le=100)
    """Rounds in all; may be raised when going on."""
    prompts: PromptsConfig
    """Which prompts to answer: rounds draw from the training side, policies are measured on the other."""
    sample: Draws = Draws()
    """What a round draws."""
    judge: JudgedBy | None = None
    """Who chooses between responses."""
    reward: RewardSource | None = None
    """Reward models that choose, in place of a judge; folders are relative to where the command runs."""
    train: Annotated[DpoConfig | SftConfig, Field(discriminator="method")]
    """``dpo`` learns from the best against the worst, ``sft`` imitates the best (rejection sampling)."""
    train_from: Literal["previous", "first"] = "previous"
    """Which policy a round's training begins as; under ``dpo`` it is the reference too."""
    keep_earlier: bool = False
    """Imitate the best of all earlier rounds as well, without which what they taught is forgotten (Llama 2,
    sec. 3.2.3); for ``sft``."""
    control: Control | None = None
    """Run it as a negative control: what the judge says is turned round, dealt by a coin or said both ways,
    or rates are so low that nothing moves. None is the iteration itself."""
    evaluation: Evaluation = Evaluation()
    """What is measured of every policy."""
    limits: Limits = Limits()
    """Concurrency, attempts and time-outs of calls to judges elsewhere."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.judge is not None and self.reward is not None:
            raise ValueError("found both judge and reward; keep the one that is to choose")
        if self.keep_earlier and self.train.method == "dpo":
            raise ValueError("keep_earlier is for method sft; pairs of earlier policies would be off-policy")
        if self.control in ("flipped", "constant") and self.train.method == "sft":
            raise ValueError(
                f"control {self.control} turns pairs round, and what is imitated has none; set train.method:"
                " dpo, or control: shuffled"
            )
        return self


@dataclass(frozen=True, slots=True)
class Loaded:
    """An iteration file, read and checked."""

    config: Iteration
    path: Path
    overrides: tuple[str, ...]

    @property
    def output(self) -> Path:
        """The output folder."""
        return Path(self.config.output or f"outputs/{self.config.name}")

    @property
    def prompts(self) -> Path:
        """The file of prompts; one named by an override is relative to where the command runs."""
        overridden = any(one.startswith("prompts.path=") for one in self.overrides)
        named = Path(self.config.prompts.path)
        return named if overridden else self.path.parent / named

    @property
    def models(self) -> set[str]:
        """Every model its judges ask; a policy that judges itself is the first one."""
        own = f"local:{self.config.model}"
        judges = (_JUDGE.validate_python(self.resolved(one, own)) for one in self.judges.values())
        return {spec for one in judges for spec in build(one).models}

    @property
    def judges(self) -> dict[str, JudgedBy]:
        """All judges, by their place in the file."""
        named = {"judge": self.config.judge, "evaluation.second": self.config.evaluation.second}
        return {name: one for name, one in named.items() if one is not None}

    def constitution(self, by: JudgedBy) -> Constitution:
        """Read what a judge judges by.

        Raises:
            InputError: with file, line and field.
        """
        return load_constitution(self.path.parent / by.constitution)

    def resolved(self, by: JudgedBy, spec: str) -> JsonValue:
        """Return a judge as another file may hold it: its policy named, its paths absolute.

        Args:
            by: the judge.
            spec: model spec of the policy.
        """
        return _named(by.judge.model_dump(mode="json"), spec, self.path.parent)


def load_iteration(path: Path, overrides: Sequence[str] = ()) -> Loaded:
    """Read, override and validate an iteration file and the constitutions and judges it names.

    Args:
        path: the YAML file.
        overrides: ``dotted.key=value`` strings, checked by the same schema.

    Raises:
        InputError: with file, line and field.
    """
    file = read_yaml(path)
    config = validate(Iteration, file, _completed(file, apply_overrides(file.data, overrides)))
    loaded = Loaded(config, Path(path), tuple(overrides))
    for name, one in loaded.judges.items():
        loaded.constitution(one)
        judge = _JUDGE.validate_python(loaded.resolved(one, f"local:{config.model}"))
        try:
            build(judge)
        except InputError as error:
            if error.path is not None:  # it names the place in another file
                raise
            line = file.line(tuple(name.split(".")))
            raise InputError(error.message, path=path, line=line, field=f"{name}.judge") from None
    return loaded


def _completed(file: YamlFile, data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Put something in the fields that rounds fill in, so that the others are checked as they stand.

    Raises:
        InputError: the file fills one of them in.
    """
    for section, fields in _OWN.items():
        inner = data.get(section)
        if not isinstance(inner, dict):
            continue
        for field in fields:
            here = inner
            for part in field[:-1]:
                below = here.setdefault(part, {})
                here = below if isinstance(below, dict) else {}
            if field[-1] in here:
                loc = (section, *field)
                raise InputError(
                    f"found {here[field[-1]]!r}; every round names its own: leave it out",
                    path=file.path, line=file.line(loc), field=".".join(loc),
                )  # fmt: skip
            if field[-1] != "table":
                here[field[-1]] = "."
    return data


def _named(value: JsonValue, spec: str, folder: Path) -> JsonValue:
    if isinstance(value, list):
        return [_named(one, spec, folder) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _named(one, spec, folder) for key, one in value.items()}
    if made.get("model") == POLICY:
        made["model"] = spec
    for key in _PATHS:
        path = made.get(key)
        if isinstance(path, str):
            made[key] = str((folder / path).resolve())
    return made
