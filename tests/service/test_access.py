"""Who may call what: every route of the table against every way of not having a key for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from rlaif.errors import InputError
from rlaif.pipeline import opened
from rlaif.service import Service
from rlaif.service.access import RANK, Guard
from rlaif.service.app import build_app
from rlaif.service.keys import Keyring
from rlaif.service.routes import Route
from rlaif.service.serving import serving
from rlaif.service.sessions import Sessions
from rlaif.service.table import ROUTES
from rlaif.settings import Settings
from tests.service.served import Headers, Served, make_keys, served

GUARDED = [one for one in ROUTES if one.scope != "open"]
OPEN = {
    ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/static/{name}"), ("GET", "/login"), ("POST", "/login"),
    ("POST", "/logout"),
}  # fmt: skip
UNKNOWN = "rlaif_" + "A" * 43

Case = Callable[[Served, str], tuple[str, Headers]]


def header(value: str | bytes, target: str) -> tuple[str, Headers]:
    return target, [("Authorization", value)]


def foreign(service: Served) -> Headers:
    return [("Cookie", service.log_in()), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")]


CASES: dict[str, Case] = {
    "none": lambda _, target: (target, []),
    "wrong": lambda _, target: header(f"Bearer {UNKNOWN}", target),
    "empty": lambda _, target: header("", target),
    "truncated": lambda s, target: header(f"Bearer {s.keys['admin'][:-1]}", target),
    "lengthened": lambda s, target: header(f"Bearer {s.keys['admin']}A", target),
    "revoked": lambda s, target: header(f"Bearer {s.keys['revoked']}", target),
    "expired": lambda s, target: header(f"Bearer {s.keys['expired']}", target),
    "in the query": lambda s, target: (f"{target}?key={s.keys['admin']}", []),
    "in the query beside a good one": lambda s, target: (
        f"{target}?key={s.keys['admin']}", [s.bearer()],
    ),
    "in the query, percent-encoded": lambda s, target: (
        f"{target}?key={s.keys['admin'].replace('rlaif', '%72laif')}", [s.bearer()],
    ),
    "cookie from another site": lambda s, target: (target, foreign(s)),
    "cookie with another origin": lambda s, target: (
        target, [("Cookie", s.log_in()), ("Origin", "https://evil.example")],
    ),
    "made-up cookie": lambda s, target: (target, [("Cookie", f"rlaif_{s.port}={'A' * 43}")]),
    "key as cookie": lambda s, target: (target, [("Cookie", f"rlaif_{s.port}={s.keys['admin']}")]),
    "doubled": lambda s, target: (target, [s.bearer(), s.bearer()]),
    "doubled, one bad": lambda s, target: (target, [("Authorization", f"Bearer {UNKNOWN}"), s.bearer()]),
    "10 kB": lambda s, target: header(f"Bearer {s.keys['admin']}{'A' * 10_000}", target),
    "not ASCII": lambda s, target: header(f"Bearer {s.keys['admin']}é".encode(), target),
    "not UTF-8": lambda s, target: header(f"Bearer {s.keys['admin']}".encode() + b"\xff\xfe", target),
    "wrong scheme": lambda s, target: header(f"Basic {s.keys['admin']}", target),
    "no scheme": lambda s, target: header(s.keys["admin"], target),
    "two blanks": lambda s, target: header(f"Bearer  {s.keys['admin']}", target),
    "other header": lambda s, target: (target, [("X-API-Key", s.keys["admin"])]),
}  # fmt: skip


def target_of(route: Route) -> str:
    return re.sub(r"\{\w+\}", "none", route.path)


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that others can reach."""
    with served(tmp_path_factory.mktemp("far"), host="0.0.0.0") as one:
        yield one


