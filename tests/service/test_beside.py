"""The command beside a running service: it asks the service instead of the folder."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.service.asked import MODEL, job
from tests.service.test_restart import Served, asking, start
from tests.upstream import Upstream, serving


async def test_verbs_go_to_the_service_that_owns_the_folder(tmp_path: Path) -> None:
    upstream = Upstream()
    async with serving(upstream):
        site = Served(tmp_path, prompts=4, k=2).write(upstream.url)
        store = ("--store", str(site.work))
        service = await start(site)
        ran = await site.run("run", "pipeline.yaml", f"output={site.work}", "--budget", "1", "--json")
        assert ran.code == 0, ran.err
        assert ran.json["state"] == "completed"
        listed = (await site.run("jobs", "--json", *store)).json
        assert [(one["job_id"], one["state"]) for one in listed] == [(ran.json["id"], "completed")]
        assert listed[0]["spent_usd"] > 0
        table = await site.run("jobs", *store)
        assert ran.json["id"] in table.out
        shown = (await site.run("show", ran.json["id"], "--json", *store)).json
        assert shown["kind"] == "job"
        nothing = await site.run("show", "pr_none", *store)
        assert (nothing.code, "pr_none" in nothing.sentence) == (2, True)
        again = await site.run("resume", ran.json["id"], *store)
        assert (again.code, "nothing to resume" in again.sentence) == (1, True)
        export = await site.run("export", ran.json["id"], "--out", "there", *store)
        assert (export.code, service.address in export.sentence) == (2, True)
        sent = len(upstream.ledger)
        await service.end(signal.SIGTERM)
        alone = await site.run("run", "pipeline.yaml", f"output={site.work}", "--budget", "1", "--json")
        assert alone.json["job_id"] == ran.json["id"]  # the same files, so the same job
        assert len(upstream.ledger) == sent


async def test_a_job_that_stops_at_its_cap_ends_the_command_so(tmp_path: Path) -> None:
    upstream = Upstream()
    async with serving(upstream):
        site = Served(tmp_path, prompts=6, k=2).write(upstream.url)
        store = ("--store", str(site.work))
        service = await start(site)
        ran = await site.run("run", "pipeline.yaml", f"output={site.work}", "--budget", "0.00000001")
        assert (ran.code, "budget" in ran.sentence) == (3, True)
        async with asking(service, site.work) as api:
            (found,) = (await api.get("/v1/jobs"))["data"]
        done = await site.run("resume", found["id"], "--budget", "1", *store)
        assert done.code == 0, done.err
        await service.end(signal.SIGTERM)


async def test_serve_with_a_demo_has_a_job_to_watch(tmp_path: Path) -> None:
    site = Served(tmp_path).write("http://127.0.0.1:9")
    service = await start(site, "--demo", RLAIF_HOME=str(tmp_path / "home"))
    async with asking(service, site.work) as api:
        (found,) = (await api.get("/v1/jobs"))["data"]
        assert found["name"] == "demo"
        ended = await api.until(found["id"], "completed", seconds=60)
        assert {one["axis"] for one in ended["sets"]} == {"helpfulness", "safety"}
        assert (await api.post("/v1/jobs", job(1)))["name"] == "small"  # the mock is allowed beside it
        status, _ = await api.ask("POST", "/v1/jobs", job(1, MODEL))
        assert status == 422
    await service.end(signal.SIGTERM)
    service = await start(site, "--demo", RLAIF_HOME=str(tmp_path / "home"))
    async with asking(service, site.work) as api:
        assert len((await api.get("/v1/jobs"))["data"]) == 2
    assert json.loads((site.work / "submitted" / found["id"] / "pipeline.yaml").read_text())["name"] == "demo"
    await service.end(signal.SIGTERM)
