"""No name leads outside: hostile paths in every slot, query and body, beside a tree of canaries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rlaif.service.openapi import SLOT
from rlaif.service.routes import Route
from rlaif.service.table import ROUTES
from tests.service.examples import Examples, put, with_text
from tests.service.served import Served, served
from tests.service.test_access import name_of, target_of

CANARY = "canary-5f2c1e"
ESCAPES = [
    "..", ".", "...", "../", "../secret.txt", "../../secret.txt", "../../../etc/passwd", "..\\secret.txt",
    "..\\..\\secret.txt", "....//secret.txt", "..././secret.txt", "..;/secret.txt", "/etc/passwd",
    "//etc/passwd", "/proc/self/environ", "file:///etc/passwd", "C:\\Windows\\win.ini", "C:secret.txt",
    "\\\\host\\share\\secret.txt", "//host/share/secret.txt", "\\\\?\\C:\\secret.txt", "CON", "NUL",
    "com1.txt", "aux", "secret.txt:stream", "secret.txt::$DATA", "~", "~/secret.txt", "~root/secret.txt",
    "$HOME/secret.txt", "${HOME}", "%HOME%", "link/secret.txt", "link", "linked.txt", ".hidden",
    ".git/config", "journal", "store.duckdb", "lock", "audit.jsonl", "secret.txt\x00.css", "\x00", "a\x00b",
    "a/../../secret.txt", "a%2f..%2f..%2fsecret.txt", "%2e%2e", "%2e%2e%2fsecret.txt",
    "%252e%252e%252fsecret.txt", "..%2fsecret.txt", "..%252fsecret.txt", "..%5csecret.txt",
    "..%c0%afsecret.txt", "..%ef%bc%8fsecret.txt", "%c0%ae%c0%ae/secret.txt", "#/../secret.txt",
    "secret.txt#", "?/../secret.txt", "secret.txt?x=.css", "；..／secret.txt", "．．／secret.txt",
    "‥/secret.txt", "a" * 300, "a" * 5000, "é" * 200, "\u202etxt.terces", " ", "secret.txt ", "secret.txt.",
    "*", "[a-z]*", "-rf", "--help", "a\nb", "a\r\nX-Injected: yes", "$(touch pwned)", "`touch pwned`",
    "| touch pwned", "'; DROP TABLE jobs; --",
]  # fmt: skip
SLOTTED = [one for one in ROUTES if SLOT.search(one.path)]
TAKES = [one for one in ROUTES if one.body is not None]


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service in ``root/served``, with canaries beside and above it, and links that lead to them."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "served"
    folder.mkdir()
    for place in (root, root / "deep", root.parent):
        place.mkdir(exist_ok=True)
        (place / "secret.txt").write_text(CANARY)
    (folder / "secret.txt").write_text(CANARY)  # inside, and nobody's business either
    (folder / "link").symlink_to(root)
    (folder / "linked.txt").symlink_to(root / "secret.txt")
    with served(folder) as one:
        yield one


def outside(service: Served) -> dict[str, bytes]:
    """Everything beside the served folder."""
    root = service.folder.parent
    found = [path for path in root.rglob("*") if path.is_file() and service.folder not in path.parents]
    return {str(path): path.read_bytes() for path in found}


@pytest.fixture
def untouched(near: Served) -> Iterator[None]:
    before = outside(near)
    yield
    assert outside(near) == before
    assert not list(Path.cwd().glob("pwned"))


def ways(text: str) -> set[str]:
    """A text as a segment of an address: plain where it can be, encoded, encoded twice."""
    once = quote(text, safe="")
    plain = text if text.isascii() and text.isprintable() and " " not in text and text not in "#?" else once
    return {plain, once, quote(once, safe="")}


def harmless(reply: Any) -> bool:
    leaked = CANARY.encode() in reply.body or b"root:x:0" in reply.body
    return reply.status < 500 and not leaked and "x-injected" not in reply.headers


def test_there_are_as_many_escapes_as_promised() -> None:
    assert len(set(ESCAPES)) >= 60


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("route", SLOTTED, ids=name_of)
def test_no_slot_leads_outside(near: Served, route: Route) -> None:
    failed = []
    for escape in ESCAPES:
        for written in ways(escape):
            target = SLOT.sub(lambda _, written=written: written, route.path)  # type: ignore[misc]
            reply = near.ask(route.method, target, [("Origin", near.origin)])
            if not harmless(reply):
                failed.append((target, reply))
            if written == quote(escape, safe="") and "/" in escape and SLOT.search(route.path):
                assert reply.status in (404, 405, 422, 415, 400), (target, reply)
    assert not failed


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("route", TAKES, ids=name_of)
def test_no_name_in_a_body_does(near: Served, route: Route) -> None:
    assert route.body is not None
    places = [pair for body in Examples(route.body).bodies() for pair in with_text(body, "HERE")]
    failed = []
    for turn in range(max(len(places), len(ESCAPES)) if places else 0):
        place, body = places[turn % len(places)]
        put(body, place, ESCAPES[turn % len(ESCAPES)])
        reply = near.send(route.method, target_of(route), body, [("Origin", near.origin)])
        if not harmless(reply):
            failed.append((place, body, reply))
    assert not failed


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("route", [one for one in ROUTES if one.query is not None], ids=name_of)
def test_no_query_does(near: Served, route: Route) -> None:
    assert route.query is not None
    names = list(route.query.model_json_schema(by_alias=True)["properties"])
    failed = []
    for turn, escape in enumerate(ESCAPES):
        target = f"{target_of(route)}?{names[turn % len(names)]}={quote(escape, safe='')}"
        reply = near.ask(route.method, target, [("Origin", near.origin)])
        if not harmless(reply):
            failed.append((target, reply))
    assert not failed


@pytest.mark.parametrize(
    "path", ["/../secret.txt", "/static/../../secret.txt", "/static/%2e%2e/secret.txt", "//etc/passwd"]
)
def test_no_address_does(near: Served, path: str) -> None:
    reply = near.ask("GET", path)
    assert reply.status in (400, 404)
    assert harmless(reply)


def test_slots_take_one_segment() -> None:
    assert not [one.path for one in ROUTES if re.search(r"\{\w+:", one.path)]
