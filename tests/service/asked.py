"""Requests for jobs, and a service in this loop that answers them from a fake upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from rlaif.service.serving import serving
from rlaif.settings import Server, Serving, Settings
from tests.upstream import INPUT_PRICE, OUTPUT_PRICE, Upstream

MODEL = "compatible:lab/m"


def settings(home: Path, upstream: Upstream | None = None, **fields: Any) -> Settings:
    """The operator's: the mock models, and the upstream at its prices."""
    servers = {}
    if upstream is not None:
        servers["lab"] = Server(
            base_url=f"{upstream.url}/v1", input_price=INPUT_PRICE * 1e6, output_price=OUTPUT_PRICE * 1e6
        )
    return Settings(home=home, service=Serving(mock=True), compatible=servers, **fields)


def pipeline(model: str = "mock:text", *, name: str = "small", k: int = 2, **fields: Any) -> dict[str, Any]:
    """Sample, judge, prefer, export and report; ``fields`` stand over the rest."""
    judge = {"kind": "pairwise", "model": model, "verdict": "labels"}
    return {
        "name": name,
        "stages": [
            {"kind": "sample", "policies": [{"model": model, "k": k, "params": {"max_tokens": 40}}]},
            {"kind": "judge", "constitution": "helpfulness", "judge": judge},
            {"kind": "prefer", "axis": "helpfulness"},
            {"kind": "export"},
            {"kind": "report"},
        ],
        **fields,
    }


def job(
    prompts: int = 4, model: str = "mock:text", *, budget: float | None = None, **fields: Any
) -> dict[str, Any]:
    """A request for a job."""
    rows = [{"prompt": f"What is {n} plus {n}?", "custom_id": f"row-{n}"} for n in range(prompts)]
    asked = {"pipeline": pipeline(model, **fields), "prompts": rows}
    return asked if budget is None else {**asked, "budget": budget}


def calls(prompts: int, k: int = 2) -> int:
    """Calls of such a job: the samples, then every pair in both orders."""
    return prompts * k * k


@dataclass(frozen=True)
class Api:
    """One service and a session with it."""

    folder: Path
    address: str
    session: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of a reply."""
        async with self.session.request(method, path, json=body, headers=headers) as reply:
            return reply.status, await reply.json(content_type=None)

    async def get(self, path: str) -> Any:
        status, found = await self.ask("GET", path)
        assert status == 200, found
        return found

    async def post(self, path: str, body: object = None, **headers: str) -> Any:
        status, found = await self.ask("POST", path, body, headers)
        assert status == 200, found
        return found

    async def lines(self, path: str) -> list[Any]:
        """A reply of JSON lines."""
        async with self.session.get(path) as reply:
            assert reply.status == 200
            return [json.loads(line) for line in (await reply.read()).splitlines()]

    async def until(self, job_id: str, *states: str, seconds: float = 30.0) -> Any:
        """Wait for one of some states."""
        async with asyncio.timeout(seconds):
            while True:
                found = await self.get(f"/v1/jobs/{job_id}")
                if found["state"] in states and (found["state"] in ("queued", "running") or _settled(found)):
                    return found
                await asyncio.sleep(0.02)


def _settled(found: Mapping[str, Any]) -> bool:
    return found["stopping"] is None


@asynccontextmanager
async def api(folder: Path, given: Settings | None = None, **options: Any) -> AsyncIterator[Api]:
    """Serve a folder in this loop for the length of a block."""
    given = given or settings(folder / "home")
    async with serving(folder, given, host="127.0.0.1", **{"port": 0, **options}) as address:
        async with aiohttp.ClientSession(address) as session:
            yield Api(folder, address, session)


@dataclass
class Told:
    """One server-sent event."""

    id: str
    name: str
    data: Any


async def watch(session: aiohttp.ClientSession, path: str, last_id: str = "") -> AsyncIterator[Told]:
    """The events of a stream, until it ends; an id on its own comes as an event without a name."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with session.get(path, headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as reply:
        assert reply.status == 200, await reply.text()
        assert reply.content_type == "text/event-stream"
        fields: dict[str, str] = {}
        async for raw in reply.content:
            line = raw.decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if "id" in fields:
                data = json.loads(fields["data"]) if "data" in fields else None
                yield Told(fields["id"], fields.get("event", ""), data)
            fields = {}
