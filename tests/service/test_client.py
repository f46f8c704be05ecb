"""The client against a real service: the same models, the same exceptions, streams that reconnect."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import rlaif
from rlaif.errors import BudgetError, InputError, JobError, StoreError
from rlaif.exports import MANIFEST
from tests.service.asked import MODEL, api, job, pipeline, settings
from tests.upstream import Upstream, serving


async def test_from_a_pipeline_to_files_on_this_side(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as there, rlaif.Client(there.address) as service:
        quoted = await service.quote(pipeline(), ["What?"])
        assert quoted.calls == 4
        made = await service.submit(pipeline(k=3), job(6)["prompts"], idempotency_key="one")
        ended = await service.wait(made.id)
        assert (ended.state, ended.request_counts.failed) == ("completed", 0)
        assert [one.id for one in await service.jobs()] == [made.id]
        lines = [line async for line in service.output(made.id)]
        assert len(lines) == 6
        assert [line async for line in service.errors(made.id)] == []
        pairs = [one async for one in service.preferences(job=made.id, limit=2)]
        assert len(pairs) == ended.sets[0].counts["preferred"] > 2
        whole = await service.preference(pairs[0].id)
        assert whole.prompt
        explained = await service.explain(pairs[0].id)
        assert explained["set_name"] == ended.sets[0].name
        kept = await service.label(pairs[0].id, "rejected", person="ada")
        assert kept.data[0].person == "ada"
        (dataset,) = await service.datasets()
        folder = await service.download(dataset.id, tmp_path / "here")
        assert (folder / MANIFEST).is_file()
        assert list((folder / "helpfulness").glob("*.parquet"))


async def test_constitutions_are_read_and_saved(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as there, rlaif.Client(there.address) as service:
        names = [one.name for one in await service.constitutions()]
        assert "helpfulness" in names
        text = (await service.constitution("helpfulness")).text
        saved = await service.save_constitution("mine", text.replace("id: helpfulness", "id: mine", 1))
        assert saved.version.name == "mine"
        said = await service.judge("Two and two?", ["4", "5"], constitution="mine", judge="mock:text")
        assert said.data[0].status == "decided"


async def test_problems_are_the_packages_exceptions(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as there, rlaif.Client(there.address) as service:
        with pytest.raises(InputError, match="there is no job 'none'"):
            await service.job("none")
        with pytest.raises(InputError, match="allowed") as refused:
            await service.submit(pipeline("compatible:evil/m"), ["x"])
        assert refused.value.field == "body.pipeline.stages"
        made = await service.submit(pipeline(), ["x"])
        await service.wait(made.id)
        with pytest.raises(JobError, match="nothing to resume"):
            await service.resume(made.id)
        await service.submit(pipeline(), ["x"], idempotency_key="k")
        with pytest.raises(InputError, match="with another body before"):
            await service.submit(pipeline(), ["y"], idempotency_key="k")
    with pytest.raises(StoreError, match="no service answers"):
        async with rlaif.Client("http://127.0.0.1:9") as service:
            await service.jobs()
    with pytest.raises(InputError, match="not open"):
        await rlaif.Client().jobs()


async def test_money_that_does_not_suffice_is_a_matter_of_budget(tmp_path: Path) -> None:
    upstream = Upstream()
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as there:
        async with rlaif.Client(there.address) as service:
            with pytest.raises(BudgetError, match="cap"):
                await service.judge(
                    "Two and two?", ["4", "5"], constitution="helpfulness", judge=MODEL, budget=1e-9
                )


CONFLICTS = {
    "urn:rlaif:problem:job": JobError,
    "urn:rlaif:problem:budget": BudgetError,
    "about:blank": InputError,
    "urn:rlaif:problem:unheard-of": InputError,
}


@pytest.mark.parametrize("type", CONFLICTS)
async def test_each_conflict_is_the_exception_its_type_names(type: str) -> None:
    async def conflict(_: web.Request) -> web.Response:
        told = {"type": type, "title": "Conflict", "status": 409, "detail": "no"}
        return web.json_response(told, status=409, content_type="application/problem+json")

    app = web.Application()
    app.router.add_get("/v1/jobs/one", conflict)
    async with TestServer(app) as server, rlaif.Client(str(server.make_url(""))) as service:
        with pytest.raises(rlaif.RlaifError) as raised:
            await service.job("one")
    assert raised.type is CONFLICTS[type]


async def test_what_is_no_service_is_said_to_be_none(tmp_path: Path) -> None:
    async def other(_: web.Request) -> web.Response:
        return web.Response(text="<html>", status=404)

    app = web.Application()
    app.router.add_get("/v1/jobs", other)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with rlaif.Client(address) as service:
        with pytest.raises(rlaif.RlaifError, match="no service of rlaif"):
            await service.jobs()
    await runner.cleanup()


async def test_a_watcher_outlives_the_service(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.05)
    async with serving(upstream):
        given = settings(tmp_path, upstream)
        names: list[str] = []
        async with api(tmp_path / "out", given) as there:
            async with rlaif.Client(there.address) as service:
                made = await service.submit(
                    pipeline(MODEL, limits={"max": 2}), job(10)["prompts"], budget=1.0
                )
            port = int(there.address.rpartition(":")[2])

            async def watching() -> None:
                async with rlaif.Client(there.address) as service:
                    async for event in service.events(made.id):
                        names.append(event.name)
                        if event.name == "state" and event.data["state"] == "completed":
                            return

            watcher = asyncio.create_task(watching())
            while "progress" not in names:
                await asyncio.sleep(0.01)
        async with api(tmp_path / "out", given, port=port):
            async with asyncio.timeout(30):
                await watcher
        assert names[0] == "open"
        assert "lost" in names  # the second service knows nothing of the first one's ids
        assert names[-1] == "state"
    assert len(upstream.ledger) == len({one.body for one in upstream.ledger})


async def test_waiting_for_nobody_ends(tmp_path: Path) -> None:
    async with rlaif.Client("http://127.0.0.1:9") as service:
        with pytest.raises(StoreError, match="has not answered"):
            async for _ in service.events(patience=0.1):
                pass
