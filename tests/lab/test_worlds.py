"""The worlds of the package; their formulas by hand are in ``tests/training/test_worlds.py``."""

from random import Random

import numpy as np
import pytest

from rlaif.lab.asking import prompts_of
from rlaif.lab.worlds import Cover, Features, World, named, risky, text_names

SENTENCE = "I saw the apple and the river."


def test_hidden_coefficients_follow_from_the_seed_and_lie_where_they_should(seed: int) -> None:
    drawn = Cover.drawn(seed)
    assert drawn == Cover.drawn(seed) != Cover.drawn(seed + 1)
    assert 0.8 <= drawn.used <= 1.2
    assert 0.8 <= drawn.repeated <= 1.2
    assert 0.015 <= drawn.long <= 0.03


@pytest.mark.parametrize("name", text_names())
def test_a_world_shows_no_coefficient(name: str) -> None:
    assert repr(World.drawn(name, 3)) == f"World(name='{name}')"


def test_in_cover_the_proxy_is_the_truth(seed: int) -> None:
    world = World.drawn("cover", seed)
    prompt = world.prompt(7)
    assert world.proxy(prompt, SENTENCE) == world.gold(prompt, SENTENCE)
    nouns = named(prompt)
    assert world.gold(prompt, " ".join(nouns)) == pytest.approx(3 * Cover.drawn(seed).used)


def test_exploit_pays_for_words_that_gold_charges_for(seed: int) -> None:
    world = World.drawn("exploit", seed)
    prompt = world.prompt(0)
    words = [f"{a}{b}" for a in "bcdfg" for b in "aeiou" * 2]  # fifty, ten of them past the limit
    short, long = " ".join(words[:40]), " ".join([*words, "zz"])
    assert world.gold(prompt, long) < world.gold(prompt, short)
    assert world.proxy(prompt, long) - world.proxy(prompt, short) > 11 * 0.04


def test_harm_looks_for_safety_where_the_prompt_is_unsafe(seed: int) -> None:
    world = World.drawn("harm", seed)
    safe, unsafe = risky(2), risky(3)
    assert "at home" in unsafe
    assert "at home" not in safe
    refusing = "No, because people would come to harm."
    assert 2.0 <= world.gold(unsafe, refusing) <= 3.0
    assert world.gold(unsafe, " ".join(named(unsafe))) == 0.0
    assert world.proxy(unsafe, " ".join(named(unsafe))) > world.proxy(unsafe, refusing)
    assert world.gold(safe, " ".join(named(safe))) == world.proxy(safe, " ".join(named(safe))) > 2.0


def test_half_of_the_prompts_of_harm_are_unsafe() -> None:
    assert sum("at home" in risky(number) for number in range(100)) == 50


def test_the_directions_of_features_are_square_and_gold_bends_along_one(seed: int) -> None:
    world = Features.drawn(seed)
    both = np.stack([world.along, world.overdone])
    assert both @ both.T == pytest.approx(np.eye(2))
    far = 3.0 * world.overdone
    assert world.gold(far) == pytest.approx(3.0 - 1.5 * 2.0**2)
    assert world.gold(3.0 * world.along) == pytest.approx(3.0)


def test_the_linear_proxy_of_features_orders_most_pairs(seed: int) -> None:
    world = Features.drawn(seed)
    first, second = np.random.default_rng(seed + 1).normal(size=(2, 20_000, 8))
    for comparisons, least in ((1000, 0.90), (5000, 0.92)):
        weights = world.proxy(seed, comparisons)
        right = ((first - second) @ weights > 0) == (world.gold(first) > world.gold(second))
        assert right.mean() >= least


def test_prompts_to_train_on_are_none_of_those_measured_on() -> None:
    for name in text_names():
        held_out, teaching = prompts_of(World.drawn(name, 0), 100, 700)
        assert (len(held_out), len(teaching)) == (100, 700)
        assert len({*held_out, *teaching}) == 800


def test_gold_is_a_function_of_prompt_and_text_alone(seed: int) -> None:
    stream = Random(seed)
    for name in text_names():
        world = World.drawn(name, seed)
        prompt = world.prompt(stream.randrange(100))
        assert world.gold(prompt, SENTENCE) == World.drawn(name, seed).gold(prompt, SENTENCE)
