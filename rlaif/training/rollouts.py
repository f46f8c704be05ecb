"""Responses drawn from the policy as it is now, and how likely they were.

Owns the draw, its seeds, and the pass that weighs what was drawn. Leaves decoding to ``generation`` and
what the responses are worth to ``scoring``.

A response is drawn token by token in the engine and weighed again by the pass that trains on it: ratios are
taken between numbers of one computation, so that they are 1 until something has trained. How far the
engine's own numbers are off is a figure to watch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING

from pydantic import Field

from rlaif.generation import Drawn, Engine, SampleRequest
from rlaif.records import Record, SamplingParams
from rlaif.training.data import Asked
from rlaif.training.packing import Group, pack, parts
from rlaif.training.values import ActorCritic, Reading, Reference

if TYPE_CHECKING:
    from torch import Tensor


class Draw(Record):
    """How responses are drawn. There is no nucleus: ratios are those of whole distributions."""

    samples: int = Field(default=4, ge=1)
    """Responses to each prompt, which is read once for all of them."""
    temperature: float = Field(default=1.0, gt=0.0, le=2.0)
    """Of the softmax, in drawing and wherever log-probabilities are compared."""
    max_tokens: int = Field(default=128, ge=1)
    """Most tokens of a response; one that gets there is cut."""
    stop: tuple[str, ...] = ()
    """Strings that end a response as an end token does."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A prompt with the responses drawn to it."""

    asked: Asked
    """The prompt."""
    group: Group
    """The same with the responses, as drawn."""
    texts: tuple[str, ...]
    """The responses as text, without what ended them."""
    cut: tuple[bool, ...]
    """Whether a response ran into the most tokens it may have."""
    drawn: tuple[tuple[float, ...], ...]
    """Log-probabilities of each response's tokens, as the engine computed them."""

    def only(self, wanted: Sequence[bool]) -> Rollout:
        """Keep some of the responses."""
        return Rollout(
            self.asked,
            Group(self.group.prompt, tuple(compress(self.group.responses, wanted))),
            tuple(compress(self.texts, wanted)),
            tuple(compress(self.cut, wanted)),
            tuple(compress(self.drawn, wanted)),
        )


def draw(
    engine: Engine, prompts: Sequence[Asked], how: Draw, seed: str, places: Sequence[int] | None = None
) -> list[Rollout]:
    """Draw responses to some prompts.

    Args:
        engine: over the policy; what it remembers of earlier weights is forgotten first.
        prompts: what to respond to.
        how: number and knobs.
        seed: names the draw; with the prompt's place it gives every response a seed of its own.
        places: of the prompts to respond to; all when None. What the others would get does not matter.

    Raises:
        InputError: a prompt fills the model's context.
    """
    engine.forget()
    wanted = range(len(prompts)) if places is None else places
    requests = [
        SampleRequest(prompts[place].group.prompt, _params(how, f"{seed}:{place}:{number}"))
        for place in wanted
        for number in range(how.samples)
    ]
    found = dict(engine.sample(requests))
    return [
        _gathered(prompts[place], [found[at * how.samples + number] for number in range(how.samples)])
        for at, place in enumerate(wanted)
    ]


def weigh(
    actor: ActorCritic,
    reference: Reference,
    rollouts: Sequence[Rollout],
    temperature: float,
    part_tokens: int,
) -> tuple[Reading, Tensor]:
    """Read drawn responses by the policy and by the reference; call it without gradient, by trees.

    Returns:
        What the policy's pass tells of every token, and the reference's log-probabilities, ``(N,)``.
    """
    import torch

    groups = [one.group for one in rollouts]
    readings, known = list[Reading](), []
    for part in parts(groups, part_tokens):
        packed = pack(groups[at] for at in part).to(actor.policy.model.device)
        readings.append(actor.read(packed, temperature, entropy=True))
        known.append(reference.logprobs(packed, temperature))
    return Reading.joined(readings), torch.cat(known)


def _params(how: Draw, name: str) -> SamplingParams:
    own = random.Random(name).getrandbits(63)  # noqa: S311  # no secret
    return SamplingParams(temperature=how.temperature, max_tokens=how.max_tokens, stop=how.stop, seed=own)


def _gathered(asked: Asked, drawn: Sequence[Drawn]) -> Rollout:
    return Rollout(
        asked,
        Group(asked.group.prompt, tuple(one.tokens for one in drawn)),
        tuple(one.text for one in drawn),
        tuple(one.stop_reason == "max_tokens" for one in drawn),
        tuple(one.logprobs for one in drawn),
    )
