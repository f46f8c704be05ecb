"""What responses are worth to a proxy and to the truth, as callables that trainers and samplers take.

Owns the step from a sweep's file to two scores. Leaves the worlds' numbers to ``worlds`` and the reading of
reward models to ``training.scoring``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache

from rlaif.lab.config import Bonus, Control, Gold, Sweeping
from rlaif.lab.worlds import World
from rlaif.symptoms import found
from rlaif.training.encoding import Text
from rlaif.training.scoring import RewardModel

Worth = Callable[[str, str], float]
"""Of a prompt and a response."""


class ByText:
    """A score that is a function of prompt and response; trainers take it as it stands.

    Args:
        digest: what tells its numbers from those of another.
        worth: the function.
    """

    def __init__(self, digest: str, worth: Worth) -> None:
        self.digest = digest
        self.worth = worth

    def __call__(self, prompts: Sequence[Text], texts: Sequence[str]) -> list[float | None]:
        """Return one number a response."""
        return [self.worth(asked(prompt), text) for prompt, text in zip(prompts, texts, strict=True)]


@lru_cache(1 << 14)
def shown(text: str, prompt: str) -> frozenset[str]:
    """Name the symptoms of a response; a proxy and the figures of a point ask about the same ones."""
    return found(text, prompt)


def asked(prompt: Text) -> str:
    """Return what a prompt asks: the text, or its last turn."""
    return prompt if isinstance(prompt, str) else prompt[-1].content


def gold_of(sweeping: Sweeping, world: World) -> ByText:
    """The truth of a world of texts."""
    return ByText(f"gold {world.name} {sweeping.seed}", world.gold)


def proxy_of(sweeping: Sweeping, world: World) -> ByText | RewardModel:
    """What is optimised in a world of texts, spoiled where the sweep is a control."""
    proxy = sweeping.proxy
    if isinstance(proxy, RewardModel):
        return proxy
    if isinstance(proxy, Gold):
        worth = world.gold
    else:
        worth = _rewarded(world, proxy) if isinstance(proxy, Bonus) else world.proxy
    name = f"{sweeping.control} {proxy!r} {world.name} {sweeping.seed}"
    return ByText(name, _spoiled(sweeping.control, sweeping.seed, worth))


def _spoiled(control: Control, seed: int, worth: Worth) -> Worth:
    """What a control makes of a score; noise is a function of prompt and response, as any score is."""
    match control:
        case "flip":
            return lambda prompt, text: -worth(prompt, text)
        case "shuffle":
            return lambda prompt, text: random.Random(f"{seed}:{prompt}:{text}").random()  # noqa: S311
        case "constant":
            return lambda prompt, text: 0.0
    return worth


def _rewarded(world: World, bonus: Bonus) -> Worth:
    def worth(prompt: str, text: str) -> float:
        return world.gold(prompt, text) + bonus.size * (bonus.symptom in shown(text, prompt))

    return worth
