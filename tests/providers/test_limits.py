"""The gate, in virtual time: how fast it opens, when it narrows, what it does when nobody answers."""

import asyncio

import pytest
from pydantic import ValidationError

from rlaif.errors import CallError
from rlaif.providers.limits import Gate, Limits

from .clock import clock, run

DOWN = CallError("down", retry="transient")
BAD_KEY = CallError("the key was refused", retry="no", fatal=True)


def limited(retry_after: float | None = None) -> CallError:
    return CallError("slow down", retry="rate_limit", retry_after=retry_after)


def gate(**limits: float) -> Gate:
    return Gate(Limits(**limits), clock)


async def proven(**limits: float) -> Gate:
    made = gate(**limits)
    await made.enter()
    made.succeeded()
    made._round = 0
    return made


async def fill(made: Gate, count: int) -> None:
    for _ in range(count):
        await made.enter()


async def a_round(made: Gate, used: int) -> None:
    """As many successes as make one round, with ``used`` calls in flight together."""
    await fill(made, used)
    for _ in range(used):
        made.succeeded()
    while made._round:
        await made.enter()
        made.succeeded()


def full(made: Gate) -> bool:
    return not made._open()


def test_until_a_first_success_three_are_let_out() -> None:
    async def main() -> None:
        made = gate(start=20)
        await fill(made, 3)
        assert full(made)
        waiting = [asyncio.create_task(made.enter()) for _ in range(30)]
        await asyncio.sleep(1)
        assert not any(one.done() for one in waiting)
        made.succeeded()
        await asyncio.sleep(0)
        assert sum(one.done() for one in waiting) == 18  # 2 still out, 20 allowed
        for one in waiting:
            one.cancel()

    run(main())


def test_doubles_each_busy_round_up_to_the_maximum() -> None:
    async def main() -> None:
        made = await proven(start=20, max=100)
        for after in (40, 80, 100, 100):
            await a_round(made, made.limit)
            assert made.limit == after
        assert [(one.limit, one.reason) for one in made.history] == [
            (20, "start"), (40, "grow"), (80, "grow"), (100, "grow"),
        ]  # fmt: skip

    run(main())


@pytest.mark.parametrize(("used", "after"), [(15, 20), (16, 40)])
def test_grows_only_when_four_fifths_were_used(used: int, after: int) -> None:
    async def main() -> None:
        made = await proven(start=20)
        await a_round(made, used)
        assert made.limit == after

    run(main())


def test_a_rate_limit_cuts_once_per_cool_down_and_growth_turns_additive() -> None:
    async def main() -> None:
        made = await proven(start=50)
        await fill(made, 4)
        for _ in range(3):
            made.failed(limited(), first=True)
        assert made.limit == 40  # 50 * 0.8, once
        await asyncio.sleep(14.9)
        made.failed(limited(), first=True)
        assert made.limit == 40
        await asyncio.sleep(0.2)
        await fill(made, 1)
        made.failed(limited(), first=True)
        assert made.limit == 32
        await a_round(made, 32)
        assert made.limit == 37  # a tenth of the start at a time

    run(main())


def test_a_long_retry_after_stretches_the_cool_down() -> None:
    async def main() -> None:
        made = await proven(start=50)
        await fill(made, 2)
        made.failed(limited(40.0), first=True)
        await asyncio.sleep(39)
        made.failed(limited(), first=True)
        assert made.limit == 40
        await asyncio.sleep(2)
        await fill(made, 1)
        made.failed(limited(), first=True)
        assert made.limit == 32

    run(main())


def test_only_rate_limits_narrow_the_gate() -> None:
    async def main() -> None:
        made = await proven(start=50)
        for _ in range(4):
            await made.enter()
            made.failed(DOWN, first=True)
        await made.enter()
        made.failed(CallError("bad request", retry="no"), first=True)
        await made.enter()
        made.abandoned()
        assert (made.limit, made.in_flight) == (50, 0)

    run(main())


def test_never_narrows_below_one() -> None:
    async def main() -> None:
        made = await proven(start=2)
        for _ in range(4):
            await made.enter()
            made.failed(limited(), first=True)
            await asyncio.sleep(20)
        assert made.limit == 1

    run(main())


