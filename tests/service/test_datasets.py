"""Datasets over HTTP: facts, refusals, exports and their files."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from rlaif.exports import TARGETS
from rlaif.service.api.datasets import TargetName
from tests.service.filled import filled
from tests.service.served import Served, served

FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(filled(tmp_path_factory.mktemp("datasets") / "out")) as running:
        yield running


@pytest.fixture(scope="module")
def sets(site: Served) -> dict[str, Any]:
    """Sets by axis and the beginning of the job's name."""
    data = site.ask("GET", "/v1/datasets").json()["data"]
    return {f"{one['name'].partition('-')[0]}/{one['axis']}": one for one in data}


def test_every_set_is_told(sets: dict[str, Any]) -> None:
    assert set(sets) == {"small/helpfulness", "small/safety", "helpful/helpfulness", "helpful/safety"}
    flagged = sets["helpful/safety"]
    assert flagged["flagged"]["names"]["repeated"] == flagged["flagged"]["flagged"] > 0
    assert flagged["considered"] == sum(flagged["counts"].values())
    assert flagged["pairs"] == flagged["counts"]["preferred"]
    assert set(flagged["licences"]) == {"CC-BY-4.0", ""}
    assert sets["small/safety"]["exports"] == ["pipeline"]


def test_one_set_in_full(site: Served, sets: dict[str, Any]) -> None:
    one = site.ask("GET", f"/v1/datasets/{sets['helpful/safety']['id']}").json()
    assert sum(part["pairs"] for part in one["balance"]) == one["dataset"]["pairs"]
    assert sum(origin["pairs"] for origin in one["origins"]) == one["dataset"]["pairs"]
    assert "flagged" in one["refusal"]
    assert site.ask("GET", "/v1/datasets/st_none").status == 404


def test_flags_are_accepted_or_the_export_is_refused(site: Served, sets: dict[str, Any]) -> None:
    id = sets["helpful/safety"]["id"]
    refused = site.send("POST", f"/v1/datasets/{id}/exports", {"to": "trl"})
    assert refused.status == 409
    assert "accept_flags" in refused.said
    assert "nothing was written" in refused.said
    assert site.ask("GET", f"/v1/datasets/{id}/files").status == 404
    accepted = site.send("POST", f"/v1/datasets/{id}/exports", {"to": "trl", "accept_flags": True})
    assert accepted.status == 200
    assert accepted.json()["name"] == "trl"


def test_files_are_those_of_the_manifest(site: Served, sets: dict[str, Any]) -> None:
    id = sets["small/helpfulness"]["id"]
    made = site.send("POST", f"/v1/datasets/{id}/exports", {"to": "openrlhf"}).json()
    assert made == site.ask("GET", f"/v1/datasets/{id}/files?to=openrlhf").json()
    for one in made["files"]:
        reply = site.ask("GET", f"/v1/datasets/{id}/files/{one['name']}?to=openrlhf")
        assert (reply.status, len(reply.body)) == (200, one["bytes"])
        if one["sha256"]:
            assert hashlib.sha256(reply.body).hexdigest() == one["sha256"]
    assert [one["path"] for one in made["files"]][-1] == "manifest.json"


@pytest.mark.parametrize(
    "name",
    ["..~manifest.json", "..", "%2e%2e", "%2e%2e%2fmanifest.json", "~etc~passwd", "%2Fetc%2Fpasswd",
     "..~..~..~journal", "helpfulness", "README.md%00", "README.md~", "C:~x", "."],
)  # fmt: skip
def test_no_other_name_leads_anywhere(name: str, site: Served, sets: dict[str, Any]) -> None:
    id = sets["small/helpfulness"]["id"]
    assert site.ask("GET", f"/v1/datasets/{id}/files/{name}").status in (404, 422)


@pytest.mark.parametrize("to", ["..", "../..", "%2e%2e", "/etc", "pipelines", "trl/.."])
def test_no_other_export_leads_anywhere(to: str, site: Served, sets: dict[str, Any]) -> None:
    id = sets["small/helpfulness"]["id"]
    for path in ("files", "archive", "files/README.md"):
        assert site.ask("GET", f"/v1/datasets/{id}/{path}?to={to}").status == 404
    assert site.send("POST", f"/v1/datasets/{id}/exports", {"to": to}).status == 422


def test_the_archive_holds_every_file(site: Served, sets: dict[str, Any]) -> None:
    id = sets["small/safety"]["id"]
    listed = site.ask("GET", f"/v1/datasets/{id}/files").json()
    reply = site.ask("GET", f"/v1/datasets/{id}/archive")
    assert reply.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(reply.body)) as archive:
        found = {one.name.partition("/")[2]: one for one in archive.getmembers()}
        assert set(found) == {one["path"] for one in listed["files"]}
        for one in listed["files"]:
            content = archive.extractfile(found[one["path"]])
            assert content is not None
            held = content.read()
            assert len(held) == one["bytes"]
            assert not one["sha256"] or hashlib.sha256(held).hexdigest() == one["sha256"]


def test_a_margin_column_is_written(site: Served, sets: dict[str, Any]) -> None:
    id = sets["small/helpfulness"]["id"]
    reply = site.send("POST", f"/v1/datasets/{id}/exports", {"to": "trl", "margin": "large"})
    assert reply.status == 200
    line = site.ask("GET", f"/v1/datasets/{id}/files/helpfulness~train-00000.jsonl?to=trl")
    assert b'"margin":' in line.body.splitlines()[0]


def test_routes_name_the_targets_there_are() -> None:
    assert set(get_args(TargetName)) == set(TARGETS)


def test_readers_may_look_and_not_export(site: Served, sets: dict[str, Any]) -> None:
    id = sets["small/safety"]["id"]
    reader = site.bearer("read")
    assert site.ask("GET", f"/v1/datasets/{id}/archive", [reader]).status == 200
    assert site.send("POST", f"/v1/datasets/{id}/exports", {}, [reader]).status == 403


def test_the_page_says_why_it_refuses(site: Served, sets: dict[str, Any]) -> None:
    id = sets["helpful/safety"]["id"]
    headers = [FORM, site.bearer("run"), ("Accept", "text/html")]
    reply = site.ask("POST", f"/datasets/{id}/exports", headers, b"to=parquet&margin=")
    assert reply.status == 409
    assert b'role="alert"' in reply.body
    done = site.ask("POST", f"/datasets/{id}/exports", headers, b"to=parquet&margin=&accept_flags=true")
    assert (done.status, done.headers["location"]) == (303, f"/datasets/{id}#exports")
    assert b"manifest.json" in site.ask("GET", f"/datasets/{id}", headers[1:]).body
