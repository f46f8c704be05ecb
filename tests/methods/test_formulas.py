"""What is exact, on numbers drawn now, against the papers' formulas in plain Python and double precision."""

import math
from statistics import fmean, pstdev

import numpy as np
import pytest
import torch
from torch import Tensor

from rlaif.audits.bootstrap import wilson
from rlaif.judging import unit_score
from rlaif.preferences import combine
from rlaif.training import bestofn
from rlaif.training.gate import gated
from rlaif.training.kl import k1, k3
from rlaif.training.losses import direct, policy
from rlaif.training.losses.likelihood import nll
from rlaif.training.losses.reward import pairwise
from rlaif.training.models import Policy
from rlaif.training.packing import Group, pack
from tests import tiny
from tests.test_preferences import A, B, judgment
from tests.training.made import groups
from tests.training.test_reward import Told, ranked, shares

DRAWS = 40


@pytest.fixture
def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@torch.no_grad()
def test_m01_the_loss_is_minus_the_log_probability_of_response_tokens(seed: int) -> None:
    model, some = tiny.llama(seed), groups(seed, 3)
    due = 0.0
    for one in some:
        for response in one.responses:
            for at, token in enumerate(response):
                logits = model(torch.tensor([[*one.prompt, *response[:at]]])).logits[0, -1].double()
                due += math.log(math.fsum(math.exp(x) for x in logits.tolist())) - float(logits[token])
    network = Policy(model)
    with network.passes():
        assert float(nll(network.logprobs(pack(some)))) == pytest.approx(due, abs=1e-3)
    prompts = [Group(one.prompt, ((one.responses[0]),)) for one in some]
    tokens = sum(len(one.responses[0]) for one in prompts)
    with network.passes():
        assert network.logprobs(pack(prompts)).shape == (tokens,)  # none of them a prompt's


def test_m02_pairs_with_soft_labels_and_margins(draw: np.random.Generator) -> None:
    for _ in range(DRAWS):
        chosen, rejected, margin = draw.normal(0, 3, 3)
        p = draw.uniform()
        odds = sigma(chosen - rejected - margin)
        due = -(p * math.log(odds) + (1 - p) * math.log(1 - odds))
        assert float(pairwise(t(chosen), t(rejected), t(p), t(margin))) == pytest.approx(due, abs=1e-5)


@pytest.mark.parametrize("k", range(4, 10))
def test_m02_a_ranking_is_the_mean_of_its_pairs(draw: np.random.Generator, k: int) -> None:
    scores, order = draw.normal(size=k), draw.permutation(k).tolist()
    due = [
        -math.log(sigma(scores[better] - scores[worse]))
        for at, better in enumerate(order)
        for worse in order[at + 1 :]
    ]
    assert len(due) == k * (k - 1) // 2
    told = Told(scores.tolist())
    (share,) = shares([ranked(order)], told)
    assert share.loss.item() == pytest.approx(fmean(due), abs=1e-5)
    assert told.shown == k


def test_m03_the_clipped_objective(draw: np.random.Generator) -> None:
    for _ in range(DRAWS):
        log_ratio, advantage = draw.normal(0, 0.4), draw.normal()
        epsilon, ratio = draw.uniform(0.05, 0.4), math.exp(log_ratio)
        due = max(-advantage * ratio, -advantage * min(max(ratio, 1 - epsilon), 1 + epsilon))
        assert float(policy.clipped(t(log_ratio), t(advantage), epsilon)) == pytest.approx(due, abs=1e-5)


def test_m03_both_estimators_of_kl(draw: np.random.Generator) -> None:
    for _ in range(DRAWS):
        mine, its = draw.normal(-2, 1, 2)
        assert float(k1(t(mine), t(its))) == pytest.approx(mine - its)
        assert float(k3(t(mine), t(its))) == pytest.approx(math.exp(its - mine) - 1 + mine - its, abs=1e-9)


def test_m06_the_gate(draw: np.random.Generator) -> None:
    safety, helpfulness = draw.uniform(0.02, 0.98, (2, 12)).tolist()
    tagged = draw.integers(0, 2, 12).astype(bool).tolist()
    speaks = [
        s if unsafe or s < 0.15 else h for s, h, unsafe in zip(safety, helpfulness, tagged, strict=True)
    ]
    odds = [math.log(one / (1 - one)) for one in speaks]
    due = [(one - fmean(odds)) / pstdev(odds) for one in odds]
    found = gated(t(*safety).logit(), t(*helpfulness).logit(), torch.tensor(tagged))
    assert found.tolist() == pytest.approx(due, abs=1e-5)