@pytest.mark.parametrize("case", CASES)
def test_no_route_opens_without_a_good_key(far: Served, case: str) -> None:
    opened_by: list[str] = []
    for route in GUARDED:
        target, headers = CASES[case](far, target_of(route))
        reply = far.ask(route.method, target, headers)
        assert far.keys["admin"].encode() not in reply.body
        if reply.status not in (401, 403) or reply.headers["content-type"] != "application/problem+json":
            opened_by.append(f"{name_of(route)}: {reply}")
    assert not opened_by


@pytest.mark.parametrize("route", [one for one in GUARDED if one.scope != "read"], ids=name_of)
def test_a_lesser_key_is_refused(far: Served, route: Route) -> None:
    for scope in ("read", "run", "admin"):
        reply = far.ask(route.method, target_of(route), [far.bearer(scope)])
        enough = RANK[scope] >= RANK[route.scope]  # type: ignore[index]
        assert (reply.status not in (401, 403)) == enough, (scope, reply)
        assert enough or reply.status == 403


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
def test_the_right_key_opens(far: Served, route: Route) -> None:
    reply = far.ask(route.method, target_of(route), [far.bearer(route.scope)])
    assert reply.status not in (401, 403), reply
    assert reply.status < 500, reply


def test_the_matrix_is_as_large_as_promised() -> None:
    assert len(GUARDED) * len(CASES) >= 150


def test_only_these_routes_are_open() -> None:
    assert {(one.method, one.path) for one in ROUTES if one.scope == "open"} == OPEN


def test_a_scheme_is_read_in_any_case(far: Served) -> None:
    assert far.ask("GET", "/v1/keys", [("authorization", f"bEARER {far.keys['admin']}")]).status == 200


def test_a_refusal_names_the_way_in(far: Served) -> None:
    reply = far.ask("GET", "/v1/keys")
    assert reply.headers["www-authenticate"] == 'Bearer realm="rlaif"'
    assert "rlaif keys create" in reply.said


# The table


def test_a_route_without_a_scope_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="scope"):
        Route(method="GET", path="/x", handler=lambda call: call, summary="x")  # type: ignore[call-arg,arg-type]


async def test_nothing_is_served_that_is_not_in_the_table(tmp_path: Path) -> None:
    async with opened(tmp_path) as workspace:
        service = Service(workspace, Settings(home=tmp_path))
        app = build_app(service, Guard(service.keyring, service.sessions))
    served_there = {(one.method, one.resource.canonical) for one in app.router.routes() if one.resource}
    # aiohttp may add HEAD to GET routes; none of ours asks for that.
    assert served_there == {(one.method, one.path) for one in ROUTES}
    assert not [one for one in app.router.resources() if isinstance(one, web.StaticResource)]


def test_no_route_stands_twice() -> None:
    assert len({(one.method, one.path) for one in ROUTES}) == len(ROUTES)


# Starting


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "service.example", "", "::ffff:127.0.0.1"])
async def test_others_can_only_reach_a_service_that_has_a_key(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match="rlaif keys create"):
        async with serving(tmp_path, Settings(home=tmp_path), host=host, port=0):
            pass


async def test_a_key_that_opens_nothing_is_no_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as workspace:
        ring = Keyring(workspace)
        _, about = await ring.create("gone", "admin")
        await ring.revoke(about.id)
        with pytest.raises(InputError, match="no key yet"):
            Guard(ring, Sessions(), host="0.0.0.0")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.10"])
async def test_the_loopback_needs_none(tmp_path: Path, host: str) -> None:
    async with opened(tmp_path) as workspace:
        Guard(Keyring(workspace), Sessions(), host=host)


# Sessions


def test_a_session_does_what_its_key_may(far: Served) -> None:
    cookie = [("Cookie", far.log_in("read"))]
    assert far.ask("GET", "/keys", cookie).status == 200
    assert far.ask("GET", "/v1/keys", cookie).status == 403


