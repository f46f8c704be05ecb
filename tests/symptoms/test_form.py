"""Measures of form, counted by hand."""

from __future__ import annotations

import pytest

from rlaif.symptoms import found, shape
from rlaif.symptoms.form import LONG, words


def test_words_count_chinese_characters_by_halves() -> None:
    assert words("two words") == 2
    assert words("四个汉字") == 2
    assert words("GPT 模型") == 2
    assert words("...") == 0


def test_a_markdown_text_by_hand() -> None:
    text = "# Title\n\nSome **bold** and **more**.\n\n- one\n  - two\n    - three\n- four\n\n| a | b |\n"
    form = shape(text)
    assert (form.lines, form.items, form.headings, form.depth, form.marks) == (7, 4, 1, 3, 3)
    assert form.characters == len(text)


def test_depth_follows_the_indents() -> None:
    assert shape("plain").depth == 0
    assert shape("1. a\n2. b\n3. c").depth == 1
    assert shape("- a\n  - b\n- c\n  - d").depth == 2
    assert shape("一、甲\n二、乙").items == 0  # no space after the mark: a sentence as likely as an entry
    assert shape("- a\n\t- b").depth == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word " * (LONG - 1), False),
        (" ".join(f"w{n}" for n in range(LONG)), True),
        ("- a\n  - b\n    - c", True),
        ("- a\n  - b", False),
    ],
)
def test_sprawl_is_length_or_lists_of_lists(text: str, expected: bool) -> None:
    assert ("verbosity" in found(text)) is expected


@pytest.mark.parametrize("text", ["Dear all,\n\nSee you on Friday.\n\nBest,", "```\nx = 1\n```", "Done 👍"])
def test_an_end_without_a_full_stop_may_be_whole(text: str) -> None:
    assert "degenerate" not in found(text)


def test_an_empty_response_shows_nothing_and_noise_is_degenerate() -> None:
    assert found("  \n ") == frozenset()
    assert found("@@ ## !!") == {"degenerate"}


@pytest.mark.parametrize(
    "text",
    [
        "Rain rain falls and and it it is is wet on on the roof.",  # words twice running
        "soil water soil plants water water plants soil water soil water plants soil water",  # few words
        "It is good for you, it is good for me, it is good for all and it is good for now.",  # one run
        "The capital is Oslo.<|im_end|>",  # a mark of the vocabulary that leaked
        "<unk> is <unk> and <unk>",
        "It\u00e2\u20ac\u2122s \u00e2\u20ac\u0153fine\u00e2\u20ac \u00c3\u00a9",  # UTF-8 read as Latin-1
        "\ufffd\ufffd a \ufffd\ufffd",
        "Мы the стол 这 and на of 的 дом is",  # scripts word by word
        "1. 2. 3. 4. 5. 6. 7. 8.",
        "Here are three:\n1. Bread.\n2. Milk.\n3.",
        "a1b2 q;w x9y8z [k]m 4t4 zzkrtp",  # neither words nor code
        "The oven should be hot. Then you mix the flour with the butter until it tur",
        "If you want to keep the plant alive you will have to move it away from the windo",
    ],
)
def test_noise_and_unfinished_text_are_degenerate(text: str) -> None:
    assert "degenerate" in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "I think that that is fine.",
        "Bora Bora and Walla Walla are places.",
        "The token <|endoftext|> ends a document in the training data.",
        "If you see \u00c3\u00a9 on the page, the file was saved in one encoding and read in another one.",
        "кот means cat, собака means dog and 狗 means dog as well.",
        "Use Nf3, then Bb5 and castle; the pin on c6 is worth it.",
        "Mercury, Venus, Earth and Mars",
        "Ring the bell if it gets too loud. The Lees, second floor",
        "Try this:\n- a loaf of bread from the corner shop\n- two of the large tins of tomatoes they sell",
        "```\nfor x in xs: f(x); for y in ys: g(y)\n```",
    ],
)
def test_odd_but_whole_text_is_not_degenerate(text: str) -> None:
    assert "degenerate" not in found(text)
