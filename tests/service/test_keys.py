"""Keys: made once, shown once, kept as a hash; scopes, expiry, revocation, and what is noted of them."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from rlaif.errors import InputError
from rlaif.pipeline import opened
from rlaif.records import AccessKey, KeyEvent
from rlaif.service.audit import Log
from rlaif.service.keys import FORM, Keyring
from rlaif.service.routes import CALLER, Caller
from tests.service.served import Served, served

NOON = datetime(2030, 5, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("near")) as one:
        yield one


class Clock:
    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


async def test_a_key_is_random_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as workspace:
        ring = Keyring(workspace)
        made = [await ring.create("same name", "run") for _ in range(50)]
        await workspace.flush()
        records = list(workspace.store.read(AccessKey))
    keys = {key for key, _ in made}
    assert len(keys) == 50
    assert all(re.fullmatch(r"rlaif_[A-Za-z0-9_-]{43}", key) for key in keys)
    assert {one.hash for one in records} == {hashlib.sha256(key.encode()).hexdigest() for key in keys}
    on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not [key for key in keys if key.encode() in on_disk or key[12:].encode() in on_disk]


async def test_keys_outlive_the_process(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path) as workspace:
        ring = Keyring(workspace, clock)
        good, _ = await ring.create("good", "read", days=2)
        gone, about = await ring.create("gone", "run")
        await ring.revoke(about.id)
    async with opened(tmp_path) as workspace:
        ring = Keyring(workspace, clock)
        found = ring.match(good)
        assert found is not None
        assert (found.name, found.scope, ring.fault(found)) == ("good", "read", "")
        revoked = ring.match(gone)
        assert revoked is not None
        assert "revoked" in ring.fault(revoked)
        assert ring.match(good[:-1] + ("A" if good[-1] != "A" else "B")) is None


async def test_a_key_expires_to_the_second(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path) as workspace:
        ring = Keyring(workspace, clock)
        key, about = await ring.create("brief", "read", days=1)
        record = ring.match(key)
        assert record is not None
        assert about.expires_at == "2030-05-02T12:00:00+00:00"
        clock.at = NOON + timedelta(days=1, seconds=-1)
        assert ring.fault(record) == ""
        assert ring.any_good()
        clock.at = NOON + timedelta(days=1)
        assert "expired" in ring.fault(record)
        assert not ring.any_good()


async def test_the_first_use_of_a_day_is_noted(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path) as workspace:
        ring = Keyring(workspace, clock)
        key, about = await ring.create("busy", "read")
        record = ring.match(key)
        assert record is not None
        assert about.last_used_on is None
        for hours in (0, 1, 11, 12, 13, 36):
            clock.at = NOON + timedelta(hours=hours)
            await ring.use(record)
        await workspace.flush()
        days = [one.at for one in workspace.store.read(KeyEvent, order="rowid")]
    assert days == ["2030-05-01", "2030-05-02", "2030-05-03"]


async def test_revoking_twice_changes_nothing(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path) as workspace:
        ring = Keyring(workspace, clock)
        _, about = await ring.create("x", "read")
        first = await ring.revoke(about.id)
        clock.at += timedelta(hours=1)
        assert await ring.revoke(about.id) == first
        with pytest.raises(InputError, match="there is no key 'ak_none'"):
            await ring.revoke("ak_none")


def test_over_http(tmp_path: Path) -> None:
    with served(tmp_path) as near:
        made = near.send("POST", "/v1/keys", {"name": "  lab  ", "scope": "run", "days": 30})
        assert made.status == 201
        assert made.headers["cache-control"] == "no-store"
        key = made.json()["key"]
        assert FORM.fullmatch(key)
        listed = near.ask("GET", "/v1/keys")
        assert key not in listed.body.decode()
        (about,) = [one for one in listed.json()["data"] if one["name"] == "lab"]
        assert about["scope"] == "run"
        assert about["good"]
        headers = [("Authorization", f"Bearer {key}")]
        assert near.ask("GET", "/v1/health", headers).status == 200
        assert near.ask("GET", "/v1/keys", headers).status == 403
        gone = near.ask("DELETE", f"/v1/keys/{about['id']}")
        assert gone.status == 200
        assert not gone.json()["good"]
        assert gone.json()["last_used_on"] == datetime.now(UTC).date().isoformat()
        assert near.ask("GET", "/v1/health", headers).status == 401
        assert near.ask("DELETE", "/v1/keys/ak_none").status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.name"), ({"name": ""}, "body.name"), ({"name": " "}, "body.name"),
        ({"name": "x" * 101}, "body.name"), ({"name": "x", "scope": "root"}, "body.scope"),
        ({"name": "x", "scope": "open"}, "body.scope"), ({"name": "x", "days": 0}, "body.days"),
        ({"name": "x", "days": -1}, "body.days"), ({"name": "x", "days": 1e9}, "body.days"),
        ({"name": "x", "days": "soon"}, "body.days"), ({"name": "x", "hash": "0"}, "body.hash"),
    ],
)  # fmt: skip
def test_what_a_key_cannot_be(near: Served, body: object, field: str) -> None:
    reply = near.send("POST", "/v1/keys", body)
    assert reply.status == 422
    assert field in reply.said


def test_the_page_shows_a_key_once(tmp_path: Path) -> None:
    with served(tmp_path) as near:
        form = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", near.origin)]
        made = near.ask("POST", "/keys", form, b"name=%3Cb%3Elab%3C%2Fb%3E&scope=run&days=")
        found = FORM.search(made.body.decode())
        assert found is not None
        assert b"<b>lab" not in made.body
        again = near.ask("GET", "/keys").body.decode()
        assert found[0] not in again
        assert found[0][:12] in again
        (about,) = [one for one in near.ask("GET", "/v1/keys").json()["data"] if one["name"] == "<b>lab</b>"]
        assert near.ask("POST", f"/keys/{about['id']}/revoke", form, b"").status == 303
        assert near.ask("POST", "/keys/ak_none/revoke", form, b"").status == 404
        reader = near.ask("GET", "/keys", [near.bearer("read")]).body.decode()
        assert found[0][:12] not in reader


def test_changes_are_noted(tmp_path: Path) -> None:
    with served(tmp_path) as near:
        made = near.send("POST", "/v1/keys", {"name": "noted", "scope": "read"}, [near.bearer()]).json()
        near.ask("DELETE", f"/v1/keys/{made['id']}", [near.bearer()])
        near.ask("GET", "/v1/keys", [near.bearer()])
        near.send("POST", "/v1/keys", {"name": "refused"}, [near.bearer("read")])
    told = [(one["caller"], one["what"], one["id"], one["status"]) for one in noted(tmp_path)]
    assert told == [
        ("admin", "Make a key", made["id"], 201), ("admin", "Revoke a key", made["id"], 200),
        ("read", "refused", None, 403),
    ]  # fmt: skip
    assert made["key"] not in (tmp_path / "audit.jsonl").read_text()


def noted(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


def test_what_is_refused_to_a_key_is_noted(tmp_path: Path) -> None:
    with served(tmp_path, require_key=True) as near:
        near.ask("GET", "/v1/keys")  # nobody in particular
        near.ask("GET", "/v1/keys", [("Authorization", f"Bearer rlaif_{'A' * 43}")])
        near.ask("GET", "/v1/jobs/none", [near.bearer("read")])  # nothing is refused, there is nothing
        near.ask("GET", "/v1/jobs", [near.bearer("revoked")])
        near.ask("GET", "/v1/jobs", [near.bearer("expired")])
        near.send("POST", "/v1/keys", {"name": "x", "nonsense": 1}, [near.bearer("admin")])
        near.send("POST", "/v1/jobs/none/pause", {}, [near.bearer("run")])
        cookie = ("Cookie", near.log_in("read"))
        near.ask("POST", "/keys", [cookie, ("Origin", near.origin)], b"")
    assert [(one["caller"], one["method"], one["path"], one["status"]) for one in noted(tmp_path)] == [
        ("revoked", "GET", "/v1/jobs", 401), ("expired", "GET", "/v1/jobs", 401),
        ("admin", "POST", "/v1/keys", 422), ("run", "POST", "/v1/jobs/none/pause", 404),
        ("nobody", "POST", "/login", 303), ("read", "POST", "/keys", 403),
    ]  # fmt: skip


def test_refusals_do_not_fill_the_disk(tmp_path: Path) -> None:
    clock = [0.0]
    log = Log(tmp_path, lambda: clock[0])

    def refuse(times: int, key: str = "ak_1") -> None:
        request = make_mocked_request("POST", f"/v1/{'x' * 5_000}")
        request[CALLER] = Caller("tester", "read", key)
        for _ in range(times):
            log.refuse(request, 403)

    refuse(1_000)
    assert len(noted(tmp_path)) == 20
    assert max(len(json.dumps(one)) for one in noted(tmp_path)) < 600
    refuse(1, "ak_2")  # another key has lines of its own
    assert len(noted(tmp_path)) == 21
    clock[0] = 119.0
    refuse(5)
    assert [one["unsaid"] for one in noted(tmp_path)][20:] == [0, 980]
    clock[0] = 121.0
    refuse(2)
    assert [one["unsaid"] for one in noted(tmp_path)][22:] == [4]
    clock[0] = 1e9
    refuse(50)
    assert len(noted(tmp_path)) == 43


# The command


def rlaif(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rlaif", "keys", *words], capture_output=True, text=True, timeout=60
    )


def test_the_command(tmp_path: Path) -> None:
    made = rlaif("create", "--name", "lab", "--scope", "run", "--days", "7", "--store", str(tmp_path))
    assert made.returncode == 0, made.stderr
    assert FORM.fullmatch(made.stdout.strip())
    assert made.stdout.strip() not in made.stderr
    (about,) = json.loads(rlaif("list", "--store", str(tmp_path), "--json").stdout)
    assert (about["name"], about["scope"], about["good"]) == ("lab", "run", True)
    assert rlaif("revoke", about["id"], "--store", str(tmp_path)).returncode == 0
    listed = rlaif("list", "--store", str(tmp_path))
    assert "revoked" in listed.stdout
    assert made.stdout.strip() not in listed.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--name", "x", "--scope", "root"), "allowed: read, run, admin"),
        (("create", "--name", " "), "1 to 100 characters"),
        (("revoke", "ak_none"), "there is no key 'ak_none'"),
    ],
)
def test_the_command_refuses(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "journal").mkdir()
    done = rlaif(*words, "--store", str(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
