import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.judging.verdicts import read_json_verdict, read_score, read_verdict
from tests.judging.verdict_corpus import CUT, JSON, REPLIES


def said(found) -> str:
    assert bool(found.value) == (found.status == "ok")
    assert bool(found.reason) == (found.status != "ok")
    return found.value or found.status


def test_the_corpus_is_large_and_without_repeats() -> None:
    assert len({text for _, text in REPLIES}) == len(REPLIES) >= 120


@pytest.mark.parametrize(("expected", "text"), REPLIES)
def test_corpus(expected: str, text: str) -> None:
    assert said(read_verdict(text, "stop")) == expected


@pytest.mark.parametrize(("expected", "text"), CUT)
def test_cut_replies(expected: str, text: str) -> None:
    assert said(read_verdict(text, "max_tokens")) == expected


@pytest.mark.parametrize(("expected", "text"), JSON)
def test_json(expected: str, text: str) -> None:
    assert said(read_json_verdict(text, "stop")) == expected


def test_cut_json_is_truncated() -> None:
    assert said(read_json_verdict('{"verdict": "A', "max_tokens")) == "truncated"


MIRROR = str.maketrans("ABab", "BAba")


@pytest.mark.parametrize("letter", ["A", "B"])
@pytest.mark.parametrize("shape", ["Verdict: {}", "{}", "Verdict: Response {} is better.", "Verdict: not {}"])
def test_slots_are_treated_alike(shape: str, letter: str) -> None:
    one = said(read_verdict(shape.format(letter), "stop"))
    other = said(read_verdict(shape.format(letter.translate(MIRROR)), "stop"))
    assert {"first": "second", "second": "first"}.get(one, one) == other


@given(st.text(max_size=200), st.sampled_from(["stop", "max_tokens"]))
def test_any_text_is_read_without_an_error(text: str, stop: str) -> None:
    for read in (read_verdict, read_json_verdict):
        assert said(read(text, stop)) in {"first", "second", "tie", "off_menu", "unparsable", "truncated"}
    read_score(text, stop, 1, 10)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=80).filter(lambda t: t.strip()))
def test_reasons_before_a_verdict_line_never_change_it(text: str) -> None:
    if "verdict" not in text.casefold() and "\u200b" not in text:
        assert said(read_verdict(f"{text}\nVerdict: B", "stop")) == "second"


def test_a_hostile_reply_is_read_in_linear_time() -> None:
    for text in ("Verdict: A " + "is the " * 20_000, "Verdict" + "\n" * 50_000, "(" * 50_000, "# " * 50_000):
        start = time.perf_counter()
        read_verdict(text, "stop")
        assert time.perf_counter() - start < 2.0


SCORES = [
    ("7", "Score: 7"),
    ("10", "Good.\nScore: 10"),
    ("1", "Score: 1."),
    ("8", "Score: 8/10"),
    ("9", "**Score:** 9 out of 10"),
    ("6", "Final score: [[6]]"),
    ("5", "Rating: 5"),
    ("4", "4"),
    ("4", "Score: 4.0"),
    ("3", "Score: 3\nScore: 3/10"),
    ("off_menu", "Score: 0"),
    ("off_menu", "Score: 11"),
    ("off_menu", "Score: -1"),
    ("off_menu", "Score: 7.5"),
    ("off_menu", "100"),
    ("unparsable", "Score: high"),
    ("unparsable", "Score:"),
    ("unparsable", "Score: 3\nScore: 4"),
    ("unparsable", "Score: 7 or 8"),
    ("unparsable", "Score: 7-8"),
    ("unparsable", "Score: 7/100"),
    ("unparsable", "I give it a 7"),
    ("unparsable", "Score: 7\nActually it is worth less."),
    ("unparsable", ""),
]


@pytest.mark.parametrize(("expected", "text"), SCORES)
def test_scores(expected: str, text: str) -> None:
    assert said(read_score(text, "stop", 1, 10)) == expected


def test_a_cut_score_is_no_score() -> None:
    assert said(read_score("Good.\nScore: 1", "max_tokens", 1, 10)) == "truncated"
