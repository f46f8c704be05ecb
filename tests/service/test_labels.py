"""Labels over HTTP, and what they say of a judge."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.filled import filled
from tests.service.served import Served, served


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(filled(tmp_path_factory.mktemp("labels") / "out")) as running:
        yield running


def entries(site: Served, query: str) -> list[Any]:
    return site.ask("GET", f"/v1/preferences?limit=200&{query}").json()["data"]


def say(site: Served, *labels: dict[str, Any]) -> Any:
    return site.send("POST", "/v1/labels", {"labels": list(labels)})


def test_said_listed_taken_back(site: Served) -> None:
    one, two, *_ = entries(site, "job=small&axis=safety")
    reply = say(
        site,
        {"preference": one["id"], "verdict": "rejected", "person": "ann", "note": "shorter", "blind": True},
        {"preference": two["id"], "verdict": "second", "first": two["rejected_id"]},
    )
    assert reply.status == 200
    kept = reply.json()["data"]
    assert [label["person"] for label in kept] == ["ann", "local"]
    listed = site.ask("GET", "/v1/labels").json()["data"]
    assert [(label["judge"], label["source"], label["blind"], label["note"]) for label in listed] == [
        ("human:ann", "api", True, "shorter"), ("human:local", "api", False, ""),
    ]  # fmt: skip
    # Two words for the rejected response of one pair, and for the chosen one of the other.
    assert (listed[0]["first_id"], listed[0]["verdict"]) == (one["chosen_id"], "second")
    assert (listed[1]["first_id"], listed[1]["second_id"]) == (two["rejected_id"], two["chosen_id"])
    assert entries(site, "disagreement=human") == [one | {"labels": 1}]
    say(site, {"preference": one["id"], "verdict": None, "person": "ann"})
    assert [label["person"] for label in site.ask("GET", "/v1/labels").json()["data"]] == ["local"]


def test_pages_of_labels(site: Served) -> None:
    some = entries(site, "job=helpful-safe")[:5]
    assert say(site, *({"preference": one["id"], "verdict": "tie"} for one in some)).status == 200
    ids, after = [], ""
    while after is not None:
        shown = site.ask("GET", f"/v1/labels?limit=2{f'&after={after}' if after else ''}").json()
        ids += [one["id"] for one in shown["data"]]
        after = shown["after"]
    assert len(set(ids)) == 5
    assert site.ask("GET", "/v1/labels?person=nobody").json()["data"] == []
    assert site.ask("GET", "/v1/labels?set=nothing").status == 422


def test_all_labels_of_a_request_are_kept_or_none(site: Served) -> None:
    one, *_ = entries(site, "job=helpful-safe")
    reply = say(
        site, {"preference": one["id"], "verdict": "tie"}, {"preference": "pf_none", "verdict": "tie"}
    )
    assert reply.status == 422
    assert reply.json()["errors"][0]["field"] == "body.labels.1.preference"
    assert site.ask("GET", "/v1/labels").json()["data"] == []


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ({"verdict": "best"}, "verdict"), ({}, "verdict"), ({"verdict": "tie", "person": ""}, "person"),
        ({"verdict": "tie", "person": "a\nb"}, "person"), ({"verdict": "tie", "first": "sa_x"}, "first"),
        ({"verdict": "tie", "note": "a" * 2001}, "note"), ({"verdict": "tie", "more": 1}, "more"),
    ],
)  # fmt: skip
def test_a_bad_label_names_its_field(label: dict[str, Any], field: str, site: Served) -> None:
    one, *_ = entries(site, "job=helpful-safe")
    reply = say(site, {"preference": one["id"], **label})
    assert reply.status == 422
    assert field in reply.json()["errors"][0]["field"]


def test_agreement_becomes_a_scorecard_that_the_set_sees(site: Served) -> None:
    some = entries(site, "set=helpful-safe/safety")[:10]
    say(
        site,
        *({"preference": one["id"], "verdict": "chosen", "person": "ann"} for one in some[:8]),
        *({"preference": one["id"], "verdict": "rejected", "person": "ann"} for one in some[8:]),
    )
    before = {one["name"]: one["audited"] for one in site.ask("GET", "/v1/datasets").json()["data"]}
    found = site.send("POST", "/v1/audits/from-labels", {"set": "helpful-safe/safety"}).json()
    assert found["total"]["accuracy"] == pytest.approx(0.8)
    assert [one["name"] for one in found["people"]] == ["human:ann"]
    after = {one["name"]: one["audited"] for one in site.ask("GET", "/v1/datasets").json()["data"]}
    assert (before["helpful-safe/safety"], after["helpful-safe/safety"]) == (False, True)
    assert not after["helpful-safe/helpfulness"]
    cards = site.ask("GET", "/v1/audits").json()["data"]
    assert [one["id"] for one in cards] == [found["scorecard"]]
    assert site.ask("GET", f"/scorecards/{found['scorecard']}", [("Accept", "text/html")]).status == 200


def test_a_job_that_ran_has_a_scorecard_its_next_run_finds(site: Served) -> None:
    some = entries(site, "job=small&axis=safety")[:3]
    say(site, *({"preference": one["id"], "verdict": "chosen"} for one in some))
    found = site.send("POST", "/v1/audits/from-labels", {"set": some[0]["set"]}).json()
    assert not any("pipeline file" in note for note in found["notes"])


def test_nothing_to_measure_is_said(site: Served) -> None:
    reply = site.send("POST", "/v1/audits/from-labels", {"set": "helpful-safe/safety"})
    assert reply.status == 422
    assert "nobody has labelled" in reply.said
