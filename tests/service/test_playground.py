"""The playground: the price first, both orders, each principle alone, and what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlaif.service import library, playground
from rlaif.service.playground import Question
from rlaif.service.problems import Problem
from rlaif.settings import ModelPrice
from tests.authoring.judges import TEXT, Literal
from tests.service.rooms import room

GREEN = TEXT.replace("Prefers red.", "Prefers blue things.")


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Literal:
    provider = Literal()
    monkeypatch.setattr("rlaif.pipeline.models.open_provider", lambda spec, settings: provider)
    return provider


def question(**fields: Any) -> Question:
    given = {
        "judge": "mock:text", "prompt": "Wall?", "first": "paint it red", "second": "make it blue",
        "text": TEXT, "base": None, "principles": True, **fields,
    }  # fmt: skip
    return Question.model_validate(given)


async def test_the_price_is_told_and_nothing_is_sent(judge: Literal, tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        told = playground.quote(service, question())
    assert told.calls == 6, "the whole and two principles, in two orders"
    assert told.usd == 0.0
    assert judge.sent == []


async def test_a_price_of_the_operator_s_is_the_cap(judge: Literal, tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        priced = {"mock:text": ModelPrice(input=1.0, output=0.0)}
        service.settings = service.settings.model_copy(update={"prices": priced})
        told = playground.quote(service, question(principles=False))
        # Two calls, a token a byte at $1 a million: the cap is above what any tokenizer could make of it.
        read = len("1. Prefers red.\n2. Prefers blue.Wall?paint it redmake it blue")
        assert told.calls == 2
        assert 2 * read / 1e6 < told.usd < 0.02


async def test_verdicts_by_order_and_by_principle(judge: Literal, tmp_path: Path) -> None:
    judge.slot = 0.05
    async with room(tmp_path) as service:
        asked = question()
        found = await playground.answer(service, asked, playground.quote(service, asked).key)
    whole, red, blue = found.lines
    assert [one.principle for one in found.lines] == [None, "red", "blue"]
    # Both colours are wanted, so both responses have one: a half, and the slot's liking in each order.
    assert whole.after is not None
    assert (whole.after.p_shown_first, whole.after.p_shown_second) == pytest.approx((0.55, 0.45))
    assert (whole.after.verdict, whole.after.p) == ("tie", pytest.approx(0.5))
    assert red.after is not None
    assert blue.after is not None
    assert (red.after.verdict, red.after.p_shown_first) == ("first", pytest.approx(0.95))
    assert (blue.after.verdict, blue.after.p_shown_second) == ("second", pytest.approx(0.05))
    assert all(one.before is None for one in found.lines)
    assert (found.calls, found.reused) == (6, 0)


async def test_one_clause_changed_turns_the_verdict(judge: Literal, tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        base = await library.save(service, "colours", TEXT)
        asked = question(
            text=TEXT.replace("Prefers red.", "Prefers calm."), base=base.id, second="leave it grey"
        )
        found = await playground.answer(service, asked, playground.quote(service, asked).key)
    whole, red, blue = found.lines
    assert (whole.before.verdict, whole.after.verdict) == ("first", "tie")  # type: ignore[union-attr]
    assert whole.turned
    assert red.turned
    assert not blue.turned
    assert found.calls == 10, "both wholes, three different principles, two orders each: blue is asked once"


async def test_a_principle_left_out_has_no_verdict_after(judge: Literal, tmp_path: Path) -> None:
    lines = [one for one in TEXT.splitlines() if "id: red" not in one and "principle: red" not in one]
    async with room(tmp_path) as service:
        base = await library.save(service, "colours", TEXT)
        asked = question(text="\n".join(lines), base=base.id)
        found = await playground.answer(service, asked, playground.quote(service, asked).key)
    gone = next(one for one in found.lines if one.principle == "red")
    assert (gone.after, gone.before is None) == (None, False)
    assert gone.words == "Prefers red."


async def test_a_changed_question_needs_a_new_look_at_its_price(judge: Literal, tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        key = playground.quote(service, question()).key
        for other in ({"prompt": "Door?"}, {"text": GREEN}, {"principles": False}, {"second": "nothing"}):
            with pytest.raises(Problem, match="changed since its price was shown") as caught:
                await playground.answer(service, question(**other), key)
            assert caught.value.status == 409
    assert judge.sent == []


async def test_what_was_asked_once_is_not_bought_again(judge: Literal, tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        key = playground.quote(service, question()).key
        await playground.answer(service, question(), key)
        again = await playground.answer(service, question(), key)
    assert (again.calls, again.reused, len(judge.sent)) == (6, 6, 6)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"second": "paint it red "}, "the two responses are the same text"),
        ({"text": TEXT.replace("axis:", "axiss:")}, "line 3: unknown key 'axiss'"),
        ({"judge": "nobody:x"}, "'nobody:x' is not a model"),
        ({"judge": "mock:text template=/etc/passwd.txt"}, "only what is shipped can be named"),
        ({"judge": "mock:text kind=propositions weights=/tmp/w.json"}, "judge"),
        ({"judge": "local:/etc"}, "'local:/etc' is not offered here"),
        ({"judge": "compatible:metadata/model"}, "is not offered here"),
        ({"base": "cv_000"}, "there is no constitution 'cv_000'"),
        ({"judge": "openai:no-such-model-of-mine"}, "no price is known"),
    ],
)
async def test_what_cannot_be_asked_says_why(fields: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        with pytest.raises(Problem) as caught:
            playground.quote(service, question(**fields))
    assert caught.value.status == 422
    assert sentence in str(caught.value)


async def test_offered_judges_can_be_asked(tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        offered = playground.choices(service)
        assert "mock:text" in offered
        for spec in offered:
            playground.judge_of(service, spec)
