"""The measured row of a policy, against numbers counted by hand."""

import math
import random

import pytest

from rlaif.recipes.measuring import against, distinct, row_of


def row(prompt: str, gold: float, tokens: int = 4, text: str = "a b c d", proxy: float | None = None) -> dict:
    return {
        "prompt": prompt,
        "completion": text,
        "tokens": tokens,
        "cut": False,
        "gold": gold,
        "proxy": proxy,
    }


def test_ties_are_half_a_win_and_the_interval_is_wilsons() -> None:
    mine = [row(f"p{at}", float(at < 60)) for at in range(100)]
    theirs = [row(f"p{at}", float(at >= 60)) for at in range(100)]
    wins, _ = against(mine, theirs)
    assert wins.mean == pytest.approx(0.6)
    # (p + z^2/2n -+ z sqrt(p q/n + z^2/4n^2)) / (1 + z^2/n) at p = .6, n = 100, z = 1.96
    assert (wins.low, wins.high) == (pytest.approx(0.50200, abs=2e-4), pytest.approx(0.69060, abs=2e-4))
    level, _ = against([row("p", 1.0)], [row("p", 1.0)])
    assert level.mean == 0.5


def test_a_win_by_length_alone_is_none_at_equal_length() -> None:
    stream = random.Random(random.SystemRandom().randrange(2**32))
    mine, theirs = [], []
    for at in range(600):
        ratio = stream.uniform(0.5, 2.0)
        mine.append(row(f"p{at}", math.log(ratio) + 0.4 * stream.gauss(0, 1), round(100 * ratio)))
        theirs.append(row(f"p{at}", 0.0, 100))
    wins, even = against(mine, theirs)
    assert wins.mean > 0.55
    assert 0.35 < even.mean < 0.62
    assert even.mean < wins.mean


def test_runs_of_four_words() -> None:
    assert distinct([{"completion": "a b c d e"}, {"completion": "a b c d"}]) == pytest.approx(2 / 3)
    assert distinct([{"completion": "a b"}]) == 1.0


def test_the_best_of_n_by_the_proxy_is_read_off_all_choices() -> None:
    some = [row("p", gold, proxy=proxy) for proxy, gold in ((1.0, 0.0), (2.0, 6.0), (3.0, 3.0), (4.0, 9.0))]
    made = row_of(("m", "m"), some, some, (0.0, 0.0), [2, 4])
    assert made.best[2].mean == pytest.approx(0 / 6 + 6 / 6 + 3 / 3 + 9 / 2)  # weights 0, 1/6, 1/3, 1/2
    assert made.best[4].mean == pytest.approx(9.0)
    assert made.figures.proxy.mean == pytest.approx(2.5)