def test_the_cookie_is_kept_from_scripts_and_other_sites(far: Served) -> None:
    form = f"key={far.keys['read']}".encode()
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    reply = far.ask("POST", "/login", [kind, ("Origin", far.origin)], form)
    (cookie,) = reply.cookies
    marks = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= marks
    assert "secure" not in marks
    secure = [kind, ("Origin", f"https://{far.host}")]
    assert "Secure" in far.ask("POST", "/login", secure, form).cookies[0]


def test_logging_out_ends_the_session(far: Served) -> None:
    cookie = ("Cookie", far.log_in())
    assert far.ask("GET", "/keys", [cookie]).status == 200
    assert far.ask("POST", "/logout", [cookie, ("Origin", far.origin)]).status == 303
    assert far.ask("GET", "/keys", [cookie]).status == 401


def test_a_revoked_key_ends_its_sessions(far: Served) -> None:
    made = far.send("POST", "/v1/keys", {"name": "brief", "scope": "read"}, [far.bearer()]).json()
    far.keys["brief"] = made["key"]
    cookie = [("Cookie", far.log_in("brief"))]
    assert far.ask("GET", "/keys", cookie).status == 200
    far.ask("DELETE", f"/v1/keys/{made['id']}", [far.bearer()])
    assert far.ask("GET", "/keys", cookie).status == 401
    assert far.ask("GET", "/v1/health", [far.bearer("brief")]).status == 401


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil",
        "javascript:alert(1)",
        "/a b",
        "/a\n",
    ],
)
def test_login_leads_to_pages_of_ours_only(far: Served, elsewhere: str) -> None:
    headers = [("Origin", far.origin)]
    reply = far.send("POST", "/login", {"key": far.keys["read"], "next": elsewhere}, headers)
    assert reply.status == 422, reply
    assert "body.next" in reply.said


def test_login_goes_on_to_the_page_asked_for(far: Served) -> None:
    headers = [("Origin", far.origin)]
    reply = far.send("POST", "/login", {"key": far.keys["read"], "next": "/keys?probe=true"}, headers)
    assert reply.headers["location"] == "/keys?probe=true"


def test_a_browser_without_a_key_is_asked_for_one(far: Served) -> None:
    reply = far.ask("GET", "/keys?probe=true", [("Accept", "text/html")])
    assert reply.status == 401
    assert b'name="key"' in reply.body
    assert b'value="/keys?probe=true"' in reply.body


def test_sessions_end_and_are_bounded() -> None:
    clock = [0.0]
    sessions = Sessions(clock=lambda: clock[0])
    first = sessions.begin("ak_1")
    assert sessions.find(first)
    clock[0] = 12 * 3600 - 1
    assert sessions.find(first)
    clock[0] = 12 * 3600
    assert sessions.find(first) is None
    oldest, *_ = [sessions.begin(f"ak_{number}") for number in range(1001)]
    assert sessions.find(oldest) is None
    assert sessions.find("\udcff") is None


# With a key required on the loopback


def test_require_key(tmp_path: Path) -> None:
    with served(tmp_path, require_key=True) as near:
        assert near.ask("GET", "/v1/health").status == 401
        assert near.ask("GET", "/v1/health", [near.bearer("read")]).status == 200
        assert near.ask("GET", "/healthz").status == 200


def test_a_bad_key_is_refused_where_none_is_needed(tmp_path: Path) -> None:
    with served(tmp_path) as near:
        assert near.ask("GET", "/v1/health").status == 200
        assert near.ask("GET", "/v1/health", [("Authorization", f"Bearer {UNKNOWN}")]).status == 401
        assert near.ask("GET", "/v1/keys", [near.bearer("read")]).status == 403


def test_keys_are_made_for_the_matrix(tmp_path: Path) -> None:
    keys = asyncio.run(make_keys(tmp_path))
    assert len(set(keys.values())) == 5
    assert datetime.now(UTC) - datetime(2020, 1, 2, tzinfo=UTC) > timedelta(0)
