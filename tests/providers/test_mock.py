"""The offline models: pure functions of the body."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import CallError, InputError
from rlaif.providers.base import RawReply, Reply, Request
from rlaif.providers.mock import Mock, Scripted
from rlaif.providers.tokens import ceiling
from rlaif.records import Message, SamplingParams


def ask(text: str, **fields: object) -> Request:
    return Request("text", (Message(role="user", content=text),), **fields)  # type: ignore[arg-type]


async def answer(provider: Mock, request: Request) -> Reply:
    return provider.read(request, await provider.send(provider.body(request)))


@given(text=st.text(max_size=50), most=st.integers(1, 40), seed=st.integers(0, 9))
async def test_equal_requests_get_equal_replies_within_their_bounds(text: str, most: int, seed: int) -> None:
    request = ask(text, params=SamplingParams(max_tokens=most, seed=seed))
    reply = await answer(Mock("text"), request)
    assert reply == await answer(Mock("text"), request)
    assert len(reply.text.split()) == reply.usage.output_tokens <= most
    assert reply.usage.input_tokens <= ceiling(request).input_tokens
    assert (reply.stop_reason == "stop") == reply.text.endswith(".")


async def test_seeds_and_prompts_change_the_reply() -> None:
    texts = {(await answer(Mock("text"), ask(f"question {n}"))).text for n in range(50)}
    seeds = [SamplingParams(seed=n) for n in range(50)]
    drawn = {(await answer(Mock("text"), ask("question", params=one))).text for one in seeds}
    assert len(texts) >= 49
    assert len(drawn) >= 49


async def test_echo_repeats_the_last_turn() -> None:
    turns = (Message(role="system", content="be brief"), Message(role="user", content="one two  three"))
    reply = await answer(Mock("echo"), Request("echo", turns))
    assert reply.text == "one two  three"
    assert reply.stop_reason == "stop"
    cut = await answer(Mock("echo"), Request("echo", turns, SamplingParams(max_tokens=2)))
    assert (cut.text, cut.stop_reason, cut.usage.output_tokens) == ("one two", "max_tokens", 2)
    assert cut.usage.input_tokens == 5


@given(text=st.text(max_size=20), labels=st.lists(st.text(min_size=1, max_size=3), min_size=1, unique=True))
async def test_labels_share_nine_tenths(text: str, labels: list[str]) -> None:
    request = ask(text, labels=tuple(labels))
    reply = await answer(Mock("text"), request)
    assert reply.text == ""
    assert reply.label_probs is not None
    assert list(reply.label_probs) == labels
    assert sum(reply.label_probs.values()) == pytest.approx(0.9)
    assert min(reply.label_probs.values()) > 0
    assert reply == await answer(Mock("text"), request)


async def test_labels_favour_neither_slot_on_average() -> None:
    probs = [(await answer(Mock("text"), ask(str(n), labels=("A", "B")))).label_probs for n in range(400)]
    assert sum(one["A"] for one in probs if one) / 400 == pytest.approx(0.45, abs=0.03)


async def test_a_flat_schema_is_followed() -> None:
    properties = {
        "verdict": {"enum": ["first", "second", "tie"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "weight": {"type": "number"},
        "sure": {"type": "boolean"},
        "why": {"type": "string"},
    }
    schema = {"type": "object", "properties": properties}
    verdicts = set()
    for n in range(40):
        said = json.loads((await answer(Mock("text"), ask(str(n), schema=schema))).text)
        assert set(said) == set(properties)
        assert 1 <= said["score"] <= 5
        assert 0 <= said["weight"] <= 1
        assert isinstance(said["sure"], bool)
        assert isinstance(said["why"], str)
        verdicts.add(said["verdict"])
    assert verdicts == {"first", "second", "tie"}


def test_unknown_models_are_named() -> None:
    with pytest.raises(InputError, match="'mock:judge' is not a model; choose 'mock:text'"):
        Mock("judge")


@pytest.mark.parametrize(
    "text", ["", "<html>", "[1]", "{}", '{"text":"a","cut":false,"usage":[-1,0],"labels":null}']
)
def test_a_body_that_is_no_reply_is_transient(text: str) -> None:
    with pytest.raises(CallError, match="not a mock reply") as caught:
        Mock("text").read(ask("x"), RawReply(text, 0.0))
    assert caught.value.retry == "transient"


async def test_scripted_does_as_told_and_keeps_the_bodies() -> None:
    said = iter(["yes", CallError("down", retry="transient"), RawReply("<html>", 0.0)])
    provider = Scripted(lambda body: next(said))
    body = provider.body(ask("really?"))
    assert provider.read(ask("really?"), await provider.send(body)).text == "yes"
    with pytest.raises(CallError, match="down"):
        await provider.send(body)
    assert (await provider.send(body)).text == "<html>"
    assert provider.sent == [body] * 3
    await provider.close()
