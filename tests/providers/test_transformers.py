"""Local calls: the wire format, one thread for all, and errors that reach their own caller alone."""

import asyncio
import json
import math
import threading
import time

import pytest
import torch

from rlaif.checkpoints import identity
from rlaif.errors import CallError, InputError
from rlaif.generation import Limits
from rlaif.generation.forward import Forward
from rlaif.providers import transformers
from rlaif.providers.base import RawReply, Reply, Request
from rlaif.providers.transformers import Transformers
from rlaif.records import Message, SamplingParams
from tests import tiny

LIMITS = Limits(rows=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny checkpoint folder, as the model's name."""
    return str(tiny.saved(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
async def local(model):
    """A provider over it."""
    provider = Transformers(model, limits=LIMITS)
    yield provider
    await provider.close()


def asks(model: str, content: str = "hi", **more) -> Request:
    messages = (Message(role="user", content=content),)
    return Request(**{"model": model, "messages": messages, "params": SamplingParams(max_tokens=8), **more})


async def call(provider: Transformers, request: Request) -> Reply:
    return provider.read(request, await provider.send(provider.body(request)))


async def test_a_response_and_its_accounts(local, model):
    reply = await call(local, asks(model))
    # <|turn|>user\nhi<|end|>\n<|turn|>assistant\n: one token a byte but "er" and "an", and one a mark
    assert reply.usage.input_tokens == len("user\nhi\nassistant\n") - 2 + 3
    assert 1 <= reply.usage.output_tokens <= 8
    assert reply.stop_reason == ("max_tokens" if reply.usage.output_tokens == 8 else "stop")
    assert reply.model == f"local:{model}@{identity(model)[:12]}"
    assert reply.label_probs is None


async def test_labels_are_raw_probabilities_of_the_whole_string(local, model):
    reply = await call(local, asks(model, labels=(" A", " B", "no")))
    made = tiny.checkpoint()
    text = "<|turn|>user\nhi<|end|>\n<|turn|>assistant\n"
    ids = made.tokenizer(text, add_special_tokens=False)["input_ids"]
    expected = {}
    for label in (" A", " B", "no"):
        row, p = list(ids), 1.0
        for token in made.tokenizer(label, add_special_tokens=False)["input_ids"]:
            with torch.no_grad():
                p *= float(made.model(torch.tensor([row])).logits[0, -1].softmax(-1)[token])
            row.append(token)
        expected[label] = p
    assert reply.label_probs == pytest.approx(expected, rel=1e-4)
    assert sum(expected.values()) < 0.9  # nothing was normalised
    assert reply.text == ""
    assert reply.usage.output_tokens == 0


async def test_calls_made_together_are_answered_together(local, model, monkeypatch):
    seen: list[int] = []
    accept = transformers._Desk.accept
    monkeypatch.setattr(
        transformers._Desk, "accept", lambda self, calls: seen.append(len(calls)) or accept(self, calls)
    )
    await asyncio.gather(*(call(local, asks(model, f"q{i}", labels=("A", "B"))) for i in range(20)))
    assert max(seen) == 20


async def test_together_or_alone_the_answers_are_the_same(local, model):
    requests = [asks(model, f"question {i % 3}", sample_index=i) for i in range(9)]
    together = await asyncio.gather(*(call(local, one) for one in requests))
    assert [await call(local, one) for one in requests] == list(together)
    assert len({reply.text for reply in together}) > 3  # samples of one prompt differ


async def test_one_thread_does_all_the_work(local, model, monkeypatch):
    threads = set()
    work = transformers._Desk.work
    monkeypatch.setattr(
        transformers._Desk,
        "work",
        lambda self, stop: threads.add(threading.current_thread().name) or work(self, stop),
    )
    await asyncio.gather(*(call(local, asks(model, f"{i}")) for i in range(6)))
    assert threads == {"rlaif-local"}


async def test_a_call_joins_a_running_batch(local, model, monkeypatch):
    drawing = threading.Event()
    work = transformers._Desk.work

    def slowly(self, stop):
        drawing.set()
        time.sleep(0.003)
        work(self, stop)

    monkeypatch.setattr(transformers._Desk, "work", slowly)
    long = asyncio.create_task(
        call(local, asks(model, "long", params=SamplingParams(max_tokens=230, seed=4)))
    )
    await asyncio.to_thread(drawing.wait)
    quick = await call(local, asks(model, "short", params=SamplingParams(max_tokens=1)))
    assert quick.usage.output_tokens == 1
    assert not long.done()
    assert (await long).usage.output_tokens > 20


def test_equal_requests_have_equal_bodies_and_others_do_not(model):
    local = Transformers(model)
    base = asks(model)
    others = [
        asks(model, "ho"), asks(model, sample_index=1), asks(model, labels=("A",)),
        asks(model, params=SamplingParams(max_tokens=8, seed=1)),
        asks(model, params=SamplingParams(max_tokens=9)),
    ]  # fmt: skip
    bodies = [json.dumps(local.body(one), sort_keys=True) for one in (base, *others)]
    assert json.dumps(Transformers(model).body(asks(model)), sort_keys=True) == bodies[0]
    assert len(set(bodies)) == len(bodies)
    assert Transformers(model, dtype="bfloat16").body(base) != local.body(base)
    assert local.body(base)["checkpoint"] == identity(model)


def test_knobs_do_not_part_label_requests(model):
    local = Transformers(model)
    one = asks(model, labels=("A", "B"))
    other = asks(model, labels=("A", "B"), params=SamplingParams(max_tokens=3, seed=9))
    assert local.body(one) == local.body(other)


def test_the_bundled_model_needs_no_download_for_a_body(tmp_path):
    local = Transformers("smollm2-135m-instruct", home=tmp_path)
    body = local.body(asks("smollm2-135m-instruct"))
    assert len(body["checkpoint"]) == 64
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_offered_is_refused(model):
    local = Transformers(model)
    with pytest.raises(InputError, match="JSON schema"):
        local.body(asks(model, schema={"type": "object"}))
    with pytest.raises(InputError, match="'other'"):
        local.body(asks("other"))


@pytest.mark.parametrize("labels", [(), ("A", "B")])
async def test_a_prompt_too_long_fails_alone(local, model, labels):
    long = asks(model, "x" * 400, labels=labels)
    good = asks(model, labels=("A", "B"))
    failed, answered = await asyncio.gather(call(local, long), call(local, good), return_exceptions=True)
    assert isinstance(failed, CallError)
    assert failed.retry == "no"
    assert not failed.fatal
    assert "context of 256" in str(failed)
    assert isinstance(answered, Reply)


@pytest.mark.parametrize("labels", [(), ("A", "B")])
async def test_exhausted_memory_names_the_knobs(local, model, labels, monkeypatch):
    await call(local, asks(model))

    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory\nmore")

    monkeypatch.setattr("rlaif.generation.forward.Forward.__call__", full)
    with pytest.raises(CallError, match=r"can't allocate memory; .*'rows'") as caught:
        await call(local, asks(model, "other", labels=labels))
    assert caught.value.retry == "no"
    monkeypatch.undo()
    assert isinstance(await call(local, asks(model, "other", labels=labels)), Reply)


async def test_a_model_that_does_not_load_fails_every_call(tmp_path):
    (tiny.saved(tmp_path) / "model.safetensors").write_text("no weights")
    local = Transformers(str(tmp_path))
    body = local.body(asks(str(tmp_path)))
    failed = await asyncio.gather(*(local.send(body) for _ in range(3)), return_exceptions=True)
    failed.append((await asyncio.gather(local.send(body), return_exceptions=True))[0])
    assert [(type(one), one.fatal) for one in failed] == [(CallError, True)] * 4
    await local.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_no_call_hangs_when_the_thread_dies(local, model, monkeypatch):
    await call(local, asks(model))
    monkeypatch.setattr(transformers._Desk, "work", lambda self, stop: 1 / 0)
    with pytest.raises(CallError, match="ended unexpectedly"):
        await asyncio.wait_for(call(local, asks(model)), 10)
    with pytest.raises(CallError, match="ended unexpectedly"):
        await asyncio.wait_for(call(local, asks(model)), 10)


async def test_closing_fails_what_is_waiting_and_all_later_calls(model):
    local = Transformers(model)
    body = local.body(asks(model, params=SamplingParams(max_tokens=230)))
    waiting = asyncio.create_task(local.send(body))
    await asyncio.sleep(0)
    await local.close()
    with pytest.raises(CallError, match="closed"):
        await waiting
    with pytest.raises(CallError, match="closed"):
        await local.send(body)
    await local.close()


async def test_closing_does_not_wait_for_all_labels(model, monkeypatch):
    local = Transformers(model, limits=Limits(pack=16))
    forward = Forward.__call__

    def slowly(*given):
        time.sleep(0.05)
        return forward(*given)

    monkeypatch.setattr(Forward, "__call__", slowly)
    asked = [asks(model, f"{i} {'y' * 60}", labels=("A",)) for i in range(60)]  # 12 s of passes
    calls = [asyncio.create_task(call(local, one)) for one in asked]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    begun = time.monotonic()
    await local.close()
    assert time.monotonic() - begun < 3
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert 0 < sum(isinstance(one, CallError) for one in ended) < 60


async def test_closing_before_the_first_call(model):
    local = Transformers(model)
    await local.close()
    with pytest.raises(CallError, match="closed"):
        await local.send(local.body(asks(model)))


async def test_a_call_given_up_is_not_answered_and_harms_no_other(local, model):
    given_up = asyncio.create_task(call(local, asks(model, "a")))
    await asyncio.sleep(0)
    given_up.cancel()
    assert isinstance(await call(local, asks(model, "b")), Reply)
    assert given_up.cancelled()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"text": 1}'])
def test_what_is_no_reply_is_transient(model, text):
    with pytest.raises(CallError, match="not a local reply") as caught:
        Transformers(model).read(asks(model), RawReply(text, 0.0))
    assert caught.value.retry == "transient"


def test_reading_is_pure(model):
    text = json.dumps(
        {"model": "d" * 64, "text": "", "stop_reason": "stop", "input_tokens": 7, "output_tokens": 0,
         "label_logprobs": {"A": -1.0, "B": -2.0}}
    )  # fmt: skip
    reply = Transformers(model).read(asks(model, labels=("A", "B")), RawReply(text, 0.0))
    assert reply.label_probs == pytest.approx({"A": math.e**-1, "B": math.e**-2})
    assert reply.usage.input_tokens == 7


@pytest.mark.model
async def test_the_bundled_model_weighs_and_answers():
    name = "smollm2-135m-instruct"
    local = Transformers(name)
    question = (Message(role="user", content="What is the capital of France? Reply with one word."),)
    said = await call(local, Request(name, question, SamplingParams(temperature=0, max_tokens=12)))
    assert "Paris" in said.text
    weighed = await call(local, Request(name, question, labels=("Paris", "London")))
    assert weighed.label_probs["Paris"] > 5 * weighed.label_probs["London"]
    await local.close()
