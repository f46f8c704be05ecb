"""The data of one round: its policy draws, somebody chooses, and a file to train on is left.

Owns the choice of the best and the worst of each prompt and the count of what became of every prompt.
Leaves drawing and judging to a pipeline, pairs of judged responses to ``preferences`` and the choice by
scores to ``training.bestofn``. A reading that failed counts nothing; it never makes a winner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rlaif.errors import JobError
from rlaif.iterations.config import Iteration
from rlaif.iterations.drawn import Drawn, drawn
from rlaif.iterations.folder import Folder, turns, write
from rlaif.iterations.jobs import Jobs, Stage, preferring, sampling
from rlaif.iterations.opinions import Scoring
from rlaif.iterations.records import Made, Policy
from rlaif.pipeline import Outcome, opened
from rlaif.records import Judgment, Preference, PreferenceSet, Ranking, Score
from rlaif.store import Workspace
from rlaif.training import controls
from rlaif.training.bestofn import best_and_worst
from rlaif.training.config import DataConfig
from rlaif.training.files import read_split_rows

_PAIR: Final = ("prompt", "chosen", "rejected")
_BEST: Final = ("prompt", "completion")
_EQUAL: Final = 1e-9
"""Strengths this close are equal but for rounding."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The file that training reads."""

    path: Path
    columns: tuple[str, ...]
    """Labels are hard: how far scores lie apart is no probability that anybody would choose so."""


async def make(jobs: Jobs, folder: Folder, number: int, policy: Policy, scoring: Scoring | None) -> Made:
    """Make, or go on making, the data of a round.

    Args:
        jobs: runs the pipeline.
        folder: of the iteration.
        number: of the round.
        policy: draws, and judges where the file says so.
        scoring: who chooses, where no judge does.

    Raises:
        JobError: the round has nothing to learn from.
        RlaifError: as ``Jobs.run``; or another checkpoint drew the responses.
    """
    config = jobs.loaded.config
    stages: list[Stage] = [sampling([policy], config.sample.k, config.sample.params)]
    by = config.judge
    if by is not None:
        axis = jobs.loaded.constitution(by).axis
        stages += [jobs.judging(by, policy), preferring(axis, "best_vs_worst"), {"kind": "export"}]
    stages.append({"kind": "report"})
    place = folder.round(number) / "data"
    prompts = folder.prompts("train")
    outcome = await jobs.run(f"round-{number}", place, prompts, stages)
    wanted = _Wanted(place.with_name("data.jsonl"), _PAIR if config.train.method == "dpo" else _BEST)
    async with opened(place) as workspace:
        found = drawn(workspace, prompts, policy)
        if scoring is None:
            made = _judged(workspace, found, policy, outcome, wanted)
        else:
            made = _scored(found, policy, scoring, wanted)
    if not made.pairs:
        raise JobError(
            f"round {number} has nothing to learn from: of {made.prompts} prompts, {made.ties} have responses"
            f" that all came out equal and {made.without} none that could be told apart;"
            f" {made.unreadable} of {made.replies} readings failed; look at {place / 'reports'}"
        )
    return made


def with_earlier(made: Sequence[Made], path: Path) -> Path:
    """Write the best of all rounds so far as one file, and return its path.

    Args:
        made: of every round so far.
        path: of the file.
    """
    write(path, (row for one in made for row in _columns(one.path, None, _BEST)))
    return path


def spoiled(path: Path, config: Iteration) -> Path:
    """Write what a round learns from as a control has it, and return the path of that; or the path itself."""
    if config.control in (None, "still"):
        return path
    method, names = (
        (controls.pairs, _PAIR) if config.train.method == "dpo" else (controls.demonstrations, _BEST)
    )
    made = path.with_name("control.jsonl")
    write(made, method([dict(row) for row in _columns(str(path), None, names)], config.control, config.seed))
    return made


def _columns(path: str, table: str | None, names: Sequence[str]) -> Iterator[Mapping[str, object]]:
    for row, _ in read_split_rows(DataConfig(path=path, table=table)):
        assert isinstance(row.value, Mapping)  # this package wrote it
        yield {name: row.value[name] for name in names}


# By a judge


def _judged(
    workspace: Workspace, found: Sequence[Drawn], policy: Policy, outcome: Outcome, wanted: _Wanted
) -> Made:
    *_, made = workspace.store.read(PreferenceSet, order="rowid")
    pairs = {one.prompt_id for one in workspace.store.read(Preference, '"set" = ?', [made.id])}
    ranked = workspace.store.read(Ranking, '"set" = ?', [made.id])
    equal = {one.prompt_id for one in ranked if one.strengths[0] - one.strengths[-1] <= _EQUAL}
    readings = [one.status for one in workspace.store.read(Score)]
    readings += [one.status for one in workspace.store.read(Judgment)]
    table = f"{made.axis}-sft" if wanted.columns == _BEST else made.axis
    write(wanted.path, _columns(str(outcome.files["export"]), table, wanted.columns))
    return Made(
        policy=policy.digest,
        path=str(wanted.path),
        prompts=len(found),
        responses=sum(len(one.samples) for one in found),
        pairs=len(pairs),
        ties=len(equal - pairs),
        without=len(found) - len(pairs | equal),
        replies=len(readings) + outcome.failed,
        unreadable=sum(status != "ok" for status in readings) + outcome.failed,
    )


# By scores


def _scored(found: Sequence[Drawn], policy: Policy, scoring: Scoring, wanted: _Wanted) -> Made:
    scores = iter(scoring(policy, found))
    by_prompt = [(one, [next(scores) for _ in one.samples]) for one in found]
    chosen = [(one, some, _choice(one, some)) for one, some in by_prompt]
    made = (_row(one, places, wanted.columns) for one, _, places in chosen if places is not None)
    write(wanted.path, made)
    fates = Counter(
        "pairs" if places is not None else "ties" if _tied(one, some) else "without"
        for one, some, places in chosen
    )
    every = [score for _, some in by_prompt for score in some]
    return Made(
        policy=policy.digest,
        path=str(wanted.path),
        prompts=len(found),
        responses=len(every),
        pairs=fates["pairs"],
        ties=fates["ties"],
        without=fates["without"],
        replies=len(every),
        unreadable=every.count(None),
    )


def _choice(one: Drawn, scores: Sequence[float | None]) -> tuple[int, int] | None:
    """Places of the best and the worst response that says anything; None where no two differ."""
    said = [
        score if sample.response.strip() else None for score, sample in zip(scores, one.samples, strict=True)
    ]
    return best_and_worst([sample.response.strip() for sample in one.samples], said, one.prompt.id)


def _tied(one: Drawn, scores: Sequence[float | None]) -> bool:
    """Whether two different responses have a score, and all have the same."""
    known = {
        sample.response.strip()
        for sample, score in zip(one.samples, scores, strict=True)
        if score is not None
    } - {""}
    return len(known) > 1


def _row(one: Drawn, places: tuple[int, int], names: Sequence[str]) -> dict[str, object]:
    better, worse = (one.samples[place].response for place in places)
    said = (better,) if names == _BEST else (better, worse)
    return dict(zip(names, (turns(one.prompt), *said), strict=True))
