"""What every judge shares: the seam to a model, a pair, a reading, and the asking.

Owns the protocol of a judge, how a reply that holds no verdict is classified, and the two orders of a pair.
Leaves the question and the reading of an answer to ``pairwise`` and ``pointwise``, retry and money
to the client, and everything decided from several judgments to ``preferences``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, Protocol

from rlaif.errors import CallError, InputError
from rlaif.judging.fences import Template
from rlaif.providers.base import Caller, ModelSpec, Reply, Request
from rlaif.records import (
    Axis,
    Judgment,
    JudgmentStatus,
    LabelType,
    Prompt,
    Sample,
    Verdict,
    digest,
    unpairable,
)


@dataclass(frozen=True, slots=True)
class Context:
    """What is judged by, besides the judge itself."""

    axis: Axis
    """The dimension."""
    text: str
    """The constitution as a judge reads it."""
    constitution: str
    """Its digest."""
    principle_id: str | None = None
    """The principle the text is about, when one was drawn for this pair."""
    seed: int = 0
    """Seed of the boundary and, for a judge of one order, of the order."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two samples of one prompt, in the order they are shown."""

    prompt: Prompt
    first: Sample
    second: Sample

    def __post_init__(self) -> None:
        if {self.first.prompt_id, self.second.prompt_id} != {self.prompt.id}:
            raise InputError(
                f"samples of {self.first.prompt_id!r} and {self.second.prompt_id!r} were paired under"
                f" {self.prompt.id!r}; pair samples of one prompt"
            )

    @property
    def swapped(self) -> Pair:
        """The same pair in the other order."""
        return Pair(self.prompt, self.second, self.first)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reply says about one ordered pair."""

    status: JudgmentStatus
    """``ok``, or why there is no verdict."""
    verdict: Verdict | None = None
    """The winning slot."""
    p_first: float | None = None
    """Probability that the first slot wins."""
    mass: float | None = None
    """Probability the labels captured before normalising."""
    reason: str = ""
    """One clause when not ``ok``."""


class Judge(Protocol):
    """One call plus two hooks; both hooks are pure."""

    @property
    def model(self) -> str:
        """Model spec."""
        ...

    @property
    def orders(self) -> Literal["both", "one"]:
        """In how many orders each pair is shown."""
        ...

    @property
    def label_type(self) -> LabelType:
        """How verdicts are read."""
        ...

    @property
    def template(self) -> Template:
        """The question."""
        ...

    def request(self, pair: Pair, context: Context) -> Request:
        """Put the question about a pair in the order given."""
        ...

    def read(self, request: Request, reply: Reply) -> Reading:
        """Read the reply to that question."""
        ...


def verdict_temperature(model: str, asked: float | None) -> float:
    """Temperature of a verdict in text: as configured; else greedy, but 1 where none can be sent.

    Anthropic's Messages API takes no temperature as of version 2026-10-21.
    """
    if asked is not None:
        return asked
    return 1.0 if ModelSpec.parse(model).provider == "anthropic" else 0.0


def silence(reply: Reply) -> tuple[JudgmentStatus, str] | None:
    """Status and reason of a reply that holds no answer whatever its text; None when it may."""
    if reply.refusal or reply.stop_reason == "content_filter":
        return "refused", f"the judge refused ({reply.stop_reason})"
    if reply.stop_reason == "error":
        return "transport_failed", "the provider ended the reply with an error"
    return None


async def judge_pair(caller: Caller, judge: Judge, pair: Pair, context: Context) -> list[Judgment]:
    """Judge a pair in both orders at once, or in one order drawn by digest.

    Returns:
        One judgment an order, failed calls included, in an order that depends on the samples alone;
        nothing for a pair with an empty text or two identical ones.

    Raises:
        BudgetError: the cap leaves no room.
        CallError: a fatal one; any other becomes a judgment with status ``transport_failed``.
    """
    if unpairable(pair.first, pair.second) is not None:
        return []
    settled = pair if pair.first.id < pair.second.id else pair.swapped
    orders = [settled, settled.swapped]
    if judge.orders == "one":
        drawn = digest("or", context.seed, context.axis, settled.first.id, settled.second.id)
        orders = [orders[int(drawn[-1], 16) % 2]]
    asked = (_judge(caller, judge, one, context) for one in orders)
    # Both orders end before an error leaves, so no paid call is left running behind its back.
    settled_calls = await asyncio.gather(*asked, return_exceptions=True)
    return [_raised(one) for one in settled_calls]


def _raised(outcome: Judgment | BaseException) -> Judgment:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def _judge(caller: Caller, judge: Judge, pair: Pair, context: Context) -> Judgment:
    request = judge.request(pair, context)
    try:
        answer = await caller.call(request)
    except CallError as error:
        if error.fatal:
            raise
        failed = Reading("transport_failed", reason=" ".join(str(error).split()))
        return _judgment(judge, pair, context, failed, "")
    return _judgment(judge, pair, context, judge.read(request, answer.reply), answer.key)


def _judgment(judge: Judge, pair: Pair, context: Context, reading: Reading, key: str) -> Judgment:
    return Judgment.make(
        prompt_id=pair.prompt.id,
        axis=context.axis,
        judge=judge.model,
        constitution=context.constitution,
        template=judge.template.digest,
        principle_id=context.principle_id,
        first_id=pair.first.id,
        second_id=pair.second.id,
        label_type=judge.label_type,
        status=reading.status,
        verdict=reading.verdict,
        p_first=reading.p_first,
        mass=reading.mass,
        reason=reading.reason,
        request_key=key,
    )
