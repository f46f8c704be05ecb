"""Jobs over HTTP: handing in, states, steering, results."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.asked import MODEL, Api, api, calls, job, pipeline, settings
from tests.upstream import Upstream, serving


async def test_a_job_runs_to_its_end_and_gives_results_by_custom_id(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        made = await service.post("/v1/jobs", job(4))
        assert made["object"] == "batch"
        assert made["status"] in ("validating", "in_progress")
        ended = await service.until(made["id"], "completed")
        assert ended["status"] == "completed"
        assert ended["request_counts"] == {"total": 8 + 4, "completed": 12, "failed": 0}  # draws, and pairs
        assert ended["completed_at"] >= ended["created_at"] > 1_500_000_000
        assert [one["axis"] for one in ended["sets"]] == ["helpfulness"]
        lines = await service.lines(ended["output_file"])
        assert {one["custom_id"] for one in lines} == {"row-0", "row-1", "row-2", "row-3"}
        assert all(len(one["response"]["body"]["choices"]) == 2 for one in lines)
        made_pairs = sum(len(one["response"]["body"]["preferences"]) for one in lines)
        assert made_pairs == ended["sets"][0]["counts"]["preferred"]
        assert await service.lines(ended["error_file"]) == []
        assert (service.folder / "exports" / made["id"]).is_dir()
        history = await service.get(f"/v1/jobs/{made['id']}/history")
        assert len(history["data"]) <= 600


async def test_the_list_is_paged_newest_first(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        ids = []
        for name in ("one", "two", "three"):
            ids.append((await service.post("/v1/jobs", job(1, name=name)))["id"])
            await asyncio.sleep(0.01)  # the list goes by milliseconds
        first = await service.get("/v1/jobs?limit=2")
        assert [one["id"] for one in first["data"]] == ids[:0:-1]
        assert first["has_more"] is True
        rest = await service.get(f"/v1/jobs?limit=2&after={first['last_id']}")
        assert [one["id"] for one in rest["data"]] == ids[:1]
        assert rest["has_more"] is False
        status, said = await service.ask("GET", "/v1/jobs?after=none")
        assert status == 422
        assert "query.after" in said["detail"]


async def test_the_same_request_is_the_same_job(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        first = await service.post("/v1/jobs", job(2), **{"Idempotency-Key": "a"})
        again = await service.post("/v1/jobs", job(2), **{"Idempotency-Key": "a"})
        unkeyed = await service.post("/v1/jobs", job(2))
        assert first["id"] == again["id"] == unkeyed["id"]
        status, said = await service.ask("POST", "/v1/jobs", job(3), {"Idempotency-Key": "a"})
        assert status == 409
        assert first["id"] in said["detail"]
        assert len((await service.get("/v1/jobs"))["data"]) == 1
        other = await service.post("/v1/jobs", job(3), **{"Idempotency-Key": "b"})
        assert other["id"] != first["id"]


async def test_an_idempotency_key_outlives_the_service(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        first = await service.post("/v1/jobs", job(2), **{"Idempotency-Key": "a"})
        await service.until(first["id"], "completed")
    async with api(tmp_path / "out") as service:
        again = await service.post("/v1/jobs", job(2), **{"Idempotency-Key": "a"})
        assert (again["id"], again["state"]) == (first["id"], "completed")
        assert again["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
        status, _ = await service.ask("POST", "/v1/jobs", job(3), {"Idempotency-Key": "a"})
        assert status == 409


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there"])
async def test_an_idempotency_key_is_short_and_plain(tmp_path: Path, key: str) -> None:
    async with api(tmp_path / "out") as service:
        status, said = await service.ask("POST", "/v1/jobs", job(1), {"Idempotency-Key": key})
        assert status == 422
        assert "Idempotency-Key" in said["detail"]


def stage(**changed: Any) -> dict[str, Any]:
    """A pipeline whose judge stage, or whose judge, is changed."""
    made = pipeline()
    judging = made["stages"][1]
    for name, value in changed.items():
        (judging if name in ("constitution", "scorecard") else judging["judge"])[name] = value
    return {"pipeline": made, "prompts": ["What?"]}


WRONG = {
    "no prompts": ({"pipeline": pipeline()}, "prompts"),
    "no rows": ({"pipeline": pipeline(), "prompts": []}, "body.prompts"),
    "both sources": ({"pipeline": pipeline(), "prompts": ["x"], "dataset": "y"}, "either"),
    "an unknown dataset": ({"pipeline": pipeline(), "dataset": "y"}, "body.dataset"),
    "an empty prompt": ({"pipeline": pipeline(), "prompts": ["a", " "]}, "body.prompts.1.prompt"),
    "a row of another kind": ({"pipeline": pipeline(), "prompts": ["a", {"x": 1}]}, "body.prompts.1.prompt"),
    "an assistant's last word": (
        {"pipeline": pipeline(), "prompts": [{"messages": [{"role": "assistant", "content": "x"}]}]},
        "body.prompts.0.messages",
    ),
    "a path of prompts": ({"pipeline": pipeline(prompts={"path": "/etc/passwd"}), "prompts": ["x"]}, "path"),
    "an output folder": ({"pipeline": pipeline(output="/tmp/x"), "prompts": ["x"]}, "output"),
    "an unknown constitution": (stage(constitution="nothing"), "body.pipeline.stages.1.constitution"),
    "a path for a constitution": (stage(constitution="../../etc/passwd"), "stages.1.constitution"),
    "a scorecard file": (stage(scorecard="/etc/passwd"), "body.pipeline.stages.1.scorecard"),
    "a template file": (stage(template="/etc/issue.txt"), "body.pipeline.stages.1.judge.template"),
    "an unknown model": ({"pipeline": pipeline("gpt"), "prompts": ["x"]}, "'gpt'"),
    "an unknown server": ({"pipeline": pipeline("compatible:evil/m"), "prompts": ["x"]}, "compatible:lab"),
    "a model folder": ({"pipeline": pipeline("local:/etc"), "prompts": ["x"]}, "allowed"),
    "a model of the hub": ({"pipeline": pipeline("local:a/b"), "prompts": ["x"]}, "allowed"),
    "no budget": ({"pipeline": pipeline(MODEL), "prompts": ["x"]}, "body.budget"),
    "a negative budget": ({**job(1), "budget": -1}, "body.budget"),
    "an unpriced model": ({"pipeline": pipeline("openai:unheard-of"), "prompts": ["x"]}, "price"),
    "a stage alone": ({"pipeline": pipeline(stages=[{"kind": "export"}]), "prompts": ["x"]}, "stages.0"),
    "an unknown field": ({**job(1), "path": "x"}, "body.path"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_run_is_refused_with_its_field(tmp_path: Path, name: str) -> None:
    body, named = WRONG[name]
    upstream = Upstream()
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        status, said = await service.ask("POST", "/v1/jobs", body)
        assert status == 422, said
        assert named in said["detail"]
        assert said["errors"]
        assert str(tmp_path) not in json.dumps(said)
        assert (await service.get("/v1/jobs"))["data"] == []
        assert [one.name for one in (tmp_path / "out/submitted").glob("*")] == []
    assert upstream.ledger == []


async def test_a_missing_key_is_one_sentence(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        status, said = await service.ask("POST", "/v1/jobs", {**job(1, "openai:gpt-4.1-mini"), "budget": 1})
        assert status == 422
        assert "OPENAI_API_KEY is not set" in said["detail"]


async def test_the_mock_is_the_operators_to_allow(tmp_path: Path) -> None:
    given = settings(tmp_path).model_copy(update={"service": type(settings(tmp_path).service)()})
    async with api(tmp_path / "out", given) as service:
        status, said = await service.ask("POST", "/v1/jobs", job(1))
        assert status == 422
        assert "allowed: local:smollm2-135m-instruct" in said["detail"]


async def test_a_quote_counts_and_sends_nothing(tmp_path: Path) -> None:
    upstream = Upstream()
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        quoted = await service.post("/v1/quotes", job(5, MODEL, k=3))
        assert quoted["calls"] == calls(5, 3)
        assert quoted["prompts"] == 5
        assert quoted["usd"] > 0
        assert (await service.get("/v1/jobs"))["data"] == []
    assert upstream.ledger == []


async def test_a_jobs_prompts_serve_another(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        first = await service.post("/v1/jobs", job(3))
        await service.until(first["id"], "completed")
        second = await service.post("/v1/jobs", {"pipeline": pipeline(seed=9), "dataset": first["id"]})
        assert second["id"] != first["id"]
        await service.until(second["id"], "completed")
        lines = await service.lines(f"/v1/jobs/{second['id']}/output")
        assert sorted(one["custom_id"] for one in lines) == ["row-0", "row-1", "row-2"]


async def test_what_is_not_there_is_404(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        for method, rest in (
            ("GET", ""), ("GET", "/output"), ("GET", "/errors"), ("GET", "/history"), ("GET", "/attempts"),
            ("GET", "/events"), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel"),
        ):  # fmt: skip
            status, said = await service.ask(method, f"/v1/jobs/none{rest}")
            assert (status, "none" in said["detail"]) == (404, True), rest
        status, _ = await service.ask("POST", "/v1/jobs/none/cap", {"budget": 1})
        assert status == 404


async def test_failed_tasks_come_with_the_callers_id_and_every_attempt(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.script = ["500"] * 4  # two tasks are in hand at once, and both of their calls fail for good
    limits = {"max": 1, "attempts": 2, "backoff": 0.0}
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        made = await service.post("/v1/jobs", job(3, MODEL, budget=1.0, limits=limits, max_failed_share=1.0))
        ended = await service.until(made["id"], "completed")
        assert ended["request_counts"]["failed"] == 2
        errors = await service.lines(ended["error_file"])
        assert [one["custom_id"] for one in errors] == ["row-0", "row-0"]
        assert [one["response"] for one in errors] == [None, None]
        assert all("500" in one["error"]["message"] for one in errors)
        troubled = (await service.get(f"/v1/jobs/{made['id']}/attempts"))["data"]
        assert [len(one["failed"]) for one in troubled] == [2, 2]
        assert troubled[0]["request"]["messages"]
        item = (await service.get(f"/v1/jobs/{made['id']}/attempts?item=row-1"))["data"]
        assert item
        assert all(one["latency"] is not None and one["cost"] > 0 for one in item if one["reply"])
        assert len(upstream.ledger) == len({one.body for one in upstream.ledger}) + 2


def batch_lines(count: int = 3, **changed: Any) -> list[dict[str, Any]]:
    """Lines of a file of the OpenAI Batch API."""
    return [
        {
            "custom_id": f"row-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "mock:text",
                "messages": [{"role": "user", "content": f"Count to {n}."}],
                "n": 2,
                "max_tokens": 20,
                **changed,
            },
        }
        for n in range(count)
    ]


async def send_lines(service: Api, lines: list[dict[str, Any]]) -> tuple[int, Any]:
    content = "\n".join(map(json.dumps, lines)).encode()
    headers = {"Content-Type": "application/jsonl"}
    async with service.session.post("/v1/batches?name=mine", data=content, headers=headers) as reply:
        return reply.status, await reply.json(content_type=None)


async def test_a_batch_file_is_a_job_and_comes_back_as_one(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        status, made = await send_lines(service, batch_lines())
        assert (status, made["name"]) == (200, "mine"), made
        ended = await service.until(made["id"], "completed")
        assert ended["request_counts"] == {"total": 6, "completed": 6, "failed": 0}
        lines = await service.lines(ended["output_file"])
        assert {one["custom_id"] for one in lines} == {"row-0", "row-1", "row-2"}
        assert all(len(one["response"]["body"]["choices"]) == 2 for one in lines)


async def test_a_batch_file_that_is_no_job_is_refused_with_its_line(tmp_path: Path) -> None:
    mixed = [*batch_lines(2), *batch_lines(1, temperature=0.5)]
    twice = [*batch_lines(2), *batch_lines(1)]
    other = [*batch_lines(1), {**batch_lines(2)[1], "url": "/v1/embeddings"}]
    tools = [*batch_lines(1), {**batch_lines(2)[1], "body": {**batch_lines(2)[1]["body"], "tools": []}}]
    wrong = (
        (mixed, "body.3.body"), (twice, "body.3.custom_id"), (other, "body.2.url"), ([], "body"),
        (tools, "body.2.body.tools"),
    )  # fmt: skip
    async with api(tmp_path / "out") as service:
        for lines, field in wrong:
            status, said = await send_lines(service, lines)
            assert (status, said["detail"].partition(":")[0]) == (422, field)
        assert (await service.get("/v1/jobs"))["data"] == []


@pytest.mark.parametrize(
    "url",
    ["/v1/responses", "/v1/completions", "/v1/embeddings", "/v1/moderations", "v1/chat/completions", ""],
)
async def test_other_endpoints_of_a_batch_file_are_refused_by_name(tmp_path: Path, url: str) -> None:
    async with api(tmp_path / "out") as service:
        status, said = await send_lines(service, [*batch_lines(1), {**batch_lines(2)[1], "url": url}])
    assert status == 422
    assert f"found {url!r}; a file's lines go to /v1/chat/completions and nowhere else" in said["detail"]
    assert said["errors"][0]["line"] == 2
