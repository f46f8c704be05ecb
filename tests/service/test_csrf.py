"""Changes need proof: every route that changes something, against what another site's page could send."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from rlaif.service.routes import Route
from rlaif.service.sessions import Sessions
from rlaif.service.table import ROUTES
from tests.service.served import Headers, Served, served
from tests.service.test_access import name_of, target_of

CHANGES = [one for one in ROUTES if one.method != "GET"]
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")

FORGED: dict[str, tuple[Headers, bytes]] = {
    "a form": ([FORM], b"a=b"),
    "an empty form": ([FORM], b""),
    "a form with a made-up token": ([FORM], b"csrf=" + b"0" * 64),
    "a form with an empty token": ([FORM], b"csrf="),
    "a form with two tokens": ([FORM], b"csrf=a&csrf=b"),
    "a made-up token": ([JSON, ("X-CSRF-Token", "0" * 64), ("Sec-Fetch-Site", "none")], b"{}"),
    "a token that is no ASCII": ([FORM, ("X-CSRF-Token", b"\xc3\xa9")], b""),
    "a token that is no UTF-8": ([FORM, ("X-CSRF-Token", b"\xff")], b""),
    "a form that is no UTF-8": ([FORM], b"csrf=\xff"),
    "plain text that reads as JSON": ([("Content-Type", "text/plain")], b"{}"),
    "a file form": ([("Content-Type", "multipart/form-data; boundary=x")], b"--x--"),
    "a body of no type": ([], b"{}"),
    "another origin": ([JSON, ("Origin", "https://evil.example")], b"{}"),
    "no origin to speak of": ([FORM, ("Origin", "null")], b"a=b"),
    "another site": ([JSON, ("Sec-Fetch-Site", "cross-site")], b"{}"),
    "another port of this machine": ([JSON, ("Sec-Fetch-Site", "same-site")], b"{}"),
    "a followed form": (
        [
            FORM,
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "document"),
        ],
        b"a=b",
    ),
}


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service on the loopback, which needs no key there."""
    with served(tmp_path_factory.mktemp("near")) as one:
        yield one


@pytest.mark.parametrize("case", FORGED)
@pytest.mark.parametrize("logged_in", [False, True])
def test_forged_changes_are_refused(near: Served, case: str, logged_in: bool) -> None:
    headers, body = FORGED[case]
    cookie = [("Cookie", near.log_in())] if logged_in else []
    passed = []
    for route in CHANGES:
        reply = near.ask(route.method, target_of(route), [*headers, *cookie], body)
        if reply.status != 403 and (reply.status, case) != (400, "a form that is no UTF-8"):
            passed.append(f"{name_of(route)}: {reply}")
    assert not passed


@pytest.mark.parametrize("route", CHANGES, ids=name_of)
def test_our_own_pages_and_programs_are_let_in(near: Served, route: Route) -> None:
    ways: list[Headers] = [
        [JSON, ("Origin", near.origin)],
        [JSON, ("Sec-Fetch-Site", "same-origin")],
        [JSON],
        [JSON, near.bearer()],
        [FORM, near.bearer()],
    ]
    for headers in ways:
        reply = near.ask(route.method, target_of(route), headers, b"")
        assert reply.status != 403, (headers, reply)


def test_a_program_needs_a_key_once_there_is_a_session(near: Served) -> None:
    """A cookie is a browser's, so its holder has to prove what a browser can."""
    cookie = ("Cookie", near.log_in())
    assert near.ask("POST", "/v1/keys", [JSON, cookie], b"{}").status == 403
    assert near.ask("POST", "/v1/keys", [JSON, cookie, ("Origin", near.origin)], b"{}").status == 422


def token_on(near: Served, headers: Headers = ()) -> str:
    page = near.ask("GET", "/keys", headers)
    found = re.search(r'<meta name="csrf" content="([0-9a-f]{64})">', page.body.decode())
    assert found is not None
    return found[1]


@pytest.mark.parametrize("logged_in", [False, True])
def test_the_token_of_a_page_is_enough(near: Served, logged_in: bool) -> None:
    cookie = [("Cookie", near.log_in())] if logged_in else []
    token = token_on(near, cookie)
    form = f"csrf={token}&name=by+form&scope=read&days=".encode()
    made = near.ask("POST", "/keys", [FORM, *cookie], form)
    assert made.status == 200
    assert b'value="rlaif_' in made.body
    headers = [FORM, ("X-CSRF-Token", token), *cookie]
    assert near.ask("POST", "/keys", headers, b"name=by+header&scope=read&days=7").status == 200


def test_a_token_is_one_session_s(near: Served) -> None:
    mine, other = ("Cookie", near.log_in()), ("Cookie", near.log_in())
    form = f"csrf={token_on(near, [mine])}&name=x&scope=read&days=".encode()
    assert near.ask("POST", "/keys", [FORM, other], form).status == 403
    assert near.ask("POST", "/keys", [FORM], form).status == 403
    assert near.ask("POST", "/keys", [FORM, mine], form).status == 200


def test_a_token_is_one_process_s() -> None:
    assert not Sessions().proves(Sessions().token(None), None)
    own = Sessions()
    assert own.proves(own.token(None), None)


def test_a_page_of_one_person_s_connection_has_no_token_of_another(near: Served) -> None:
    """A proxy sends many people's requests over one connection."""
    import http.client

    line = http.client.HTTPConnection("127.0.0.1", near.port)
    line.request("GET", "/keys", headers={"Host": near.host, "Cookie": near.log_in()})
    mine = re.search(rb'name="csrf" content="(\w+)"', line.getresponse().read())
    line.request("GET", "/nothing", headers={"Host": near.host, "Accept": "text/html"})
    theirs = line.getresponse()
    body = theirs.read()
    assert mine is not None
    assert theirs.status == 404
    assert mine[1] not in body
    assert b"Log out" not in body
