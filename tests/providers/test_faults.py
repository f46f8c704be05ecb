"""Every kind of fault, met by every provider over a real socket, and what it is said to mean."""

import asyncio
import gzip
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import CallError
from rlaif.providers import faults
from rlaif.providers.anthropic import Anthropic
from rlaif.providers.base import Provider, RawReply, Reply, Request
from rlaif.providers.compatible import Compatible
from rlaif.providers.openai import OpenAI
from rlaif.records import Message, SamplingParams
from tests import upstream
from tests.upstream import Upstream, closed_port, full_backlog, serving

KEY = "sk-canary-9f8e7d6c5b4a"
TIMEOUT = 1.0


@dataclass(frozen=True)
class Door:
    """One provider, and how a test opens it on an address."""

    name: str
    open: Callable[[str], Provider]
    model: str


DOORS = (
    Door("compatible", lambda url: Compatible("lab", f"{url}/v1", KEY, TIMEOUT), "lab/judge"),
    Door("openai", lambda url: OpenAI(f"{url}/v1", KEY, TIMEOUT), "judge"),
    Door("anthropic", lambda url: Anthropic(url, KEY, TIMEOUT), "judge"),
)
doors = pytest.mark.parametrize("door", DOORS, ids=lambda one: one.name)


async def ask(door: Door, url: str, text: str = "Which is better?") -> tuple[RawReply, Reply]:
    request = Request(
        door.model, (Message(role="user", content=text),), SamplingParams(max_tokens=50, seed=1)
    )
    provider = door.open(url)
    try:
        raw = await provider.send(provider.body(request))
        return raw, provider.read(request, raw)
    finally:
        await provider.close()


async def fault(door: Door, url: str) -> CallError:
    with pytest.raises(CallError) as caught:
        await ask(door, url)
    assert KEY not in str(caught.value)
    return caught.value


# kind: (retry class, billed, fatal)
REFUSED = {
    "401": ("no", False, True),
    "403": ("no", False, True),
    "404": ("no", False, True),
    "400": ("no", False, False),
    "422": ("no", False, False),
    "408": ("transient", False, False),
    "409": ("transient", False, False),
    "429": ("rate_limit", False, False),
    "500": ("transient", False, False),
    "502": ("transient", False, False),
    "503": ("transient", False, False),
    "529": ("rate_limit", False, False),
    "redirect": ("transient", False, False),
    "read_timeout": ("transient", True, False),
    "slow_drip": ("transient", True, False),
    "reset_mid_body": ("transient", True, False),
    "truncated_json": ("transient", True, False),
    "wrong_content_type": ("transient", True, False),
    "html_page": ("transient", True, False),
    "wrong_schema": ("transient", True, False),
    "ten_megabytes": ("transient", True, False),
    "non_utf8": ("transient", True, False),
}


SAID = {
    "redirect": "redirects are not followed",
    "read_timeout": "no answer in time",
    "slow_drip": "no answer in time",
    "reset_mid_body": "connection lost",
    "truncated_json": "EOF",
    "wrong_content_type": "'text/plain' where JSON was expected",
    "html_page": "'text/html' where JSON was expected",
    "wrong_schema": "Field required",
    "ten_megabytes": "longer than 8 MiB",
    "non_utf8": "not UTF-8",
}


def test_the_table_names_every_kind() -> None:
    assert len(upstream.KINDS) == 22
    played = {"refused", "connect_timeout"} | set(upstream.READABLE)
    assert set(upstream.KINDS) - played <= set(REFUSED)


@doors
@pytest.mark.parametrize("kind", REFUSED)
async def test_a_fault_is_classified(door: Door, kind: str) -> None:
    async with serving(Upstream(script=[kind], wait="absent", hang=1.5)) as up:
        error = await fault(door, up.url)
    assert (error.retry, error.billed, error.fatal) == REFUSED[kind]
    assert error.retry_after is None
    assert SAID.get(kind, f"status {kind} from") in str(error)
    assert len(up.ledger) == 1


@doors
@pytest.mark.parametrize(
    ("form", "low", "high"), [("seconds", 1, 1), ("date", 0, 2), ("ms", 0.02, 0.02), ("600", 600, 600)]
)
async def test_retry_after_is_read(door: Door, form: str, low: float, high: float) -> None:
    async with serving(Upstream(script=["429"], wait=form)) as up:
        error = await fault(door, up.url)
    assert error.retry_after is not None
    assert low <= error.retry_after <= high


@doors
async def test_a_refused_connection_is_not_billed(door: Door) -> None:
    with closed_port() as url:
        error = await fault(door, url)
    assert (error.retry, error.billed, error.fatal) == ("transient", False, False)


@doors
async def test_a_connection_that_hangs_is_not_billed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "CONNECT_SECONDS", 0.2)
    with full_backlog() as url:
        error = await fault(door, url)
    assert (error.retry, error.billed, error.fatal) == ("transient", False, False)


@doors
async def test_a_connection_dropped_after_the_request_may_be_billed(door: Door) -> None:
    async with serving(Upstream(script=["refused"])) as up:
        error = await fault(door, up.url)
    assert (error.retry, error.billed) == ("transient", True)


@doors
async def test_a_spent_account_stops_the_job(door: Door) -> None:
    error = faults.from_status("host", 429, {}, '{"error": {"code": "insufficient_quota"}}', KEY)
    assert (error.retry, error.fatal) == ("no", True)


