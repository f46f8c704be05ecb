"""What each stage of a pipeline does: adapts the domain's functions to tasks and files.

Owns task ids and which records a stage reads. Leaves the loop to ``jobs``, the words to ``judging``,
the decisions to ``preferences`` and the files to ``exports`` and ``reports``.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from rlaif import checks, exports, reports
from rlaif.constitution import Constitution
from rlaif.errors import CallError
from rlaif.jobs import Done, Runner, StageResult, Task
from rlaif.judging import Answer, Answers, Asker, Context, Group, Mode
from rlaif.judging.flags import Repeats, flag
from rlaif.pipeline import revise
from rlaif.pipeline.config import (
    ExportChecks,
    ExportStage,
    JudgeStage,
    Loaded,
    PreferStage,
    ReportStage,
    SampleStage,
)
from rlaif.pipeline.models import Models
from rlaif.pipeline.revise import ReviseStage
from rlaif.pipeline.scored import scorecard_of, take, weights_of
from rlaif.preferences import Comparison, Pairing, completions, prefer
from rlaif.ranking import rankings
from rlaif.records import Document, Fact, Job, Judgment, PreferenceSet, Prompt, Sample, Score, digest
from rlaif.reports.set_page import write_set_page
from rlaif.sampling import SampleTask, draw, sample_tasks
from rlaif.store import Workspace

Told = TypeVar("Told", Judgment, Score)
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
    checked: Sequence[checks.SetCheck] = ()
    """The sets' audits, once made."""

    @property
    def sampling(self) -> SampleStage:
        """The stage that draws; the schema sees to it that there is one."""
        return next(one for one in self.loaded.pipeline.stages if isinstance(one, SampleStage))

    @property
    def drawn(self) -> int:
        """Samples a prompt, if no two are alike."""
        return sum(policy.k for policy in self.sampling.policies)

    def question(self, axis: str) -> _Question:
        """What is asked about an axis; the loader sees to it that one stage does."""
        return next(
            _Question.of(mode, constitution, self.job.seed)
            for mode, constitution in zip(self.loaded.modes, self.loaded.constitutions, strict=True)
            if mode is not None and constitution is not None and constitution.axis == axis
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
        elif isinstance(stage, ReviseStage):
            specs.add(stage.reviser.model)
    for _, mode, _ in loaded.judges:
        specs.update(mode.models)
    return specs


async def run_stage(run: Run, index: int) -> StageResult:
    """Run the stage at ``index``; see ``jobs.Runner.stage`` for what it raises."""
    stage = run.loaded.pipeline.stages[index]
    match stage:
        case SampleStage():
            return await _sample(run, stage)
        case ReviseStage():
            constitution = run.loaded.constitutions[index]
            assert constitution is not None  # the loader read one for every revise stage
            return await _revise(run, stage, constitution)
        case JudgeStage():
            mode, constitution = run.loaded.modes[index], run.loaded.constitutions[index]
            assert mode is not None  # the loader made one, and read the other, for every judge stage
            assert constitution is not None
            if stage.scorecard is not None:
                await take(run.loaded.path.parent / stage.scorecard, run.workspace, run.job.id)
            return await _judge(run, _Question.of(mode, constitution, run.job.seed))
        case PreferStage():
            return await _prefer(run, stage)
        case ExportStage():  # files take seconds, which a service's other callers need not wait
            return await asyncio.to_thread(_export, run, stage)
        case ReportStage():
            return await asyncio.to_thread(_report, run)


def task_ids(loaded: Loaded, seed: int) -> Callable[[Prompt, Sequence[Sample]], Iterator[str]]:
    """Return what names the tasks that draw and judge one prompt's samples, done or not."""
    policies = [
        policy for one in loaded.pipeline.stages if isinstance(one, SampleStage) for policy in one.policies
    ]
    questions = [
        _Question.of(mode, constitution, seed)
        for mode, constitution in zip(loaded.modes, loaded.constitutions, strict=True)
        if mode is not None and constitution is not None
    ]

    def of(prompt: Prompt, samples: Sequence[Sample]) -> Iterator[str]:
        yield from (_draw_id(one) for one in sample_tasks([prompt], policies, seed))
        for question in questions:
            yield from (id for id, *_ in question.tasks(samples))

    return of


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


async def _revise(run: Run, stage: ReviseStage, constitution: Constitution) -> StageResult:
    def drawn() -> Iterator[tuple[Prompt, list[Sample]]]:
        for chunk in _chunks(run.prompts):
            samples = run.samples(chunk)
            yield from ((prompt, samples[prompt.id]) for prompt in chunk)

    words = revise.documents()
    if not any(run.workspace.store.read(Document, "id = ?", [words[0].id])):
        await run.workspace.commit(words, job_id=run.job.id)
    client = run.models.client(stage.reviser.model)
    planned = revise.tasks(drawn(), stage, constitution, client, run.job.seed)
    total = len(run.prompts) * run.drawn
    return await run.runner.stage(f"revise {constitution.axis}", planned, total, run.done)


# Judging


@dataclass(frozen=True, slots=True)
class _Question:
    """What one judge stage asks."""

    mode: Mode
    context: Context
    keys: tuple[str, ...]
    """Digest of each asker's question, which task ids are made from."""

    @classmethod
    def of(cls, mode: Mode, constitution: Constitution, seed: int) -> _Question:
        context = Context.of(constitution, seed)
        return cls(mode, context, tuple(one.key(context) for one in mode.askers))

    def tasks(self, samples: Sequence[Sample]) -> Iterator[tuple[str, Asker, Group]]:
        """The tasks about one prompt's samples: id, who asks, and about what."""
        for key, asker in zip(self.keys, self.mode.askers, strict=True):
            for group in asker.groups(samples):
                yield _ask_id(key, group), asker, group

    def ids(self, samples: Sequence[Sample], done: Done) -> list[list[str]]:
        """Ids of the answers there are about one prompt's samples, one list an asker."""
        return [
            [id for group in asker.groups(samples) for id in done.get(_ask_id(key, group))]
            for key, asker in zip(self.keys, self.mode.askers, strict=True)
        ]


def _ask_id(key: str, group: Group) -> str:
    return digest("task", "judge", key, *(one.id for one in group))


async def _judge(run: Run, question: _Question) -> StageResult:
    async def one(asker: Asker, prompt: Prompt, group: Group) -> Sequence[Fact]:
        made = await asker.ask(run.models.client, prompt, group, question.context)
        lost = [one.reason for one in made if one.status == "transport_failed"]
        if lost:  # the task fails and is tried again on resume; what was answered is in the journal
            raise CallError(lost[0], retry="no")
        return made

    def tasks() -> Iterator[Task]:
        for chunk in _chunks(run.prompts):
            samples = run.samples(chunk)
            for prompt in chunk:
                for id, asker, group in question.tasks(samples[prompt.id]):
                    yield Task(id, partial(one, asker, prompt, group))

    most = len(run.prompts) * sum(one.tasks(run.drawn) for one in question.mode.askers)
    return await run.runner.stage(f"judge {question.context.axis}", tasks(), most, run.done)


def _chunks(prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    rest = iter(prompts)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


# Preferences


async def _prefer(run: Run, stage: PreferStage) -> StageResult:
    """Derive a set from the judgments there are; other judgments make another set of the same name."""
    question = run.question(stage.axis)
    name = f"{run.job.id}/{stage.axis}"
    scorecard = scorecard_of(run.loaded, run.workspace, stage.axis)
    inputs = _inputs(run, stage, question, () if scorecard is None else (scorecard.id,))
    set_id = digest(PreferenceSet.kind, name, inputs)
    result = StageResult(f"prefer {stage.axis}", planned=1)
    known = next(iter(run.workspace.store.read(PreferenceSet, "id = ?", [set_id])), None)
    if known is None or not _whole(run, known):
        mode, counts = await _derive(run, stage, question, set_id)
        known = PreferenceSet.make(
            name=name,
            job_id=run.job.id,
            inputs=inputs,
            axis=stage.axis,
            judge=mode.name,
            constitution=question.context.constitution,
            template=mode.documents[0].id,
            both_orders=mode.both_orders,
            audited=scorecard is not None,
            counts=dict(sorted(counts.items())),
            pairs=counts.total(),
        )
        await run.workspace.commit([*mode.documents, known], job_id=run.job.id)
        await run.workspace.flush()
        result.done = 1
    run.sets[stage.axis] = known
    return result


def _whole(run: Run, known: PreferenceSet) -> bool:
    """Whether all preferences of a set are there; damage to the journal may have taken some."""
    [held] = run.workspace.store.query("set_size", set_id=known.id).column("preferences").to_pylist()
    return bool(held == known.counts.get("preferred", 0))


def _inputs(run: Run, stage: PreferStage, question: _Question, speaks: tuple[str, ...]) -> str:
    """Digest over the pairing policy, every judgment used, and the scorecards that speak for the set."""
    seen = hashlib.sha256()
    for chunk in _chunks(run.prompts):
        samples = run.samples(chunk)
        for prompt in chunk:
            for ids in question.ids(samples[prompt.id], run.done):
                for id in ids:
                    seen.update(id.encode())
            for one in samples[prompt.id]:
                seen.update(one.id.encode())
    return digest("in", stage.pairing, stage.ranking, seen.hexdigest(), *speaks)


async def _derive(
    run: Run, stage: PreferStage, question: _Question, set_id: str
) -> tuple[Mode, Counter[str]]:
    """Commit the set's rankings, preferences, completions and flags; count every pair's fate.

    Returns:
        The mode with what it learned, and the counts.
    """
    counts: Counter[str] = Counter()
    repeats = Repeats()
    for chunk in _chunks(run.prompts):
        for found in run.samples(chunk).values():
            repeats.see(found)
    mode = question.mode.learned(_answers(run, question))
    for chunk, samples, answers in _answered(run, question):
        comparisons = mode.compare(answers, stage.pairing)
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
        flagged = flag((one for found in samples.values() for one in found), repeats, set_id=set_id)
        await run.workspace.commit([*ranked, *made.preferences, *labels, *flagged], job_id=run.job.id)
    return mode, counts


def _answers(run: Run, question: _Question) -> Iterator[Sequence[Answers]]:
    return (answers for *_, answers in _answered(run, question))


def _answered(
    run: Run, question: _Question
) -> Iterator[tuple[list[Prompt], dict[str, list[Sample]], list[Answers]]]:
    """Some prompts at a time: they, their samples, and the answers of each asker."""
    for chunk in _chunks(run.prompts):
        samples = run.samples(chunk)
        ids: list[list[str]] = [[] for _ in question.keys]
        for prompt in chunk:
            for all_ids, found in zip(ids, question.ids(samples[prompt.id], run.done), strict=True):
                all_ids += found
        read = zip(question.mode.askers, ids, strict=True)
        yield chunk, samples, [_read(run, asker, found) for asker, found in read]


def _read(run: Run, asker: Asker, ids: Sequence[str]) -> Answers:
    held: list[Answer] = []
    for model in asker.records:
        held += run.workspace.store.read(model, "id IN (SELECT unnest(?))", [ids])
    return held


# Files


def _export(run: Run, stage: ExportStage) -> StageResult:
    folder = run.workspace.folder / "exports" / run.job.id
    source = exports.stored(run.workspace, run.job)
    if stage.checks is not None:
        _check(run, stage.checks, source)
    if stage.weights:
        weighed = weights_of(run.loaded, run.workspace, run.sets, stage.weights)
        source = replace(source, weights=weighed)
    exports.export(source, folder, margin=stage.margin)
    latest(folder)
    run.files["export"] = folder
    return StageResult("export", planned=1, done=1)


def _check(run: Run, asked: ExportChecks, source: exports.Source) -> None:
    """Audit the sets, leave the page, and stop here when one breaks a limit."""
    against = None
    if asked.against is not None:
        against = checks.read_evaluation(run.loaded.path.parent / asked.against)
    run.checked = [checks.check(one, against) for one in checks.from_source(source)]
    path = run.workspace.folder / "reports" / run.job.id / "set.html"
    broken = [breach for one in run.checked for breach in checks.breaches(one, asked.limits)]
    write_set_page(run.checked, broken, path)
    run.files["checks"] = path
    checks.enforce(run.checked, asked.limits)


def _report(run: Run) -> StageResult:
    path = run.workspace.folder / "reports" / run.job.id / "index.html"
    source = _judged(run, exports.stored(run.workspace, run.job, traffic=_traffic(run)))
    reports.write_report(source, path, export=run.files.get("export"), checked=run.checked)
    latest(path.parent)
    run.files["report"] = path
    return StageResult("report", planned=1, done=1)


def _judged(run: Run, source: exports.Source) -> exports.Source:
    """Let a report read, and compare, what the judges of each stage said, whoever they are."""
    questions = {axis: run.question(axis) for axis in {one.axis for one in source.sets}}
    modes = {axis: one.mode.learned(_answers(run, one)) for axis, one in questions.items()}

    def told(model: type[Told], made: PreferenceSet) -> Iterator[Told]:
        for chunk in _chunks(sorted(run.prompts, key=lambda one: one.id)):
            samples = run.samples(chunk)
            found = (questions[made.axis].ids(samples[one.id], run.done) for one in chunk)
            ids = [id for askers in found for ids in askers for id in ids]
            where = "id IN (SELECT unnest(?))"
            yield from run.workspace.store.read(model, where, [ids], order="prompt_id, id")

    def compared(made: PreferenceSet, group: exports.Group) -> list[Comparison]:
        held: dict[str, Answer] = {one.id: one for one in group.judgments[made.id]}
        held.update((one.id, one) for one in group.scores[made.id])
        samples = [one for _, one in sorted(group.samples.items())]
        found = questions[made.axis].ids(samples, run.done)
        answers = [[held[id] for id in ids if id in held] for ids in found]
        return modes[made.axis].compare(answers, Pairing())

    return replace(source, judgments=partial(told, Judgment), scores=partial(told, Score), compared=compared)


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
