"""Whole jobs against a failing upstream: every call ends, within its attempts and its money."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from rlaif.errors import CallError
from rlaif.journal import Journal
from rlaif.providers.base import Request
from rlaif.providers.budget import Budget
from rlaif.providers.client import Answer, Client, Limits
from rlaif.providers.prices import Price
from rlaif.records import Message, SamplingParams
from tests.providers import test_faults
from tests.providers.test_faults import DOORS, Door, doors
from tests.upstream import INPUT_PRICE, KINDS, OUTPUT_PRICE, READABLE, Upstream, serving

PRICE = Price.flat(INPUT_PRICE * 1e6, OUTPUT_PRICE * 1e6, "test")
# Waits are cut short: what is tested is that calls end, not for how long they sleep.
QUICK = Limits(start=32, max=32, attempts=6, backoff=0.02, max_wait=0.05)
TROUBLES = tuple(kind for kind in KINDS if kind not in READABLE)


class Job:
    """Calls of one job against one upstream."""

    def __init__(
        self,
        door: Door,
        upstream: Upstream,
        folder: Path,
        *,
        cap: float | None = None,
        limits: Limits = QUICK,
    ) -> None:
        self.door = door
        self.journal = Journal.open(folder)
        self.budget = Budget(cap)
        self.client = Client(
            door.open(upstream.url), self.journal, job_id="jb", budget=self.budget, price=PRICE, limits=limits
        )

    async def run(self, calls: int) -> list[Answer | BaseException]:
        try:
            asked = (self.client.call(self._request(number)) for number in range(calls))
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            await self.client.close()
            await self.journal.close()

    def _request(self, number: int) -> Request:
        turns = (Message(role="user", content=f"Which is better, {number}?"),)
        return Request(self.door.model, turns, SamplingParams(max_tokens=20))


def most_attempts(upstream: Upstream) -> int:
    return max(Counter(entry.body for entry in upstream.ledger).values())


@doors
async def test_a_fault_free_job_is_billed_to_the_cent_and_never_twice(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_faults, "TIMEOUT", 30.0)  # a machine that stands still for a second is no fault
    async with serving(Upstream()) as up:
        first = Job(door, up, tmp_path)
        answers = await first.run(100)
        assert all(isinstance(one, Answer) and not one.cached for one in answers)
        assert len(up.ledger) == 100
        assert first.budget.spent == pytest.approx(up.spent, abs=1e-9)
        again = Job(door, up, tmp_path)
        cached = await again.run(100)
    assert [one.reply.text for one in cached] == [one.reply.text for one in answers]
    assert all(one.cached for one in cached)
    assert len(up.ledger) == 100
    assert again.budget.spent == 0.0


@doors
async def test_five_percent_faults_leave_no_call_unfinished(door: Door, tmp_path: Path) -> None:
    """All kinds but the wait of 600 s, on which the client may give up when nothing else gets through."""
    async with serving(Upstream(latency=0.005, fault_rate=0.05, hang=1.5, seed=1, wait="ms")) as up:
        answers = await Job(door, up, tmp_path).run(300)
    assert [one for one in answers if not isinstance(one, Answer)] == []
    assert len(up.ledger) <= 1.15 * 300
    assert len({entry.outcome for entry in up.ledger}) > 5


@doors
async def test_thirty_percent_faults_end_in_a_reply_or_a_reason(door: Door, tmp_path: Path) -> None:
    async with serving(Upstream(latency=0.005, fault_rate=0.3, hang=1.5, seed=2, kinds=TROUBLES)) as up:
        job = Job(door, up, tmp_path)
        answers = await job.run(200)
    failed = [one for one in answers if not isinstance(one, Answer)]
    assert all(isinstance(one, CallError) and str(one) for one in failed)
    assert len(failed) < 10
    assert most_attempts(up) <= QUICK.attempts
    assert job.budget.spent >= up.spent - 1e-9


@pytest.mark.parametrize("kind", ["500", "html_page", "truncated_json", "wrong_schema", "refused"])
async def test_a_fault_that_stays_ends_after_the_attempts(tmp_path: Path, kind: str) -> None:
    limits = QUICK.model_copy(update={"attempts": 4})  # one fewer than what is taken for an outage
    async with serving(Upstream(fault_rate=1.0, kinds=(kind,))) as up:
        [answer] = await Job(DOORS[0], up, tmp_path, limits=limits).run(1)
    assert isinstance(answer, CallError)
    assert "after 4 attempts" in str(answer)
    assert len(up.ledger) == 4


async def test_a_cap_holds_under_faults(tmp_path: Path) -> None:
    async with serving(Upstream(fault_rate=0.3, hang=1.5, seed=3, kinds=TROUBLES)) as up:
        job = Job(DOORS[0], up, tmp_path, cap=0.02)
        answers = await job.run(200)
    assert any(isinstance(one, Answer) for one in answers)
    assert not all(isinstance(one, Answer) for one in answers)
    assert up.spent <= job.budget.spent <= 0.02


@doors
async def test_a_bad_key_stops_within_three_calls(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_faults, "TIMEOUT", 30.0)
    async with serving(Upstream(keys=frozenset({"another"}), latency=0.01)) as up:
        answers = await Job(door, up, tmp_path).run(100)
    assert all(isinstance(one, CallError) and one.fatal for one in answers)
    assert len(up.ledger) <= 3
