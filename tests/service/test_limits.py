"""How large, deep and odd a request may be, and how many at a time; each refusal is a sentence."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from rlaif.service import bodies
from rlaif.service.limits import Bounds, Turnstile
from rlaif.service.problems import Problem
from rlaif.service.routes import Caller, Route
from rlaif.service.table import ROUTES
from tests.service.served import Served, served
from tests.service.test_access import name_of, target_of

TAKES = [one for one in ROUTES if one.body is not None and not one.page]
JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("near")) as one:
        yield one


ODD: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "not JSON"),
    "blank": (b"  ", 400, "not JSON"),
    "half": (b'{"name": ', 400, "column 10"),
    "two": (b"{} {}", 400, "Extra data"),
    "not UTF-8": (b'{"name": "\xff"}', 400, "byte 10 is not UTF-8"),
    "UTF-16": ('{"name": "x"}'.encode("utf-16"), 400, "UTF-8"),
    "a byte-order mark": (b'\xef\xbb\xbf{"name": "x"}', 400, "not JSON"),
    "single quotes": (b"{'name': 'x'}", 400, "not JSON"),
    "NaN": (b'{"name": "x", "days": NaN}', 422, "NaN"),
    "infinity": (b'{"days": Infinity}', 422, "Infinity"),
    "minus infinity": (b'{"days": -Infinity}', 422, "Infinity"),
    "overflow": (b'{"name": "x", "days": 1e999}', 422, "body.days"),
    "a name twice": (b'{"name": "x", "name": "y"}', 422, "'name' stands twice"),
    "a name twice inside": (b'{"a": [{"b": 1, "b": 1}]}', 422, "'b' stands twice"),
    "half a pair": (b'{"name": "a\\ud800"}', 422, "body.name"),
    "the other half": (b'{"name": "\\udc00"}', 422, "body.name"),
    "half a pair in a name": (b'{"\\ud800": 1}', 422, "surrogate"),
    "NUL": (b'{"name": "a\\u0000b"}', 422, "body.name"),
    "NUL in a name": (b'{"a\\u0000": 1}', 422, "NUL"),
    "a raw control character": (b'{"name": "a\x01"}', 400, "control character"),
    "deep lists": (b'{"name": ' + b"[" * 70 + b"]" * 70 + b"}", 422, "64 deep"),
    "deep objects": (b'{"a": ' * 70 + b"1" + b"}" * 70, 422, "64 deep"),
    "a bomb of lists": (b"[" * 100_000, 422, "64 deep"),
    "a bomb of objects": (b'{"a":' * 100_000, 422, "64 deep"),
    "a very long number": (b'{"days": ' + b"9" * 5_000 + b"}", 422, "thousands of digits"),
    "a very long text": (b'{"name": "' + b"x" * (2**18 + 1) + b'"}', 422, "body.name"),
    "a very long list": (b'{"a": [' + b"1," * 50_000 + b"1]}", 422, "body.a"),
    "a list": (b"[]", 422, "body"),
    "a number": (b"1", 422, "body"),
    "null": (b"null", 422, "body"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_json_is_refused_with_a_sentence(near: Served, case: str) -> None:
    content, status, said = ODD[case]
    for route in TAKES:
        reply = near.ask(route.method, target_of(route), [JSON], content)
        if len(content) > route.upload:
            assert reply.status == 413
            continue
        assert reply.status == status, (name_of(route), reply)
        assert said in reply.said or said in str(reply.json()["errors"]), (name_of(route), reply)


@pytest.mark.parametrize("route", TAKES, ids=name_of)
def test_an_unknown_field_is_named(near: Served, route: Route) -> None:
    reply = near.send(route.method, target_of(route), {"nobody_knows": 1})
    assert reply.status == 422
    assert "body.nobody_knows" in [one["field"] for one in reply.json()["errors"]]


@pytest.mark.parametrize(
    "kind", ["text/xml", "application/x-yaml", "multipart/form-data; boundary=x", "nonsense"]
)
def test_another_type_is_refused(near: Served, kind: str) -> None:
    headers = [("Content-Type", kind), ("Origin", near.origin)]
    for route in TAKES:
        assert near.ask(route.method, target_of(route), headers, b"{}").status == 415, name_of(route)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "made-up"])
def test_compressed_bodies_are_refused(near: Served, coding: str) -> None:
    bomb = {"gzip": gzip.compress(b"0" * 2**24), "deflate": zlib.compress(b"0" * 2**24)}.get(coding, b"{}")
    for route in TAKES:
        headers = [JSON, ("Content-Encoding", coding)]
        reply = near.ask(route.method, target_of(route), headers, bomb)
        assert reply.status in (400, 415), (
            name_of(route),
            reply,
        )  # 400: the parser knows the coding is wrong


@pytest.mark.parametrize("route", TAKES, ids=name_of)
def test_a_large_body_is_refused_before_it_is_sent(near: Served, route: Route) -> None:
    """The header says how long it is, and nothing of it is waited for."""
    assert route.upload <= 64 * 2**20
    head = (
        f"{route.method} {target_of(route)} HTTP/1.1\r\nHost: {near.host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {route.upload + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", near.port), timeout=10) as line:
        began = time.monotonic()
        line.sendall(head.encode())
        assert line.recv(4096).split()[1] == b"413"
        assert time.monotonic() - began < 1


def test_a_body_of_unknown_length_is_cut_off(near: Served) -> None:
    """Chunks are counted as they come; the reply is there before the sender is done."""
    head = f"POST /v1/keys HTTP/1.1\r\nHost: {near.host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", near.port), timeout=10) as line:
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(9):
            line.sendall(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
        assert line.recv(4096).split()[1] == b"413"


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_problem(content: bytes) -> None:
    caught: list[int] = []
    try:
        bodies.check_json(content)
    except Problem as problem:
        caught.append(problem.status)
    assert caught in ([], [400], [422])
    if not caught:
        json.loads(content)


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc\n€", max_size=4), inner, max_size=4)
    ),
)  # fmt: skip


@given(_TREES)
def test_plain_json_passes(tree: object) -> None:
    bodies.check_json(json.dumps(tree).encode())


# Lines


async def read_lines(content: bytes, most: int = 2**26, size: int = 2**16) -> list[bytes]:
    """Lines of a body that comes in pieces of a size."""
    request = _request(content, size)
    return [line async for line in bodies.lines(request, most)]


def _request(content: bytes, size: int) -> web.Request:
    protocol = Mock(_reading_paused=False)
    stream = StreamReader(protocol, limit=2**30, loop=asyncio.get_running_loop())
    for at in range(0, len(content), size):
        stream.feed_data(content[at : at + size])
    stream.feed_eof()
    return make_mocked_request("POST", "/", payload=stream)


async def test_lines_come_one_by_one() -> None:
    assert await read_lines(b'{}\n\n {"a": 1}\n2', size=1) == [b"{}", b' {"a": 1}', b"2"]
    assert await read_lines(b"") == []


async def test_a_line_has_a_largest_size() -> None:
    whole = b"1".ljust(bodies.MOST_LINE)
    assert await read_lines(whole + b"\n" + whole) == [whole, whole]
    for content in (whole + b" ", whole + b" \n", b"1\n" + whole + b" \n1"):
        with pytest.raises(Problem, match=r"line [12] has more than 1,048,576 bytes"):
            await read_lines(content)


async def test_a_file_has_a_largest_number_of_lines() -> None:
    assert len(await read_lines(b"1\n" * 50_000)) == 50_000
    for content in (b"1\n" * 50_001, b"1\n" * 50_000 + b"1"):
        with pytest.raises(Problem, match=r"more than 50,000 lines"):
            await read_lines(content)


async def test_an_odd_line_is_named() -> None:
    for odd, said in (
        (b"{", "not JSON"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'"\\u0000"', "NUL"),
        (b"NaN", "NaN"),
    ):
        with pytest.raises(Problem, match=f"line 3: body: .*{said}"):
            await read_lines(b"1\n\n" + odd + b"\n2")


# At a time


@pytest.fixture
async def slow() -> AsyncIterator[TestClient]:
    """An application whose one route answers when told to."""
    turnstile, gate = Turnstile(Bounds(requests=2, streams=1, uploads=1)), asyncio.Event()
    caller = Caller("someone", "run", "ak_1")

    async def answer(request: web.Request) -> web.Response:
        media = "text/event-stream" if request.path == "/events" else "application/json"
        route = Route(method="POST", path=request.path, scope="read", handler=_never, summary="", media=media)
        try:
            with turnstile.passing(route), turnstile.uploading(request, caller):
                await gate.wait()
                return web.Response()
        except Problem as problem:
            return problem.response()

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{any}", answer)
    async with TestClient(TestServer(app)) as client:
        client.gate = gate  # type: ignore[attr-defined]
        client.turnstile = turnstile  # type: ignore[attr-defined]
        yield client


async def _never(_call: object) -> web.Response:
    raise AssertionError


async def settled(client: TestClient, what: str, count: int) -> None:
    while client.turnstile.inside[what] < count:  # type: ignore[attr-defined]
        await asyncio.sleep(0.001)


async def test_one_request_too_many_is_told_to_come_back(slow: TestClient) -> None:
    waiting = [asyncio.create_task(slow.post("/a")) for _ in range(2)]
    await settled(slow, "requests", 2)
    refused = await slow.post("/a")
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "1"
    assert "2 requests are in progress" in (await refused.json(content_type=None))["detail"]
    slow.gate.set()  # type: ignore[attr-defined]
    assert [(await one).status for one in waiting] == [200, 200]
    assert (await slow.post("/a")).status == 200
    assert not slow.turnstile.inside  # type: ignore[attr-defined]


async def test_streams_are_counted_apart(slow: TestClient) -> None:
    waiting = asyncio.create_task(slow.get("/events"))
    await settled(slow, "streams", 1)
    assert (await slow.get("/events")).status == 429
    slow.gate.set()  # type: ignore[attr-defined]
    assert (await waiting).status == 200
    assert (await slow.get("/a")).status == 200


async def test_one_upload_of_a_caller_at_a_time(slow: TestClient) -> None:
    large = b"x" * (2**20 + 1)
    waiting = asyncio.create_task(slow.post("/a", data=large))
    await settled(slow, "uploads of ak_1", 1)
    assert (await slow.post("/a", data=large)).status == 429
    small = asyncio.create_task(slow.post("/a", data=b"x"))
    await settled(slow, "requests", 2)
    slow.gate.set()  # type: ignore[attr-defined]
    assert (await waiting).status == (await small).status == 200


def test_a_crowd_is_answered_or_turned_away(near: Served) -> None:
    """Ten times as many clients as may be served at once: nobody gets a crash, and all is well after."""

    async def crowd() -> list[int]:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(near.origin, connector=connector) as session:

            async def one() -> int:
                async with session.get("/v1/health") as reply:
                    await reply.read()
                    return reply.status

            return list(await asyncio.gather(*(one() for _ in range(600))))

    statuses = asyncio.run(crowd())
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 256
    assert near.ask("GET", "/v1/health").status == 200
