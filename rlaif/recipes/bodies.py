"""The bodies of pipelines, training runs and iterations inside a recipe: checked where they stand.

Owns the fields that a recipe fills in, the paths that are relative to the recipe's file, and the way an error
of another package's file finds its line in this one. Leaves what the bodies mean to those packages.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter

from rlaif.complaints import Loc, dotted
from rlaif.errors import InputError
from rlaif.iterations import load_iteration
from rlaif.pipeline import load_pipeline
from rlaif.pipeline.config import ExportStage, Pipeline, PreferStage
from rlaif.recipes.config import Body, Recipe, Step
from rlaif.recipes.kinds import Kind
from rlaif.recipes.leaving import Reference, Tables
from rlaif.training.methods import CONFIG, AnyConfig
from rlaif.yamlfile import YamlFile, validate

_FILLED: Final[Mapping[str, tuple[str, ...]]] = {
    "pipeline": ("schema_version", "name", "output"),
    "iterate": ("schema_version", "name", "output"),
    "train": ("output",),
}
"""Fields every step has its own of."""
_FILES: Final = ("constitution", "scorecard", "weights", "against")
"""Fields of pipelines and iterations that name a file beside the one they are written in."""
MODELS: Final = ("model", "safety", "helpfulness")
"""Fields of scores that name a reward model."""


def body_of(step: Step) -> Body:
    """Return what a step hands to another package."""
    found = step.pipeline or step.train or step.iterate
    assert found is not None
    return found


def completed(body: Body, step: Step, recipe: Recipe, home: Path) -> Body:
    """Return a body as its own package's file would hold it, its paths made absolute.

    Args:
        body: of the step, references resolved or not.
        step: whose it is.
        recipe: whose seed it takes where it has none.
        home: the recipe's folder.
    """
    whole: Body = {"seed": recipe.seed, **body}
    if step.train is not None:
        return {"output": ".", **rewarded(whole, home)}
    made = absolute(whole, home)
    assert isinstance(made, dict)
    whole = {"schema_version": 1, "name": step.name, **made}
    if step.iterate is not None and (recipe.control == "still" or (recipe.control and _judged(step))):
        whole["control"] = recipe.control
    prompts = whole.get("prompts")
    if isinstance(prompts, dict) and _is_file(prompts.get("path")):
        whole["prompts"] = {**prompts, "path": str((home / str(prompts["path"])).resolve())}
    return whole


def rewarded(body: Body, home: Path) -> Body:
    """Return the body of a train step with the paths of its reward made absolute; its others are not the
    recipe's: they are relative to where the command runs, as in any training file."""
    return {**body, "reward": absolute(body["reward"], home)} if "reward" in body else body


def _judged(step: Step) -> bool:
    """Whether a judge or a model from elsewhere chooses in an iterate step: a control has to spoil that."""
    return step.reward is None and not own((step.iterate or {}).get("reward"))


def own(score: JsonValue) -> bool:
    """Whether all reward models of a score are this recipe's own: what those learned was spoiled already.

    The tag of a gate says nothing of its models. A gate of one own and one from elsewhere is not own: the
    part from elsewhere was not spoiled, so the whole is, and its own part then is a second time.

    Args:
        score: its fields as the recipe has them, references not resolved; a world's names no model.
    """
    named = [score[key] for key in MODELS if key in score] if isinstance(score, dict) else []
    return bool(named) and all(Reference.read(one) for one in named)


def axes(step: Step) -> tuple[str, ...]:
    """Return the axes of the sets a pipeline step makes."""
    stages = (step.pipeline or {}).get("stages")
    listed = [one for one in stages if isinstance(one, dict)] if isinstance(stages, list) else []
    return tuple(str(one.get("axis")) for one in listed if one.get("kind") == "prefer")


