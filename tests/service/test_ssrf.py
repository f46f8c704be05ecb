"""No caller makes the service call a host: hostile addresses in every text of every body open no socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rlaif.service.endpoints import endpoints, reached
from rlaif.service.table import ROUTES
from rlaif.settings import Settings
from tests.service.examples import Examples, put, with_text
from tests.service.served import Served, served
from tests.service.test_access import name_of, target_of

HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001",
    "0.0.0.0", "0", "localhost", "localhost.", "LOCALHOST", "localhost.localdomain", "127.0.0.1.",
    "127.127.127.127", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00:ec2::254]",
    "[2002:7f00:1::]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "100.100.100.200",
    "198.18.0.1", "224.0.0.1", "255.255.255.255", "169.254.0.1", "169.254.169.254", "2852039166",
    "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
    "metadata.google.internal", "metadata.google.internal.", "metadata", "169.254.170.2", "instance-data",
    "instance-data.ec2.internal", "metadata.azure.com", "168.63.129.16", "192.0.0.192",
    "metadata.tencentyun.com", "kubernetes.default.svc", "host.docker.internal", "127.0.0.1.nip.io",
    "localtest.me", "spoofed.burpcollaborator.net", "rebind.example", "make-127-0-0-1-rr.1u.ms",
    "①②⑦.⓪.⓪.①", "ⓛocalhost", "127。0。0。1", "loc\u00adalhost", "xn--bcher-kva.example", "examp\u200ble.com",
    "api.openai.com.evil.example", "api.openai.com@evil.example", "evil.example#@api.openai.com",
    "evil.example?api.openai.com", "api.openai.com%2eevil.example", "evil.example\\@api.openai.com",
    "user:password@127.0.0.1", "127.0.0.1:80\\@api.openai.com", "127.0.0.1\r\nX-Injected: yes",
    "127.0.0.1%0d%0aX-Injected:%20yes", "127.0.0.1\tevil", "127.0.0.1:6379", "127.0.0.1:22", "127.0.0.1:0",
    "127.0.0.1:65536", "127.0.0.1:99999", "[::1", "evil.example:https",
]  # fmt: skip
SCHEMES = ["openai:{}", "anthropic:{}", "compatible:{}", "compatible:{}/m", "local:{}", "mock:{}"]
ADDRESSES = [
    *(f"http://{host}/v1" for host in HOSTS),
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "ftp://127.0.0.1/", "dict://127.0.0.1:11211/stat",
    "ldap://127.0.0.1/", "unix:///var/run/docker.sock", "//127.0.0.1/v1", "http:127.0.0.1", "http:///127.0.0.1",
    "HTTP://127.0.0.1", "data:text/plain,x", "jar:http://127.0.0.1!/", "http://[::1]:80/", "hf://evil/model",
]  # fmt: skip
LEAST = 20
"""Addresses a route is sent at least, whatever its fields are called."""
TAKES = [one for one in ROUTES if one.body is not None]


class Sockets:
    """Counts what the process resolves and connects to, besides the service itself."""

    def __init__(self) -> None:
        self.opened: list[Any] = []
        self.port = 0

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        connect, resolve = socket.socket.connect, socket.getaddrinfo
        loop_connect = asyncio.BaseEventLoop.create_connection

        def connected(this: socket.socket, address: Any) -> None:
            self.note(address)
            connect(this, address)

        def resolved(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
            self.note((host, port))
            return resolve(host, port, *rest, **more)

        async def created(this: Any, factory: Any, host: Any = None, port: Any = None, **more: Any) -> Any:
            self.note((host, port))
            return await loop_connect(this, factory, host, port, **more)

        patch.setattr(socket.socket, "connect", connected)
        patch.setattr(socket, "getaddrinfo", resolved)
        patch.setattr(asyncio.BaseEventLoop, "create_connection", created)

    def note(self, address: Any) -> None:
        if not isinstance(address, tuple) or address[1] != self.port:
            self.opened.append(address)
            raise OSError("no connections in this test")


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("near")) as one:
        yield one


@pytest.fixture
def sockets(near: Served, monkeypatch: pytest.MonkeyPatch) -> Sockets:
    watched = Sockets()
    watched.port = near.port
    watched.watch(monkeypatch)
    return watched


def test_there_are_as_many_addresses_as_promised() -> None:
    assert len(set(ADDRESSES)) >= 80


def test_the_watch_sees_connections(sockets: Sockets) -> None:
    with pytest.raises(OSError, match="no connections"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    assert sockets.opened == [("192.0.2.1", 80)]


@pytest.mark.parametrize("route", TAKES, ids=name_of)
def test_no_body_makes_the_service_call_anyone(near: Served, sockets: Sockets, route: Any) -> None:
    """Every text of every example holds an address once; routes begin at other ones, so all are used."""
    places = [pair for body in Examples(route.body).bodies() for pair in with_text(body, "HERE")]
    failed, begin = [], 17 * TAKES.index(route)
    for turn in range(begin, begin + max(len(places), LEAST) if places else begin):
        place, body = places[turn % len(places)]
        put(body, place, told(ADDRESSES[turn % len(ADDRESSES)], turn))
        reply = near.send(route.method, target_of(route), body, [("Origin", near.origin)])
        if reply.status >= 500:
            failed.append((place, body, reply))
    assert sockets.opened == []
    assert not failed


MODEL_FIELDS = {"judge", "model", "models", "spec", "policy", "generator"}


@pytest.mark.parametrize("route", [one for one in TAKES if not one.page], ids=name_of)
def test_no_model_is_a_host(near: Served, sockets: Sockets, route: Any) -> None:
    """Every address as a model's name, in every field that takes one."""
    examples = [pair for body in Examples(route.body).bodies() for pair in with_text(body, "HERE")]
    places = [(place, body) for place, body in examples if MODEL_FIELDS & set(place[-2:])]
    for turn in range(max(len(places), len(ADDRESSES)) if places else 0):
        place, body = places[turn % len(places)]
        put(body, place, SCHEMES[turn % len(SCHEMES)].format(ADDRESSES[turn % len(ADDRESSES)]))
        reply = near.send(route.method, target_of(route), body, [("Origin", near.origin)])
        assert 400 <= reply.status < 500, (place, body, reply)
    assert sockets.opened == []


def told(address: str, turn: int) -> str:
    """An address as it is, or within the name of a model."""
    return address if turn % 2 else SCHEMES[turn // 2 % len(SCHEMES)].format(address)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_query_does(near: Served, sockets: Sockets, address: str) -> None:
    asked = quote(address, safe="")
    for target in (f"/v1/providers?probe={asked}", f"/v1/providers?host={asked}", f"/keys?probe={asked}"):
        near.ask("GET", target)
    assert sockets.opened == []


async def test_a_probe_asks_the_operator_s_hosts_alone_and_sends_nothing() -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings.model_validate(
        {
            "home": Path(), "keys": {"LAB_KEY": "canary"},
            "openai_url": "http://127.0.0.1:1/v1", "anthropic_url": "http://127.0.0.1:1",
            "compatible": {"lab": {"base_url": f"http://127.0.0.1:{port}/v1", "api_key_env": "LAB_KEY"}},
        }
    )  # fmt: skip
    found = {one.name: one for one in await reached(endpoints(settings))}
    await asyncio.sleep(0.05)
    server.close()
    assert found["compatible:lab"].reachable is True
    assert found["openai"].reachable is False
    assert found["local"].reachable is None
    assert heard == [b""]
    assert "canary" not in str(found)
