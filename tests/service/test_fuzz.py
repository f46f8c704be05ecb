"""Schemathesis over our own description and a real service: no 5xx, nothing the description denies."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlaif.service.limits import STREAM
from rlaif.service.table import ROUTES
from tests.service.seeded import Names, seeded
from tests.service.served import Served

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "unsupported_method", "ignored_auth",
)  # fmt: skip
REFUSED = 'expected-statuses = ["400", "401", "403", "404", "406", "409", "413", "415", "422", "429"]'
"""What may be said of data that does not fit: a body that is too long is refused before it is looked at."""
SETTINGS = f"[checks.negative_data_rejection]\n{REFUSED}\n"
BLANKS = r"^/v1/preferences(/export)?$"
"""Here an empty value of the query is none, as forms send it, and an empty object is sent as an empty value:
what does not fit the description may be fine, and is asked for apart."""
STREAMS = r"/events$"
"""Streams never end; their tests stand elsewhere."""
SAW = re.compile(r'rlaif_requests_total\{method="(\w+)",route="([^"]+)",status="(\d+)"\}')
RESOLVED = {200, 201, 409}
"""Statuses of requests that named something there is; 409 where it is in another state."""
SHARE = 0.85
"""Share of values that name something there is."""
FILTER = {"query.set": "set_names", "query.job": "jobs", "query.judge": "judges", "query.text": "words"}
NAMED = {
    "/v1/jobs/{id}": {"path.id": "jobs"},
    "/v1/jobs": {"query.after": "jobs", "body.dataset": "datasets", "body.pipeline.name": "jobs"},
    "/v1/judgments": {"body.constitution": "constitutions", "body.judge": "judges"},
    "/v1/preferences": {
        "query.set": "set_names",
        "query.job": "jobs",
        "query.judge": "judges",
        "query.after": "cursors",
        "query.text": "words",
    },
    "/v1/preferences/{id}": {"path.id": "preferences"},
    "/v1/labels": {
        "query.set": "datasets",
        "body.labels[*].preference": "preferences",
        "body.labels[*].first": "samples",
    },
    "/v1/audits/{id}": {"path.id": "audits"},
    "/v1/audits/compare": {"query.a": "audits", "query.b": "audits"},
    "/v1/audits/from-labels": {"body.set": "set_names"},
    "/v1/constitutions/{name}": {"path.name": "constitutions", "query.version": "versions"},
    "/v1/datasets/{id}": {"path.id": "datasets"},
    "/v1/datasets/{id}/files/{name}": {"path.id": "datasets", "path.name": "files"},
    "/v1/training": {"body.dataset": "datasets"},
    "/v1/training/{run}": {"path.run": "runs"},
    "/v1/overoptimisation/{run}": {"path.run": "curves"},
    "/v1/records/{id}": {"path.id": "records"},
    "/v1/keys/{id}": {"path.id": "keys"},
}
"""Names that parameters are given; those in a path hold for all paths that begin so."""


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Names]]:
    """A service that asks for keys and has something of everything."""
    with seeded(tmp_path_factory.mktemp("near")) as both:
        yield both


def settings(names: Names) -> str:
    """What schemathesis is told: the names there are, and where they belong."""
    lines = [SETTINGS]
    for kind, values in names.items():
        lines.append(f"[dictionaries.{kind}]\nvalues = {json.dumps(values)}\n")
    for path in sorted({route.path for route in ROUTES if not route.page}):
        given = {
            place: kind
            for start, told in NAMED.items()
            for place, kind in told.items()
            if path == start or (place.startswith("path.") and path.startswith(f"{start}/"))
        }
        if given:
            lines.append(f"[[operations]]\ninclude-path = {json.dumps(path)}")
            lines.append("[operations.parameters]")
            lines += [
                f'"{place}" = {{ dictionary = "{kind}", probability = {SHARE} }}'
                for place, kind in given.items()
            ]
    return "\n".join(lines) + "\n"


def fuzz(near: tuple[Served, Names], folder: Path, examples: int, phases: str) -> list[str]:
    """Run schemathesis over everything but filters, then over those; what it says."""
    lenient = [one for one in CHECKS if one != "negative_data_rejection"]
    return [
        _run(near, folder, [*CHECKS], ["--exclude-path-regex", f"{STREAMS}|{BLANKS}"], examples, phases),
        _run(near, folder, lenient, ["--include-path-regex", BLANKS], examples, phases),
    ]


def _run(
    near: tuple[Served, Names], folder: Path, checks: list[str], paths: list[str], examples: int, phases: str
) -> str:
    service, names = near
    (folder / "schemathesis.toml").write_text(settings(names))
    place = str(Path(sys.executable).parent / "schemathesis")
    done = subprocess.run(
        [
            place, "run", f"{service.origin}/openapi.json", "--checks", ",".join(checks),
            "--header", f"Authorization: Bearer {service.keys['admin']}", "--max-examples", str(examples),
            "--phases", phases, "--seed", "7", *paths, "--no-color",
            "--suppress-health-check", "all", "--request-timeout", "20", "--generation-database", "none",
        ],
        capture_output=True, text=True, cwd=folder, timeout=2700,
    )  # fmt: skip
    return done.stdout + done.stderr


def answered(service: Served) -> dict[tuple[str, str], set[int]]:
    """Statuses that each route has answered with, as the service counted them."""
    told = service.ask("GET", "/metrics", [service.bearer()]).body.decode()
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for method, route, status in SAW.findall(told):
        found[method, route].add(int(status))
    return found


def judged(parts: list[str]) -> None:
    """Fail unless all went well, and something was sent."""
    for part in parts:
        _judged(part)


def _judged(said: str) -> None:
    sent = re.search(r"(\d+) generated", said)
    assert sent is not None, said[-6_000:]
    assert int(sent[1]) >= 20
    assert "FAILURES" not in said, said[:12_000]
    assert "ERRORS" not in said, said[:12_000]


def test_a_few_examples_of_everything(near: tuple[Served, Names], tmp_path: Path) -> None:
    judged(fuzz(near, tmp_path, 12, "examples,fuzzing"))
    assert not failed(near[0])


@pytest.mark.long
@pytest.mark.timeout(2800)
def test_many_examples_of_everything(near: tuple[Served, Names], tmp_path: Path) -> None:
    judged(fuzz(near, tmp_path, 100, "examples,coverage,fuzzing,stateful"))
    assert not failed(near[0])
    seen = answered(near[0])
    named = [
        (one.method, one.path) for one in ROUTES if "{" in one.path and not one.page and one.media != STREAM
    ]
    assert [route for route in named if not seen[route] & RESOLVED] == []


def failed(service: Served) -> list[tuple[str, str]]:
    """Routes that have answered with a status of class 5xx."""
    return [route for route, statuses in answered(service).items() if max(statuses) >= 500]
