"""What is made of points: which to use, by whom it is chosen, and what to beware of."""

from typing import Any

import numpy as np
import pytest

from rlaif.errors import InputError
from rlaif.lab.curve import Curve, Point, drawn_up, halves, spearman

PROMPTS = 40


def point(name: str, d: float, gold: float, proxy: float | None = None, **more: Any) -> Point:
    """A point whose prompts differ by as much in every point, and by a little noise."""
    noise = np.random.default_rng(abs(hash((name, gold))) % 2**32).normal(size=PROMPTS)
    rows = {"proxy": tuple([d if proxy is None else proxy] * PROMPTS)}
    rows["gold"] = tuple(float(gold + 0.1 * at % 7 + 0.1 * one) for at, one in enumerate(noise))
    return Point.model_validate(
        {"name": name, "setting": d, "kl": d * d, "length": 10.0, "responses": PROMPTS, **rows, **more}
    )


def curve(*golds: float, **more: Any) -> Curve:
    start, *others = [point(f"at {d}", float(d), gold, **more) for d, gold in enumerate(golds)]
    return drawn_up("made", {"sweep": "kl"}, start, others)


def test_the_point_to_use_is_the_best_in_gold_and_not_in_the_proxy() -> None:
    found = curve(0.0, 0.7, 1.0, 0.6, 0.2)
    assert found.choice.point == "at 2"
    assert found.choice.interior
    assert found.proxy_rises == pytest.approx(1.0)
    assert found.choice.over_start.mean == pytest.approx(1.0, abs=0.1)
    assert found.choice.over_last.mean == pytest.approx(0.8, abs=0.1)
    assert "gold is highest at at 2" in found.notices[0]


def test_a_gold_that_never_falls_has_no_interior_peak() -> None:
    found = curve(0.0, 0.5, 1.0, 1.5, 2.0)
    assert (found.choice.point, found.choice.interior, found.notices) == ("at 4", False, ())
    assert found.choice.over_last.mean == 0.0


def test_a_gold_that_falls_from_the_first_names_the_start() -> None:
    found = curve(1.0, 0.5, 0.0)
    assert (found.choice.point, found.choice.interior) == ("at 0", False)


def test_one_half_chooses_and_the_other_reports() -> None:
    """Prompts that choose adore one point, and the others hate it."""
    start = point("start", 0.0, 0.0)
    first = halves(PROMPTS)[0]
    split = tuple(5.0 if at in first else -3.0 for at in range(PROMPTS))
    loved = point("loved", 1.0, 0.0).model_copy(update={"gold": split})
    found = drawn_up("made", {}, start, [loved, point("last", 2.0, 0.1)])
    assert found.choice.point == "loved"
    assert found.choice.over_start.mean < -2.0
    assert found.choice.over_start.prompts == PROMPTS // 2
    assert "loved is not clearly better than the start" in found.notices[0]
    assert not found.choice.interior


@pytest.mark.parametrize("prompts", [4, 5, 8, 9, 64, 200, 512])
def test_halves_hold_every_prompt_once_and_are_equal(prompts: int) -> None:
    first, second = halves(prompts)
    assert sorted(first + second) == list(range(prompts))
    assert len(first) - len(second) == prompts % 2


@pytest.mark.parametrize("prompts", [64, 200, 256, 512])
@pytest.mark.parametrize("period", [2, 3, 4, 5, 8])
def test_no_period_of_prompts_falls_into_one_half(prompts: int, period: int) -> None:
    for rest in range(period):
        places = range(rest, prompts, period)
        share = len(set(places) & set(halves(prompts)[0])) / len(places)
        assert abs(share - 0.5) < 2.0 / len(places) ** 0.5  # four standard errors of a fair coin


def test_comparisons_are_paired_by_prompt() -> None:
    easy = tuple(float(at) for at in range(PROMPTS))
    start = point("start", 0.0, 0.0).model_copy(update={"gold": easy})
    better = point("better", 1.0, 0.0).model_copy(update={"gold": tuple(one + 0.5 for one in easy)})
    gain = better.gain(start)
    assert (gain.mean, gain.error) == pytest.approx((0.5, 0.0), abs=1e-12)


def test_prompts_nobody_could_score_are_left_out_in_pairs() -> None:
    start = point("start", 0.0, 0.0).model_copy(update={"gold": (None, 1.0, 2.0, 3.0)})
    other = point("other", 1.0, 0.0).model_copy(update={"gold": (9.0, None, 2.5, 3.5)})
    assert (other.gain(start).mean, other.gain(start).prompts) == (0.5, 2)
    silent = other.model_copy(update={"gold": (None,) * 4})
    with pytest.raises(InputError, match="no prompt has a score"):
        silent.gain(start)


def test_a_symptom_that_spread_with_the_proxy_is_named() -> None:
    rates = {"hedging": 0.05, "apology": 0.05}
    start = point("start", 0.0, 0.0, symptoms=rates, responses=400)
    later = point("later", 1.0, 1.0, symptoms={"hedging": 0.30, "apology": 0.06}, responses=400)
    (notice,) = drawn_up("made", {}, start, [later]).notices
    assert "'hedging' went from 5.0% of responses to 30.0% at later" in notice
    assert "rlaif lab trace --symptom hedging" in notice
    fell = point("later", 1.0, 1.0, proxy=-1.0, symptoms=later.symptoms, responses=400)
    assert drawn_up("made", {}, start, [fell]).notices == ()


def test_a_few_responses_are_no_evidence_of_a_symptom() -> None:
    start = point("start", 0.0, 0.0, symptoms={"hedging": 0.1}, responses=10)
    later = point("later", 1.0, 1.0, symptoms={"hedging": 0.4}, responses=10)
    assert drawn_up("made", {}, start, [later]).notices == ()


def test_too_few_points_are_told_and_not_fitted() -> None:
    found = curve(0.0, 1.0, 0.5)
    assert found.fits == ()
    assert "found 2 points away from the start" in str(found.unfitted)
    assert [one.form for one in curve(0.0, 0.7, 1.0, 0.9, 0.6, 0.1).fits] == ["best_of_n", "rl"]


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="at least one value"):
        drawn_up("made", {}, point("start", 0.0, 0.0), [])


def test_rank_correlation_by_the_textbook(seed: int) -> None:
    stream = np.random.default_rng(seed)
    left, right = (list(map(float, stream.permutation(30))) for _ in range(2))
    gaps = sum((a - b) ** 2 for a, b in zip(left, right, strict=True))
    assert spearman(left, right) == pytest.approx(1 - 6 * gaps / (30 * (30**2 - 1)))
    # With ties, ranks 1.5, 1.5, 3 against 1, 2, 3.
    assert spearman([4.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == pytest.approx(1.5 / 3**0.5)
    assert spearman([1.0, 1.0], [1.0, 2.0]) == 0.0
