"""OpenAI over a real socket: round trip, label probabilities, structured output, bodies."""

import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import CallError, InputError
from rlaif.providers import chat_format
from rlaif.providers.base import RawReply, Request
from rlaif.providers.openai import OpenAI
from rlaif.records import Message, SamplingParams, Usage
from tests.upstream import Upstream, serving

ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Which is better?"))


@pytest.fixture
def offline() -> OpenAI:
    return OpenAI("http://127.0.0.1:9/v1", "sk-test")


async def test_round_trip() -> None:
    async with serving(Upstream(keys=frozenset({"sk-test"}), reply_text=lambda _: "The first.")) as up:
        provider = OpenAI(f"{up.url}/v1", "sk-test")
        request = Request("gpt-x", ASK, SamplingParams(max_tokens=20))
        raw = await provider.send(provider.body(request))
        reply = provider.read(request, raw)
        await provider.close()
    assert (reply.text, reply.stop_reason, reply.model) == ("The first.", "stop", "gpt-x-fake")
    assert reply.usage == Usage(input_tokens=5, output_tokens=2)
    assert (reply.label_probs, reply.refusal) == (None, False)
    assert 0 < raw.latency < 5
    assert json.loads(raw.text)["object"] == "chat.completion"


def test_body_spells_out_only_what_differs(offline: OpenAI) -> None:
    body = offline.body(Request("gpt-x", ASK, SamplingParams(max_tokens=7)))
    assert body == {
        "model": "gpt-x",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Which is better?"},
        ],
        "max_completion_tokens": 7,
        "seed": body["seed"],
    }
    params = SamplingParams(temperature=0.0, top_p=0.5, stop=("\n",))
    body = offline.body(Request("gpt-x", ASK, params))
    assert (body["temperature"], body["top_p"], body["stop"]) == (0.0, 0.5, ["\n"])


def test_equal_requests_give_equal_bodies_and_indices_differ(offline: OpenAI) -> None:
    bodies = [offline.body(Request("gpt-x", ASK, sample_index=index)) for index in range(50)]
    assert offline.body(Request("gpt-x", ASK)) == bodies[0]
    assert len({body["seed"] for body in bodies}) == 50


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000))
def test_seeds_fit_thirty_one_bits(base: int, index: int) -> None:
    assert 0 <= chat_format.seed(base, index) < 2**31


def test_neighbouring_seeds_do_not_share_draws() -> None:
    draws = {chat_format.seed(base, index) for base in range(40) for index in range(40)}
    assert len(draws) == 1600


def test_schema_becomes_structured_output(offline: OpenAI) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}}
    body = offline.body(Request("gpt-x", ASK, schema=schema))
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": schema, "strict": True},
    }


async def test_structured_output_round_trip() -> None:
    schema = {"type": "object", "properties": {"verdict": {"enum": ["first", "second"]}}}
    async with serving(Upstream()) as up:
        provider = OpenAI(f"{up.url}/v1", "sk-test")
        request = Request("gpt-x", ASK, schema=schema)
        reply = provider.read(request, await provider.send(provider.body(request)))
        await provider.close()
    assert json.loads(reply.text)["verdict"] in ("first", "second")


def test_an_assistant_prefix_is_refused(offline: OpenAI) -> None:
    prefixed = (*ASK, Message(role="assistant", content="Verdict:"))
    with pytest.raises(InputError, match="cannot continue"):
        offline.body(Request("gpt-x", prefixed))


async def test_label_probabilities_round_trip() -> None:
    async with serving(Upstream()) as up:
        provider = OpenAI(f"{up.url}/v1", "sk-test")
        request = Request("gpt-x", ASK, labels=("A", "B", "maybe"))
        body = provider.body(request)
        reply = provider.read(request, await provider.send(body))
        await provider.close()
    assert (body["logprobs"], body["top_logprobs"], body["max_completion_tokens"]) == (True, 20, 1)
    assert reply.label_probs is not None
    assert set(reply.label_probs) == {"A", "B", "maybe"}
    assert reply.label_probs["maybe"] == 0.0
    assert 0 < reply.label_probs["A"] + reply.label_probs["B"] < 0.9


