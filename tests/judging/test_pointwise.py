import pytest

from rlaif.errors import BudgetError, CallError
from rlaif.judging import PointwiseScorer, ScorerConfig, score_sample, unit_score
from tests.judging.scripted import CONTEXT, Script, prompt, reply, sample

RIVER = prompt()
ELBE = sample(RIVER, "Elbe {prompt}")


def scorer(**config) -> PointwiseScorer:
    return PointwiseScorer.build(ScorerConfig(**{"model": "mock:judge", **config}))


@pytest.mark.parametrize(("score", "unit"), [(1, -1.0), (10, 1.0), (5.5, 0.0), (7.75, 0.5)])
def test_unit_score(score: float, unit: float) -> None:
    assert unit_score(score) == pytest.approx(unit)


def test_labels_end_where_strings_are_scored_token_by_token() -> None:
    plain = scorer().request(RIVER, ELBE.response, CONTEXT)
    assert plain.labels == ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
    local = scorer(model="local:m").request(RIVER, ELBE.response, CONTEXT)
    assert local.labels == ('1"', '2"', '3"', '4"', '5"', '6"', '7"', '8"', '9"', '10"')
    assert local.messages[-1].content.endswith('"')
    assert "Elbe {prompt}" in plain.messages[1].content


async def test_expectation_over_whole_scores() -> None:
    """Mass 0.8: a quarter of it on 4, three quarters on 10, so 0.25 * 4 + 0.75 * 10 = 8.5."""
    script = Script(lambda _: reply(probs={"4": 0.2, "10": 0.6, "1": 0.0}))
    found = await score_sample(script, scorer(), RIVER, ELBE, CONTEXT)
    assert (found.status, found.low, found.high, found.label_type) == ("ok", 1, 10, "logprob")
    assert found.expected == pytest.approx(8.5)
    assert found.mass == pytest.approx(0.8)
    assert found.distribution == pytest.approx((0, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.75))


async def test_a_uniform_judge_is_in_the_middle() -> None:
    script = Script(lambda request: reply(probs=dict.fromkeys(request.labels, 0.01)))
    found = await score_sample(script, scorer(), RIVER, ELBE, CONTEXT)
    assert found.expected == pytest.approx(5.5)


async def test_text_scores_are_points() -> None:
    script = Script(lambda _: reply("Fine.\nScore: 7/10"))
    found = await score_sample(script, scorer(verdict="text"), RIVER, ELBE, CONTEXT)
    assert (found.expected, found.mass, found.label_type) == (7.0, None, "text")
    assert found.distribution == (0, 0, 0, 0, 0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("config", "answer", "status"),
    [
        ({}, reply(probs=None), "unparsable"),
        ({}, reply(probs={}), "off_menu"),
        ({"min_mass": 0.5}, reply(probs={"7": 0.4}), "off_menu"),
        ({}, reply(probs={"7": 1.0}, refusal=True), "refused"),
        ({"verdict": "text"}, reply("Score: 11"), "off_menu"),
        ({"verdict": "text"}, reply("no idea"), "unparsable"),
        ({"verdict": "text"}, reply("Well,", stop="max_tokens"), "truncated"),
        ({}, CallError("gone", retry="transient"), "transport_failed"),
    ],
)
async def test_no_score_is_never_a_number(config, answer, status: str) -> None:
    found = await score_sample(Script(lambda _: answer), scorer(**config), RIVER, ELBE, CONTEXT)
    assert (found.status, found.expected, found.distribution) == (status, None, ())
    assert found.reason


@pytest.mark.parametrize("error", [CallError("bad key", retry="no", fatal=True), BudgetError("cap reached")])
async def test_what_stops_a_job_is_raised(error) -> None:
    with pytest.raises(type(error)):
        await score_sample(Script(lambda _: error), scorer(), RIVER, ELBE, CONTEXT)