def checked(step: Step, at: int, recipe: Recipe, file: YamlFile) -> Tables | None:
    """Check the body of a step, and return what it leaves where only the body says.

    Args:
        step: the step.
        at: its place among the steps.
        recipe: the whole.
        file: the recipe, settled.

    Raises:
        InputError: with file, line and field of the recipe.
    """
    prefix: Loc = ("steps", at, step.work)
    body = body_of(step)
    for name in _FILLED[step.work]:
        if name in body:
            loc = (*prefix, name)
            raise InputError(
                f"found {body[name]!r}; every step has its own: leave it out",
                path=file.path, line=file.line(loc), field=dotted(loc),
            )  # fmt: skip
    whole = completed(body, step, recipe, file.path.parent)
    inner = YamlFile(file.path, whole, _lines(file, prefix, whole), {})
    with _placed(file, prefix, file.path):
        if step.train is not None:
            validate(CONFIG, inner)
            return None
        if step.pipeline is not None:
            validate(TypeAdapter(Pipeline), inner)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder) / f"{step.name}.yaml", whole)
        with _placed(file, prefix, path):
            if step.iterate is not None:
                load_iteration(path)
                return None
            loaded = load_pipeline(path)
    if not any(isinstance(stage, ExportStage) for stage in loaded.pipeline.stages):
        loc = (*prefix, "stages")
        raise InputError(
            "found no stage of kind export, by which a pipeline leaves something to later steps; add one at"
            " its end",
            path=file.path, line=file.line(loc), field=dotted(loc),
        )  # fmt: skip
    tables: dict[str, Kind] = {"prompts": "prompts"}
    for stage in loaded.pipeline.stages:
        if isinstance(stage, PreferStage):
            tables[stage.axis] = "pairs"
            tables[f"{stage.axis}-unpaired"] = "unpaired"
            tables[f"{stage.axis}-sft"] = "demonstrations"
    for _, constitution in loaded.revises:
        tables[f"{constitution.axis}-revised"] = "demonstrations"
    return tables


def training(body: Body, step: Step, recipe: Recipe, output: Path) -> AnyConfig:
    """Return the configuration of a train step."""
    whole = {"seed": recipe.seed, **body, "output": str(output)}
    return CONFIG.validate_json(json.dumps(whole), strict=True)


def written(path: Path, body: Mapping[str, JsonValue]) -> Path:
    """Write a body as a file of its own; JSON is YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return path


def absolute(value: JsonValue, home: Path) -> JsonValue:
    """Return part of a body with its paths made absolute: constitutions, what judges read, the tag of a gate.

    Args:
        value: a judge, a score, or any body of pipelines and iterations.
        home: the recipe's folder.
    """
    if isinstance(value, list):
        return [absolute(one, home) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: absolute(one, home) for key, one in value.items()}
    for key in _FILES:
        if _is_file(made.get(key)):
            made[key] = str((home / str(made[key])).resolve())
    if str(made.get("template", "")).endswith(".txt"):  # any other name is a shipped one
        made["template"] = str((home / str(made["template"])).resolve())
    tagged = made.get("safety_prompts")
    if isinstance(tagged, dict) and _is_file(tagged.get("path")):
        made["safety_prompts"] = {**tagged, "path": str((home / str(tagged["path"])).resolve())}
    return made


def _is_file(value: JsonValue) -> bool:
    return isinstance(value, str) and Reference.read(value) is None


def _lines(file: YamlFile, prefix: Loc, whole: Body) -> dict[Loc, int]:
    """Lines of a body; what was filled in stands where the body does."""
    deep = len(prefix)
    inner = {loc[deep:]: line for loc, line in file.lines.items() if loc[:deep] == prefix}
    return {**{(key,): file.line(prefix) for key in whole}, (): file.line(prefix), **inner}


@contextmanager
def _placed(file: YamlFile, prefix: Loc, path: Path) -> Iterator[None]:
    """Let errors about a body name its place in the recipe."""
    try:
        yield
    except InputError as error:
        if error.path not in (None, path):  # it names the place in another file
            raise
        parts = error.field.split(".") if error.field else []
        loc = (*prefix, *(int(one) if one.isdigit() else one for one in parts))
        raise InputError(error.message, path=file.path, line=file.line(loc), field=dotted(loc)) from None
