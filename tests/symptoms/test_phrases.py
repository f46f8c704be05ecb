"""The language of the phrase files, and that no text makes the search slow."""

from __future__ import annotations

import time

import pytest

from rlaif.errors import InputError
from rlaif.symptoms import found, refusal
from rlaif.symptoms.phrases import LANGUAGES, OPENING, Section, mentions, read_phrases
from rlaif.symptoms.text import plainly


def section(*lines: str, language: str = "en", head: str = "[test]") -> Section:
    return read_phrases("\n".join((head, *lines)), language)["test"][0]  # type: ignore[arg-type]


def matches(line: str, text: str, language: str = "en") -> bool:
    return section(line, language=language).first(text) is not None


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        ("cat", "a cat sat", True),
        ("cat", "concatenate", False),  # words are matched whole
        ("a (b|c) d", "a c d", True),
        ("a (b|c) d", "a e d", False),
        ("a (very |)big", "a big one", True),
        ("a (very |)big", "a very big one", True),
        ("a ((x|y) z|w)", "a y z", True),
        ("a ((x|y) z|w)", "a x w", False),
        ("see .. sea", "see the wide sea", True),
        ("see .. sea", "see it. the sea", False),  # a gap ends with its sentence
        ("see .. sea", "see " + "x" * 41 + " sea", False),  # and after 40 characters
        ("see .. able", "see a table", False),  # and at a word's edge
        ("a (.. |)sea", "a wide blue sea", True),  # a gap may be left out, and begins after a space
        ("a (.. |)sea", "a sea", True),
        ("a (.. |)sea", "a chelsea", False),
        ("^ no", "well. no way", True),
        ("^ no", "he said no way", False),
        ("c++ (a.b)", "c++ a.b", True),  # nothing else is special
        ("c++ (a.b)", "c++ axb", False),
    ],
)
def test_a_phrase_matches(line: str, text: str, expected: bool) -> None:
    assert matches(line, text) is expected


def test_chinese_needs_no_word_edges_and_has_narrower_gaps() -> None:
    assert matches("不能", "我不能去", "zh")
    assert matches("请..尊重", "请大家尊重他人", "zh")
    assert not matches("请..尊重", "请" + "大" * 17 + "尊重他人", "zh")


def test_an_exception_takes_out_only_what_it_covers() -> None:
    made = section("sorry", "! never sorry")
    assert made.first("he is never sorry") is None
    assert made.first("he is never sorry but i am sorry") is not None


def test_an_opening_phrase_holds_near_the_start_only() -> None:
    made = section("no way", head="[test opening]")
    assert made.first("x " * (OPENING["en"] // 2 - 4) + "no way") is not None
    assert made.first("x " * (OPENING["en"] // 2) + "no way") is None


@pytest.mark.parametrize("bad", ["outside", "[test]\na (b", "[test]\na b)", "[test]\n! (a"])
def test_a_broken_file_names_its_line(bad: str) -> None:
    with pytest.raises(InputError, match=r"en.txt:[12]: found .*allowed"):
        read_phrases(bad, "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_shipped_files_are_read_and_written_in_one_form(language: str) -> None:
    from importlib import resources

    text = resources.files("rlaif.symptoms").joinpath(f"{language}.txt").read_text("utf-8")
    for name, made in read_phrases(text, language).items():  # type: ignore[arg-type]
        assert any(one.phrases for one in made), name
        for phrase in (one for part in made for one in (*part.phrases, *part.exceptions)):
            assert phrase.literals, f"{phrase.line} cannot be ruled out by a substring"
            assert plainly(phrase.line) == phrase.line, "a phrase in another form can never match"


def test_quotations_and_code_are_not_what_a_response_says() -> None:
    assert not mentions("apology", plainly('Then she said "I am sorry" and left.'))
    assert not mentions("apology", plainly("Use:\n```py\nprint('x')  # I am sorry\n```\nDone."))
    assert mentions("apology", plainly("“I’m sorry” is not enough. I’M   SORRY."))


HOSTILE = {
    "one letter": "a" * 200_000,
    "spaces": " " * 200_000 + "x",
    "lines": "\n" * 200_000 + "x",
    "quotes": '"' * 200_000,
    "odd quotes": 'a"' * 100_000,
    "fences": "```" * 66_666,
    "open titles": "《" * 200_000,
    "starts of a phrase": "it is important to " * 10_500,
    "refusals cut short": "i can't " * 25_000,
    "gaps": "some people say " * 12_500,
    "hedges": "maybe " * 33_000,
    "chinese hedges": "也许" * 100_000,
    "pleas": "pls " * 50_000 + "x",
    "marks": "?!" * 100_000,
    "stars": "**" * 100_000,
    "list marks": "- \n" * 66_000,
    "deeper and deeper": "".join(" " * (n % 40) + "- a\n" for n in range(8_000)),
    "sentences": ". . " * 50_000,
    "quotations": '"a" b\n' * 33_000,
    "greetings": "dear a,\n" * 25_000,
    "few words": "you are so good " * 12_500,
    "no words": "a1b2 " * 40_000,
    "broken letters": "\u00c3\u00a9" * 100_000,
    "scripts": "\u043d\u0430 in \u7684 " * 25_000,
    "bare entries": "1. " * 66_000,
    "judgements": "your question is " * 12_500,
    "morals": "we should all remember that " * 7_500,
    "praise": "such a great and " * 12_500,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_of_200_000_characters_is_quick(kind: str) -> None:
    start = time.process_time()
    found(HOSTILE[kind], HOSTILE[kind])
    refusal(HOSTILE[kind])
    assert time.process_time() - start < 2.0
