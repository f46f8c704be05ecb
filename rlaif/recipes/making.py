"""What each kind of step does, and what it leaves.

Owns the hand-over to the packages that do the work. Leaves rows to ``transforming`` and the order of steps to
``running``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rlaif.checkpoints import Lineage, identity, read_lineage
from rlaif.errors import InputError
from rlaif.iterations import Money, iterate, load_iteration
from rlaif.lab.scoring import ByText
from rlaif.pipeline import Loaded, Options, Outcome, load_pipeline, quote
from rlaif.pipeline import run as run_pipeline
from rlaif.recipes import contest
from rlaif.recipes.bodies import MODELS, body_of, completed, rewarded, training, written
from rlaif.recipes.comparing import compared
from rlaif.recipes.config import BlindLabels, BlindScore, Body, Condition, Parted, SameRevisions, Step
from rlaif.recipes.controls import controlled
from rlaif.recipes.desk import Desk, counted
from rlaif.recipes.drawing import drawn
from rlaif.recipes.flagging import blind_labels, blind_scores, held, identical, parted
from rlaif.recipes.folder import Raised, put_rows
from rlaif.recipes.leaving import references
from rlaif.recipes.measuring import ends, measured
from rlaif.recipes.scores import of_rows, source, titled
from rlaif.recipes.serving import beside
from rlaif.recipes.spoiling import choosing, exported, reward, taught
from rlaif.recipes.transforming import threshold, transformed
from rlaif.recipes.transforms import Select
from rlaif.settings import Settings
from rlaif.training import methods, ppo
from rlaif.training.origin import moved
from rlaif.training.ppo import PpoConfig
from rlaif.wholefile import put


@dataclass(slots=True)
class Left:
    """What a step left, before its digests are taken."""

    places: dict[str, tuple[Path, str | None]] = field(default_factory=dict)
    """Path and table of an export, by name."""
    counts: dict[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    raised: tuple[Raised, ...] = ()
    models: dict[str, str] = field(default_factory=dict)
    spent: float = 0.0


def make(step: Step, desk: Desk, folder: Path) -> Left:
    """Do what a step says, or go on with it, in its folder.

    Raises:
        RlaifError: as the package that does it.
    """
    by_work: Mapping[str, Callable[[Step, Desk, Path], Left]] = {
        "rows": _rows, "draw": _draw, "measure": _measure, "compare": _compare, "flag": _flag,
        "train": _train, "pipeline": _pipeline, "iterate": _iterate,
    }  # fmt: skip
    return by_work[step.work](step, desk, folder)


def _rows(step: Step, desk: Desk, folder: Path) -> Left:
    assert step.rows is not None
    tables = transformed(step.rows, desk)
    left = Left()
    for name, rows in tables.items():
        # A file called train or test would be taken for a side of a split by its name.
        left.places[name] = (put_rows(folder / f"rows-{name or 'all'}.jsonl", rows), None)
    left.counts = counted({name or "rows": len(rows) for name, rows in tables.items()})
    if isinstance(step.rows, Select):
        left.counts |= threshold(step.rows, desk)
    return left


def _draw(step: Step, desk: Desk, folder: Path) -> Left:
    assert step.draw is not None
    path, counts = drawn(step.draw, step.name, desk, folder)
    return Left({"": (path, None)}, counts, models={"score": titled(step.draw.score)})


def _measure(step: Step, desk: Desk, folder: Path) -> Left:
    assert step.measure is not None
    every, told = measured(step.measure, desk, folder)
    control, first = desk.recipe.control, every[0].figures
    return Left(
        {"": (folder / "figures.json", None)},
        {"policies": float(len(every)), "responses": float(sum(one.figures.responses for one in every))},
        told,
        tuple(held(control, first, one.figures, one.policy) for one in every[1:]) if control else (),
        models={"gold": titled(step.measure.gold)},
    )


def _compare(step: Step, desk: Desk, folder: Path) -> Left:
    assert step.compare is not None
    table, spent = compared(step.compare, desk, folder)
    put(folder / "compare.html", contest.render(table))
    desk.money.spent += spent
    models = {} if table.judge is None else {"held-out judge": table.judge}
    return Left(
        {"": (folder / "table.json", None)},
        {"methods": float(len(table.rows)), "calls": float(table.judge_calls)},
        table.notices, models=models, spent=spent,
    )  # fmt: skip


def _flag(step: Step, desk: Desk, folder: Path) -> Left:
    assert step.flag is not None
    raised = tuple(_condition(one, desk) for one in step.flag)
    path = put_rows(folder / "flags.jsonl", [one.model_dump(mode="json") for one in raised])
    return Left({"": (path, None)}, {"raised": float(sum(one.raised for one in raised))}, raised=raised)


def _condition(condition: Condition, desk: Desk) -> Raised:
    if isinstance(condition, Parted):
        return parted(*ends(condition.of, desk)).model_copy(
            update={"title": f"proxy and gold of {condition.of}"}
        )
    rows = desk.read(condition.of)
    match condition:
        case SameRevisions():
            return identical(rows, condition.most)
        case BlindScore():
            return blind_scores(rows, of_rows(source(condition.against, desk), rows), condition.of)
        case BlindLabels():
            truth = source(condition.against, desk)
            better, worse = (of_rows(truth, rows, column) for column in ("chosen", "rejected"))
            found = blind_labels(rows, better, worse)
            return found.model_copy(update={"title": f"labels of {condition.of}"})


def _train(step: Step, desk: Desk, folder: Path) -> Left:
    body = desk.resolved(rewarded(body_of(step), desk.home))
    assert isinstance(body, dict)
    body = controlled(body, desk.recipe.control)
    config = training(body, step, desk.recipe, folder / "run")
    final = Path(config.output) / "final"
    lineage = read_lineage(final) if final.is_dir() else None
    if lineage is None:
        for one in references(step):
            if one.loc[-1] == "path":
                desk.expect(one)
        data = taught(step, config.data, desk, folder)
        config = config.model_copy(update={"data": data})
        score = reward(step, config, desk)
        if isinstance(config, PpoConfig) and score is not None:
            config = config.model_copy(update={"reward": None if isinstance(score, ByText) else score})
        moved(config)  # a step's folder is named by the content of all that it is made from
        if isinstance(config, PpoConfig) and isinstance(score, ByText):
            ppo.train(config, score=score, resume=True, watch=desk.watch)
        else:
            methods.train(config, resume=True, watch=desk.watch)
        lineage = read_lineage(final)
    return Left({"": (final, None)}, _numbers(lineage), models=_rewards(step, desk))


def _rewards(step: Step, desk: Desk) -> dict[str, str]:
    """What paid for a policy: a world, or reward models by name and content."""
    told = body_of(step).get("reward") if step.reward is None else step.reward.model_dump(mode="json")
    named = {key: str(told[key]) for key in MODELS if told.get(key)} if isinstance(told, dict) else {}
    if step.reward is not None and not named:
        return {"reward": titled(step.reward)}
    return {
        "reward" if key == "model" else f"reward, {key}": f"{one}, {identity(desk.model(one))[:12]}"
        for key, one in named.items()
    }


def _numbers(lineage: Lineage | None) -> dict[str, float]:
    """The numbers of a training run worth a column."""
    if lineage is None:
        return {}
    return {"updates": float(lineage.steps), "skipped": float(lineage.skipped), **lineage.metrics}


def _pipeline(step: Step, desk: Desk, folder: Path) -> Left:
    path = written(folder / f"{step.name}.yaml", ready(body_of(step), step, desk))
    outcome, judges = asyncio.run(_run(path, folder / "out", desk))
    desk.money.spent += outcome.spent
    export = outcome.files.get("export")
    if export is None:
        raise InputError(f"the pipeline {step.name!r} wrote no export; add a stage of kind export at its end")
    left = Left({one.name: (export, one.name) for one in sorted(export.iterdir()) if one.is_dir()})
    if desk.recipe.control not in (None, "still"):
        left.places |= exported(step, export, desk, folder)
    counts = {
        f"{name.rpartition('/')[2]} {fate}": float(count)
        for name, some in outcome.sets.items()
        for fate, count in some.items()
        if count
    }
    counts |= {"calls": float(outcome.answered), "failed": float(outcome.failed)}
    left.counts, left.models, left.spent = counts, judges, outcome.spent
    return left


def ready(body: Body, step: Step, desk: Desk) -> Body:
    """Return the body of a pipeline or an iteration as a file that stands alone, wherever it lies."""
    found = desk.resolved(completed(body, step, desk.recipe, desk.home))
    assert isinstance(found, dict)
    prompts = found.get("prompts")
    assert isinstance(prompts, dict)  # checked when the recipe was read
    found["prompts"] = {**prompts, "path": str(Path(str(prompts["path"])).resolve())}
    return found


async def _run(path: Path, folder: Path, desk: Desk) -> tuple[Outcome, dict[str, str]]:
    """Run a pipeline beside the world's judge, where there is a world."""
    loaded = load_pipeline(path)
    judges = {f"judge of {context.axis}": f"{mode.name}, constitution {context.constitution[:12]}"
              for _, mode, context in loaded.judges}  # fmt: skip
    options = Options(desk.money.left, desk.money.allow_unpriced, folder)
    async with beside(desk.recipe, desk.world) as settings:
        _agreed(loaded, settings, desk)
        return await run_pipeline(loaded, options, settings, desk.listener), judges


