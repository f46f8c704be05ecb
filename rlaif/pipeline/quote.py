"""What a pipeline will ask for and may cost, before anything is sent.

Owns the count of calls (exact but for pairs that turn out identical or empty) and the most they can
cost. Leaves rates to ``providers.prices``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rlaif.constitution import Constitution, judge_text
from rlaif.errors import InputError
from rlaif.judging import JudgeConfig
from rlaif.pipeline.config import JudgeStage, Loaded, SampleStage
from rlaif.pipeline.models import prices
from rlaif.pipeline.stages import model_specs
from rlaif.providers.prices import Price, worst_case
from rlaif.records import Prompt, Usage
from rlaif.settings import Settings

BYTES_A_TOKEN = 4
"""Rule of thumb for English text under byte-pair encodings; used for the estimate, not for the cap."""
QUESTION_TOKENS = 150
"""Allowance for a judge template's own words and fences."""


@dataclass(frozen=True, slots=True)
class Line:
    """One stage's calls to one model."""

    stage: str
    model: str
    calls: int
    input_tokens: int
    """Estimate."""
    output_tokens: int
    """At most."""
    usd: float | None
    """At most, with the estimated input; None where no price is known."""


def quote(loaded: Loaded, settings: Settings, *, allow_unpriced: bool) -> list[Line]:
    """Count a pipeline's calls and price them.

    Raises:
        InputError: prompts or models are not usable.
        UnpricedError: a model has no known price and ``allow_unpriced`` is off.
    """
    prompts = loaded.read_prompts().prompts
    priced = prices(model_specs(loaded), settings, allow_unpriced=allow_unpriced)
    sampling = next((one for one in loaded.pipeline.stages if isinstance(one, SampleStage)), None)
    if sampling is None:
        raise InputError("nothing to count: the pipeline has no 'sample' stage", path=loaded.path)
    lines = _sampling(sampling, prompts, priced)
    for stage, constitution in zip(loaded.pipeline.stages, loaded.constitutions, strict=True):
        if isinstance(stage, JudgeStage) and constitution is not None:
            lines.append(_judging(stage, constitution, sampling, prompts, priced[stage.judge.model]))
    return lines


def _sampling(stage: SampleStage, prompts: list[Prompt], priced: dict[str, Price | None]) -> list[Line]:
    asked = sum(_tokens(one) for one in prompts)
    return [
        _line(
            "sample",
            policy.model,
            calls=len(prompts) * policy.k,
            usage=Usage(
                input_tokens=asked * policy.k,
                output_tokens=len(prompts) * policy.k * policy.params.max_tokens,
            ),
            price=priced[policy.model],
        )
        for policy in stage.policies
    ]


def _judging(
    stage: JudgeStage,
    constitution: Constitution,
    sampling: SampleStage,
    prompts: list[Prompt],
    price: Price | None,
) -> Line:
    drawn = sum(policy.k for policy in sampling.policies)
    length = sum(policy.k * policy.params.max_tokens for policy in sampling.policies) // drawn
    if isinstance(stage.judge, JudgeConfig):
        each, shown = math.comb(drawn, 2) * (2 if stage.judge.orders == "both" else 1), 2
    else:
        each, shown = drawn, 1
    fixed = len(judge_text(constitution)) // BYTES_A_TOKEN + QUESTION_TOKENS + shown * length
    calls = len(prompts) * each
    usage = Usage(
        input_tokens=calls * fixed + each * sum(_tokens(one) for one in prompts),
        output_tokens=calls * (1 if stage.judge.verdict == "labels" else stage.judge.max_tokens),
    )
    return _line(f"judge {constitution.axis}", stage.judge.model, calls=calls, usage=usage, price=price)


def _tokens(prompt: Prompt) -> int:
    return sum(len(turn.content.encode()) for turn in prompt.messages) // BYTES_A_TOKEN + 8


def _line(stage: str, model: str, *, calls: int, usage: Usage, price: Price | None) -> Line:
    each = Usage(
        input_tokens=usage.input_tokens // max(calls, 1), output_tokens=usage.output_tokens // max(calls, 1)
    )
    usd = None if price is None else calls * worst_case(price, each)
    return Line(stage, model, calls, usage.input_tokens, usage.output_tokens, usd)
