"""Word differences against the plain table of longest common subsequences."""

import time

from hypothesis import given
from hypothesis import strategies as st

from rlaif.review.difference import MOST_WORDS, common, difference

words = st.lists(st.sampled_from("abcd"), max_size=12)


def longest(one: list[str], other: list[str]) -> int:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, word in enumerate(one, 1):
        for j, another in enumerate(other, 1):
            table[i][j] = (
                table[i - 1][j - 1] + 1 if word == another else max(table[i - 1][j], table[i][j - 1])
            )
    return table[-1][-1]


@given(words, words)
def test_what_is_kept_is_a_longest_common_subsequence(one: list[str], other: list[str]) -> None:
    kept, kept_other = common(one, other)
    mine = [word for word, keep in zip(one, kept, strict=True) if keep]
    theirs = [word for word, keep in zip(other, kept_other, strict=True) if keep]
    assert mine == theirs
    assert len(mine) == longest(one, other)


@given(st.text(max_size=60), st.text(max_size=60))
def test_runs_add_up_to_their_texts(one: str, other: str) -> None:
    found = difference(one, other)
    assert found is not None
    assert "".join(run.text for run in found[0]) == one
    assert "".join(run.text for run in found[1]) == other


def test_only_other_words_are_marked() -> None:
    found = difference("keep it short and kind", "keep it long and kind")
    assert found is not None
    assert [run.text for run in found[0] if run.own] == ["short"]
    assert [run.text for run in found[1] if run.own] == ["long"]


def test_chinese_is_compared_by_character() -> None:
    found = difference("这个回答更好", "这个回答更差")
    assert found is not None
    assert [run.text for run in found[0] if run.own] == ["好"]


def test_long_texts_are_not_compared_and_hostile_ones_are_quick() -> None:
    assert difference("word " * MOST_WORDS, "word") is None
    began = time.perf_counter()
    assert difference("a b " * (MOST_WORDS // 4), "b c a " * (MOST_WORDS // 6)) is not None
    assert time.perf_counter() - began < 2.0
