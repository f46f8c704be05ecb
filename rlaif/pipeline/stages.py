"""What each stage of a pipeline does: adapts the domain's functions to tasks and files.

Owns task ids and which records a stage reads. Leaves the loop to ``jobs``, the words to ``judging``,
the decisions to ``preferences`` and the files to ``exports`` and ``reports``.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations, islice
from pathlib import Path

from rlaif import exports, reports
from rlaif.constitution import Constitution, judge_text
from rlaif.errors import CallError
from rlaif.jobs import Done, Runner, StageResult, Task
from rlaif.judging import (
    Context,
    Pair,
    PairwiseJudge,
    PointwiseScorer,
    build,
    judge_pair,
    score_sample,
)
from rlaif.pipeline.config import ExportStage, JudgeStage, Loaded, PreferStage, ReportStage, SampleStage
from rlaif.pipeline.models import Models
from rlaif.preferences import Comparison, compare, compare_scores, completions, prefer
from rlaif.ranking import rankings
from rlaif.records import Fact, Job, Judgment, PreferenceSet, Prompt, Sample, Score, digest, unpairable
from rlaif.sampling import SampleTask, draw, sample_tasks
from rlaif.store import Workspace

CHUNK = 256
"""Prompts whose samples are read at a time; bounds the memory of planning."""


@dataclass(slots=True)
class Run:
    """One run of one job: what its stages share."""

    loaded: Loaded
    job: Job
    prompts: Sequence[Prompt]
    workspace: Workspace
    runner: Runner
    models: Models
    done: Done
    """Tasks that have finished."""
    files: dict[str, Path] = field(default_factory=dict)
    """``export`` and ``report``, once made."""
    sets: dict[str, PreferenceSet] = field(default_factory=dict)
    """By axis, once made."""

    @property
    def sampling(self) -> SampleStage:
        """The stage that draws; the schema sees to it that there is one."""
        return next(one for one in self.loaded.pipeline.stages if isinstance(one, SampleStage))

    def judging(self, axis: str) -> tuple[JudgeStage, Constitution]:
        """The stage that judges an axis, and its constitution."""
        both = zip(self.loaded.pipeline.stages, self.loaded.constitutions, strict=True)
        return next(
            (stage, constitution)
            for stage, constitution in both
            if isinstance(stage, JudgeStage) and constitution is not None and constitution.axis == axis
        )

    def samples(self, prompts: Sequence[Prompt]) -> dict[str, list[Sample]]:
        """Read the job's samples of some prompts, each prompt's in id order."""
        drawn = sample_tasks(prompts, self.sampling.policies, self.job.seed)
        ids = [id for one in drawn for id in self.done.get(_draw_id(one))]
        found: dict[str, list[Sample]] = {prompt.id: [] for prompt in prompts}
        for sample in self.workspace.store.read(Sample, "id IN (SELECT unnest(?))", [ids]):
            found[sample.prompt_id].append(sample)
        return found


def model_specs(loaded: Loaded) -> set[str]:
    """Every model a pipeline calls."""
    specs: set[str] = set()
    for stage in loaded.pipeline.stages:
        if isinstance(stage, SampleStage):
            specs.update(policy.model for policy in stage.policies)
        elif isinstance(stage, JudgeStage):
            specs.add(stage.judge.model)
    return specs


async def run_stage(run: Run, index: int) -> StageResult:
    """Run the stage at ``index``; see ``jobs.Runner.stage`` for what it raises."""
    stage = run.loaded.pipeline.stages[index]
    match stage:
        case SampleStage():
            return await _sample(run, stage)
        case JudgeStage():
            return await _judge(run, stage, run.loaded.constitutions[index])
        case PreferStage():
            return await _prefer(run, stage)
        case ExportStage():
            return _export(run, stage)
        case ReportStage():
            return _report(run)


# Sampling


def _draw_id(task: SampleTask) -> str:
    return digest("task", "sample", task.prompt.id, task.policy.model, task.params, task.index)


async def _sample(run: Run, stage: SampleStage) -> StageResult:
    async def one(task: SampleTask) -> Sequence[Fact]:
        client = run.models.client(task.policy.model)
        return [await draw(client, task.prompt, task.policy, task.index, run.job.seed)]

    planned = sample_tasks(run.prompts, stage.policies, run.job.seed)
    tasks = (Task(_draw_id(task), partial(one, task)) for task in planned)
    total = len(run.prompts) * sum(policy.k for policy in stage.policies)
    return await run.runner.stage("sample", tasks, total, run.done)


# Judging


@dataclass(frozen=True, slots=True)
class _Question:
    """What one judge stage asks about every pair, or about every sample."""

    key: str
    """Digest of judge, constitution and template."""
    context: Context
    judge: PairwiseJudge | PointwiseScorer

    @classmethod
    def of(cls, stage: JudgeStage, constitution: Constitution, seed: int) -> _Question:
        judge = build(stage.judge)
        context = Context(constitution.axis, judge_text(constitution), constitution.digest, seed=seed)
        key = digest("qu", stage.judge, constitution.axis, constitution.digest, judge.template.digest, seed)
        return cls(key, context, judge)

    @property
    def both_orders(self) -> bool:
        """Whether no slot can have been favoured; a pointwise judge knows no slots."""
        return isinstance(self.judge, PointwiseScorer) or self.judge.orders == "both"

    def groups(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, ...]]:
        """The pairs, or the single samples, of one prompt that are put before the judge."""
        if isinstance(self.judge, PointwiseScorer):
            yield from ((one,) for one in samples if one.response.strip())
        else:
            yield from ((a, b) for a, b in combinations(samples, 2) if unpairable(a, b) is None)

    def task_id(self, group: tuple[Sample, ...]) -> str:
        """Id of the task about one pair or sample."""
        return digest("task", "judge", self.key, *(one.id for one in group))


async def _judge(run: Run, stage: JudgeStage, constitution: Constitution | None) -> StageResult:
    assert constitution is not None  # the loader read one for every judge stage
    question = _Question.of(stage, constitution, run.job.seed)
    client = run.models.client(stage.judge.model)

    async def one(prompt: Prompt, group: tuple[Sample, ...]) -> Sequence[Fact]:
        made: Sequence[Judgment | Score]
        if isinstance(question.judge, PointwiseScorer):
            made = [await score_sample(client, question.judge, prompt, group[0], question.context)]
        else:
            pair = Pair(prompt, group[0], group[1])
            made = await judge_pair(client, question.judge, pair, question.context)
        lost = [one.reason for one in made if one.status == "transport_failed"]
        if lost:  # the task fails and is tried again on resume; what was answered is in the journal
            raise CallError(lost[0], retry="no")
        return made

    def tasks() -> Iterator[Task]:
        for chunk in _chunks(run.prompts):
            samples = run.samples(chunk)
            for prompt in chunk:
                for group in question.groups(samples[prompt.id]):
                    yield Task(question.task_id(group), partial(one, prompt, group))

    drawn = sum(policy.k for policy in run.sampling.policies)
    most = len(run.prompts) * (drawn if stage.judge.kind == "pointwise" else math.comb(drawn, 2))
    return await run.runner.stage(f"judge {constitution.axis}", tasks(), most, run.done)


def _chunks(prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    rest = iter(prompts)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


# Preferences


async def _prefer(run: Run, stage: PreferStage) -> StageResult:
    """Derive a set from the judgments there are; other judgments make another set of the same name."""
    asked, constitution = run.judging(stage.axis)
    question = _Question.of(asked, constitution, run.job.seed)
    name = f"{run.job.id}/{stage.axis}"
    inputs = _inputs(run, stage, question)
    set_id = digest(PreferenceSet.kind, name, inputs)
    result = StageResult(f"prefer {stage.axis}", planned=1)
    known = next(iter(run.workspace.store.read(PreferenceSet, "id = ?", [set_id])), None)
    if known is None or not _whole(run, known):
        counts = await _derive(run, stage, question, set_id)
        known = PreferenceSet.make(
            name=name,
            job_id=run.job.id,
            inputs=inputs,
            axis=stage.axis,
            judge=asked.judge.model,
            constitution=constitution.digest,
            template=question.judge.template.digest,
            both_orders=question.both_orders,
            counts=dict(sorted(counts.items())),
            pairs=counts.total(),
        )
        template = question.judge.template.document
        await run.workspace.commit([template, known], job_id=run.job.id)
        await run.workspace.flush()
        result.done = 1
    run.sets[stage.axis] = known
    return result


def _whole(run: Run, known: PreferenceSet) -> bool:
    """Whether all preferences of a set are there; damage to the journal may have taken some."""
    [held] = run.workspace.store.query("set_size", set_id=known.id).column("preferences").to_pylist()
    return bool(held == known.counts.get("preferred", 0))


def _inputs(run: Run, stage: PreferStage, question: _Question) -> str:
    """Digest over the pairing policy and every judgment that enters the set."""
    seen = hashlib.sha256()
    for chunk in _chunks(run.prompts):
        samples = run.samples(chunk)
        for prompt in chunk:
            for id in _judged(run, question, samples[prompt.id]):
                seen.update(id.encode())
            for one in samples[prompt.id]:
                seen.update(one.id.encode())
    return digest("in", stage.pairing, stage.ranking, seen.hexdigest())


def _judged(run: Run, question: _Question, samples: Sequence[Sample]) -> list[str]:
    """Ids of the judgments, or scores, of one prompt's samples."""
    tasks = (question.task_id(group) for group in question.groups(samples))
    return [id for task in tasks for id in run.done.get(task)]


