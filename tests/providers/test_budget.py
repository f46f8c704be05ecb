"""The cap holds to the last pico-dollar, and nobody waits for ever."""

import asyncio
import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.errors import BudgetError, InputError
from rlaif.providers.budget import Budget

from .clock import run

PICO = 10**12


def pico(dollars: float) -> int:
    return round(dollars * PICO)


class Job:
    """256 workers buying at random under one cap, killed and restarted at random; keeps its own books."""

    def __init__(self, seed: int, cap: float) -> None:
        self.draw = random.Random(seed)
        self.cap = cap
        self.paid = 0  # pico-dollars, as an honest provider would count
        self.refused = 0
        self.peak = 0
        self.in_flight = 0

    async def attempt(self, budget: Budget, worst: float) -> None:
        with await budget.reserve(worst) as held:
            self.in_flight += 1
            self.peak = max(self.peak, self.in_flight)
            assert pico(budget.spent) + pico(budget.reserved) <= pico(self.cap)
            billed, fate = worst, self.draw.random()
            try:
                await asyncio.sleep(self.draw.random())
                if fate < 0.6:
                    billed = round(worst * self.draw.random(), 9)  # answered for less than the worst case
                elif fate < 0.8:
                    billed = 0.0  # refused, not billed
            finally:  # cut off, or timed out: the provider charges in full
                self.in_flight -= 1
                self.paid += pico(billed)
            held.settle(billed)

    async def worker(self, budget: Budget, scale: float) -> None:
        for _ in range(4):
            try:
                await self.attempt(budget, round(scale * self.draw.random(), 9))
            except BudgetError:
                self.refused += 1
                return

    async def session(self, scale: float, dies_after: float | None) -> None:
        budget = Budget(self.cap, self.paid / PICO)
        workers = [asyncio.create_task(self.worker(budget, scale)) for _ in range(256)]
        if dies_after is not None:
            await asyncio.sleep(dies_after)
            for one in workers:
                one.cancel()
        ended = await asyncio.gather(*workers, return_exceptions=True)
        assert {type(one) for one in ended} <= {type(None), asyncio.CancelledError}
        assert (pico(budget.spent), budget.reserved) == (self.paid, 0.0)


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    cap=st.floats(0.0, 20.0).map(lambda x: round(x, 6)),
    scale=st.sampled_from([0.000001, 0.01, 0.1, 1.0]),
    deaths=st.lists(st.floats(0.0, 3.0), max_size=3),
)
def test_the_cap_is_never_overshot(seed: int, cap: float, scale: float, deaths: list[float]) -> None:
    job = Job(seed, cap)
    for dies_after in (*deaths, None):
        run(job.session(scale, dies_after))
        assert job.paid <= pico(cap)  # overshoot is exactly nothing
    if cap > 256 * 4 * scale * (1 + len(deaths)):
        assert job.refused == 0
        assert job.peak == 256


async def reserve_many(budget: Budget, amounts: list[float]) -> list[asyncio.Task]:
    tasks = [asyncio.create_task(budget.reserve(one)) for one in amounts]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_exactly_the_cap_fits() -> None:
    budget = Budget(0.3)
    first = await budget.reserve(0.1)
    await budget.reserve(0.2)  # 0.1 + 0.2 > 0.3 in floating point
    assert budget.reserved == 0.3
    first.settle(0.1)
    assert (budget.spent, budget.reserved) == (0.1, 0.2)


async def test_waits_while_room_may_come_and_is_served_in_order() -> None:
    budget = Budget(1.0)
    held = await budget.reserve(0.9)
    big, small = await reserve_many(budget, [0.5, 0.05])
    assert not big.done()
    assert not small.done()  # it would fit, and lets the one before it go first
    held.settle(0.4)
    await asyncio.gather(big, small)
    assert budget.reserved == 0.55


async def test_refuses_when_nothing_in_flight_can_make_room() -> None:
    budget = Budget(1.0, spent=0.75)
    held = await budget.reserve(0.25)
    (waiting,) = await reserve_many(budget, [0.5])
    held.settle(0.125)
    with pytest.raises(BudgetError) as caught:
        await waiting
    assert str(caught.value) == (
        "the cap of $1.00 leaves no room: $0.875 is spent and the next call may cost $0.50;"
        " go on with at least $1.375: rlaif resume JOB --budget USD"
    )
    assert caught.value.exit_code == 3
    await budget.reserve(0.125)  # what fits still goes


async def test_a_spent_cap_lowered_below_what_is_spent_refuses() -> None:
    with pytest.raises(BudgetError, match=r"\$0\.50 is spent"):
        await Budget(0.25, spent=0.5).reserve(0.0001)


async def test_a_free_call_fits_under_a_cap_of_nothing() -> None:
    (await Budget(0.0).reserve(0.0)).settle(0.0)


async def test_no_cap_never_refuses() -> None:
    budget = Budget(None)
    for _ in range(3):
        (await budget.reserve(1e6)).settle(5.0)
    assert budget.spent == 15.0


async def test_an_unsettled_reservation_counts_in_full() -> None:
    budget = Budget(1.0)
    with contextlib.suppress(RuntimeError):
        with await budget.reserve(0.25):
            raise RuntimeError
    assert (budget.spent, budget.reserved) == (0.25, 0.0)


async def test_release_gives_the_room_back_once() -> None:
    budget = Budget(1.0)
    held = await budget.reserve(0.75)
    held.release()
    held.settle(0.75)
    assert (budget.spent, budget.reserved) == (0.0, 0.0)


async def test_a_bill_above_its_reservation_is_counted_and_closes_the_budget() -> None:
    budget = Budget(10.0)
    held = await budget.reserve(0.5)
    (waiting,) = await reserve_many(budget, [9.6])
    held.settle(0.75)
    with pytest.raises(BudgetError, match=r"billed \$0\.25 more than the most"):
        await waiting
    with pytest.raises(BudgetError, match=r"\$0\.75 is spent"):
        await budget.reserve(0.001)


async def test_a_cancelled_waiter_does_not_block_those_behind_it() -> None:
    budget = Budget(1.0)
    held = await budget.reserve(0.9)
    big, small = await reserve_many(budget, [0.5, 0.1])
    big.cancel()
    await asyncio.wait_for(small, 1.0)
    held.release()
    assert budget.reserved == 0.1


async def test_granted_and_cancelled_in_the_same_turn_gives_the_room_back() -> None:
    budget = Budget(1.0)
    held = await budget.reserve(1.0)
    (waiting,) = await reserve_many(budget, [1.0])
    held.release()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert budget.reserved == 0.0


@pytest.mark.parametrize("cap", [-1.0, float("nan"), float("inf")])
def test_a_cap_that_is_no_amount_is_bad_input(cap: float) -> None:
    with pytest.raises(InputError, match="is no budget"):
        Budget(cap)


async def test_another_cap_lets_waiting_calls_through_and_never_undercuts_what_is_held() -> None:
    budget = Budget(1.0)
    held = await budget.reserve(0.6)
    waiting = asyncio.create_task(budget.reserve(0.6))
    await asyncio.sleep(0)
    assert not waiting.done()
    with pytest.raises(InputError, match="too late"):
        budget.change(0.5)
    assert budget.cap == 1.0
    budget.change(1.2)
    second = await waiting
    assert budget.reserved == pytest.approx(1.2)
    held.settle(0.1)
    second.settle(0.1)
    budget.change(0.2)
    with pytest.raises(BudgetError):
        await budget.reserve(0.01)
