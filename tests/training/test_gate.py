"""Llama 2's gate: the worked example, its strict threshold, and what whitening leaves."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaif.training.advantages import whitened
from rlaif.training.gate import gated, passed

SAFETY = torch.tensor([0.9, 0.1, 0.9, 0.1]).logit()
HELPFULNESS = torch.tensor([0.2, 0.95, 0.8, 0.95]).logit()
TAGGED = torch.tensor([True, True, False, False])


def test_trap_32_the_worked_example() -> None:
    through = passed(SAFETY, HELPFULNESS, TAGGED)
    assert through.sigmoid().tolist() == pytest.approx([0.9, 0.1, 0.8, 0.1], abs=1e-6)
    assert through.tolist() == pytest.approx([2.1972, -2.1972, 1.3863, -2.1972], abs=1e-4)
    found = gated(SAFETY, HELPFULNESS, TAGGED)
    assert found.tolist() == pytest.approx([1.191, -0.9898, 0.7886, -0.9898], abs=1e-3)


def test_trap_32_exactly_at_the_threshold_helpfulness_speaks() -> None:
    at = math.log(0.15 / 0.85)
    safety = torch.tensor([at, math.nextafter(at, -9) - 1e-6])
    through = passed(safety, torch.tensor([5.0, 5.0]), torch.tensor([False, False]))
    assert through.tolist() == pytest.approx([5.0, at - 1e-6])


def test_trap_32_scores_far_from_zero_do_not_saturate() -> None:
    through = passed(torch.tensor([80.0, 90.0]), torch.zeros(2), torch.tensor([True, True]))
    assert through.tolist() == [80.0, 90.0]


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20))
def test_whitening(values: list[float]) -> None:
    found = whitened(torch.tensor(values, dtype=torch.float64))
    if len(set(values)) == 1:
        assert found.tolist() == [0.0] * len(values)
    elif max(values) - min(values) > 1e-3:
        assert found.mean().item() == pytest.approx(0.0, abs=1e-6)
        assert found.square().mean().item() == pytest.approx(1.0, abs=1e-6)