def test_an_outage_is_probed_at_most_once_a_second_and_ends_at_a_success() -> None:
    async def main() -> None:
        made = await proven(start=50, max=50)
        await fill(made, 50)
        for _ in range(50):
            made.failed(DOWN, first=True)
        sent: list[float] = []

        async def caller() -> None:
            while True:
                await made.enter()
                sent.append(clock())
                await asyncio.sleep(0.1)
                if clock() < 60:
                    made.failed(DOWN, first=True)
                else:
                    made.succeeded()

        callers = [asyncio.create_task(caller()) for _ in range(100)]
        await asyncio.sleep(75)
        for one in callers:
            one.cancel()
        out = [at for at in sent if at < 60]
        assert out == pytest.approx([1, 2, 4, 8, 16, 24, 32, 40, 48, 56], abs=0.01)
        assert len([at for at in sent if 64.2 <= at < 74.2]) == pytest.approx(50 / 0.1 * 10, rel=0.01)
        assert [one.reason for one in made.history][:3] == ["start", "outage", "recovery"]

    run(main())


def test_calls_that_fail_again_and_again_are_no_outage() -> None:
    async def main() -> None:
        made = await proven(start=50)
        for n in range(40):
            await made.enter()
            made.failed(DOWN, first=n % 10 == 0)
        assert not full(made)

    run(main())


def test_an_answer_of_any_kind_shows_the_provider_is_there() -> None:
    async def main() -> None:
        made = await proven(start=50)
        await fill(made, 9)
        for error in (DOWN, DOWN, DOWN, DOWN, CallError("bad request", retry="no"), DOWN, DOWN, DOWN, DOWN):
            made.failed(error, first=True)
        assert not full(made)
        await made.enter()
        made.failed(DOWN, first=True)
        assert full(made)

    run(main())


def test_gives_up_when_nothing_but_rate_limits_came_for_two_minutes() -> None:
    async def main() -> None:
        made = await proven(start=20)
        sent = 0

        async def keep_asking() -> None:
            nonlocal sent
            while True:
                await made.enter()
                sent += 1
                made.failed(limited(), first=True)

        with pytest.raises(CallError, match=r"nothing but rate limits for 1[23]\d s") as caught:
            await keep_asking()
        assert caught.value.fatal
        assert 10 <= sent <= 30
        assert 120 <= clock() < 140

    run(main())


def test_rate_limits_with_successes_between_are_no_reason_to_give_up() -> None:
    async def main() -> None:
        made = await proven(start=20)
        for _ in range(300):
            await made.enter()
            made.failed(limited(), first=True)
            await made.enter()
            made.succeeded()
            await asyncio.sleep(1)

    run(main())


def test_a_fatal_error_frees_everyone_at_once() -> None:
    async def main() -> None:
        made = gate(start=20)
        await fill(made, 3)
        waiting = [asyncio.create_task(made.enter()) for _ in range(5)]
        asleep = asyncio.create_task(made.pause(1000))
        await asyncio.sleep(1)
        made.failed(BAD_KEY, first=True)
        made.abandoned()
        ended = await asyncio.gather(*waiting, asleep, return_exceptions=True)
        assert [(str(one), one.fatal) for one in ended] == [("the key was refused", True)] * 6
        assert clock() == pytest.approx(1)
        for call in (made.enter(), made.pause(1)):
            with pytest.raises(CallError, match="the key was refused"):
                await call

    run(main())


def test_cancelled_waiters_hold_no_place() -> None:
    async def main() -> None:
        made = await proven(max=1)
        await made.enter()
        first, second = (asyncio.create_task(made.enter()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        made.succeeded()
        await second
        third = asyncio.create_task(made.enter())
        await asyncio.sleep(0)
        made.succeeded()
        third.cancel()  # admitted already, and not yet told
        await asyncio.gather(third, return_exceptions=True)
        assert made.in_flight == 0

    run(main())


def test_pause_sleeps_as_long_as_told() -> None:
    async def main() -> None:
        await gate().pause(12.5)
        assert clock() == 12.5

    run(main())


def test_limits_are_checked_and_max_alone_lowers_the_start() -> None:
    assert Limits(max=4).start == 4
    assert Limits(max=100).start == 20
    with pytest.raises(ValidationError, match="start 30 is above max 10"):
        Limits(start=30, max=10)
    with pytest.raises(ValidationError):
        Limits(attempts=0)