async def _derive(run: Run, stage: PreferStage, question: _Question, set_id: str) -> Counter[str]:
    """Commit the set's rankings, preferences and completions; count every pair's fate."""
    counts: Counter[str] = Counter()
    for chunk in _chunks(run.prompts):
        samples = run.samples(chunk)
        ids = [id for prompt in chunk for id in _judged(run, question, samples[prompt.id])]
        comparisons = _comparisons(run, stage, question, ids)
        made = prefer(
            comparisons,
            [one for prompt in chunk for one in samples[prompt.id]],
            stage.pairing,
            set_id=set_id,
            splits={prompt.id: prompt.split for prompt in chunk},
            method=stage.ranking,
        )
        counts.update(made.counts)
        ranked = rankings(comparisons, set_id=set_id, method=stage.ranking)
        labels = completions(made.preferences)
        await run.workspace.commit([*ranked, *made.preferences, *labels], job_id=run.job.id)
    return counts


def _comparisons(
    run: Run, stage: PreferStage, question: _Question, ids: Sequence[str]
) -> Sequence[Comparison]:
    where, pairing = "id IN (SELECT unnest(?))", stage.pairing
    if isinstance(question.judge, PointwiseScorer):
        scores = run.workspace.store.read(Score, where, [ids])
        return compare_scores(scores, tie_band=pairing.tie_band)
    return compare(
        run.workspace.store.read(Judgment, where, [ids]),
        on_conflict=pairing.on_conflict,
        tie_band=pairing.tie_band,
        both_orders=question.both_orders,
    )


