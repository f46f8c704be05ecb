"""Drawing responses: which draws a set of prompts and policies asks for, and one draw.

Owns the plan and the seed of each draw. Leaves calling to the client, storage to the job, and which
samples are compared to ``judging``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field

from rlaif.errors import CallError
from rlaif.providers.base import Caller, ModelSpec, Request
from rlaif.records import Prompt, Record, Sample, SamplingParams, digest


class Policy(Record):
    """A model and its knobs, drawn from ``k`` times a prompt."""

    model: str
    """Model spec, e.g. ``local:smollm2-135m-instruct``."""
    params: SamplingParams = SamplingParams()
    """Knobs; each draw gets its own seed, derived from the pipeline's, in place of ``params.seed``."""
    k: int = Field(default=2, ge=1, le=1024)
    """Draws a prompt."""


@dataclass(frozen=True, slots=True)
class SampleTask:
    """One draw that is asked for."""

    prompt: Prompt
    policy: Policy
    index: int
    """Which of the policy's ``k`` draws."""
    params: SamplingParams
    """The policy's knobs with the seed of this draw."""


def sample_tasks(prompts: Iterable[Prompt], policies: Sequence[Policy], seed: int) -> Iterator[SampleTask]:
    """Plan every draw, prompt by prompt."""
    for prompt in prompts:
        for policy in policies:
            for index in range(policy.k):
                yield SampleTask(prompt, policy, index, seeded(prompt, policy, index, seed))


def seeded(prompt: Prompt, policy: Policy, index: int, seed: int) -> SamplingParams:
    """Knobs of one draw, its seed a digest of what is drawn: no draw depends on how many came before."""
    drawn = digest("se", seed, prompt.id, policy.model, index)
    return policy.params.model_copy(update={"seed": int(drawn.removeprefix("se_")[:15], 16)})


async def draw(caller: Caller, prompt: Prompt, policy: Policy, index: int, seed: int) -> Sample:
    """Draw one response. An empty one is a sample too; it takes part in no pair.

    Raises:
        CallError: the call was given up, or the provider ended the response with an error.
        BudgetError: the cap leaves no room for it.
    """
    params = seeded(prompt, policy, index, seed)
    model = ModelSpec.parse(policy.model).model
    answer = await caller.call(Request(model, prompt.messages, params, sample_index=index))
    reply = answer.reply
    if reply.stop_reason == "error":
        raise CallError(f"{policy.model!r} ended a response with an error", retry="no", billed=True)
    return Sample.make(
        prompt_id=prompt.id,
        model=policy.model,
        params=params,
        index=index,
        response=reply.text,
        stop_reason=reply.stop_reason,
        output_tokens=reply.usage.output_tokens,
        request_key=answer.key,
    )
