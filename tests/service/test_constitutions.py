"""Constitutions over HTTP, and their pages without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from urllib.parse import urlencode

import pytest

from rlaif.service.api.constitutions import hunks
from rlaif.service.library import lint
from rlaif.service.web.constitutions import checked, gutter
from tests.authoring.judges import TEXT
from tests.service.rooms import settings
from tests.service.served import Reply, Served, served

FORM = ("Content-Type", "application/x-www-form-urlencoded")
HTMX = ("HX-Request", "true")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("constitutions")
    with served(folder, settings=settings(folder)) as running:
        yield running


def post(site: Served, tail: str, *more: tuple[str, str], **fields: str) -> Reply:
    headers = [FORM, ("Origin", site.origin), ("Accept", "text/html"), site.bearer(), *more]
    return site.ask("POST", f"/constitutions/{tail}", headers, urlencode(fields).encode())


def test_the_list_and_one_by_name_version_and_digest(site: Served) -> None:
    listed = site.ask("GET", "/v1/constitutions").json()["data"]
    one = next(version for version in listed if version["name"] == "honesty")
    for name in ("honesty", one["id"], one["digest"]):
        whole = site.ask("GET", f"/v1/constitutions/{name}").json()
        assert whole["version"] == one
        assert whole["text"].count("principles:") == 1
    assert site.ask("GET", "/v1/constitutions/nobody").status == 404


def test_a_check_says_line_and_field(site: Served) -> None:
    told = site.send("POST", "/v1/constitutions/lint", {"text": TEXT.replace("axis:", "axiss:")}).json()
    assert told["usable"] is False
    first = told["remarks"][0]
    assert (first["severity"], first["line"], first["field"]) == ("error", 3, "axiss")
    good = site.send("POST", "/v1/constitutions/lint", {"text": TEXT}).json()
    assert (good["usable"], good["id"], good["remarks"]) == (True, "colours", [])


def test_save_then_compare(site: Served) -> None:
    one = site.send("POST", "/v1/constitutions", {"name": "colours", "text": TEXT})
    assert one.status == 201
    text = TEXT.replace("Prefers red.", "Prefers dark red.")
    body = {"name": "colours", "text": text, "base": one.json()["version"]["id"]}
    two = site.send("POST", "/v1/constitutions", body).json()
    assert (two["version"]["number"], two["text"]) == (2, text)
    stale = site.send("POST", "/v1/constitutions", {**body, "text": text.replace("dark", "pale")})
    assert (stale.status, "saved meanwhile" in stale.said) == (409, True)
    changed = site.ask("GET", "/v1/constitutions/colours/diff").json()
    (hunk,) = changed["hunks"]
    assert [(one["sign"], one["before"], one["after"]) for one in hunk if one["sign"] != " "] == [
        ("-", 8, None), ("+", None, 8),
    ]  # fmt: skip
    assert changed["same_for_judges"] is False
    swapped = f"?from={changed['after']}&to={changed['before']}"
    back = site.ask("GET", f"/v1/constitutions/colours/diff{swapped}").json()
    assert [one["text"] for one in back["hunks"][0] if one["sign"] == "+"] == [TEXT.splitlines()[7]]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"name": "colours", "text": TEXT.replace("low: 1", "low: one")}, 422, "line 11"),
        ({"name": "other", "text": TEXT}, 422, "line 2: the text calls itself 'colours'"),
        ({"name": "../../x", "text": TEXT}, 422, "a name has lower-case letters"),
        ({"name": "colours"}, 422, "body.text"),
        ({"name": "colours", "text": "x" * 262_145}, 422, "body.text"),
        ({"name": "colours", "text": TEXT, "path": "/etc/passwd"}, 422, "body.path"),
    ],
)
def test_what_is_refused_says_why(body: dict[str, str], status: int, words: str, site: Served) -> None:
    reply = site.send("POST", "/v1/constitutions", body)
    assert (reply.status, words in reply.said) == (status, True), reply.said


def test_cases_are_run(site: Served) -> None:
    site.send("POST", "/v1/constitutions", {"name": "colours", "text": TEXT})
    told = site.send("POST", "/v1/constitutions/colours/test", {"judge": "mock:text"}).json()
    assert [one["id"] for one in told["cases"]] == ["one", "two", "three", "four"]
    assert told["passed"] + told["failed"] + told["broken"] == 4
    assert told["calls"] == 6, "the case of equal texts is not asked about"
    refused = site.send("POST", "/v1/constitutions/colours/test", {"judge": "local:/etc"})
    assert (refused.status, "not offered" in refused.said) == (422, True)


def test_the_editor_works_without_scripts(site: Served) -> None:
    broken = TEXT.replace("axis:", "axiss:")
    page = post(site, "paint/check", text=broken.replace("id: colours", "id: paint"))
    assert page.status == 200
    shown = unescape(page.body.decode())
    assert '<b id="L3" class="error">3' in shown
    assert "unknown key 'axiss'" in shown
    assert "axiss: colours" in shown, "the text in hand is still there"
    refused = post(site, "paint/save", text=broken)
    assert refused.status == 422
    assert "not saved: line 3" in unescape(refused.body.decode())
    saved = post(site, "paint/save", text=TEXT.replace("id: colours", "id: paint").replace("\n", "\r\n"))
    assert saved.status == 303
    after = site.ask("GET", saved.headers["location"]).body.decode()
    assert "Saved as version 1" in after


def test_with_scripts_only_the_part_comes_back(site: Served) -> None:
    part = post(site, "colours/check", HTMX, text=TEXT).body.decode()
    assert part.lstrip().startswith("<pre")
    assert "<html" not in part
    assert 'hx-swap-oob="true"' in part


def test_the_price_comes_first_then_the_verdicts(site: Served) -> None:
    fields = {
        "text": TEXT, "judge": "mock:text", "prompt": "Wall?", "first": "red", "second": "grey",
        "principles": "true", "base": "",
    }  # fmt: skip
    priced = post(site, "colours/price", HTMX, **fields).body.decode()
    assert "calls, at most" in priced
    assert "Nothing has been sent" in priced
    key = priced.split('name="key" value="')[1].split('"')[0]
    stale = post(site, "colours/ask", HTMX, **{**fields, "prompt": "Door?", "key": key}).body.decode()
    assert "changed since its price was shown" in stale
    assert 'name="key"' in stale, "with the new price"
    told = post(site, "colours/ask", HTMX, **fields, key=key).body.decode()
    assert told.count('scope="row"') == 3
    assert "6 calls" in told
    empty = post(site, "colours/price", HTMX, **{**fields, "second": " "}).body.decode()
    assert "fill in response B" in empty


def test_a_new_one_is_begun_by_its_name(site: Served) -> None:
    sent = site.ask("GET", "/constitutions?name=fresh&start=honesty", [("Accept", "text/html")])
    assert (sent.status, sent.headers["location"]) == (303, "/constitutions/fresh?start=honesty")
    page = site.ask("GET", sent.headers["location"], [("Accept", "text/html")])
    assert "id: fresh" in page.body.decode()
    assert site.ask("GET", "/constitutions?name=No%20Name", [("Accept", "text/html")]).status == 422
    assert site.ask("GET", "/constitutions/No%20Name").status == 404


def test_hostile_words_are_shown_as_words(site: Served) -> None:
    attack = "</textarea><script>alert(1)</script>"
    page = post(site, "colours/check", text=TEXT.replace("title: Colours", f"title: {attack}"))
    shown = page.body.decode()
    assert attack not in shown
    assert attack in unescape(shown)


def test_the_gutter_numbers_every_line_once() -> None:
    text = TEXT.replace("axis: colours", "axiss: colours")
    parts = gutter(text, checked(lint(text)))
    numbers = [int(one) for chunk, _, _ in parts for one in chunk.split()]
    assert numbers == list(range(1, text.count("\n") + 2))
    assert (3, "error") in [(line, severity) for _, line, severity in parts]


def test_hunks_hold_three_lines_around_a_change() -> None:
    before = "\n".join(map(str, range(20)))
    (hunk,) = hunks(before, before.replace("10", "ten"))
    assert [(one.sign, one.text) for one in hunk] == [
        (" ", "7"), (" ", "8"), (" ", "9"), ("-", "10"), ("+", "ten"), (" ", "11"), (" ", "12"), (" ", "13"),
    ]  # fmt: skip
    assert hunks(before, before) == ()


def test_pages_are_light(site: Served) -> None:
    for address in ("/constitutions", "/constitutions/helpfulness"):
        assert len(site.ask("GET", address).body) < 250_000, address
