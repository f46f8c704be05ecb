"""The fake upstream itself: what other tests take for granted about it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.upstream import INPUT_PRICE, KINDS, OUTPUT_PRICE, Upstream, serving

ROOT = Path(__file__).parent.parent
BODY = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 50}


async def post(url: str, body: dict[str, object], path: str = "/v1/chat/completions") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url + path, json=body) as response:
        return response.status, await response.text()


async def test_replies_are_a_function_of_the_body() -> None:
    seen = []
    for _ in range(2):
        async with serving(Upstream()) as up:
            seen.append([await post(up.url, {**BODY, "seed": seed}) for seed in range(5)])
    assert seen[0] == seen[1]
    assert len({text for _, text in seen[0]}) == 5


async def test_faults_are_drawn_alike_in_any_order() -> None:
    outcomes = []
    for order in (1, -1):
        async with serving(Upstream(fault_rate=0.5, kinds=("500", "html_page"), seed=7)) as up:
            for number in list(range(30))[::order]:
                await post(up.url, {**BODY, "seed": number})
            outcomes.append({entry.body: entry.outcome for entry in up.ledger})
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0].values()) == {"ok", "500", "html_page"}


async def test_the_ledger_prices_what_was_answered() -> None:
    async with serving(
        Upstream(script=["500", "ok", "wrong_schema"], reply_text=lambda _: "four five")
    ) as up:
        for _ in range(3):
            await post(up.url, BODY)
        async with aiohttp.ClientSession() as session, session.get(up.url + "/ledger") as response:
            ledger = await response.json()
    one = 3 * INPUT_PRICE + 2 * OUTPUT_PRICE
    assert [entry["price"] for entry in ledger] == pytest.approx([0.0, one, one])
    assert [entry["attempt"] for entry in ledger] == [1, 2, 3]
    assert up.spent == pytest.approx(2 * one)


async def test_as_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.upstream", "--fault-rate", "1", "--kinds", "500"]
    ledger = tmp_path / "ledger.jsonl"
    with subprocess.Popen(
        [*command, "--ledger", str(ledger)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        url = (await asyncio.to_thread(process.stdout.readline)).strip()
        status, _ = await post(url, BODY)
        process.kill()
    assert status == 500
    assert [json.loads(line)["outcome"] for line in ledger.read_text().splitlines()] == ["500"]


def test_twenty_two_kinds() -> None:
    assert len(set(KINDS)) == 22
