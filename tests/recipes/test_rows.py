"""Transforms of rows: counts that can be derived, and what may never be mixed up."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import InputError
from rlaif.recipes.rows import (
    bare,
    best_of_n,
    by_prompt,
    halves,
    instructed,
    label,
    levelled,
    mix,
    pairs,
    ranked,
    relabel,
    select,
    turns,
)  # fmt: skip
from rlaif.training.controls import flip

scores = st.lists(st.none() | st.integers(-3, 3).map(float), min_size=1, max_size=9)


def rows(some: list[float | None], prompt: str = "x") -> list[dict]:
    return [{"prompt": prompt, "completion": f"{prompt} {at}", "score": one} for at, one in enumerate(some)]


@given(scores)
def test_k_scores_give_all_pairs_less_the_tied(some: list[float | None]) -> None:
    found = pairs(rows(some), 0.0, "all", 0)
    known = [one for one in some if one is not None]
    tied = sum(one == other for one, other in combinations(known, 2))
    assert len(found) == comb(len(known), 2) - tied
    for one in found:
        assert one["chosen_score"] - one["rejected_score"] == one["gap"] > 0.0


@pytest.mark.parametrize(("some", "number"), [((8, 6, 6), 2), ((10, 9, 3), 3), ((5, 5, 5), 0)])
def test_grades_of_three_systems(some: tuple[float, ...], number: int) -> None:
    assert len(pairs(rows(list(some)), 0.0, "all", 0)) == number


@pytest.mark.parametrize("k", range(4, 10))
def test_a_ranking_of_k_gives_its_pairs_less_equal_ranks(k: int) -> None:
    responses = [f"r{at}" for at in range(k)]
    whole = ranked({"prompt": "x", "responses": responses, "ranks": list(range(1, k + 1))})
    assert len(whole) == k * (k - 1) // 2
    assert {(one["chosen"], one["rejected"]) for one in whole} == set(combinations(responses, 2))
    tied = ranked({"prompt": "x", "responses": responses, "ranks": [1, 1, *range(3, k + 1)]})
    assert len(tied) == len(whole) - 1


def test_a_ranking_without_ranks_is_refused() -> None:
    with pytest.raises(InputError, match="as many ranks"):
        ranked({"prompt": "x", "responses": ["a", "b"], "ranks": [1]})


def test_equal_texts_make_no_pair_and_gaps_can_be_asked_for() -> None:
    same = [{"prompt": "x", "completion": "same", "score": float(at)} for at in range(3)]
    assert pairs(same, 0.0, "all", 0) == []
    assert len(pairs(rows([0.0, 1.0, 3.0]), 1.0, "all", 0)) == 2
    [one] = pairs(rows([2.0, 5.0, None, 1.0]), 0.0, "best_worst", 0)
    assert (one["chosen"], one["rejected"]) == ("x 1", "x 3")


def test_red_team_choices_are_turned_round_for_every_item() -> None:
    attacked = [
        {"prompt": f"p{at}", "chosen": f"harm {at}", "rejected": f"safe {at}", "chosen_score": 1.0,
         "rejected_score": 0.0, "p": 0.9} for at in range(50)
    ]  # fmt: skip
    found = flip(attacked)
    assert all(one["chosen"].startswith("safe") and one["rejected"].startswith("harm") for one in found)
    assert all((one["chosen_score"], one["rejected_score"], one["p"]) == (0.0, 1.0, 0.9) for one in found)
    assert flip(found) == attacked


@given(scores, st.integers(1, 5))
def test_the_best_of_n_is_among_the_first_n(some: list[float | None], n: int) -> None:
    found = best_of_n(rows(some), n, 0)
    known = [one for one in some[:n] if one is not None]
    assert [one["score"] for one in found] == ([max(known)] if known else [])


def test_select_takes_a_score_or_a_quantile() -> None:
    some = rows([float(at) for at in range(10)])
    assert [one["score"] for one in select(some, 7.0, None, "pooled")] == [7.0, 8.0, 9.0]
    assert [one["score"] for one in select(some, None, 0.5, "pooled")] == [5.0, 6.0, 7.0, 8.0, 9.0]
    with pytest.raises(InputError, match="lower the threshold"):
        select(some, 99.0, None, "pooled")


def test_labels_leave_out_what_has_no_score() -> None:
    assert [one["label"] for one in label(rows([0.0, None, 1.0, 2.0]), 1.0)] == [False, True, True]


def test_hindsight_follows_the_score_and_the_control_does_not() -> None:
    drawn = [{**row, "prompt": "Do well.\nq"} for row in rows([0.0, 1.0, None])]
    found = relabel(drawn, 1.0, ("Do well.", "Do badly."), hindsight=True)
    assert [one["prompt"] for one in found] == ["Do badly.\nq", "Do well.\nq"]
    control = relabel(drawn, 1.0, ("Do well.", "Do badly."), hindsight=False)
    assert [one["prompt"] for one in control] == ["Do well.\nq", "Do well.\nq"]


@given(st.text(), st.text(min_size=1).filter(lambda one: "\n" not in one))
def test_an_instruction_comes_off_as_it_went_on(prompt: str, said: str) -> None:
    assert bare(instructed(prompt, said), [said]) == prompt
    conversation = [{"role": "system", "content": "s"}, {"role": "user", "content": prompt}]
    put = instructed(conversation, said)
    assert put[0] == conversation[0]
    assert bare(put, [said]) == conversation


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.1, 0.9), st.integers(0, 5))
def test_a_mixture_keeps_its_shares_and_repeats_nothing(
    one: int, other: int, share: float, seed: int
) -> None:
    parts = [("a", rows([0.0] * one, "a"), share), ("b", rows([0.0] * other, "b"), 1.0 - share)]
    found = mix(parts, seed)
    texts = [row["completion"] for row in found]
    assert len(set(texts)) == len(texts)
    total = min(one / share, other / (1.0 - share))
    for name, part in (("a", share), ("b", 1.0 - share)):
        assert abs(sum(row["source"] == name for row in found) - total * part) <= 1.0


def test_a_mixture_without_shares_is_all_of_it() -> None:
    parts = [("a", rows([0.0] * 3, "a"), None), ("b", rows([0.0] * 2, "b"), None)]
    assert [row["source"] for row in mix(parts, 0)] == ["a", "a", "a", "b", "b"]


def test_halves_keep_prompts_whole_and_lose_nothing() -> None:
    some = [row for at in range(200) for row in rows([0.0, 1.0], f"p{at}")]
    first, second = halves(some)
    assert len(first) + len(second) == len(some)
    assert not by_prompt(first).keys() & by_prompt(second).keys()
    assert 60 <= len(by_prompt(first)) <= 140  # 200 fair coins: 5.6 standard deviations to each side
    assert halves(list(reversed(some)))[0] == list(reversed(first))
    assert halves(first)[0] == first  # cut the same way again, a half stays whole
    again = halves(first, "salt")
    assert min(map(len, again)) >= len(first) / 4


def test_levels_are_quarters_of_gaps() -> None:
    found = levelled([{"gap": gap} for gap in (4.0, 1.0, 3.0, 2.0)])
    assert [one["margin_level"] for one in found] == ["significant", "negligible", "better", "slight"]


def test_texts_become_conversations() -> None:
    assert turns(["a"]) == [{"prompt": [{"role": "user", "content": "a"}]}]
