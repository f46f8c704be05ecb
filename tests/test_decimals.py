"""Means stand beside their errors with the same decimals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.decimals import measured


@pytest.mark.parametrize(
    ("mean", "error", "sign", "said"),
    [
        (2.4796, 0.0912, "", "2.480 ± 0.091"),
        (1.6823, 0.1004, "", "1.68 ± 0.10"),
        (0.45, 0.0899, "+", "+0.450 ± 0.090"),
        (-0.45, 0.0899, "+", "-0.450 ± 0.090"),
        (12345.6, 234.5, "", "12,346 ± 234"),
        (1.23456, None, "", "1.23"),
        (1.23456, 0.0, "+", "+1.23"),
        (3.0, 1e-9, "", "3.000000 ± 0.000000"),
        (3.0, math.inf, "", "3"),
        (None, 0.1, "", "–"),
    ],
)
def test_written(mean: float | None, error: float | None, sign: str, said: str) -> None:
    assert measured(mean, error, sign) == said


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e4))
def test_what_is_written_is_within_a_twentieth_of_the_error(mean: float, error: float) -> None:
    told, off = measured(mean, error).replace(",", "").split(" ± ")
    assert abs(float(told) - mean) <= 0.0501 * max(error, 1.0 if error >= 10 else error) + 1e-9
    assert abs(float(off) - error) <= 0.0501 * max(error, 1.0) + 1e-9
