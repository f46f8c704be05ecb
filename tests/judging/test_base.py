import asyncio

import pytest

from rlaif.errors import BudgetError, CallError, InputError
from rlaif.judging import Context, JudgeConfig, Pair, PairwiseJudge, judge_pair
from tests.judging.scripted import CONTEXT, Script, prompt, reply, sample

RIVER = prompt()
ELBE, RHINE = sample(RIVER, "Elbe"), sample(RIVER, "Rhine")
JUDGE = PairwiseJudge.build(JudgeConfig(model="mock:judge"))


def elbe_first(request) -> bool:
    text = request.messages[-1].content
    return text.index("Elbe") < text.index("Rhine")


def fond_of_elbe(request):
    """Gives Elbe 0.8 of the mass in the first slot and 0.6 in the second."""
    a = 0.4 if elbe_first(request) else 0.2
    return reply(probs={"A": a, "B": 0.5 - a})


async def test_both_orders_are_asked_at_once() -> None:
    started, both = [], asyncio.Event()

    class Meeting(Script):
        async def call(self, request):
            started.append(request)
            if len(started) == 2:
                both.set()
            await asyncio.wait_for(both.wait(), 5)
            return await super().call(request)

    judgments = await judge_pair(Meeting(fond_of_elbe), JUDGE, Pair(RIVER, RHINE, ELBE), CONTEXT)
    by_first = {one.first_id: one for one in judgments}
    assert by_first[ELBE.id].p_first == pytest.approx(0.8)
    assert by_first[RHINE.id].p_first == pytest.approx(0.4)
    assert {one.second_id for one in judgments} == {ELBE.id, RHINE.id}
    assert all(one.mass == pytest.approx(0.5) and one.request_key for one in judgments)


async def test_the_order_given_changes_nothing() -> None:
    one = await judge_pair(Script(fond_of_elbe), JUDGE, Pair(RIVER, ELBE, RHINE), CONTEXT)
    other = await judge_pair(Script(fond_of_elbe), JUDGE, Pair(RIVER, RHINE, ELBE), CONTEXT)
    assert one == other


async def test_a_lost_call_is_a_judgment_with_its_reason() -> None:
    def answer(request):
        return CallError("503:\n gone", retry="transient") if elbe_first(request) else fond_of_elbe(request)

    found = await judge_pair(Script(answer), JUDGE, Pair(RIVER, ELBE, RHINE), CONTEXT)
    lost = next(one for one in found if one.first_id == ELBE.id)
    assert (lost.status, lost.verdict, lost.p_first, lost.reason) == (
        "transport_failed",
        None,
        None,
        "503: gone",
    )
    assert [one.status for one in found if one.first_id == RHINE.id] == ["ok"]


@pytest.mark.parametrize("error", [CallError("bad key", retry="no", fatal=True), BudgetError("cap reached")])
async def test_what_stops_a_job_is_not_a_judgment(error) -> None:
    ended = []

    class Slow(Script):
        async def call(self, request):
            if elbe_first(request):
                raise error
            await asyncio.sleep(0.01)
            ended.append(request)
            return await super().call(request)

    with pytest.raises(type(error)) as raised:
        await judge_pair(Slow(fond_of_elbe), JUDGE, Pair(RIVER, ELBE, RHINE), CONTEXT)
    assert raised.value is error
    assert len(ended) == 1  # the other order's paid call was not abandoned


@pytest.mark.parametrize(
    ("one", "other"), [("Elbe", "Elbe"), ("Elbe", " Elbe\n"), ("", "Elbe"), (" \n", "Elbe")]
)
async def test_identical_and_empty_texts_are_never_judged(one: str, other: str) -> None:
    script = Script(fond_of_elbe)
    pair = Pair(RIVER, sample(RIVER, one, 1), sample(RIVER, other, 2))
    assert await judge_pair(script, JUDGE, pair, CONTEXT) == []
    assert script.requests == []


async def test_one_order_is_drawn_by_digest_and_fair() -> None:
    single = PairwiseJudge.build(JudgeConfig(model="mock:judge", orders="one"))

    async def drawn(seed: int, *, swap: bool = False) -> str:
        pair = Pair(RIVER, ELBE, RHINE)
        context = Context(axis="helpfulness", text="", constitution="c", seed=seed)
        [only] = await judge_pair(Script(fond_of_elbe), single, pair.swapped if swap else pair, context)
        return only.first_id

    firsts = [await drawn(seed) for seed in range(200)]
    assert 70 <= firsts.count(ELBE.id) <= 130  # binomial(200, .5): 4 standard deviations are 28
    assert [await drawn(seed, swap=True) for seed in range(20)] == firsts[:20]


def test_samples_of_two_prompts_are_no_pair() -> None:
    with pytest.raises(InputError, match="one prompt"):
        Pair(RIVER, ELBE, sample(prompt("Name a hill."), "Brocken"))
