"""The order of two scores: hand-computed numbers, closed-form gradients, properties."""

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rlaif.records import MARGINS
from rlaif.training.losses.reward import centering, pairwise

scores = st.floats(-30, 30)
SEED = random.SystemRandom().randrange(2**31)


def loss(chosen: float, rejected: float, p: float = 1.0, margin: float = 0.0) -> Tensor:
    one = [torch.tensor([value], dtype=torch.float64) for value in (chosen, rejected, p, margin)]
    return pairwise(*one)


@pytest.mark.parametrize(
    ("gap", "margin", "expected"),
    [(1, 0, 0.313262), (1, 1, 0.693147), (1, 3, 2.126928), (1, 1 / 3, 0.414370), (0, 0, 0.693147)],
)
def test_trap_01_the_loss_is_that_of_bradley_and_terry(gap: float, margin: float, expected: float) -> None:
    assert loss(gap, 0, margin=margin).item() == pytest.approx(expected, abs=1e-6)


def test_trap_01_the_gradient_is_the_probability_of_being_wrong() -> None:
    chosen = torch.tensor([0.3, -1.2, 4.0], requires_grad=True)
    rejected = torch.tensor([0.1, 0.9, -2.0])
    margin = torch.tensor([0.0, 1.0, 3.0])
    pairwise(chosen, rejected, torch.ones(3), margin).mean().backward()
    gaps = (0.2, -3.1, 3.0)  # by hand
    expected = [-(1 - 1 / (1 + math.exp(-gap))) / 3 for gap in gaps]
    assert chosen.grad is not None
    assert chosen.grad.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("gap", [1e4, -1e4])
def test_trap_01_no_gap_overflows(gap: float) -> None:
    one = torch.tensor([gap], requires_grad=True)
    value = pairwise(one, torch.zeros(1), torch.ones(1), torch.zeros(1))
    value.sum().backward()
    assert value.item() == pytest.approx(max(0.0, -gap))
    assert one.grad is not None
    assert one.grad.item() == (0.0 if gap > 0 else -1.0)


@given(scores, scores, st.floats(0, 1), st.floats(-5, 5))
def test_trap_02_a_constant_added_to_both_scores_changes_nothing(
    chosen: float, rejected: float, p: float, shift: float
) -> None:
    assert loss(chosen + shift, rejected + shift, p).item() == pytest.approx(
        loss(chosen, rejected, p).item(), abs=1e-9
    )


@given(scores, scores, st.floats(0, 1))
def test_trap_02_turning_a_pair_round_turns_its_label_round(chosen: float, rejected: float, p: float) -> None:
    assert loss(chosen, rejected, p).item() == pytest.approx(loss(rejected, chosen, 1 - p).item(), abs=1e-9)


@given(scores, scores)
def test_trap_02_a_tie_knows_no_side(chosen: float, rejected: float) -> None:
    assert loss(chosen, rejected, 0.5).item() == pytest.approx(loss(rejected, chosen, 0.5).item(), abs=1e-9)


@pytest.mark.parametrize(("p", "gap"), [(0.6, 0.405465), (0.8, 1.386294), (0.5, 0.0)])
def test_trap_02_a_soft_label_is_learned_to_its_log_odds(p: float, gap: float) -> None:
    at = torch.tensor([gap], dtype=torch.float64, requires_grad=True)
    whole = torch.tensor([p], dtype=torch.float64)
    nothing = torch.zeros(1, dtype=torch.float64)
    pairwise(at, nothing, whole, nothing).sum().backward()
    assert at.grad is not None
    assert at.grad.item() == pytest.approx(0.0, abs=1e-6)
    assert loss(gap, 0, p).item() < min(loss(gap + 0.1, 0, p).item(), loss(gap - 0.1, 0, p).item())


@given(scores, scores)
def test_trap_02_centering_rests_where_scores_are_opposite(chosen: float, rejected: float) -> None:
    one = torch.tensor([chosen], dtype=torch.float64, requires_grad=True)
    centering(one, torch.tensor([rejected], dtype=torch.float64)).sum().backward()
    assert one.grad is not None
    assert one.grad.item() == pytest.approx(2 * (chosen + rejected))


def test_trap_02_margins_are_those_of_table_27() -> None:
    order = ("significant", "better", "slight", "negligible")
    assert [MARGINS["small"][level] for level in order] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert [MARGINS["large"][level] for level in order] == [3, 2, 1, 0]


def trained_gaps(margins: dict[int, float]) -> list[float]:
    """Mean gap by rating of a linear model trained on pairs whose true gap follows their rating."""
    stream = torch.Generator().manual_seed(SEED)
    rating = torch.arange(4).repeat(250)
    truth = torch.randn(8, generator=stream)
    features = torch.randn(1000, 8, generator=stream)
    features += ((rating + 0.5) - features @ truth)[:, None] * truth / truth.square().sum()
    weight = torch.zeros(8, requires_grad=True)
    margin = torch.tensor([margins[int(one)] for one in rating])
    for _ in range(300):
        gap = features @ weight
        value = pairwise(gap, torch.zeros(1000), torch.ones(1000), margin).mean()
        value = value + 0.01 * weight.square().sum()
        (slope,) = torch.autograd.grad(value, weight)
        with torch.no_grad():
            weight -= 0.5 * slope
    gap = (features @ weight).detach()
    return [gap[rating == one].mean().item() for one in range(4)]


def test_margins_widen_gaps_in_the_order_of_ratings() -> None:
    order = ("negligible", "slight", "better", "significant")
    none = trained_gaps(dict.fromkeys(range(4), 0.0))
    small, large = (
        trained_gaps({at: MARGINS[scale][level] for at, level in enumerate(order)})
        for scale in ("small", "large")
    )
    for gaps in (none, small, large):
        assert gaps == sorted(gaps), SEED
        assert len(set(gaps)) == 4, SEED
    assert all(a < b < c for a, b, c in zip(none, small, large, strict=True)), SEED
