"""Any compatible server over a real socket: round trip, bodies, the key's one destination."""

import asyncio
import json

import pytest
from aiohttp import web

from rlaif.errors import CallError, InputError
from rlaif.providers.base import Request
from rlaif.providers.compatible import Compatible
from rlaif.records import Message, SamplingParams, Usage
from tests.upstream import LABELS, Upstream, serving

ASK = (Message(role="user", content="Which is better?"),)


def lab(url: str, key: str = "") -> Compatible:
    return Compatible("lab", f"{url}/v1", key, 5.0)


async def test_round_trip() -> None:
    async with serving(Upstream(keys=frozenset({"k-1"}), reply_text=lambda _: "The first.")) as up:
        provider = lab(up.url, "k-1")
        request = Request("lab/org/judge", ASK, SamplingParams(max_tokens=20))
        raw = await provider.send(provider.body(request))
        reply = provider.read(request, raw)
        await provider.close()
    assert (reply.text, reply.stop_reason, reply.model) == ("The first.", "stop", "org/judge-fake")
    assert reply.usage == Usage(input_tokens=3, output_tokens=2)
    assert 0 < raw.latency < 5


async def test_an_open_server_is_sent_no_credential() -> None:
    async with serving(Upstream()) as up:
        provider = lab(up.url)
        await provider.send(provider.body(Request("lab/judge", ASK)))
        await provider.close()
    assert [one.authorised for one in up.ledger] == [False]


def test_body_spells_out_every_knob() -> None:
    body = lab("http://127.0.0.1:9").body(Request("lab/judge", ASK, SamplingParams(max_tokens=7)))
    assert body == {
        "model": "judge",
        "messages": [{"role": "user", "content": "Which is better?"}],
        "max_tokens": 7,
        "temperature": 1.0,
        "top_p": 1.0,
        "seed": body["seed"],
    }


def test_a_prefix_is_continued() -> None:
    turns = (*ASK, Message(role="assistant", content="Verdict:"))
    body = lab("http://127.0.0.1:9").body(Request("lab/judge", turns))
    assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)


@pytest.mark.parametrize("model", ["judge", "other/judge", "lab/", "lab"])
def test_another_servers_model_is_refused(model: str) -> None:
    with pytest.raises(InputError, match="compatible:lab/MODEL"):
        lab("http://127.0.0.1:9").body(Request(model, ASK))


async def test_label_probabilities_round_trip() -> None:
    async with serving(Upstream()) as up:
        provider = lab(up.url)
        request = Request("lab/judge", ASK, labels=LABELS)
        reply = provider.read(request, await provider.send(provider.body(request)))
        await provider.close()
    assert reply.label_probs is not None
    assert 0.85 < sum(reply.label_probs.values()) <= 0.9 + 1e-9


async def test_the_body_journalled_is_the_body_sent() -> None:
    got: list[bytes] = []

    class Listening(Upstream):
        async def _handle(self, form: object, request: web.Request) -> web.StreamResponse:
            got.append(await request.read())
            return await super()._handle(form, request)  # type: ignore[arg-type]

    async with serving(Listening()) as up:
        provider = lab(up.url)
        body = provider.body(Request("lab/judge", (Message(role="user", content="naïve \u2028 \0 雪"),)))
        await provider.send(body)
        await provider.close()
    assert json.loads(got[0]) == body


async def test_many_calls_share_the_session() -> None:
    async with serving(Upstream(latency=0.01)) as up:
        provider = lab(up.url)
        requests = [Request("lab/judge", ASK, sample_index=index) for index in range(100)]
        raws = await asyncio.gather(*(provider.send(provider.body(one)) for one in requests))
        await provider.close()
    assert len({one.body for one in up.ledger}) == 100
    texts = {provider.read(one, raw).text for one, raw in zip(requests, raws, strict=True)}
    assert len(texts) > 90


async def test_cookies_are_not_kept() -> None:
    seen: list[str | None] = []

    class Baking(Upstream):
        async def _handle(self, form: object, request: web.Request) -> web.StreamResponse:
            seen.append(request.headers.get("Cookie"))
            reply = await super()._handle(form, request)  # type: ignore[arg-type]
            reply.set_cookie("track", "me")
            return reply

    async with serving(Baking()) as up:
        provider = lab(up.url)
        for index in range(2):
            await provider.send(provider.body(Request("lab/judge", ASK, sample_index=index)))
        await provider.close()
    assert seen == [None, None]


async def test_closing_before_any_call_is_harmless() -> None:
    await lab("http://127.0.0.1:9").close()


async def test_cancelling_a_call_leaves_the_provider_usable() -> None:
    async with serving(Upstream(script=["read_timeout", "ok"], hang=0.3)) as up:
        provider = lab(up.url)
        body = provider.body(Request("lab/judge", ASK))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(provider.send(body), 0.05)
        await provider.send(body)
        await provider.close()


async def test_a_tls_mistake_is_a_sentence() -> None:
    async with serving(Upstream()) as up:
        provider = lab(up.url.replace("http:", "https:"))
        with pytest.raises(CallError) as caught:
            await provider.send(provider.body(Request("lab/judge", ASK)))
        await provider.close()
    assert caught.value.billed is False
