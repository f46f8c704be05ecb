"""The queue: slots, pause, resume, cancel, caps; nothing bought twice and no cap exceeded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.service.asked import MODEL, Api, api, calls, job, settings
from tests.upstream import Upstream, serving

SLOW = {"max": 4, "start": 4}


async def begun(service: Api, upstream: Upstream, calls: int) -> None:
    async with asyncio.timeout(20):
        while len(upstream.ledger) < calls:
            await asyncio.sleep(0.005)


def bodies(upstream: Upstream) -> list[str]:
    return [one.body for one in upstream.ledger]


async def test_at_most_two_run_at_once_and_the_rest_wait_in_order(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.1)
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        names = ("one", "two", "three", "four")
        ids = [
            (await service.post("/v1/jobs", job(3, MODEL, budget=1.0, name=n, limits=SLOW)))["id"]
            for n in names
        ]
        most = 0
        for _ in range(2000):
            states = [one["state"] for one in (await service.get("/v1/jobs"))["data"]]
            most = max(most, states.count("running"))
            if states == ["completed"] * 4:
                break
            await asyncio.sleep(0.01)
        assert most == 2
        began = [(await service.get(f"/v1/jobs/{id}"))["in_progress_at"] for id in ids]
        assert began == sorted(began)


async def test_pause_keeps_what_was_bought_and_resume_buys_the_rest_once(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.2)
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        made = await service.post("/v1/jobs", job(10, MODEL, budget=1.0, limits=SLOW))
        await begun(service, upstream, 8)
        await service.post(f"/v1/jobs/{made['id']}/pause")
        paused = await service.until(made["id"], "paused")
        assert paused["status"] == "in_progress"
        sent = len(upstream.ledger)
        assert sent < calls(10)
        await asyncio.sleep(0.1)
        assert len(upstream.ledger) == sent
        upstream.latency = 0.0
        assert paused["perhaps_billed"] == 0.0  # calls in flight were waited for
        await service.post(f"/v1/jobs/{made['id']}/resume")
        ended = await service.until(made["id"], "completed")
        assert sorted(set(bodies(upstream))) == sorted(bodies(upstream))
        assert len(upstream.ledger) == calls(10)
        assert ended["spent"] == pytest.approx(upstream.spent, abs=1e-9)


async def test_a_paused_job_stays_so_over_a_restart(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.2)
    async with serving(upstream):
        given = settings(tmp_path, upstream)
        async with api(tmp_path / "out", given) as service:
            made = await service.post("/v1/jobs", job(10, MODEL, budget=1.0, limits=SLOW))
            await begun(service, upstream, 4)
            await service.post(f"/v1/jobs/{made['id']}/pause")
            await service.until(made["id"], "paused")
        async with api(tmp_path / "out", given) as service:
            await asyncio.sleep(0.2)
            assert (await service.get(f"/v1/jobs/{made['id']}"))["state"] == "paused"


async def test_cancel_ends_a_running_and_a_waiting_job(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.2)
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        ids = [
            (await service.post("/v1/jobs", job(20, MODEL, budget=1.0, name=name, limits=SLOW)))["id"]
            for name in ("one", "two", "three")
        ]
        await begun(service, upstream, 2)
        waiting = await service.post(f"/v1/jobs/{ids[2]}/cancel")
        assert (waiting["state"], waiting["status"]) == ("cancelled", "cancelled")
        going = await service.post(f"/v1/jobs/{ids[0]}/cancel")
        assert going["status"] in ("cancelling", "cancelled")
        assert (await service.until(ids[0], "cancelled"))["cancelled_at"] is not None
        status, said = await service.ask("POST", f"/v1/jobs/{ids[0]}/pause")
        assert (status, "cancelled" in said["detail"]) == (409, True)
        await service.post(f"/v1/jobs/{ids[1]}/cancel")
        await service.until(ids[1], "cancelled")


@pytest.mark.parametrize("concurrency", [1, 64])
async def test_a_cap_holds_and_raising_it_goes_on(tmp_path: Path, concurrency: int) -> None:
    upstream = Upstream(latency=0.002)
    limits = {"max": concurrency, "start": concurrency}
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        quoted = (await service.post("/v1/quotes", job(20, MODEL)))["usd"]
        budget = quoted / 20
        made = await service.post("/v1/jobs", job(20, MODEL, budget=budget, limits=limits))
        ended = await service.until(made["id"], "budget")
        assert ended["status"] == "expired"
        assert 0 < upstream.spent <= budget
        assert ended["spent"] == pytest.approx(upstream.spent, abs=1e-9)
        status, said = await service.ask("POST", f"/v1/jobs/{made['id']}/resume")
        assert (status, "cap" in said["detail"]) == (409, True)
        raised = await service.post(f"/v1/jobs/{made['id']}/cap", {"budget": 5.0})
        assert raised["budget"] == 5.0
        await service.until(made["id"], "completed")
        assert len(upstream.ledger) == len(set(bodies(upstream))) == calls(20)


async def test_a_cap_can_be_raised_while_the_job_runs_but_not_below_what_is_spent(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.2)
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        made = await service.post("/v1/jobs", job(20, MODEL, budget=1.0, limits=SLOW))
        await begun(service, upstream, 6)
        status, said = await service.ask("POST", f"/v1/jobs/{made['id']}/cap", {"budget": 0.0})
        assert (status, "too late" in said["detail"]) == (422, True)
        raised = await service.post(f"/v1/jobs/{made['id']}/cap", {"budget": 2.0})
        assert raised["budget"] == raised["progress"]["cap"] == 2.0
        upstream.latency = 0.0
        await service.until(made["id"], "completed")


async def test_a_job_that_cannot_call_fails_with_its_reason(tmp_path: Path) -> None:
    upstream = Upstream(keys=frozenset({"right"}))
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        made = await service.post("/v1/jobs", job(20, MODEL, budget=1.0))
        ended = await service.until(made["id"], "failed")
        assert "401" in ended["note"]
        assert len(upstream.ledger) <= 3
        upstream.keys = frozenset()
        await service.post(f"/v1/jobs/{made['id']}/resume")
        await service.until(made["id"], "completed")


async def test_stopping_drains_and_the_next_start_goes_on(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.2)
    async with serving(upstream):
        given = settings(tmp_path, upstream)
        async with api(tmp_path / "out", given) as service:
            made = await service.post("/v1/jobs", job(10, MODEL, budget=1.0, limits=SLOW))
            await begun(service, upstream, 6)
        sent = len(upstream.ledger)
        assert sent < calls(10)
        upstream.latency = 0.0
        async with api(tmp_path / "out", given) as service:
            ended = await service.until(made["id"], "completed")
            assert ended["perhaps_billed"] == 0.0
        assert len(upstream.ledger) == len(set(bodies(upstream))) == calls(10)


async def test_files_that_were_lost_fail_the_job_and_not_the_service(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.2)
    async with serving(upstream):
        given = settings(tmp_path, upstream)
        async with api(tmp_path / "out", given) as service:
            made = await service.post("/v1/jobs", job(10, MODEL, budget=1.0, limits=SLOW))
            await begun(service, upstream, 2)
        (tmp_path / f"out/submitted/{made['id']}/pipeline.yaml").unlink()
        async with api(tmp_path / "out", given) as service:
            ended = await service.until(made["id"], "failed")
            assert "pipeline.yaml" in ended["note"]
            other = await service.post("/v1/jobs", job(1))
            await service.until(other["id"], "completed")


async def test_jobs_that_ask_the_same_at_the_same_time_buy_it_once(tmp_path: Path) -> None:
    upstream = Upstream(latency=0.03)
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        one = await service.post("/v1/jobs", job(8, MODEL, budget=1.0, name="one"))
        two = await service.post("/v1/jobs", job(8, MODEL, budget=1.0, name="two"))
        await begun(service, upstream, 2)
        await service.post(f"/v1/jobs/{one['id']}/cancel")  # whatever it leads, the other buys for itself
        await service.until(two["id"], "completed")
        await service.until(one["id"], "cancelled", "completed")
        assert len(upstream.ledger) == len(set(bodies(upstream))) == calls(8)
