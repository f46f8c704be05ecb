"""Anthropic over a real socket: round trip, system and prefix, structured output, what it refuses."""

import json

import pytest

from rlaif.errors import CallError, InputError
from rlaif.providers.anthropic import Anthropic
from rlaif.providers.base import RawReply, Request
from rlaif.records import Message, SamplingParams, Usage
from tests.upstream import Upstream, serving

ASK = (Message(role="system", content="Be brief."), Message(role="user", content="Which is better?"))


@pytest.fixture
def offline() -> Anthropic:
    return Anthropic("http://127.0.0.1:9", "sk-ant-test")


async def test_round_trip() -> None:
    async with serving(Upstream(keys=frozenset({"sk-ant-test"}), reply_text=lambda _: "The first.")) as up:
        provider = Anthropic(up.url, "sk-ant-test")
        request = Request("claude-x", ASK, SamplingParams(max_tokens=20))
        raw = await provider.send(provider.body(request))
        reply = provider.read(request, raw)
        await provider.close()
    assert (reply.text, reply.stop_reason, reply.model) == ("The first.", "stop", "claude-x-fake")
    assert reply.usage == Usage(input_tokens=3, output_tokens=2)
    assert (reply.label_probs, reply.refusal) == (None, False)
    assert [one.path for one in up.ledger] == ["/v1/messages"]


def test_body(offline: Anthropic) -> None:
    turns = (*ASK, Message(role="assistant", content="Verdict:"))
    request = Request("claude-x", turns, SamplingParams(max_tokens=7, stop=("\n",)))
    assert offline.body(request) == {
        "model": "claude-x",
        "max_tokens": 7,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Which is better?"},
            {"role": "assistant", "content": "Verdict:"},
        ],
        "stop_sequences": ["\n"],
    }


def test_two_system_turns_are_joined_and_none_is_omitted(offline: Anthropic) -> None:
    both = (Message(role="system", content="One."), *ASK)
    assert offline.body(Request("claude-x", both))["system"] == "One.\n\nBe brief."
    assert "system" not in offline.body(Request("claude-x", ASK[1:]))


async def test_structured_output_round_trip() -> None:
    schema = {"type": "object", "properties": {"verdict": {"enum": ["second"]}}}
    async with serving(Upstream()) as up:
        provider = Anthropic(up.url, "k")
        request = Request("claude-x", ASK, schema=schema)
        body = provider.body(request)
        reply = provider.read(request, await provider.send(body))
        await provider.close()
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert json.loads(reply.text) == {"verdict": "second"}


def test_label_probabilities_are_refused_with_the_way_out(offline: Anthropic) -> None:
    with pytest.raises(InputError, match="verdict: text"):
        offline.body(Request("claude-x", ASK, labels=("A", "B")))


@pytest.mark.parametrize("params", [SamplingParams(temperature=0.0), SamplingParams(top_p=0.9)])
def test_knobs_the_api_rejects_are_refused_before_sending(offline: Anthropic, params: SamplingParams) -> None:
    with pytest.raises(InputError, match=r"takes no (temperature|top_p)"):
        offline.body(Request("claude-x", ASK, params))


def message(**fields: object) -> RawReply:
    whole = {"content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": {}, "model": "m"}
    return RawReply(json.dumps({**whole, **fields}), 0.1)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "max_tokens"),
     ("model_context_window_exceeded", "max_tokens"), ("refusal", "content_filter"),
     ("tool_use", "error"), ("pause_turn", "error"), (None, "error")],
)  # fmt: skip
def test_stop_reasons(offline: Anthropic, reason: str | None, stop: str) -> None:
    reply = offline.read(Request("claude-x", ASK), message(stop_reason=reason))
    assert (reply.stop_reason, reply.refusal) == (stop, reason == "refusal")


def test_only_text_blocks_are_read(offline: Anthropic) -> None:
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A"},
              {"type": "text", "text": "B"}]  # fmt: skip
    assert offline.read(Request("claude-x", ASK), message(content=blocks)).text == "AB"


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, (3, 4, 0)),
        (
            {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 10,
             "cache_creation_input_tokens": 5},
            (18, 4, 10),
        ),
        ({"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": None}, (3, 4, 0)),
        ({"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": -7}, (577, 4, 0)),
        ({"input_tokens": None, "output_tokens": 4}, (577, 4, 0)),
        (None, (577, 10, 0)),
    ],
)  # fmt: skip
def test_usage(offline: Anthropic, found: object, wanted: tuple[int, int, int]) -> None:
    request = Request("claude-x", (Message(role="user", content="?"),), SamplingParams(max_tokens=10))
    usage = offline.read(request, message(usage=found)).usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == wanted


@pytest.mark.parametrize("text", ["", "{}", '{"content": "x", "stop_reason": null}', "[1]"])
def test_what_is_no_message_is_a_call_error(offline: Anthropic, text: str) -> None:
    with pytest.raises(CallError) as caught:
        offline.read(Request("claude-x", ASK), RawReply(text, 0.1))
    assert (caught.value.retry, caught.value.billed) == ("transient", True)
