"""Fitted laws: exact curves come back, errors are those of a simulation, and too little is refused."""

import math

import numpy as np
import pytest

from rlaif.errors import InputError
from rlaif.lab.fits import Form, fitted

FORMS: tuple[Form, ...] = ("best_of_n", "rl")
D = [0.0, 0.4, 0.8, 1.1, 1.4, 1.7, 2.0, 2.4, 2.9]


def law(form: str, d: float, alpha: float, beta: float) -> float:
    if d == 0.0:
        return 0.0
    return d * (alpha - beta * (d if form == "best_of_n" else math.log(d)))


@pytest.mark.parametrize("form", FORMS)
def test_an_exact_curve_comes_back(form: Form, seed: int) -> None:
    stream = np.random.default_rng(seed)
    alpha, beta = stream.uniform(0.8, 3.0), stream.uniform(0.3, 1.0)
    found = fitted(form, D, [law(form, d, alpha, beta) for d in D])
    assert (found.alpha, found.beta, found.r2) == pytest.approx((alpha, beta, 1.0), abs=1e-9)
    assert (found.alpha_error, found.beta_error) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert found.points == 8
    assert found.at(1.3) == pytest.approx(law(form, 1.3, alpha, beta))


@pytest.mark.parametrize("form", FORMS)
def test_the_peak_is_where_the_curve_is_highest(form: Form) -> None:
    found = fitted(form, D, [law(form, d, 2.0, 0.9) for d in D])
    assert found.peak is not None
    grid = np.linspace(0.01, 6.0, 60_000)
    values = [law(form, d, 2.0, 0.9) for d in grid]
    assert found.peak.d == pytest.approx(grid[int(np.argmax(values))], abs=1e-3)
    assert found.peak.value == pytest.approx(max(values), abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_errors_are_those_of_a_simulation(form: Form, seed: int) -> None:
    """Over 3,000 noisy curves: the spread of each figure is what its standard error says on average."""
    stream = np.random.default_rng(seed)
    truth = np.array([law(form, d, 2.0, 0.9) for d in D])
    rows = []
    for _ in range(3000):
        found = fitted(form, D, [0.0, *(truth[1:] + 0.02 * stream.normal(size=len(D) - 1))])
        assert found.peak is not None
        rows.append(
            (found.alpha, found.alpha_error, found.beta, found.beta_error, found.peak.d, found.peak.d_error,
             found.peak.value, found.peak.value_error, found.covariance)
        )  # fmt: skip
    columns = np.array(rows).T
    for figure in (0, 2, 4, 6):
        said = math.sqrt((columns[figure + 1] ** 2).mean())
        assert said == pytest.approx(columns[figure].std(), rel=0.08), figure
    assert columns[8].mean() == pytest.approx(np.cov(columns[0], columns[2])[0, 1], rel=0.1)


@pytest.mark.parametrize("form", FORMS)
def test_a_curve_that_never_falls_has_no_peak(form: Form) -> None:
    assert fitted(form, D, [law(form, d, 1.0, -0.2) for d in D]).peak is None


@pytest.mark.parametrize("d", [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4, 4], [1, 2], [0, 0, 0, 0, 0, 0]])
def test_fewer_than_five_points_are_refused(d: list[float]) -> None:
    with pytest.raises(InputError, match="needs at least 5: add values to the sweep"):
        fitted("best_of_n", d, [1.0] * len(d))


def test_five_are_enough() -> None:
    assert fitted("rl", [0, 1, 2, 3, 4, 5], [0.0, 1.0, 1.0, 0.9, 0.4, 0.0]).points == 5
