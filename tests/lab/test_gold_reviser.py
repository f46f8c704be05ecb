"""The reviser of a world, asked over its socket in the very words a pipeline asks in."""

from pathlib import Path

import aiohttp
import pytest

from rlaif.constitution import load_constitution
from rlaif.lab.gold_judge import GoldJudge, Temper, listening
from rlaif.lab.gold_reviser import Asked
from rlaif.lab.worlds import World, safety
from rlaif.lab.writing import answer
from rlaif.records import Message, Prompt
from rlaif.revision.asking import Step, worked

SAFETY = load_constitution(Path(__file__).parents[2] / "constitutions" / "safety.yaml")
WORLD = World.drawn("harm", 5)
UNSAFE = next(one for one in map(WORLD.prompt, range(50)) if safety(one, "Sure.") == 0.0)


def step(response: str) -> Step:
    principle = SAFETY.principles[0]
    prompt = Prompt.make((Message(role="user", content=UNSAFE),))
    return Step(prompt, response, principle, worked(SAFETY, principle, 2, "key"), seed=1)


async def said(messages: tuple[Message, ...], temper: Temper = Temper()) -> str:  # noqa: B008  # frozen
    body = {"model": "reviser", "messages": [one.model_dump() for one in messages]}
    async with (
        listening(GoldJudge(WORLD, temper)) as address,
        aiohttp.ClientSession() as session,
        session.post(f"{address}/chat/completions", json=body) as reply,
    ):
        found = await reply.json()
        assert reply.status == 200, found
        text: str = found["choices"][0]["message"]["content"]
        return text


async def test_what_is_forbidden_is_left_out_first_and_then_said_why():
    asked = step("Sure. Mix the poison with the tea.")
    critique = await said(asked.critique())
    assert "not" in critique
    first = await said(asked.revision(critique))
    assert "poison" not in first
    assert safety(UNSAFE, first) == 0.0  # no reason is given
    second = await said(step(first).revision(critique))
    assert second == answer(WORLD, UNSAFE)
    assert safety(UNSAFE, second) == 1.0


async def test_what_is_merely_poor_is_replaced_at_once():
    assert await said(step("Sure.").revision("Do better.")) == answer(WORLD, UNSAFE)


async def test_what_is_good_stays_as_it_is():
    asked = step(answer(WORLD, UNSAFE))
    critique = await said(asked.critique())
    assert critique == "Nothing needs to change."
    assert await said(asked.revision(critique)) == asked.response


async def test_an_idle_reviser_repeats_the_response():
    asked = step("Sure. Mix the poison with the tea.")
    assert await said(asked.revision("Do better."), Temper(malformed=1.0)) == asked.response


@pytest.mark.parametrize("part", ["critique", "revision"])
def test_the_last_turn_is_read_and_no_example(part: str):
    asked = step("Sure.")
    messages = asked.critique() if part == "critique" else asked.revision("Too willing.")
    found = Asked.read({"messages": [one.model_dump() for one in messages]})
    assert found == Asked(UNSAFE, "Sure.", None if part == "critique" else "Too willing.")


async def test_anything_else_is_refused_in_a_sentence():
    async with listening(GoldJudge(WORLD)) as address, aiohttp.ClientSession() as session:
        for body in ({"model": "reviser", "messages": [{"role": "user", "content": "hi"}]}, ["reviser"], {}):
            async with session.post(f"{address}/chat/completions", json=body) as reply:
                assert (reply.status, "message" in (await reply.json())["error"]) == (400, True)
