"""How well a set's judge agrees with the people who labelled its pairs.

Owns the step from labels to observations: one a pair, people's majority against both orders' verdicts, pairs
of one prompt resampled together; and keeping the result as a scorecard of the judge, which is how a set comes
to count as audited. Leaves every number to ``audits``.

Only pairs the set kept are labelled, so agreement is that on pairs the judge decided, not on all it saw.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlaif.auditing.bench import mode_name
from rlaif.auditing.kept import facts
from rlaif.auditing.run import Asked, Audit, Spent
from rlaif.audits import Cell, Observation, score
from rlaif.audits.results import Interval
from rlaif.constitution import Constitution
from rlaif.errors import InputError
from rlaif.pipeline import load_pipeline
from rlaif.pipeline.config import JudgeStage
from rlaif.records import (
    Document,
    Job,
    PreferenceSet,
    Record,
    StoredScorecard,
    Verdict,
    digest,
)
from rlaif.review.choice import Choice, sets_of
from rlaif.scorecards import setting_of
from rlaif.store import Store, Workspace

UNNAMED = "unnamed source"


class Figures(Record):
    """Agreement on some pairs."""

    name: str
    """The slice (where the prompts came from), ``TOTAL``, or the person."""
    pairs: int
    """Pairs on which people chose a side."""
    ties: int
    """Pairs on which they did not."""
    prompts: int
    """Distinct prompts among the pairs."""
    accuracy: float | None
    """Share of the pairs on which the judge sides with people; None without any."""
    interval: Interval | None
    """95 % interval of it, from resampling prompts."""
    kappa: float | None
    """Cohen's kappa; None where either side always says the same."""


class Agreement(Record):
    """A set's judge against the people who labelled its pairs."""

    set: str
    """Id of the set."""
    set_name: str
    """``JOB/axis``."""
    judge: str
    """Who judged."""
    scorecard: str
    """Id of the scorecard that is kept."""
    total: Figures
    """Over all labelled pairs, people's majority counting."""
    slices: tuple[Figures, ...]
    """By source of the prompts."""
    people: tuple[Figures, ...]
    """The judge against each person, ``human:NAME``, alone."""
    between_people: float | None
    """How often one person sides with the majority of the others; None where no pair has two."""
    undecided: int
    """Pairs without a majority among people; they count nowhere else."""
    notes: tuple[str, ...]
    """Sentences a reader needs to hear."""


async def agree(workspace: Workspace, name: str) -> Agreement:
    """Measure a set's judge by the labels people gave, and keep the scorecard.

    Args:
        workspace: where set and labels are.
        name: the set's id or name.

    Raises:
        InputError: there is no such set, or nobody has labelled a pair of it.
    """
    found, card = measure(workspace, name)
    await keep_card(workspace, card)
    return found


async def keep_card(workspace: Workspace, card: StoredScorecard) -> None:
    """Keep a scorecard, unless it is there already."""
    held = any(workspace.store.read(StoredScorecard, "id = ?", [card.id]))
    if not held:
        await workspace.commit([card], job_id=digest("audit", [card.id]))
        await workspace.flush()


def measure(workspace: Workspace, name: str) -> tuple[Agreement, StoredScorecard]:
    """The same, keeping nothing; see `agree`."""
    store = workspace.store
    made = _set(store, name)
    rows = store.query("labelled_pairs", sets=[made.id]).to_pylist()
    if not rows:
        raise InputError(
            f"nobody has labelled a pair of {made.name!r}; label some under /preferences, or bring labels"
            " with: rlaif review import FILE"
        )
    asked, notes = _asked(store, made)
    observations = observed(rows, asked)
    audit = Audit(score(observations), (asked,), Spent(), {})
    [card] = facts(audit)
    [total] = audit.card.totals.values()
    undecided = sum(one.human is None for one in observations)
    return (
        Agreement(
            set=made.id,
            set_name=made.name,
            judge=made.judge,
            scorecard=card.id,
            total=figures(total.slice, total),
            slices=tuple(figures(one.slice, one) for one in audit.card.cells.values()),
            people=tuple(_by_person(rows, asked)),
            between_people=total.ceiling.human,
            undecided=undecided,
            notes=(*notes, *([_few(total)] if total.coverage.n < 30 else [])),
        ),
        card,
    )


def observed(rows: Iterable[dict[str, Any]], asked: Asked) -> list[Observation]:
    """One observation a labelled pair; the responses stand in the order of their ids, which favours none."""
    by_pair: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_pair[row["id"]].append(row)
    return [_observation(labels, asked) for labels in by_pair.values()]


