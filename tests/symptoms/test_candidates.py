"""The index rules out nothing that is there: it finds what a plain search for every literal finds."""

from hypothesis import given
from hypothesis import strategies as st

from rlaif.symptoms.candidates import Candidates
from rlaif.symptoms.detectors import SYMPTOMS
from rlaif.symptoms.phrases import sections
from tests.symptoms.labelled import LANGUAGES, labelled

LETTERS = st.text("ab c、不", min_size=1, max_size=7)


@given(st.dictionaries(st.integers(0, 9), st.lists(LETTERS, max_size=3), max_size=6), st.text("ab c、不"))
def test_all_literals_of_a_text_are_found(literals: dict[int, list[str]], text: str) -> None:
    said = {(one, thing) for thing, some in literals.items() for one in some if one in text}
    assert set(Candidates(literals).of(text)) == said


def test_a_look_around_a_literal_finds_what_a_look_at_the_whole_text_finds() -> None:
    texts = [
        one.lower()
        for lang in LANGUAGES
        for sides in labelled(lang).values()
        for one in (*sides[0], *sides[1])
    ]
    whole = " ".join(texts[::7])
    for section in (part for name in SYMPTOMS for part in sections(name)):
        for literal, phrase in section.candidates.of(whole):
            near, anywhere = phrase.near(literal, whole, len(whole)), phrase.pattern.search(whole)
            assert near is None or anywhere is not None
        found = {one for one in section.phrases if one.pattern.search(whole)}
        seen = {one for literal, one in section.candidates.of(whole) if one.near(literal, whole, len(whole))}
        assert seen == found
