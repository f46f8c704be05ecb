"""Judging what one is handed: prompts and responses in, one averaged verdict a pair out.

Owns the step from texts to records and from comparisons back to the caller's order. Leaves the asking
to ``authoring.desk``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from rlaif.authoring.desk import JUDGED, Terms, open_desk, seen_from_first
from rlaif.constitution import Constitution, load_constitution
from rlaif.errors import InputError
from rlaif.judging import AnyJudge, JudgeConfig, Pair
from rlaif.preferences import Comparison, ComparisonStatus
from rlaif.records import Message, Prompt, Sample, SamplingParams, Verdict, unpairable
from rlaif.verbs.waiting import finish


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
    model: str | AnyJudge,
    budget: float | None = None,
    allow_unpriced: bool = False,
    store: str | Path = JUDGED,
) -> list[Judged]:
    """Judge every pair of responses to each prompt, in both orders.

    Args:
        prompts: one text, or one ``Prompt``, a row.
        responses: two or more texts a row, aligned with the prompts.
        constitution: what to judge by, or the file it is in.
        model: model spec of a pairwise judge, or the config of any kind of judge.
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
    model: str | AnyJudge,
    budget: float | None = None,
    allow_unpriced: bool = False,
    store: str | Path = JUDGED,
) -> list[Judged]:
    """Judge as ``judge`` does, from a coroutine."""
    judge = JudgeConfig(model=model) if isinstance(model, str) else model
    words = constitution if isinstance(constitution, Constitution) else load_constitution(constitution)
    places = list(pairs_of(prompts, responses))
    pairs = [pair for _, pair in places]
    terms = Terms(budget, allow_unpriced, Path(store), knob="budget=USD")
    async with open_desk(judge, terms) as desk:
        said = await desk.judge(words, pairs)
    return [
        _judged(place, pair, comparison, reason)
        for (place, pair), comparison, reason in zip(places, said.comparisons, said.reasons, strict=True)
    ]


def _judged(place: tuple[int, int, int], pair: Pair, comparison: Comparison | None, reason: str) -> Judged:
    if comparison is None:
        why = unpairable(pair.first, pair.second)
        assert why is not None  # every other pair is compared
        return Judged(*place, p=None, status=why, consistent=None, mass=None, reason="", judgment_ids=())
    found = seen_from_first(comparison, pair)
    return Judged(
        *place,
        p=found.p,
        status=found.status,
        consistent=found.consistent,
        mass=found.mass,
        reason=reason,
        judgment_ids=found.judgment_ids,
    )


def pairs_of(
    prompts: Sequence[str | Prompt], responses: Sequence[Sequence[str]]
) -> Iterator[tuple[tuple[int, int, int], Pair]]:
    """Every pair of responses with the indices of its row, its first and its second response.

    Raises:
        InputError: rows that do not fit together.
    """
    for row, one in enumerate(_rows(prompts, responses)):
        for first, second in combinations(range(len(one.samples)), 2):
            yield (row, first, second), Pair(one.prompt, one.samples[first], one.samples[second])


@dataclass(frozen=True, slots=True)
class _Row:
    """A prompt and its responses as records."""

    prompt: Prompt
    samples: tuple[Sample, ...]


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