def completion(top: list[tuple[str, float | None]], drawn: tuple[str, float]) -> RawReply:
    listed = [{"token": token, "logprob": logprob} for token, logprob in top]
    first = {"token": drawn[0], "logprob": drawn[1], "top_logprobs": listed}
    choice = {"message": {"content": drawn[0]}, "finish_reason": "length", "logprobs": {"content": [first]}}
    return RawReply(json.dumps({"choices": [choice], "usage": {}}), 0.1)


def test_label_variants_add_up_once(offline: OpenAI) -> None:
    half, quarter = math.log(0.5), math.log(0.25)
    raw = completion(
        [("A", half), (" A", quarter), ("\nB", math.log(0.125)), ("a", math.log(0.1)), ("AB", None)],
        ("A", half),
    )
    reply = offline.read(Request("gpt-x", ASK, labels=("A", "B", "AB")), raw)
    assert reply.label_probs == pytest.approx({"A": 0.75, "B": 0.125, "AB": 0.0})


def test_a_drawn_token_outside_the_list_counts(offline: OpenAI) -> None:
    raw = completion([("B", math.log(0.9))], ("A", math.log(0.01)))
    reply = offline.read(Request("gpt-x", ASK, labels=("A", "B")), raw)
    assert reply.label_probs == pytest.approx({"A": 0.01, "B": 0.9})


def test_no_label_listed_is_zero_mass_not_an_error(offline: OpenAI) -> None:
    raw = completion([("The", -0.1), ("Well", -3.0)], ("The", -0.1))
    reply = offline.read(Request("gpt-x", ASK, labels=("A", "B")), raw)
    assert reply.label_probs == {"A": 0.0, "B": 0.0}


@pytest.mark.parametrize("logprobs", [None, {"content": None}, {"content": []}])
def test_a_server_without_logprobs_reads_as_none(offline: OpenAI, logprobs: object) -> None:
    choice = {"message": {"content": "A"}, "finish_reason": "stop", "logprobs": logprobs}
    raw = RawReply(json.dumps({"choices": [choice], "usage": {}}), 0.1)
    assert offline.read(Request("gpt-x", ASK, labels=("A", "B")), raw).label_probs is None


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("stop", "stop"), ("length", "max_tokens"), ("content_filter", "content_filter"),
     ("tool_calls", "error"), (None, "error"), ("abort", "error")],
)  # fmt: skip
def test_finish_reasons(offline: OpenAI, reason: str | None, stop: str) -> None:
    text = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": reason}], "usage": {}})
    assert offline.read(Request("gpt-x", ASK), RawReply(text, 0.1)).stop_reason == stop


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4, 0)),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}},
            (9, 4, 5),
        ),
        ({"prompt_tokens": 3, "completion_tokens": None}, (3, 10, 0)),
        ({"prompt_tokens": 3, "completion_tokens": True}, (3, 10, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 10**12}, (3, 10, 0)),
        # 1 byte and 64 for the message, 512 for the call
        ({"prompt_tokens": -1, "completion_tokens": 4}, (577, 4, 0)),
        ({"prompt_tokens": "3", "completion_tokens": 4}, (577, 4, 0)),
        (None, (577, 10, 0)),
        ([1], (577, 10, 0)),
    ],
)
def test_usage(offline: OpenAI, found: object, wanted: tuple[int, int, int]) -> None:
    text = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": found})
    request = Request("gpt-x", (Message(role="user", content="?"),), SamplingParams(max_tokens=10))
    usage = offline.read(request, RawReply(text, 0.1)).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == wanted


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"choices": []}', '{"choices": [{}]}', "\ud800"])
def test_what_is_no_completion_is_a_call_error(offline: OpenAI, text: str) -> None:
    with pytest.raises(CallError) as caught:
        offline.read(Request("gpt-x", ASK), RawReply(text, 0.1))
    assert (caught.value.retry, caught.value.billed) == ("transient", True)


@given(st.text(max_size=60) | st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
           st.sampled_from(["choices", "message", "content", "usage", "logprobs", "finish_reason"]), inner,
           max_size=4), max_leaves=12).map(json.dumps))  # fmt: skip
def test_reading_ends_in_a_reply_or_a_call_error(text: str) -> None:
    request = Request("gpt-x", ASK, labels=("A",))
    with suppress(CallError):
        assert chat_format.read(request, RawReply(text, 0.1), "host").usage.input_tokens >= 0
