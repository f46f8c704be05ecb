"""One round of evidence: responses drawn, scored and weighed, with all figures of them.

Owns the order of the three, what happens to a response nobody could score, and what each of several processes
does of it. Leaves each to its module, and learning from them to ``ppo``.

Each process draws to, scores and weighs its share of the prompts, and is told what the others found: from
there on all of them hold the same evidence, as one process would.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlaif.errors import JobError
from rlaif.generation import Engine
from rlaif.training import gauges
from rlaif.training.data import Asked
from rlaif.training.loop import Run
from rlaif.training.rollouts import Draw, Rollout, draw, weigh
from rlaif.training.scoring import Scores
from rlaif.training.values import ActorCritic, Reading, Reference

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Explored:
    """Responses that were scored, with what is known of them; R of them, N tokens in all."""

    rollouts: tuple[Rollout, ...]
    """Prompts with at least one scored response."""
    scores: Tensor
    """``(R,)``, float32."""
    reading: Reading
    """What the policy and the value function made of every token."""
    known: Tensor
    """Log-probability of every token under the reference, ``(N,)``."""

    @property
    def lengths(self) -> Tensor:
        """Tokens of each response, ``(R,)``."""
        found = [len(ids) for one in self.rollouts for ids in one.group.responses]
        return self.known.new_tensor(found).long()

    @property
    def cut(self) -> Tensor:
        """Whether each response ran into the most tokens it may have, boolean, ``(R,)``."""
        return self.known.new_tensor([one for rollout in self.rollouts for one in rollout.cut]).bool()


@dataclass(frozen=True, slots=True)
class Explorer:
    """Draws from the policy as it is now."""

    run: Run
    """Whose models these are."""
    how: Draw
    """Number and knobs of the draw."""
    engine: Engine
    """Over the policy."""
    ends: frozenset[int]
    """Tokens that end a response."""
    actor: ActorCritic
    """Policy and value function."""
    reference: Reference
    """What KL is measured from."""
    scores: Scores
    """Gives every response a number."""
    gold: Scores | None
    """A second opinion, for figures alone."""

    def explore(self, prompts: Sequence[Asked], seed: str) -> tuple[Explored, dict[str, float]]:
        """Draw responses to some prompts, score and weigh them.

        Args:
            prompts: what to respond to.
            seed: names the draw.

        Returns:
            The scored ones, and figures: those of ``gauges``, ``gold`` where asked for, and seconds.

        Raises:
            JobError: none of them could be scored.
        """
        times = [time.perf_counter()]
        processes = self.run.processes
        places = processes.mine(range(len(prompts)))
        with self.run.assembled():
            share = draw(self.engine, prompts, self.how, seed, places)
        drawn = processes.gathered(share)
        times.append(time.perf_counter())
        scores = self.scores(drawn)
        known = [one for one in scores if one is not None]
        if not known:
            raise JobError(f"none of {len(scores)} responses could be scored; look at what scores them")
        kept = _scored(drawn, scores)
        times.append(time.perf_counter())
        explored = self._weighed(kept, known)
        times.append(time.perf_counter())
        figures = gauges.of_scores(scores) | gauges.of_texts(kept, self.ends) | self._second(kept)
        figures |= gauges.of_reading(explored.reading, explored.known, kept)
        steps = zip(("draw", "score", "weigh"), times, times[1:], strict=False)
        return explored, figures | {f"seconds_{name}": end - start for name, start, end in steps}

    def _weighed(self, rollouts: Sequence[Rollout], scores: Sequence[float]) -> Explored:
        import torch

        config, processes = self.run.config, self.run.processes
        mine = processes.mine(rollouts)
        found: list[tuple[Reading, Tensor]] = []
        with self.run.assembled(), self.run.evaluating():  # all of them, whoever has nothing to do
            if mine:
                both = weigh(self.actor, self.reference, mine, self.how.temperature, config.part_tokens)
                found = _by_prompt(*both, mine)
        readings, known = zip(*processes.gathered(found), strict=True)
        device = self.actor.policy.model.device
        reading, whole = Reading.joined(readings).to(device), torch.cat(known).to(device)
        return Explored(tuple(rollouts), whole.new_tensor(scores), reading, whole)

    def _second(self, rollouts: Sequence[Rollout]) -> dict[str, float]:
        if self.gold is None:
            return {}
        left = iter(self.gold(rollouts))
        return gauges.of_gold([[next(left) for _ in one.texts] for one in rollouts])


def _by_prompt(reading: Reading, known: Tensor, rollouts: Sequence[Rollout]) -> list[tuple[Reading, Tensor]]:
    """Cut what is known of all tokens into what is known of each prompt's, on the CPU."""
    assert reading.entropy is not None
    sizes = [sum(map(len, one.group.responses)) for one in rollouts]
    whole = (reading.logprobs, reading.entropy, reading.values, known)
    columns = (one.cpu().split(sizes) for one in whole)  # type: ignore[no-untyped-call]
    return [(Reading(*some), last) for *some, last in zip(*columns, strict=True)]


def _scored(drawn: Sequence[Rollout], scores: Sequence[float | None]) -> list[Rollout]:
    """Leave out responses without a score, and prompts without a response."""
    left = iter(scores)
    some = [one.only([next(left) is not None for _ in one.texts]) for one in drawn]
    return [one for one in some if one.texts]
