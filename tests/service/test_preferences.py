"""Preferences over HTTP and on their pages."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.filled import filled
from tests.service.served import Served, served

FORM = ("Content-Type", "application/x-www-form-urlencoded")
PAGE = [("Accept", "text/html")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = filled(tmp_path_factory.mktemp("preferences") / "out")
    with served(folder) as running:
        yield running


def get(site: Served, path: str) -> Any:
    reply = site.ask("GET", path)
    assert reply.status == 200, reply
    return reply.json()


def test_pages_follow_one_another_to_the_end(site: Served) -> None:
    whole = get(site, "/v1/preferences?limit=200")
    assert (whole["after"], whole["counted"]) == (None, len(whole["data"]))
    ids, after = [], ""
    while after is not None:
        shown = get(site, f"/v1/preferences?limit=30{f'&after={after}' if after else ''}")
        ids += [one["id"] for one in shown["data"]]
        after = shown["after"]
    assert ids == [one["id"] for one in whole["data"]]


def test_one_pair_has_both_texts_orders_and_labels(site: Served) -> None:
    entry = get(site, "/v1/preferences?limit=1")["data"][0]
    one = get(site, f"/v1/preferences/{entry['id']}")
    assert one["preference"]["id"] == entry["id"]
    assert one["chosen"]["response"].startswith(entry["chosen"][:20])
    assert {order["first_id"] for order in one["orders"]} == {entry["chosen_id"], entry["rejected_id"]}
    assert one["labels"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "query.limit"), ("limit=201", "query.limit"), ("limit=x", "query.limit"),
        ("margin=huge", "query.margin"), ("flag=none_such", "query.flag"),
        ("disagreement=all", "query.disagreement"),
        ("label=some", "query.label"), ("min_length_gap=-1", "query.min_length_gap"),
        ("unknown=1", "query.unknown"), ("axis=a&axis=b", "query.axis"), (f"text={'a' * 201}", "query.text"),
    ],
)  # fmt: skip
def test_a_bad_filter_names_its_field(query: str, field: str, site: Served) -> None:
    reply = site.ask("GET", f"/v1/preferences?{query}")
    assert reply.status == 422
    assert reply.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("query", ["after=x", "set=nothing", "job=nothing"])
def test_what_a_filter_names_has_to_be_there(query: str, site: Served) -> None:
    assert site.ask("GET", f"/v1/preferences?{query}").status == 422
    page = site.ask("GET", f"/preferences?{query}", PAGE)
    assert page.status == 200
    assert b'role="alert"' in page.body


def test_an_unknown_pair_is_missing_everywhere(site: Served) -> None:
    for path in ("/v1/preferences/pf_none", "/preferences/pf_none"):
        assert site.ask("GET", path, PAGE).status == 404
    body = b"verdict=first&first=sa_x"
    assert site.ask("POST", "/preferences/pf_none/label", [FORM, ("Origin", site.origin)], body).status == 404


def test_a_filter_leaves_as_a_file(site: Served) -> None:
    count = get(site, "/v1/preferences?axis=safety&limit=1")["counted"]
    lines = site.ask("GET", "/v1/preferences/export?axis=safety")
    assert lines.headers["content-type"] == "application/jsonl"
    assert len([json.loads(one) for one in lines.body.splitlines()]) == count
    table = site.ask("GET", "/v1/preferences/export?axis=safety&format=csv")
    assert table.headers["content-disposition"] == 'attachment; filename="preferences.csv"'
    assert table.body.count(b"\r\n") == count + 1
    assert site.ask("GET", "/v1/preferences/export?set=nothing").status == 422


def body_of(site: Served, path: str) -> str:
    reply = site.ask("GET", path, PAGE)
    assert reply.status == 200, reply
    return reply.body.decode()


def token(page: str) -> str:
    return re.findall(r'name="csrf" value="([^"]+)"', page)[0]


def test_blind_pages_hold_nothing_of_the_judge_until_labelled(site: Served) -> None:
    entry = get(site, "/v1/preferences?axis=safety&limit=1")["data"][0]
    whole = get(site, f"/v1/preferences/{entry['id']}")
    secrets = [whole["preference"]["judge"], whole["preference"]["margin"], "Verdict", "judge's choice"]
    address = f"/preferences/{entry['id']}?blind=1&person=ann"
    page = body_of(site, address)
    assert all(word not in page for word in secrets)
    listed = body_of(site, "/preferences?blind=1&axis=safety").partition('<ol class="entries">')[2]
    assert all(word not in listed for word in ("judge:", "negligible", "significant"))
    first = re.findall(r'name="first" value="([^"]+)"', page)[0]
    form = f"csrf={token(page)}&verdict=first&first={first}&person=ann&state=blind%3D1%26person%3Dann"
    reply = site.ask(
        "POST", f"/preferences/{entry['id']}/label", [FORM, ("Origin", site.origin)], form.encode()
    )
    assert (reply.status, reply.headers["location"]) == (303, address)
    after = body_of(site, address)
    assert "You said: A is better" in after
    assert all(word in after for word in secrets)
    assert "Blind: the judge is shown" in body_of(site, f"/preferences/{entry['id']}?blind=1&person=bob")


def test_sides_are_drawn_by_the_seed_and_favour_none(site: Served) -> None:
    entries = get(site, "/v1/preferences?limit=100")["data"]
    left = {}
    for seed in (0, 1):
        pages = [body_of(site, f"/preferences/{one['id']}?seed={seed}") for one in entries[:40]]
        firsts = [re.findall(r'name="first" value="([^"]+)"', page)[0] for page in pages]
        left[seed] = [first == one["chosen_id"] for first, one in zip(firsts, entries, strict=False)]
        assert 8 < sum(left[seed]) < 32
    assert left[0] != left[1]


def test_steps_are_links_that_end(site: Served) -> None:
    entries = get(site, "/v1/preferences?axis=safety&limit=200")["data"]
    first, second, last = entries[0]["id"], entries[1]["id"], entries[-1]["id"]
    steps = {
        f"/preferences/{first}/next?axis=safety": f"/preferences/{second}?axis=safety",
        f"/preferences/{second}/previous?axis=safety": f"/preferences/{first}?axis=safety",
        f"/preferences/{last}/next?axis=safety": f"/preferences/{last}?axis=safety&end=last",
        f"/preferences/{first}/previous?axis=safety": f"/preferences/{first}?axis=safety&end=first",
    }
    for address, to in steps.items():
        reply = site.ask("GET", address)
        assert (reply.status, reply.headers["location"]) == (303, to)
    assert "This is the last pair" in body_of(site, f"/preferences/{last}?axis=safety&end=last")


def test_a_label_needs_the_pages_token(site: Served) -> None:
    entry = get(site, "/v1/preferences?limit=1")["data"][0]
    form = f"verdict=first&first={entry['chosen_id']}".encode()
    path = f"/preferences/{entry['id']}/label"
    assert site.ask("POST", path, [FORM, ("Origin", "http://evil.example")], form).status == 403
    reader = [FORM, site.bearer("read")]
    assert site.ask("POST", path, reader, form).status == 403


@pytest.mark.parametrize(
    "form",
    [
        "",
        "verdict=best&first=x",
        "verdict=first",
        "verdict=first&first=sa_none",
        "verdict=first&first=x&state=limit%3D3",
    ],
)
def test_a_broken_form_is_refused_with_a_sentence(form: str, site: Served) -> None:
    entry = get(site, "/v1/preferences?limit=1")["data"][0]
    reply = site.ask("POST", f"/preferences/{entry['id']}/label", [FORM, site.bearer("run")], form.encode())
    assert reply.status == 422
