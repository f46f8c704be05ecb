"""What a recipe says of itself: raised where it should be, and only there."""

import random

from rlaif.recipes.flagging import blind_labels, blind_scores, identical

SEED = random.SystemRandom().randrange(2**32)


def drawn(noise: float, sign: float = 1.0, prompts: int = 200) -> tuple[list[dict], list[float | None]]:
    stream = random.Random(SEED)
    truth = [stream.gauss(0, 1) for _ in range(4 * prompts)]
    rows = [
        {"prompt": f"p{at // 4}", "completion": str(at), "score": sign * one + noise * stream.gauss(0, 1)}
        for at, one in enumerate(truth)
    ]
    return rows, list(truth)


def test_a_score_that_knows_something_is_left_in_peace() -> None:
    assert not blind_scores(*drawn(1.0), "@s").raised, SEED


def test_chance_and_a_constant_are_raised() -> None:
    rows, truth = drawn(0.0)
    raised = [blind_scores([{**row, "score": 3.0} for row in rows], truth, "@s")]
    hits = 0
    for at in range(20):
        stream = random.Random(f"{SEED} {at}")
        hits += blind_scores([{**row, "score": stream.random()} for row in rows], truth, "@s").raised
    assert raised[0].raised
    assert hits >= 16, SEED  # each is missed with probability 1/40; five of twenty with one in 10^4


def test_a_score_that_runs_against_the_truth_is_told_from_chance() -> None:
    found = blind_scores(*drawn(0.5, sign=-1.0), "@s")
    assert found.raised
    assert "against the truth" in found.said


def test_too_few_say_so() -> None:
    rows, truth = drawn(1.0, prompts=2)
    found = blind_scores(rows, truth, "@s")
    assert not found.raised
    assert "too few" in found.said


def test_labels_are_held_against_the_truth_of_both_sides() -> None:
    stream = random.Random(SEED)
    better, worse = ([stream.gauss(mean, 1) for _ in range(300)] for mean in (1.0, 0.0))
    rows = [{"prompt": f"p{at}"} for at in range(300)]
    assert not blind_labels(rows, better, worse).raised
    assert "against the truth" in blind_labels(rows, worse, better).said
    assert not blind_labels(rows[:9], [None] * 9, [1.0] * 9).raised


def test_pairs_of_one_prompt_are_one_witness_where_they_say_the_same() -> None:
    rows = [{"prompt": f"p{at // 36}"} for at in range(360)]
    right = [float(at // 36 < 6) for at in range(360)]  # six prompts of ten, whole
    found = blind_labels(rows, right, [0.5] * 360)
    assert "60% of 360 comparisons (95 %: 31% to 83%)" in found.said
    assert found.raised


def test_pairs_of_one_prompt_count_by_themselves_where_they_differ() -> None:
    rows = [{"prompt": f"p{at // 36}"} for at in range(360)]
    right = [float(at % 36 < 21 + at // 36 % 2) for at in range(360)]
    assert not blind_labels(rows, right, [0.5] * 360).raised


def test_revisions_that_revise_nothing_are_raised() -> None:
    rows = [{"identical": at < 6} for at in range(10)]
    assert identical(rows, 0.5).raised
    assert not identical(rows, 0.6).raised
    assert identical([{"identical": True}] * 3, 0.5).said.startswith("100% of 3 revisions")
