import pytest

from rlaif.errors import BudgetError, CallError
from rlaif.records import SamplingParams
from rlaif.sampling import Policy, draw, sample_tasks
from tests.judging.scripted import Script, prompt, reply

RIVER, HILL = prompt("Name a river."), prompt("Name a hill.")
WARM = Policy(model="mock:warm", params=SamplingParams(temperature=1.2, max_tokens=9), k=3)
COLD = Policy(model="mock:cold", params=SamplingParams(temperature=0.0), k=2)


def test_the_plan_holds_every_draw_once_prompt_by_prompt() -> None:
    plan = list(sample_tasks([RIVER, HILL], [WARM, COLD], seed=7))
    assert [(t.prompt, t.policy.model, t.index) for t in plan] == [
        (one, model, index)
        for one in (RIVER, HILL)
        for model, index in [
            ("mock:warm", 0),
            ("mock:warm", 1),
            ("mock:warm", 2),
            ("mock:cold", 0),
            ("mock:cold", 1),
        ]
    ]
    assert {t.params.temperature for t in plan if t.policy is WARM} == {1.2}


def test_every_draw_has_its_own_seed_that_nothing_else_moves() -> None:
    plan = list(sample_tasks([RIVER, HILL], [WARM, COLD], seed=7))
    assert len({t.params.seed for t in plan}) == len(plan) == 10
    alone = next(t for t in sample_tasks([HILL], [COLD], seed=7) if t.index == 1)
    assert alone.params == plan[-1].params
    assert all(
        one.params.seed != other.params.seed
        for one, other in zip(plan, sample_tasks([RIVER, HILL], [WARM, COLD], seed=8), strict=True)
    )


async def test_a_draw_is_a_sample_of_its_call() -> None:
    script = Script(lambda _: reply("The Elbe.", stop="max_tokens"))
    found = await draw(script, RIVER, WARM, 2, 7)
    [asked] = script.requests
    [planned] = [t for t in sample_tasks([RIVER], [WARM], 7) if t.index == 2]
    assert (asked.model, asked.messages, asked.sample_index, asked.labels) == ("warm", RIVER.messages, 2, ())
    assert asked.params == found.params == planned.params
    assert (found.response, found.stop_reason, found.index) == ("The Elbe.", "max_tokens", 2)
    assert (found.prompt_id, found.model) == (RIVER.id, "mock:warm")
    assert found.request_key.startswith("key_")


async def test_an_empty_response_is_kept() -> None:
    assert (await draw(Script(lambda _: reply("")), RIVER, WARM, 0, 0)).response == ""


@pytest.mark.parametrize("error", [CallError("gone", retry="transient"), BudgetError("cap reached")])
async def test_a_lost_draw_is_an_error(error) -> None:
    with pytest.raises(type(error)):
        await draw(Script(lambda _: error), RIVER, WARM, 0, 0)


async def test_half_a_response_that_ended_in_an_error_is_no_sample() -> None:
    with pytest.raises(CallError, match="mock:warm"):
        await draw(Script(lambda _: reply("The El", stop="error")), RIVER, WARM, 0, 0)
