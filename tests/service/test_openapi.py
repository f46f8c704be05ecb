"""The API's own description: made from the table, whole, valid, and kept to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from rlaif.service.openapi import SLOT, document, operation_id
from rlaif.service.table import ROUTES
from rlaif.service.web.docs import view_docs, written
from tests.service.served import Served, served

PROGRAMS = [one for one in ROUTES if not one.page]
DOCUMENT = document(ROUTES)


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("near")) as one:
        yield one


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_route_for_programs_is_in_it() -> None:
    assert {(method, path) for method, path, _ in operations()} == {
        (one.method, one.path) for one in PROGRAMS
    }
    assert DOCUMENT["openapi"] == "3.1.0"


def test_names_of_operations_are_unique() -> None:
    names = [operation_id(one) for one in PROGRAMS]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    wanted = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text))
    assert wanted <= set(DOCUMENT["components"]["schemas"])
    assert '"$defs"' not in text
    assert text.count('"$ref"') == len(re.findall(r'"\$ref": "#/components/schemas/', text))


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_schema_is_one(name: str) -> None:
    jsonschema_rs.meta.validate(DOCUMENT["components"]["schemas"][name])


def test_every_field_is_described() -> None:
    bare = [
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, one in schema.get("properties", {}).items()
        if not one.get("description") and "const" not in one and "$ref" not in str(one)
    ]
    assert not bare


def test_every_slot_is_a_parameter() -> None:
    for _, path, operation in operations():
        given = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert given == set(SLOT.findall(path))


def test_scopes_problems_and_media_types_are_told() -> None:
    for route in PROGRAMS:
        told = DOCUMENT["paths"][route.path][route.method.lower()]
        assert told["x-scope"] == route.scope
        assert bool(told["security"]) == (route.scope != "open")
        replies = told["responses"]
        assert route.media.split(", ") == list(replies[str(route.status)]["content"])
        wrong = {status for status in replies if int(status) >= 400}
        assert {"422", "429", "503"} <= wrong
        assert ("401" in wrong) == (route.scope != "open")
        for status in wrong:
            assert list(replies[status]["content"]) == ["application/problem+json"]


def test_it_is_served(near: Served) -> None:
    reply = near.ask("GET", "/openapi.json")
    assert reply.json() == json.loads(json.dumps(DOCUMENT))


def test_a_page_renders_it(near: Served) -> None:
    text = near.ask("GET", "/docs").body.decode()
    for route in PROGRAMS:
        assert route.path in text
        assert f'id="{operation_id(route)}"' in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(set(ids)) == len(ids)
    links = set(re.findall(r'href="#([^"]+)"', text)) - {"main"}
    assert links <= set(ids)
    assert not re.findall(r'(?:src|href)="https?://(?!www\.rfc-editor\.org)', text)


def test_types_are_written_for_people() -> None:
    assert written({"type": "array", "items": {"$ref": "#/components/schemas/Row"}}) == "list of Row"
    assert written({"anyOf": [{"type": "string"}, {"type": "null"}]}) == "string or null"
    assert written({"enum": ["read", "run"]}) == '"read" or "run"'
    assert written({"type": "object", "additionalProperties": {"type": "integer"}}) == "object of integer"
    assert written({}) == "anything"


def test_the_page_shows_every_model() -> None:
    shown = view_docs(DOCUMENT)
    models = shown["models"]
    assert isinstance(models, list)
    assert {one["name"] for one in models} == set(DOCUMENT["components"]["schemas"])


# Metrics and readiness


def test_metrics(near: Served) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    near.ask("GET", "/v1/jobs/none")
    near.ask("GET", "/nothing/at/all")
    text = near.ask("GET", "/metrics").body.decode()
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert {
        "rlaif_requests", "rlaif_request_seconds", "rlaif_jobs", "rlaif_calls", "rlaif_calls_in_flight",
        "rlaif_spent_usd", "rlaif_journal_bytes", "rlaif_store_bytes", "rlaif_watchers",
    } <= set(families)  # fmt: skip
    counted = {
        (one.labels["route"], one.labels["status"]): one.value
        for one in families["rlaif_requests"].samples
        if one.name == "rlaif_requests_total"
    }
    assert counted["/v1/jobs/{id}", "404"] >= 1
    assert counted["unmatched", "404"] >= 1
    assert not [route for route, _ in counted if "none" in route]
    assert families["rlaif_store_bytes"].samples[0].value > 0
    outcomes = {one.labels["outcome"] for one in families["rlaif_calls"].samples}
    assert outcomes == {"sent", "cached", "retries", "rate_limited"}


def test_calls_of_several_runs_add_up() -> None:
    from rlaif.service.metrics import Calls

    calls, first, second = Calls(), object(), object()
    for sent in (3, 5):
        calls.add("job", first, {"sent": sent})
    calls.add("other", first, {"sent": 10})
    assert calls.total()["sent"] == 15
    calls.add("job", second, {"sent": 1})
    assert calls.total()["sent"] == 16
    assert calls.total()["cached"] == 0


def test_ready(near: Served) -> None:
    reply = near.ask("GET", "/readyz")
    assert reply.status == 200
    assert reply.json()["free_bytes"] > 0


def test_not_ready(near: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from rlaif.service.api import meta

    usage = shutil.disk_usage(near.folder)
    monkeypatch.setattr(meta.shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    reply = near.ask("GET", "/readyz")
    assert reply.status == 503
    assert "1 MiB are free" in reply.said
    monkeypatch.undo()

    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(meta.tempfile, "TemporaryFile", full)
    reply = near.ask("GET", "/readyz")
    assert reply.status == 503
    assert "No space left on device" in reply.said
    assert near.ask("GET", "/healthz").status == 200
