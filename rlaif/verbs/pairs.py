"""Judging what one is handed: prompts and responses in, one averaged verdict a pair out.

Owns the step from texts to records and from comparisons back to the caller's order, and the folder the
calls are kept in. Leaves the question to ``judging`` and the averaging to ``preferences``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from rlaif.constitution import Constitution, judge_text, load_constitution
from rlaif.errors import InputError
from rlaif.judging import Context, JudgeConfig, Pair, PairwiseJudge, judge_pair
from rlaif.pipeline import opened
from rlaif.pipeline.models import Models, prices
from rlaif.preferences import ComparisonStatus, combine
from rlaif.providers.base import Caller
from rlaif.providers.budget import Budget
from rlaif.providers.limits import Limits
from rlaif.records import (
    Document,
    Fact,
    Judgment,
    Message,
    Prompt,
    Sample,
    SamplingParams,
    Verdict,
    digest,
    unpairable,
)
from rlaif.settings import Settings
from rlaif.store import Workspace
from rlaif.verbs.waiting import finish, need_budget

JUDGED = "outputs/judged"
"""Folder of calls and judgments made by ``judge`` unless it is told another."""
CHUNK = 256
"""Pairs judged, then committed, at a time."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge said about two responses to one prompt, both orders averaged."""

    row: int
    """Index of the prompt."""
    first: int
    """Index of one response among the prompt's; it comes before ``second``."""
    second: int
    """Index of the other one."""
    p: float | None
    """Probability that the first is better; None where there is no verdict."""
    status: ComparisonStatus | Literal["empty", "identical"]
    """``decided``, ``tie``, ``conflict``, a failure, or why the pair was never put before the judge."""
    consistent: bool | None
    """Whether both orders, each on its own, say the same; None unless both have a verdict."""
    mass: float | None
    """Smaller label mass of the two calls; None for text verdicts."""
    reason: str
    """Why a call gave no verdict; empty when all did."""
    judgment_ids: tuple[str, ...]
    """The judgments, for ``show``."""

    @property
    def verdict(self) -> Verdict | None:
        """``first``, ``second`` or ``tie``; None where nothing was decided, which ``status`` explains."""
        if self.status == "decided" and self.p is not None:
            return "first" if self.p > 0.5 else "second"
        return "tie" if self.status in ("tie", "conflict") else None


def judge(
    prompts: Sequence[str | Prompt],
    responses: Sequence[Sequence[str]],
    *,
    constitution: Constitution | str | Path,
    model: str | JudgeConfig,
    budget: float | None = None,
    allow_unpriced: bool = False,
    store: str | Path = JUDGED,
) -> list[Judged]:
    """Judge every pair of responses to each prompt, in both orders.

    Args:
        prompts: one text, or one ``Prompt``, a row.
        responses: two or more texts a row, aligned with the prompts.
        constitution: what to judge by, or the file it is in.
        model: model spec of the judge, or a ``JudgeConfig`` for text verdicts and other knobs.
        budget: most USD this call may spend; needed when the judge costs anything.
        allow_unpriced: call a model whose price is unknown; no cap can hold then.
        store: output folder whose journal keeps the calls; what it holds is not bought again.

    Returns:
        One entry a pair, by row, then by first, then by second response.

    Raises:
        InputError: rows that do not fit together, an unusable model, or a judge that costs and no budget.
        UnpricedError: no price is known for the model.
        BudgetError: the budget leaves no room for the next call; what was answered is kept.
        CallError: no call to this model can succeed, e.g. because of a wrong key.
        StoreError: another process uses the folder.
    """
    return finish(
        judge_async(
            prompts,
            responses,
            constitution=constitution,
            model=model,
            budget=budget,
            allow_unpriced=allow_unpriced,
            store=store,
        )
    )


async def judge_async(
    prompts: Sequence[str | Prompt],
    responses: Sequence[Sequence[str]],
    *,
    constitution: Constitution | str | Path,
    model: str | JudgeConfig,
    budget: float | None = None,
    allow_unpriced: bool = False,
    store: str | Path = JUDGED,
) -> list[Judged]:
    """Judge as ``judge`` does, from a coroutine."""
    judged = PairwiseJudge.build(JudgeConfig(model=model) if isinstance(model, str) else model)
    words = constitution if isinstance(constitution, Constitution) else load_constitution(constitution)
    rows = _rows(prompts, responses)
    settings = Settings.load()
    priced = prices([judged.model], settings, allow_unpriced=allow_unpriced)
    price = priced[judged.model]
    if price is not None and (price.input or price.output):
        need_budget(budget, f"{judged.model!r} costs ${price.input:g} and ${price.output:g} a million tokens")
    context = Context(words.axis, judge_text(words), words.digest)
    job_id = digest("judge", judged.config, words.digest)
    async with opened(Path(store)) as workspace:
        models = Models(
            settings,
            workspace.journal,
            job_id=job_id,
            budget=Budget(budget, resume="judge(..., budget=USD)"),
            limits=Limits(),
            prices=priced,
        )
        try:
            desk = _Desk(models.client(judged.model), judged, context, workspace, job_id)
            await desk.describe(rows, [words.document(), judged.template.document])
            return await desk.compare(rows)
        finally:
            await models.close()


