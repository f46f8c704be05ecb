"""Whose pages may call: Host names against DNS rebinding, origins and fetch metadata against other sites."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlaif.service.origins import is_loopback
from tests.service.served import Headers, Served, served

OURS = ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}", "lab.example:8080"]
FOREIGN = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1",
    "localhost",
    "127.0.0.1:{other}",
    "localhost:80",
    "[::1]",
    "[::ffff:127.0.0.1]:{port}",
    "::ffff:127.0.0.1",
    "0.0.0.0:{port}",
    "127.1:{port}",
    "2130706433:{port}",
    "0x7f000001:{port}",
    "127.0.0.1.nip.io:{port}",
    "localhost.:{port}",
    "localhost.evil.example:{port}",
    "user@localhost:{port}",
    "127.0.0.1:{port}@evil.example",
    "localhost:{port}, evil.example",
    "lab.example",
    "lab.example:{port}",
    "xlocalhost:{port}",
    "",
]


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service on the loopback, which needs no key there."""
    with served(tmp_path_factory.mktemp("near"), allow_hosts=["lab.example:8080"]) as one:
        yield one


def written(host: str, service: Served) -> str:
    return host.format(port=service.port, other=service.port % 65535 + 1)


@pytest.mark.parametrize("host", OURS)
def test_our_names_are_answered_to(near: Served, host: str) -> None:
    assert near.ask("GET", "/v1/keys", host=written(host, near)).status == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_no_other_name_is(near: Served, host: str) -> None:
    for target in ("/v1/keys", "/keys", "/healthz", "/login"):
        reply = near.ask("GET", target, [("Host", written(host, near))], host=None)
        assert reply.status in (400, 403), reply  # 400: the parser itself refuses what is no name
        assert b"ak_" not in reply.body


def test_a_request_has_one_host(near: Served) -> None:
    twice = [("Host", near.host), ("Host", near.host)]
    assert near.ask("GET", "/v1/keys", twice, host=None).status in (400, 403)
    with socket.create_connection(("127.0.0.1", near.port), timeout=10) as line:
        line.sendall(b"GET /v1/keys HTTP/1.0\r\n\r\n")
        assert line.recv(4096).split()[1] in (b"400", b"403")


def test_an_absolute_address_does_not_stand_for_the_host(near: Served) -> None:
    reply = near.ask("GET", "http://127.0.0.1/v1/keys", host="evil.example")
    assert reply.status == 403


def test_a_key_opens_under_any_name(near: Served) -> None:
    """Through a tunnel or a proxy: a rebinding page has no key."""
    assert near.ask("GET", "/v1/keys", [near.bearer()], host="evil.example").status == 200


ELSEWHERE: dict[str, Headers] = {
    "another site": [("Origin", "https://evil.example")],
    "no origin to speak of": [("Origin", "null")],
    "another port": [("Origin", "http://127.0.0.1:1")],
    "another name for it": [("Origin", "http://localhost.evil.example")],
    "another scheme": [("Origin", "ftp://{host}")],
    "an extension": [("Origin", "chrome-extension://abcdef")],
    "a file": [("Origin", "file://")],
    "ours with a path": [("Origin", "http://{host}/")],
    "ours with a user": [("Origin", "http://x@{host}")],
    "empty": [("Origin", "")],
    "two": [("Origin", "http://{host}"), ("Origin", "https://evil.example")],
    "cross-site": [("Sec-Fetch-Site", "cross-site")],
    "same site, another port": [("Sec-Fetch-Site", "same-site")],
    "an image": [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "image"),
    ],
    "a frame": [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "iframe"),
    ],
    "ours, it says": [("Origin", "http://{host}"), ("Sec-Fetch-Site", "cross-site")],
}


@pytest.mark.parametrize("case", ELSEWHERE)
@pytest.mark.parametrize("keyed", [False, True])
def test_other_sites_are_refused(near: Served, case: str, keyed: bool) -> None:
    headers = [(name, str(value).format(host=near.host)) for name, value in ELSEWHERE[case]]
    for target in ("/v1/keys", "/keys"):
        reply = near.ask("GET", target, [*headers, *([near.bearer()] if keyed else [])])
        assert reply.status == 403, reply
        assert "page" in reply.said


def test_a_link_to_a_page_may_be_followed(near: Served) -> None:
    followed = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ]
    assert near.ask("GET", "/keys", followed).status == 200
    assert near.ask("GET", "/v1/keys", followed).status == 403
    assert near.ask("POST", "/keys", followed).status == 403


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_pages_may_call(near: Served, site: str) -> None:
    headers = [("Origin", near.origin), ("Sec-Fetch-Site", site)]
    assert near.ask("GET", "/v1/keys", headers).status == 200


@pytest.mark.parametrize(
    ("host", "only"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("", False), ("10.0.0.1", False), ("localhost.example", False),
        ("::ffff:127.0.0.1", False), ("2130706433", False),
    ],
)  # fmt: skip
def test_what_only_this_machine_can_reach(host: str, only: bool) -> None:
    assert is_loopback(host) == only


def test_a_named_service_behind_a_proxy(tmp_path: Path) -> None:
    with served(tmp_path, host="0.0.0.0", allow_hosts=["lab.example"]) as far:
        cookie = ("Cookie", far.log_in(host="lab.example"))
        assert far.ask("GET", "/keys", [cookie], host="lab.example").status == 200
        assert far.ask("GET", "/keys", [cookie], host="evil.example").status == 403