def figures(name: str, cell: Cell) -> Figures:
    """The numbers of a cell that say how far people and judge agree."""
    return Figures(
        name=name,
        pairs=cell.coverage.n,
        ties=cell.coverage.ties,
        prompts=cell.coverage.clusters,
        accuracy=cell.agreement.acc,
        interval=cell.agreement.acc_ci,
        kappa=cell.agreement.kappa,
    )


def _set(store: Store, name: str) -> PreferenceSet:
    ids = sets_of(store, Choice(set=name))
    if not ids:  # a blank name chooses nothing
        raise InputError(f"{name!r} names no set; give its id, or its name for the newest", field="set")
    return list(store.read(PreferenceSet, "id IN (SELECT unnest(?))", [ids], order="rowid"))[-1]


def _few(total: Cell) -> str:
    return (
        f"only {total.coverage.n:,} pairs have a winner by people; the interval is the message, and 100 or"
        " more pairs make it useful"
    )


def _by_person(rows: Sequence[dict[str, Any]], asked: Asked) -> Iterable[Figures]:
    for person in sorted({row["person"] for row in rows}):
        card = score(observed([row for row in rows if row["person"] == person], asked))
        [total] = card.totals.values()
        yield figures(f"human:{person}", total)


def _observation(labels: Sequence[dict[str, Any]], asked: Asked) -> Observation:
    row = labels[0]
    chosen_first = row["chosen_id"] < row["rejected_id"]
    sides = ("chosen", "rejected") if chosen_first else ("rejected", "chosen")
    votes = [_vote(one["winner_id"], row[f"{sides[0]}_id"]) for one in labels]
    (top, times), *_ = Counter(votes).most_common()
    a, b = _orders(row, chosen_first=chosen_first)
    return Observation(
        judge=asked.judge,
        mode=asked.mode,
        slice=row["source"] or UNNAMED,
        row_id=row["id"],
        cluster=row["prompt_id"],
        human=top if times > len(votes) / 2 else None,
        votes=tuple(votes),
        responses=(row[sides[0]], row[sides[1]]),
        a=a,
        b=b,
        statuses=("ok" if a is not None else None, "ok" if b is not None else None),
        agreement=row["agreement"],
        generators=(row[f"{sides[0]}_model"], row[f"{sides[1]}_model"]),
        own=asked.judge if asked.judge in (row["chosen_model"], row["rejected_model"]) else None,
        constitution=asked.constitution,
        template=asked.template,
    )


def _vote(winner: str | None, first: str) -> Verdict:
    return "tie" if winner is None else "first" if winner == first else "second"


def _orders(row: dict[str, Any], *, chosen_first: bool) -> tuple[float | None, float | None]:
    """Probability of the first response, shown first and shown second; None for an order not asked."""
    first, second = row["p_chosen_first"], row["p_chosen_second"]
    if first is None and second is None:  # a judge of single responses gives one number for the pair
        first = row["p"]
    if chosen_first:
        return first, second
    return (None if second is None else 1.0 - second), (None if first is None else 1.0 - first)


def _asked(store: Store, made: PreferenceSet) -> tuple[Asked, list[str]]:
    """How the set's judge was set, from the pipeline of its job where that is still to be had."""
    bare = Asked(made.judge, f"set@{made.constitution}", None, made.constitution, made.template)
    for stage, constitution in _judges(store, made):
        named = mode_name(stage.judge, constitution)
        return replace(bare, mode=named, setting=setting_of(stage.judge)), []
    note = (
        "the job's pipeline file has gone or changed, so the scorecard names no settings of the judge, and"
        " later sets of the same judge do not find it"
    )
    return bare, [note]


def _judges(store: Store, made: PreferenceSet) -> Iterator[tuple[JudgeStage, Constitution]]:
    """The stage that judged a set, and its constitution."""
    jobs = list(store.read(Job, "id = ?", [made.job_id]))
    documents = list(store.read(Document, "id = ?", [jobs[0].pipeline])) if jobs else []
    for document in documents:
        try:
            told = json.loads(document.text)
            loaded = load_pipeline(Path(told["path"]), told["overrides"])
        except (InputError, OSError, ValueError, KeyError):
            continue
        stages = zip(loaded.pipeline.stages, loaded.constitutions, strict=True)
        constitutions = [held for stage, held in stages if isinstance(stage, JudgeStage) and held is not None]
        for (stage, mode, context), held in zip(loaded.judges, constitutions, strict=True):
            asked = (mode.name, context.constitution, mode.documents[0].id)
            if asked == (made.judge, made.constitution, made.template):
                yield stage, held
