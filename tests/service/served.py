"""A real service on a real socket, beside the test, and requests sent byte for byte."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rlaif.pipeline import opened
from rlaif.service.keys import Keyring
from rlaif.service.serving import serving
from rlaif.settings import Settings

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Headers = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def said(self) -> str:
        """The sentence of a problem."""
        assert self.headers["content-type"].startswith("application/problem+json"), self
        return str(self.json()["detail"])


@dataclass
class Served:
    """One running service."""

    folder: Path
    port: int
    keys: dict[str, str] = field(default_factory=dict)
    """A good key by scope, and ``revoked``, ``expired``."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    def bearer(self, name: str = "admin") -> tuple[str, str]:
        return "Authorization", f"Bearer {self.keys[name]}"

    def ask(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes | None = None,
        *,
        host: str | None = "",
    ) -> Reply:
        """Send one request as it is written here; an event stream's body is not waited for.

        Args:
            method: HTTP method.
            target: path and query, sent verbatim.
            headers: in this order, repeated ones too.
            body: sent with its length.
            host: Host header; None for none at all.
        """
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            line.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            if host is not None:
                line.putheader("Host", host or self.host)
            for name, value in headers:
                line.putheader(name, value)
            if body is not None:
                line.putheader("Content-Length", str(len(body)))
            line.endheaders(body)
            reply = line.getresponse()
            stream = (reply.getheader("Content-Type") or "").startswith("text/event-stream")
            content = b"" if stream and reply.status == 200 else reply.read()
            fields = {name.lower(): value for name, value in reply.getheaders()}
            cookies = tuple(reply.headers.get_all("Set-Cookie") or ())
            return Reply(reply.status, fields, content, cookies)
        finally:
            line.close()

    def send(self, method: str, target: str, value: object, headers: Headers = ()) -> Reply:
        """Send JSON."""
        content = json.dumps(value).encode()
        return self.ask(method, target, [("Content-Type", "application/json"), *headers], content)

    def log_in(self, name: str = "admin", host: str = "") -> str:
        """Log in with a key as a browser would; returns the ``Cookie`` header."""
        form = f"key={self.keys[name]}".encode()
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        origin = ("Origin", f"http://{host or self.host}")
        reply = self.ask("POST", "/login", [kind, origin], form, host=host)
        assert reply.status == 303, reply
        return reply.cookies[0].partition(";")[0]


async def make_keys(folder: Path) -> dict[str, str]:
    """Give a folder one key of each kind."""
    async with opened(folder) as workspace:
        ring = Keyring(workspace)
        keys = {scope: (await ring.create(scope, scope))[0] for scope in ("read", "run", "admin")}
        keys["revoked"], about = await ring.create("revoked", "admin")
        await ring.revoke(about.id)
        old = Keyring(workspace, clock=lambda: LONG_AGO)
        keys["expired"], _ = await old.create("expired", "admin", days=1)
        assert timedelta(days=1) < datetime.now(UTC) - LONG_AGO
    return keys


@contextmanager
def served(folder: Path, *, host: str = "127.0.0.1", **options: Any) -> Iterator[Served]:
    """Serve a folder from a thread with a loop of its own, for the length of a block."""
    keys = asyncio.run(make_keys(folder))
    started: list[str | BaseException] = []
    ready, over = threading.Event(), threading.Event()

    async def run() -> None:
        settings = options.pop("settings", None) or Settings(home=folder / "home")
        async with serving(folder, settings, host=host, port=0, **options) as address:
            started.append(address)
            ready.set()
            await asyncio.to_thread(over.wait)

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            started.append(error)
            ready.set()

    thread = threading.Thread(target=work, name="served")
    thread.start()
    ready.wait(60)
    try:
        if isinstance(started[0], BaseException):
            raise started[0]
        yield Served(folder, int(started[0].rpartition(":")[2]), keys)
    finally:
        over.set()
        thread.join(60)
    if len(started) > 1 and isinstance(started[1], BaseException):
        raise started[1]