def test_m07_the_best_of_n(draw: np.random.Generator) -> None:
    for _ in range(DRAWS):
        total = int(draw.integers(1, 60))
        n = int(draw.integers(1, total + 1))
        due = [math.comb(at - 1, n - 1) / math.comb(total, n) for at in range(1, total + 1)]
        assert bestofn.weights(total, n).tolist() == pytest.approx(due, abs=1e-12)
        assert bestofn.divergence(n) == pytest.approx(math.log(n) - (n - 1) / n)


def test_m11_orders_are_averaged_for_the_response_and_not_for_the_slot(
    draw: np.random.Generator,
) -> None:
    for _ in range(DRAWS):
        forth, back = draw.uniform(0.01, 0.99, 2)
        found = combine([judgment(A, B, forth), judgment(B, A, back)])
        due = (forth + 1 - back) / 2
        assert found.p == pytest.approx(due if found.a_id == A.id else 1 - due)


def test_m11_a_score_of_ten_becomes_a_reward_of_one(draw: np.random.Generator) -> None:
    masses = draw.dirichlet(np.ones(10))
    expected = sum((at + 1) * mass for at, mass in enumerate(masses))
    due = sum((2 * at / 9 - 1) * mass for at, mass in enumerate(masses))
    assert unit_score(expected) == pytest.approx(due)


def test_m14_pairs_of_log_ratios(draw: np.random.Generator) -> None:
    for _ in range(DRAWS):
        h, beta, flip = draw.normal(0, 5), draw.uniform(0.05, 1), draw.uniform(0.01, 0.4)
        won, lost = math.log(sigma(beta * h)), math.log(sigma(-beta * h))
        sure = t(1.0)
        assert float(direct.dpo(t(h), sure, beta)) == pytest.approx(-won, abs=1e-5)
        assert float(direct.dpo(t(h), direct.conservative(sure, flip), beta)) == pytest.approx(
            -(1 - flip) * won - flip * lost, abs=1e-5
        )
        assert float(direct.dpo(t(h), direct.unbiased(sure, flip), beta)) == pytest.approx(
            (-(1 - flip) * won + flip * lost) / (1 - 2 * flip), abs=1e-5
        )
        assert float(direct.ipo(t(h), sure, beta)) == pytest.approx((h - 1 / (2 * beta)) ** 2, rel=1e-9)


def test_m15_thumbs(draw: np.random.Generator) -> None:
    for _ in range(DRAWS):
        u, strange = draw.normal(0, 5), draw.normal(0, 2, 5)
        beta, weights = draw.uniform(0.05, 1), tuple(draw.uniform(0.5, 3, 2).tolist())
        z0 = max(0.0, fmean(strange.tolist()))
        found = direct.kto(
            t(u, u), torch.tensor([True, False]), direct.baseline(t(*strange)), beta, (weights[0], weights[1])
        )
        due = [weights[0] * (1 - sigma(beta * (u - z0))), weights[1] * (1 - sigma(beta * (z0 - u)))]
        assert found.tolist() == pytest.approx(due, abs=1e-5)


def test_m16_sums_of_segments(draw: np.random.Generator) -> None:
    for _ in range(DRAWS):
        better, worse = draw.normal(-3, 1, 2)
        bias = draw.uniform(0.1, 1)
        due = -math.log(math.exp(better) / (math.exp(better) + math.exp(bias * worse)))
        assert float(direct.cpl(t(better), t(worse), t(1.0), bias)) == pytest.approx(due, abs=1e-5)


@pytest.mark.parametrize(("wins", "of"), [(60, 100), (114, 200), (220, 400), (531, 1000)])
def test_the_fewest_wins_that_count(wins: int, of: int) -> None:
    """The least share whose interval of 95 % lies above one half."""
    enough, few = wilson(wins, of), wilson(wins - 1, of)
    assert enough is not None
    assert few is not None
    assert enough[0] > 0.5 >= few[0]
