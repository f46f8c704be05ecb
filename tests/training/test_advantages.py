"""Advantages against the definition's double sum, one response at a time."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlaif.training.advantages import gae, penalised, token_rewards, whitened, whole_return

number = st.floats(-3, 3, allow_nan=False, width=32)
response = st.lists(st.tuples(number, number), min_size=1, max_size=7)
batch = st.lists(response, min_size=1, max_size=5)
share = st.floats(0, 1)


def flat(some: list[list[tuple[float, float]]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows = torch.tensor([row for one in some for row in one], dtype=torch.float64)
    return rows[:, 0], rows[:, 1], torch.tensor([len(one) for one in some])


def by_definition(one: list[tuple[float, float]], discount: float, decay: float) -> list[float]:
    """A_t = sum over k of (discount decay)^k delta_{t+k}, each delta from its own definition."""
    values = [value for _, value in one] + [0.0]
    delta = [reward + discount * values[at + 1] - values[at] for at, (reward, _) in enumerate(one)]
    return [
        sum((discount * decay) ** (k - t) * delta[k] for k in range(t, len(one))) for t in range(len(one))
    ]


@given(batch, share, share)
def test_trap_15_gae_is_the_double_sum(
    some: list[list[tuple[float, float]]], discount: float, decay: float
) -> None:
    found = gae(*flat(some), discount, decay)
    expected = [value for one in some for value in by_definition(one, discount, decay)]
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


@given(batch)
def test_trap_15_ends_of_lambda(some: list[list[tuple[float, float]]]) -> None:
    rewards, values, lengths = flat(some)
    to_go = [sum(r for r, _ in one[at:]) for one in some for at in range(len(one))]
    assert (gae(rewards, values, lengths, 1.0, 1.0) + values).tolist() == pytest.approx(to_go, abs=1e-9)
    one_step = [
        r + (one[at + 1][1] if at + 1 < len(one) else 0) - v for one in some for at, (r, v) in enumerate(one)
    ]
    assert gae(rewards, values, lengths, 1.0, 0.0).tolist() == pytest.approx(one_step, abs=1e-9)


@given(response, batch, batch)
def test_trap_15_nothing_outside_a_response_matters(
    one: list[tuple[float, float]],
    before: list[list[tuple[float, float]]],
    after: list[list[tuple[float, float]]],
) -> None:
    alone = gae(*flat([one]), 0.9, 0.8)
    start = sum(map(len, before))
    among = gae(*flat([*before, one, *after]), 0.9, 0.8)[start : start + len(one)]
    assert torch.equal(alone, among)


def test_two_tokens_by_hand() -> None:
    # delta_1 = 0 + .5*2 - 1 = 0, delta_0 = -1 + .5*1 - 3 = -3.5; the last: 4 + 0 - 2 = 2
    found = gae(torch.tensor([-1.0, 0.0, 4.0]), torch.tensor([3.0, 1.0, 2.0]), torch.tensor([3]), 0.5, 0.5)
    assert found.tolist() == pytest.approx([-3.5 + 0.25 * (0.0 + 0.25 * 2.0), 0.0 + 0.25 * 2.0, 2.0])


@given(st.lists(st.tuples(number, st.lists(number, min_size=1, max_size=6)), min_size=1, max_size=5))
def test_trap_16_the_last_action_alone_earns_the_score(some: list[tuple[float, list[float]]]) -> None:
    scores = torch.tensor([score for score, _ in some], dtype=torch.float64)
    costs = torch.tensor([cost for _, row in some for cost in row], dtype=torch.float64)
    lengths = torch.tensor([len(row) for _, row in some])
    rewards = token_rewards(scores, costs, lengths)
    assert rewards.shape == costs.shape
    at = 0
    for score, row in some:
        mine = rewards[at : at + len(row)].tolist()
        assert mine[:-1] == [-cost for cost in row[:-1]]
        assert mine[-1] == pytest.approx(score - row[-1], abs=1e-12)
        assert sum(mine) == pytest.approx(score - sum(row), abs=1e-9)
        at += len(row)
    assert costs.tolist() == [cost for _, row in some for cost in row]  # not changed under way


def test_trap_24_only_cut_responses_are_charged() -> None:
    scores, cut = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([False, True, False])
    assert penalised(scores, cut, 1.5).tolist() == [1.0, -3.5, 0.5]
    assert penalised(scores, cut, 0.0).tolist() == scores.tolist()


def test_every_token_of_a_response_has_its_whole_return() -> None:
    found = whole_return(torch.tensor([1.0, 2.0, 4.0, -1.0]), torch.tensor([3, 1]))
    assert found.tolist() == [7.0, 7.0, 7.0, -1.0]


@given(st.lists(number, min_size=2, max_size=30).filter(lambda some: max(some) - min(some) > 0.1))
def test_trap_20_whitened_values_have_mean_0_and_variance_1(some: list[float]) -> None:
    values = torch.tensor(some, dtype=torch.float64)
    found = whitened(values)
    mean = math.fsum(some) / len(some)
    spread = math.sqrt(math.fsum((one - mean) ** 2 for one in some) / len(some))
    assert found.tolist() == pytest.approx([(one - mean) / spread for one in some], abs=1e-6)
    kept = whitened(values, centred=False)
    assert float(kept.mean()) == pytest.approx(mean, abs=1e-9)
    assert float(kept.var(correction=0)) == pytest.approx(1.0)


@pytest.mark.parametrize("some", [[3.5], [2.0, 2.0, 2.0]])
def test_trap_20_what_does_not_vary_becomes_0(some: list[float]) -> None:
    assert whitened(torch.tensor(some)).tolist() == [0.0] * len(some)
    assert whitened(torch.tensor(some), centred=False).tolist() == some


@given(number, st.integers(1, 40))
def test_trap_20_equal_values_are_exactly_0_however_their_mean_rounds(value: float, times: int) -> None:
    assert whitened(torch.full((times,), value)).tolist() == [0.0] * times
    assert whitened(torch.full((times,), value * 1e7)).tolist() == [0.0] * times
