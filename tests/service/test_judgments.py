"""Judgments on demand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.asked import MODEL, api, settings
from tests.upstream import Upstream, serving


def asked(**fields: Any) -> dict[str, Any]:
    return {
        "prompt": "What is two plus two?", "responses": ["Four.", "Five."], "constitution": "helpfulness",
        "judge": "mock:text", **fields,
    }  # fmt: skip


async def test_every_pair_gets_a_verdict_from_both_orders(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        said = await service.post("/v1/judgments", asked(responses=["Four.", "Five.", "A dozen."]))
        assert [(one["first"], one["second"]) for one in said["data"]] == [(0, 1), (0, 2), (1, 2)]
        assert said["calls"] == 6
        for one in said["data"]:
            assert one["status"] == "decided"
            assert one["p"] == pytest.approx((one["p_shown_first"] + one["p_shown_second"]) / 2)
            assert one["verdict"] == ("first" if one["p"] > 0.5 else "second")
            assert len(one["judgment_ids"]) == 2


async def test_turning_the_responses_round_turns_the_verdict_and_buys_nothing(tmp_path: Path) -> None:
    upstream = Upstream()
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        body = asked(judge=MODEL, budget=1.0)
        (there,) = (await service.post("/v1/judgments", body))["data"]
        again = await service.post("/v1/judgments", {**body, "responses": ["Five.", "Four."]})
        (back,) = again["data"]
        assert back["p"] == pytest.approx(1 - there["p"])
        assert (again["cached"], again["spent"]) == (2, 0.0)
        assert len(upstream.ledger) == 2


async def test_a_conversation_and_a_whole_judge_are_taken(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two plus two?"}]
    judge = {"kind": "pairwise", "model": "mock:text", "verdict": "labels", "orders": "both"}
    async with api(tmp_path / "out") as service:
        said = await service.post("/v1/judgments", asked(prompt=turns, judge=judge))
        assert said["data"][0]["status"] == "decided"


async def test_pairs_that_are_never_asked_about_say_why(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        said = await service.post("/v1/judgments", asked(responses=["Four.", "Four. ", ""]))
        assert [one["status"] for one in said["data"]] == ["identical", "empty", "empty"]
        assert said["calls"] == 0


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "one response": ({"responses": ["x"]}, "body.responses"),
    "no such constitution": ({"constitution": "../x"}, "constitution"),
    "an empty prompt": ({"prompt": " "}, "prompts.0"),
    "the assistant's last word": ({"prompt": [{"role": "assistant", "content": "x"}]}, "body.prompt"),
    "no judge": ({"judge": "nobody"}, "body.judge"),
    "a judge not offered": ({"judge": "local:/etc"}, "body.judge"),
    "a template file": ({"judge": "mock:text template=/etc/issue.txt"}, "body.judge.template"),
    "no budget": ({"judge": MODEL}, "budget"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_cannot_be_judged_is_refused_with_its_field(tmp_path: Path, name: str) -> None:
    changed, field = WRONG[name]
    upstream = Upstream()
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        status, said = await service.ask("POST", "/v1/judgments", asked(**changed))
        assert (status, field in said["detail"]) == (422, True), said
    assert upstream.ledger == []


async def test_a_budget_holds(tmp_path: Path) -> None:
    upstream = Upstream()
    async with serving(upstream), api(tmp_path / "out", settings(tmp_path, upstream)) as service:
        status, said = await service.ask("POST", "/v1/judgments", asked(judge=MODEL, budget=1e-9))
        assert (status, "cap" in said["detail"]) == (409, True)
    assert upstream.ledger == []


async def test_many_at_once_share_one_free_judge(tmp_path: Path) -> None:
    async with api(tmp_path / "out") as service:
        bodies = [asked(responses=["Four.", f"{number}."]) for number in range(20)]
        said = await asyncio.gather(*(service.post("/v1/judgments", one) for one in bodies))
        assert [one["data"][0]["status"] for one in said] == ["decided"] * 20
