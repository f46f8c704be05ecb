"""Judgments on demand: one prompt, its responses and a constitution in, a verdict a pair out.

Owns the shape of a request and a verdict. Leaves asking to ``authoring.desk``, which asks in both orders and
buys nothing that the journal holds.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from rlaif.authoring import parse_judge
from rlaif.authoring.desk import seen_from_first
from rlaif.errors import InputError
from rlaif.judging import AnyJudge, Pair, build
from rlaif.preferences import Comparison, ComparisonStatus
from rlaif.records import Message, Prompt, Record, Verdict, unpairable
from rlaif.service import library
from rlaif.service.allowed import refuse_models
from rlaif.service.problems import Fault, Problem
from rlaif.service.routes import Call, Route
from rlaif.service.submitting import refuse_files
from rlaif.verbs.pairs import pairs_of

Text = Annotated[str, StringConstraints(max_length=200_000)]


class JudgmentRequest(Record):
    """Responses to be compared."""

    prompt: Text | Annotated[tuple[Message, ...], Field(min_length=1, max_length=1_000)]
    """The prompt: a text, or a conversation that ends in the user's turn."""
    responses: tuple[Text, ...] = Field(min_length=2, max_length=16)
    """What to compare, every one with every other."""
    constitution: str = Field(min_length=1, max_length=100)
    """Name, or version, of a constitution of the library."""
    judge: Text | AnyJudge
    """Who judges: a model spec, with settings as ``key=value`` after it; or a judge as in a pipeline."""
    budget: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """Most USD this request may spend; needed when the judge costs anything."""


class PairVerdict(Record):
    """What the judge said about two of the responses, both orders averaged."""

    first: int
    """Index of one response; it comes before ``second``."""
    second: int
    """Index of the other."""
    verdict: Verdict | None
    """The better one; None where nothing was decided, which ``status`` explains."""
    status: ComparisonStatus | Literal["empty", "identical"]
    """``decided``, ``tie``, ``conflict``, a failure, or why the pair was never put before the judge."""
    p: float | None
    """Probability that ``first`` is better."""
    p_shown_first: float | None
    """The same where ``first`` was shown first."""
    p_shown_second: float | None
    """The same where ``first`` was shown second."""
    consistent: bool | None
    """Whether both orders say the same; None unless both have a verdict."""
    mass: float | None
    """Smaller label mass of the calls; None for text verdicts."""
    reason: str
    """Why a call gave no verdict; empty when all did."""
    judgment_ids: tuple[str, ...]
    """The judgments."""


class Verdicts(Record):
    """What the judge said."""

    object: Literal["judgment"] = "judgment"
    """What this is."""
    judge: str
    """Name of the judge."""
    constitution: str
    """Digest of what it was shown."""
    data: tuple[PairVerdict, ...]
    """One a pair of responses."""
    calls: int
    """Calls asked for."""
    cached: int
    """Calls answered from the journal."""
    spent: float
    """USD of what was bought now."""


async def judge(call: Call) -> Verdicts:
    """Compare responses."""
    request, service = call.body(JudgmentRequest), call.service
    config = judge_of(request.judge, "body.judge")
    refuse_models(service.settings, build(config).models, "body.judge")
    words = await service.look(lambda: library.find(service, request.constitution))
    places = list(pairs_of([_prompt(request)], [request.responses]))
    async with service.desks.open(config, request.budget) as desk:
        said = await desk.judge(words, [pair for _, pair in places])
    found = zip(places, said.comparisons, said.reasons, strict=True)
    return Verdicts(
        judge=desk.mode.name,
        constitution=words.digest,
        data=tuple(_verdict(place, pair, one, reason) for (place, pair), one, reason in found),
        calls=said.bill.calls,
        cached=said.bill.reused,
        spent=said.bill.spent,
    )


def judge_of(given: str | AnyJudge, field: str) -> AnyJudge:
    """Read a judge a caller names; one that names a file of the server is refused.

    Raises:
        Problem: 422, naming the setting.
    """
    try:
        config = parse_judge(given) if isinstance(given, str) else given
        refuse_files(config.model_dump(mode="json"), field)
        build(config)
    except InputError as error:
        raise Problem(422, f"{field}: {error.message}", [Fault(field=field, message=error.message)]) from None
    return config


def _prompt(request: JudgmentRequest) -> str | Prompt:
    if isinstance(request.prompt, str):
        return request.prompt
    if request.prompt[-1].role != "user" or not request.prompt[-1].content.strip():
        said = "the conversation ends in no words of the user; leave out what comes after them"
        raise Problem(422, f"body.prompt: {said}", [Fault(field="body.prompt", message=said)])
    return Prompt.make(request.prompt)


def _verdict(
    place: tuple[int, int, int], pair: Pair, comparison: Comparison | None, reason: str
) -> PairVerdict:
    _, first, second = place
    if comparison is None:
        status = unpairable(pair.first, pair.second)
        assert status is not None  # every other pair is compared
        return PairVerdict(
            first=first, second=second, verdict=None, status=status, p=None, p_shown_first=None,
            p_shown_second=None, consistent=None, mass=None, reason="", judgment_ids=(),
        )  # fmt: skip
    found = seen_from_first(comparison, pair)
    return PairVerdict(
        first=first, second=second, verdict=_better(found), status=found.status, p=found.p,
        p_shown_first=found.p_ab, p_shown_second=found.p_ba, consistent=found.consistent, mass=found.mass,
        reason=reason, judgment_ids=found.judgment_ids,
    )  # fmt: skip


def _better(found: Comparison) -> Verdict | None:
    if found.status == "decided" and found.p is not None:
        return "first" if found.p > 0.5 else "second"
    return "tie" if found.status in ("tie", "conflict") else None


ROUTES: Final = (
    Route(
        method="POST", path="/v1/judgments", scope="run", handler=judge, body=JudgmentRequest, reply=Verdicts,
        upload=2**24, summary="Compare two or more responses to one prompt, in both orders",
    ),
)  # fmt: skip