@dataclass(frozen=True, slots=True)
class _Row:
    """A prompt and its responses as records."""

    prompt: Prompt
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where pairs are put before one judge and what it says is kept."""

    client: Caller
    judge: PairwiseJudge
    context: Context
    workspace: Workspace
    job_id: str

    async def describe(self, rows: Sequence[_Row], documents: Sequence[Document]) -> None:
        """Keep what the judgments will refer to."""
        held: list[Fact] = [*documents, *(one.prompt for one in rows)]
        held += [sample for one in rows for sample in one.samples]
        await self._keep(held)

    async def compare(self, rows: Sequence[_Row]) -> list[Judged]:
        """Judge every pair, some at a time, each part kept before the next begins."""
        asked = [
            (row, first, second)
            for row, one in enumerate(rows)
            for first, second in combinations(range(len(one.samples)), 2)
        ]
        found: list[Judged] = []
        for at in range(0, len(asked), CHUNK):
            part = asked[at : at + CHUNK]
            pairs = [
                Pair(rows[row].prompt, rows[row].samples[first], rows[row].samples[second])
                for row, first, second in part
            ]
            said = await self._part(pairs)
            found += map(self._judged, part, pairs, said)
        return found

    async def _part(self, pairs: Sequence[Pair]) -> list[list[Judgment]]:
        calls = (judge_pair(self.client, self.judge, one, self.context) for one in pairs)
        # All calls end before an error leaves: what was asked is paid for.
        ended = await asyncio.gather(*calls, return_exceptions=True)
        made = [one for one in ended if not isinstance(one, BaseException)]
        kept = [one for both in made for one in both if one.status != "transport_failed"]
        await self._keep(kept)
        for one in ended:
            if isinstance(one, BaseException):
                raise one
        return made

    async def _keep(self, records: Sequence[Fact]) -> None:
        """Commit what is not in the store yet: asking again leaves the journal as it is."""
        fresh = {one.id: one for one in records}
        for model in {type(one) for one in records}:
            for held in self.workspace.store.read(model, "id IN (SELECT unnest(?))", [list(fresh)]):
                del fresh[held.id]
        if fresh:
            await self.workspace.commit(list(fresh.values()), job_id=self.job_id)

    def _judged(self, place: tuple[int, int, int], pair: Pair, said: Sequence[Judgment]) -> Judged:
        why = unpairable(pair.first, pair.second)
        if why is not None:
            return Judged(*place, p=None, status=why, consistent=None, mass=None, reason="", judgment_ids=())
        found = combine(said, both_orders=self.judge.orders == "both")
        seen_from_first = found.a_id == pair.first.id
        return Judged(
            *place,
            p=found.p if found.p is None or seen_from_first else 1.0 - found.p,
            status=found.status,
            consistent=found.consistent,
            mass=found.mass,
            reason=next((one.reason for one in said if one.reason), ""),
            judgment_ids=found.judgment_ids,
        )


def _rows(prompts: Sequence[str | Prompt], responses: Sequence[Sequence[str]]) -> list[_Row]:
    if isinstance(prompts, str) or len(prompts) != len(responses):
        count = "one text" if isinstance(prompts, str) else f"{len(prompts)} prompts"
        raise InputError(
            f"found {count} and {len(responses)} rows of responses; give a list of prompts and, for each,"
            " a list of its responses"
        )
    return [_row(*one) for one in enumerate(zip(prompts, responses, strict=True))]


def _row(row: int, given: tuple[str | Prompt, Sequence[str]]) -> _Row:
    prompt, texts = given
    if isinstance(texts, str) or len(texts) < 2:
        raise InputError(
            f"found {texts!r}; a row needs two or more responses to compare", field=f"responses.{row}"
        )
    if isinstance(prompt, str):
        if not prompt.strip():
            raise InputError(f"found {prompt!r}; the prompt is empty", field=f"prompts.{row}")
        prompt = Prompt.make((Message(role="user", content=prompt),))
    for field, one, kind in (("prompts", prompt, Prompt), *(("responses", text, str) for text in texts)):
        if not isinstance(one, kind):
            raise InputError(
                f"found {one!r}; a prompt is text or a Prompt, and a response is text", field=f"{field}.{row}"
            )
    return _Row(prompt, tuple(_sample(prompt, index, text) for index, text in enumerate(texts)))


def _sample(prompt: Prompt, index: int, text: str) -> Sample:
    """A response that was handed in: no model of ours drew it, and no call."""
    return Sample.make(
        prompt_id=prompt.id,
        model="given",
        params=SamplingParams(),
        index=index,
        response=text,
        stop_reason="stop",
        request_key="",
    )
