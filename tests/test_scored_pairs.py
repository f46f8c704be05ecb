"""Pairs from pointwise scores: the probability that one draw lies above another."""

import itertools
import random

import pytest

from rlaif.preferences import compare_scores
from rlaif.records import Score


def score(sample_id: str, distribution: tuple[float, ...] = (), status: str = "ok") -> Score:
    return Score.make(
        prompt_id="pr_1", sample_id=sample_id, axis="helpfulness", judge="mock:text", constitution="c",
        template="t", label_type="logprob", status=status, low=1, high=10,
        expected=None if status != "ok" else sum(s * p for s, p in enumerate(distribution, 1)),
        distribution=distribution, mass=1.0, request_key=sample_id,
    )  # fmt: skip


def point(value: int) -> tuple[float, ...]:
    return tuple(float(value == one) for one in range(1, 11))


@pytest.mark.parametrize(
    ("a", "b", "p", "status"), [(9, 3, 1.0, "decided"), (3, 9, 0.0, "decided"), (5, 5, 0.5, "tie")]
)
def test_certain_scores(a: int, b: int, p: float, status: str) -> None:
    (found,) = compare_scores([score("sa_a", point(a)), score("sa_b", point(b))])
    assert (found.p, found.status) == (p, status)
    assert found.p_ab is None
    assert found.p_ba is None


def test_spread_scores_against_every_pair_of_draws() -> None:
    draw = random.Random(5)
    for _ in range(20):
        weights = [[draw.random() for _ in range(10)] for _ in range(2)]
        a, b = (tuple(one / sum(row) for one in row) for row in weights)
        (found,) = compare_scores([score("sa_b", b), score("sa_a", a)])
        expected = sum(
            a[i] * b[j] * (1.0 if i > j else 0.5 if i == j else 0.0)
            for i, j in itertools.product(range(10), repeat=2)
        )
        assert found.p == pytest.approx(expected, abs=1e-12)
        assert (found.a_id, found.b_id) == ("sa_a", "sa_b")


def test_a_missing_score_decides_nothing() -> None:
    rows = [score("sa_a", point(9)), score("sa_b", status="refused"), score("sa_c", point(2))]
    found = {(one.a_id, one.b_id): one for one in compare_scores(rows)}
    assert found["sa_a", "sa_b"].status == "refused"
    assert found["sa_a", "sa_b"].p is None
    assert found["sa_a", "sa_c"].status == "decided"


def test_a_score_stands_over_a_failure_in_any_order() -> None:
    failed = score("sa_a", status="truncated").model_copy(update={"id": "sc_z"})
    rows = [failed, score("sa_a", point(9)), score("sa_b", point(2))]
    for arrived in (rows, rows[::-1]):
        (found,) = compare_scores(arrived)
        assert (found.status, found.p) == ("decided", 1.0)