# Files


def _export(run: Run, stage: ExportStage) -> StageResult:
    folder = run.workspace.folder / "exports" / run.job.id
    exports.export(exports.stored(run.workspace, run.job), folder, margin=stage.margin)
    latest(folder)
    run.files["export"] = folder
    return StageResult("export", planned=1, done=1)


def _report(run: Run) -> StageResult:
    path = run.workspace.folder / "reports" / run.job.id / "index.html"
    source = exports.stored(run.workspace, run.job, traffic=_traffic(run))
    reports.write_report(source, path, export=run.files.get("export"))
    latest(path.parent)
    run.files["report"] = path
    return StageResult("report", planned=1, done=1)


def _traffic(run: Run) -> exports.Traffic:
    every = [client.stats for client in run.models.clients.values()]
    return exports.Traffic(
        sent=sum(one.sent for one in every),
        reused=sum(one.cached for one in every),
        retries=sum(one.retries for one in every),
        input_tokens=sum(one.input_tokens for one in every),
        output_tokens=sum(one.output_tokens for one in every),
    )


def latest(folder: Path) -> None:
    """Point ``latest`` beside a folder at it, in one step."""
    link = folder.parent / "latest"
    new = link.with_name(f".latest-{folder.name}")
    new.unlink(missing_ok=True)
    new.symlink_to(folder.name)
    new.replace(link)