@doors
@pytest.mark.parametrize(
    ("kind", "text", "stop", "refusal"),
    [
        ("empty_content", "", "stop", False),
        ("length", None, "max_tokens", False),
        ("usage", None, "stop", False),
    ],
)
async def test_content_faults_are_replies(
    door: Door, kind: str, text: str | None, stop: str, refusal: bool
) -> None:
    async with serving(Upstream(script=[kind], reply_text=lambda _: "one two")) as up:
        _, reply = await ask(door, up.url)
    assert reply.text == ("one two" if text is None else text)
    assert (reply.stop_reason, reply.refusal) == (stop, refusal)


async def test_refusals_and_filters() -> None:
    expected = {
        ("openai", "refusal"): ("No.", "stop", True),
        ("openai", "content_filter"): ("one two", "content_filter", False),
        ("anthropic", "refusal"): ("one two", "content_filter", True),
        ("anthropic", "content_filter"): ("one two", "content_filter", True),
    }
    by_name = {door.name: door for door in DOORS}
    for (name, kind), wanted in expected.items():
        async with serving(Upstream(script=[kind], reply_text=lambda _: "one two")) as up:
            _, reply = await ask(by_name[name], up.url)
        assert (reply.text, reply.stop_reason, reply.refusal) == wanted, (name, kind)


@doors
@pytest.mark.parametrize("text", ["a", "b", "c", "d"])
async def test_missing_or_absurd_usage_is_bounded_from_above(door: Door, text: str) -> None:
    async with serving(Upstream(script=["usage"])) as up:
        _, reply = await ask(door, up.url, text)
    assert 1 <= reply.usage.input_tokens < 1000
    assert reply.usage.output_tokens == 50


@doors
@pytest.mark.parametrize("status", ["401", "429", "500", "400"])
async def test_a_key_echoed_by_the_server_is_not_repeated(door: Door, status: str) -> None:
    async with serving(Upstream(script=[status], echo=True)) as up:
        error = await fault(door, up.url)
    assert "on purpose" in str(error)
    assert "[key]" in str(error)
    assert "canary" not in str(error)


@doors
async def test_a_redirect_is_not_followed(door: Door) -> None:
    async with serving(Upstream()) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            path = "/v1/messages" if door.name == "anthropic" else "/v1/chat/completions"
            async with serving(Upstream(script=["redirect"], elsewhere=elsewhere.url + path)) as up:
                error = await fault(door, up.url)
            assert error.retry == "transient", status
    assert elsewhere.ledger == []


async def test_the_connection_survives_faults() -> None:
    """A drawn-out session on one client: what follows a fault is answered."""
    async with serving(Upstream(hang=1.5)) as up:
        for door in DOORS:
            provider = door.open(up.url)
            request = Request(door.model, (Message(role="user", content="x"),))
            for kind in (*REFUSED, *upstream.READABLE):
                up.script[:] = [kind, "ok"]
                with suppress(CallError):
                    await provider.send(provider.body(request))
                raw = await provider.send(provider.body(request))
                assert provider.read(request, raw).text, kind
            await provider.close()


@doors
async def test_a_provider_sets_no_limit_of_its_own(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that waited for a connection would be timed out, and billed, for nothing."""
    monkeypatch.setattr(sys.modules[__name__], "TIMEOUT", 30.0)
    out, full = 0, asyncio.Event()

    class Watched(Upstream):
        async def _handle(self, form: object, request: web.Request) -> web.StreamResponse:
            nonlocal out
            out += 1
            if out == 150:
                full.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(full.wait(), 5.0)
            out -= 1
            return await super()._handle(form, request)  # type: ignore[arg-type]

    async with serving(Watched()) as up:
        provider = door.open(up.url)
        turns = [(Message(role="user", content=str(number)),) for number in range(150)]
        await asyncio.gather(*(provider.send(provider.body(Request(door.model, one))) for one in turns))
        await provider.close()
    assert full.is_set()


NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"Retry-After": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Sat, 21 Nov 2026 11:59:00 GMT"}, 0.0),
        ({"Retry-After": "Sat, 21 Nov 2026 12:00:30"}, 30.0),
        ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25),
        ({"retry-after-ms": "soon", "Retry-After": "9"}, 9.0),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "1e300"}, None),
        ({"Retry-After": "whenever"}, None),
        ({"Retry-After": ""}, None),
    ],
)
def test_retry_after_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert faults.retry_after(headers, NOW) == seconds


@given(st.text(max_size=40))
def test_retry_after_is_a_finite_wait_or_none(value: str) -> None:
    wait = faults.retry_after({"Retry-After": value}, NOW)
    assert wait is None or (wait >= 0 and math.isfinite(wait))


@given(st.text(max_size=300), st.text(max_size=300))
def test_redaction_leaves_one_short_printable_line_without_the_key(before: str, after: str) -> None:
    said = faults.redact(f"{before} {KEY} {after}", KEY)
    assert KEY not in said
    assert len(said) <= 240
    assert said.isprintable()


@pytest.mark.parametrize(
    "text", ["Authorization: Bearer abc.def-123", "authorization: basic dXNlcjpwYXNz", "key sk-proj-abcdef"]
)
def test_other_credentials_are_redacted(text: str) -> None:
    secret = text.split()[-1]
    assert secret not in faults.redact(text, "")


@doors
async def test_compression_is_declined(door: Door) -> None:
    """A small compressed body could unfold to gigabytes, so it is not unfolded."""

    async def zipped(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(
            body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}, content_type="application/json"
        )

    class Zipped(Upstream):
        async def _handle(self, form: object, request: web.Request) -> web.Response:
            return await zipped(request)

    async with serving(Zipped()) as up:
        error = await fault(door, up.url)
    assert "compressed" in str(error)
