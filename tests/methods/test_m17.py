"""M17, the curve: policies of falling beta in GW2, each the exact optimum of its proxy; nothing is noise.

A policy chooses among the texts of a menu, by how many of the prompt's nouns they use and how long they are.
Prompts differ in what the policy begins with.
"""

import numpy as np
import pytest

from rlaif.lab import World
from rlaif.lab.curve import Curve, Point, drawn_up
from rlaif.lab.worlds import named

PROMPTS, BETAS = 60, (4.0, 2.0, 1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1)
LENGTHS = range(5, 125, 5)
WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrs"]
"""125 different words that say nothing."""


def menu(prompt: str) -> list[str]:
    """Texts of all lengths with none to all three of the nouns: 96."""
    nouns = named(prompt)
    return [" ".join((nouns[:used] + WORDS)[:long]) for used in range(4) for long in LENGTHS]


def begins(stream: np.random.Generator) -> np.ndarray:
    """log pi of each text where the policy begins: short ones mostly, with few nouns."""
    used = np.log(stream.dirichlet([3.0, 4.0, 2.0, 1.0]))
    lengths = -np.array(LENGTHS) / stream.uniform(5.0, 8.0)
    logits = (used[:, None] + lengths[None, :]).ravel()
    return logits - np.log(np.exp(logits).sum())


def curve(seed: int, *, proxy_is_gold: bool = False) -> Curve:
    """Sweep beta; every figure is an expectation, one a prompt."""
    world, stream = World.drawn("exploit", seed), np.random.default_rng(seed)
    prompts = [world.prompt(at) for at in range(PROMPTS)]
    gold, paid = (
        np.array([[score(prompt, text) for text in menu(prompt)] for prompt in prompts])
        for score in (world.gold, world.gold if proxy_is_gold else world.proxy)
    )
    reference = np.stack([begins(stream) for _ in prompts])

    def point(name: str, beta: float | None) -> Point:
        logits = reference if beta is None else reference + paid / beta
        logp = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        p = np.exp(logp)
        return Point(
            name=name, setting=beta, kl=float((p * (logp - reference)).sum(1).mean()), length=0.0,
            proxy=tuple((p * paid).sum(1)), gold=tuple((p * gold).sum(1)), responses=PROMPTS,
        )  # fmt: skip

    return drawn_up("gw2", {}, point("start", None), [point(f"beta = {beta}", beta) for beta in BETAS])


def test_the_proxy_rises_and_gold_turns_inside(seed: int) -> None:
    found = curve(seed)
    assert found.proxy_rises >= 0.9
    gold = [one.mean("gold").mean for one in found.points]
    best = found.points[int(np.argmax(gold))]
    assert best.gain(found.points[0]).clear  # by more than two standard errors
    assert best.gain(found.points[-1]).clear
    assert found.choice.interior
    [chosen] = [one for one in found.points if one.name == found.choice.point]
    assert chosen is not found.points[-1]
    assert not best.gain(chosen).clear  # the held-out prompts see no clear difference to the best
    assert found.points[-1].mean("proxy").mean == max(one.mean("proxy").mean for one in found.points)


def test_where_the_proxy_is_gold_nothing_turns(seed: int) -> None:
    found = curve(seed, proxy_is_gold=True)
    gold = [one.mean("gold").mean for one in found.points]
    assert gold == pytest.approx(sorted(gold))
    assert not found.choice.interior
    assert found.choice.point == found.points[-1].name