def _agreed(loaded: Loaded, settings: Settings, desk: Desk) -> None:
    lines = quote(loaded, settings, allow_unpriced=desk.money.allow_unpriced)
    most = sum(one.usd or 0.0 for one in lines)
    if most and desk.money.budget is None and not desk.money.agreed:
        raise InputError(
            f"the calls of {loaded.pipeline.name!r} may cost up to ${most:,.4f}; say what all may cost with"
            " --budget USD, or agree with --yes"
        )


def _iterate(step: Step, desk: Desk, folder: Path) -> Left:
    body = ready(body_of(step), step, desk)
    path = written(folder / f"{step.name}.yaml", body | {"output": str(folder / "rounds")})
    loaded = load_iteration(path)
    chosen = None if step.reward is None else choosing(step.reward, desk)
    if chosen is not None and not isinstance(chosen, ByText):
        loaded = replace(loaded, config=loaded.config.model_copy(update={"reward": chosen}))
    gold = None if desk.world is None else ByText(f"gold {desk.world.name}", desk.world.gold)
    money = Money(desk.money.left, desk.money.agreed, desk.money.allow_unpriced)
    outcome = iterate(
        loaded, resume=True, money=money, listener=desk.listener, watch=desk.watch, gold=gold,
        score=chosen if isinstance(chosen, ByText) else None,
    )  # fmt: skip
    spent = sum(row.spent for row in outcome.rows)
    desk.money.spent += spent
    calls = {"calls": float(sum(row.calls for row in outcome.rows))}
    counts = {f"round {row.round} {name}": value for row in outcome.rows for name, value in row.numbers()
              if name in ("proxy", "gold", "kl", "tokens", "data/pairs")}  # fmt: skip
    told = tuple(f"round {row.round}: {said}" for row in outcome.rows for said in row.notices)
    models = {} if step.reward is None else {"chosen by": titled(step.reward)}
    return Left({"": (Path(outcome.policy), None)}, calls | counts, told, models=models, spent=spent)
