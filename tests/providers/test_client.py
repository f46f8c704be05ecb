"""One call, whatever happens: bought once, journalled before it is believed, within cap and attempts."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rlaif.errors import BudgetError, CallError, StoreError
from rlaif.journal import Journal, Spend
from rlaif.journal.durability import GroupSync
from rlaif.providers import client as module
from rlaif.providers.base import RawReply, Request, request_key
from rlaif.providers.budget import Budget
from rlaif.providers.client import Answer, Client, Limits
from rlaif.providers.mock import Script, Scripted
from rlaif.providers.prices import Price
from rlaif.records import Message, SamplingParams, Usage

from .clock import clock, run

PRICE = Price.flat(1_000.0, 10_000.0, "by hand")  # 0.001 USD a word read, 0.01 a word drawn
DOWN = CallError("server answered 503", retry="transient")
SLOW_DOWN = CallError("server answered 429", retry="rate_limit", retry_after=1.0)
TIMED_OUT = CallError("read timed out", retry="transient", billed=True)


def ask(text: object, index: int = 0, most: int = 2) -> Request:
    params = SamplingParams(max_tokens=most)
    return Request("text", (Message(role="user", content=str(text)),), params, sample_index=index)


def asked(body: Mapping[str, Any]) -> str:
    return str(body["messages"][0]["content"])


def in_turn(*said: str | RawReply | CallError) -> Script:
    """Say these, one an attempt; the last for ever."""
    left = list(said)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]


@pytest.fixture
def open_journal(tmp_path: Path) -> Callable[[], Journal]:
    return lambda: Journal.open(tmp_path / "journal")


def client(
    journal: Journal,
    provider: Scripted,
    budget: Budget | None = None,
    price: Price | None = PRICE,
    **limits: Any,
) -> Client:
    return Client(
        provider,
        journal,
        job_id="jb_1",
        budget=budget or Budget(None),
        price=price,
        limits=Limits(**{"backoff": 0.0, **limits}),
    )


@pytest.fixture(autouse=True)
def hundred_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bound every input by 100 tokens: an attempt that draws at most two costs at most 0.12 USD."""

    def ceiling(request: Request) -> Usage:
        return Usage(input_tokens=100, output_tokens=request.params.max_tokens)

    monkeypatch.setattr(module, "ceiling", ceiling)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No fsync thread: its work takes no virtual time."""

    async def durable(self: GroupSync) -> None:
        """Take the disk's word for it."""

    monkeypatch.setattr(GroupSync, "durable", durable)


def virtual(
    open_journal: Callable[[], Journal],
    provider: Scripted,
    main: Callable[[Client, Journal], Awaitable[None]],
    **limits: Any,
) -> None:
    async def go() -> None:
        journal = open_journal()
        held = Limits(**limits)
        made = Client(
            provider, journal, job_id="jb_1", budget=Budget(None), price=PRICE, limits=held, clock=clock
        )
        await main(made, journal)
        await journal.close()

    run(go())


async def all_of(made: Client, count: int, window: int) -> list[Answer | CallError]:
    """Many calls by a bounded number of workers, as a stage makes them."""
    ended: list[Answer | CallError] = []
    todo = iter(range(count))

    async def worker() -> None:
        for n in todo:
            try:
                ended.append(await made.call(ask(f"question {n}")))
            except CallError as error:
                ended.append(error)

    await asyncio.gather(*(worker() for _ in range(window)))
    return ended


# Buying once


async def test_a_reply_is_bought_journalled_priced_and_then_free(open_journal: Callable[[], Journal]) -> None:
    journal, provider, budget = open_journal(), Scripted(in_turn("yes indeed")), Budget(1.0)
    made = client(journal, provider, budget)
    answer = await made.call(ask("is it so?"))
    assert (answer.reply.text, answer.cached) == ("yes indeed", False)
    assert budget.spent == 0.023  # three words read, two drawn
    again = await made.call(ask("is it so?"))
    assert (again.reply, again.key, again.cached) == (answer.reply, answer.key, True)
    assert len(provider.sent) == 1
    assert journal.spend("jb_1") == Spend(0.023, 0.0, 1)
    call = journal.call(answer.key)
    assert call is not None
    assert call.intent is not None
    assert call.intent["body"] == provider.sent[0]
    assert (call.cost, call.faults) == (0.023, ())
    stats = made.stats
    assert (stats.calls, stats.cached, stats.sent, stats.retries) == (2, 1, 1, 0)
    assert (stats.input_tokens, stats.output_tokens, stats.spent) == (3, 2, 0.023)
    assert (stats.in_flight, stats.limit, len(stats.history)) == (0, 20, 1)
    await journal.close()


async def test_another_process_finds_what_was_bought(open_journal: Callable[[], Journal]) -> None:
    journal = open_journal()
    first = await client(journal, Scripted(in_turn("yes"))).call(ask("?"))
    await journal.close()
    journal, provider = open_journal(), Scripted(in_turn("no"))
    second = await client(journal, provider).call(ask("?"))
    assert (second.reply, second.cached, provider.sent) == (first.reply, True, [])
    await journal.close()


async def test_samples_of_one_prompt_are_different_calls(open_journal: Callable[[], Journal]) -> None:
    journal, provider = open_journal(), Scripted(in_turn("yes"))
    made = client(journal, provider)
    keys = {(await made.call(ask("?", index=n))).key for n in range(3)}
    assert (len(keys), len(provider.sent)) == (3, 3)
    await journal.close()


async def test_equal_calls_at_the_same_time_share_one_send(open_journal: Callable[[], Journal]) -> None:
    journal, provider = open_journal(), Scripted(in_turn("yes"), latency=0.01)
    made = client(journal, provider)
    answers = await asyncio.gather(*(made.call(ask("?")) for _ in range(10)))
    assert len(provider.sent) == 1
    assert sum(not one.cached for one in answers) == 1
    await journal.close()


async def test_equal_calls_share_a_failure_too(open_journal: Callable[[], Journal]) -> None:
    journal, provider = open_journal(), Scripted(in_turn(CallError("bad request", retry="no")), latency=0.01)
    made = client(journal, provider)
    ended = await asyncio.gather(*(made.call(ask("?")) for _ in range(10)), return_exceptions=True)
    assert {str(one) for one in ended} == {"bad request"}
    assert len(provider.sent) == 1
    await journal.close()


async def test_when_the_leader_is_cancelled_a_follower_takes_over(
    open_journal: Callable[[], Journal],
) -> None:
    journal, provider = open_journal(), Scripted(in_turn("yes"), latency=0.02)
    made = client(journal, provider)
    leader, *followers = [asyncio.create_task(made.call(ask("?"))) for _ in range(4)]
    await asyncio.sleep(0.005)
    followers[0].cancel()
    leader.cancel()
    ended = await asyncio.gather(leader, *followers, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in ended] == [True, True, False, False]
    assert len(provider.sent) == 2
    assert made.stats.in_flight == 0
    await journal.close()


async def test_the_reply_is_on_disk_before_it_is_answered(
    open_journal: Callable[[], Journal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent is written before the send, the reply fsync'd before the answer."""
    seen: list[str] = []
    path = tmp_path / "journal" / "000001.jsonl"

    def kinds() -> str:
        return "".join(line.split(" ")[1] for line in path.read_text().splitlines())

    def script(body: Mapping[str, Any]) -> str:
        seen.append(kinds())
        return "yes"

    real = GroupSync.durable

    async def durable(self: GroupSync) -> None:
        await real(self)
        seen.append(kinds() + " synced")

    monkeypatch.setattr(GroupSync, "durable", durable)
    journal = open_journal()
    await client(journal, Scripted(script)).call(ask("?"))
    assert seen == ["I", "IR synced"]
    await journal.close()


# Failing


async def test_a_transient_failure_is_retried_and_recorded(open_journal: Callable[[], Journal]) -> None:
    journal, budget = open_journal(), Budget(10.0)
    made = client(journal, Scripted(in_turn(DOWN, SLOW_DOWN, "yes")), budget, max_wait=0.5)
    with pytest.raises(CallError, match="waiting 1 s is longer than 0 s"):  # nothing else gets through
        await made.call(ask("?"))
    answer = await made.call(ask("?"))
    call = journal.call(answer.key)
    assert call is not None
    assert [(one.attempt, one.reason, one.billed) for one in call.faults] == [
        (1, "server answered 503", 0.0),
        (2, "server answered 429", 0.0),
    ]
    assert made.stats.faults == Counter({"server answered 503": 1, "server answered 429": 1})
    assert (made.stats.rate_limited, made.stats.retries, made.stats.billed_uncertain) == (1, 1, 0.0)
    assert budget.spent == 0.011
    await journal.close()


async def test_gives_up_after_its_attempts(open_journal: Callable[[], Journal]) -> None:
    journal, provider = open_journal(), Scripted(in_turn(DOWN))
    with pytest.raises(CallError, match="gave up after 4 attempts: server answered 503") as caught:
        await client(journal, provider, attempts=4).call(ask("?"))
    assert not caught.value.fatal
    assert len(provider.sent) == 4
    await journal.close()


async def test_what_asking_again_cannot_help_is_not_asked_again(open_journal: Callable[[], Journal]) -> None:
    journal, provider = open_journal(), Scripted(in_turn(CallError("too long", retry="no"), "fine"))
    made = client(journal, provider)
    with pytest.raises(CallError, match="too long"):
        await made.call(ask("long"))
    assert (await made.call(ask("short"))).reply.text == "fine"
    assert len(provider.sent) == 2
    await journal.close()


async def test_a_bad_key_stops_everything_within_three_sends(open_journal: Callable[[], Journal]) -> None:
    journal = open_journal()
    provider = Scripted(in_turn(CallError("the key was refused", retry="no", fatal=True)), latency=0.01)
    made = client(journal, provider)
    ended = await asyncio.gather(*(made.call(ask(n)) for n in range(200)), return_exceptions=True)
    assert all(isinstance(one, CallError) and one.fatal for one in ended)
    assert len(provider.sent) <= 3
    with pytest.raises(CallError, match="the key was refused"):
        await made.call(ask("later"))
    assert len(provider.sent) <= 3
    await journal.close()


async def test_an_unreadable_reply_is_a_paid_fault_never_the_reply(
    open_journal: Callable[[], Journal],
) -> None:
    journal, budget = open_journal(), Budget(10.0)
    made = client(journal, Scripted(in_turn(RawReply("<html>", 0.1), "yes")), budget)
    answer = await made.call(ask("?"))
    assert answer.reply.text == "yes"
    call = journal.call(answer.key)
    assert call is not None
    (fault,) = call.faults
    assert (fault.text, fault.attempt) == ("<html>", 1)
    assert fault.reason.startswith("not a mock reply")
    assert fault.billed == made.stats.billed_uncertain == pytest.approx(0.12, abs=1e-12)
    assert budget.spent == pytest.approx(0.12 + 0.011, abs=1e-12)
    assert journal.spend("jb_1").settled == budget.spent
    await journal.close()


@pytest.mark.parametrize("how", ["said", "slow"])
async def test_a_time_out_counts_as_billed(open_journal: Callable[[], Journal], how: str) -> None:
    journal, budget = open_journal(), Budget(10.0)
    provider = Scripted(in_turn(TIMED_OUT), latency=30.0 if how == "slow" else 0.0)
    made = client(journal, provider, budget, attempts=2, timeout=0.01)
    with pytest.raises(CallError, match="gave up after 2 attempts"):
        await made.call(ask("?"))
    assert budget.spent == made.stats.billed_uncertain == pytest.approx(2 * 0.12, abs=1e-12)
    assert made.stats.spent == 0.0
    await journal.close()


async def test_the_job_runs_out_of_retries(open_journal: Callable[[], Journal]) -> None:
    journal, provider = open_journal(), Scripted(in_turn(DOWN))
    made = client(journal, provider, attempts=20, retry_share=0.0)
    made.stats.retries = 95
    with pytest.raises(CallError, match="used up its 100 retries"):
        await made.call(ask("?"))
    assert len(provider.sent) == 6
    await journal.close()


async def test_a_bug_in_a_provider_is_not_swallowed_and_holds_nothing(
    open_journal: Callable[[], Journal],
) -> None:
    journal, budget = open_journal(), Budget(10.0)

    def broken(body: Mapping[str, Any]) -> str:
        raise ZeroDivisionError

    made = client(journal, Scripted(broken), budget)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await made.call(ask("?"))
    assert (budget.reserved, made.stats.in_flight) == (0.0, 0)
    assert journal.spend("jb_1").pending == pytest.approx(2 * 0.12, abs=1e-12)
    await journal.close()


# Money


async def test_a_call_that_does_not_fit_is_not_sent(open_journal: Callable[[], Journal]) -> None:
    journal, provider = open_journal(), Scripted(in_turn("yes"))
    made = client(journal, provider, Budget(0.119))
    with pytest.raises(BudgetError, match=r"cap of \$0\.119 leaves no room.*rlaif resume JOB --budget"):
        await made.call(ask("?"))
    assert provider.sent == []
    assert made.stats.in_flight == 0
    await client(journal, provider, Budget(0.12)).call(ask("?"))
    await journal.close()


async def test_calls_wait_for_room_and_the_cap_holds_with_many_in_flight(
    open_journal: Callable[[], Journal],
) -> None:
    journal, provider, budget = open_journal(), Scripted(in_turn("yes"), latency=0.002), Budget(1.0)
    made = client(journal, provider, budget, start=256)
    calls = (made.call(ask(n)) for n in range(300))
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(one) for one in ended} == {Answer, BudgetError}
    bought = sum(isinstance(one, Answer) for one in ended)
    assert budget.spent == journal.spend("jb_1").settled == pytest.approx(bought * 0.011, abs=1e-12)
    assert 1.0 - 0.12 < budget.spent <= 1.0  # what is left is less than one worst case
    assert len(provider.sent) == bought
    await journal.close()


async def test_unpriced_calls_count_as_free(open_journal: Callable[[], Journal]) -> None:
    journal, budget = open_journal(), Budget(0.0)
    await client(journal, Scripted(in_turn("yes")), budget, price=None).call(ask("?"))
    assert budget.spent == 0.0
    await journal.close()


async def test_a_full_disk_stops_before_sending(
    open_journal: Callable[[], Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, provider = open_journal(), Scripted(in_turn("yes"))
    made = client(journal, provider)

    def refuse(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_write", refuse)
    with pytest.raises(StoreError, match="No space left"):
        await made.call(ask("?"))
    assert provider.sent == []
    assert made.stats.in_flight == 0
    await journal.close()


# Kill and resume


async def test_cut_off_and_resumed_nothing_answered_is_bought_again(
    open_journal: Callable[[], Journal],
) -> None:
    """The ledger is the provider's own list of bodies; five kills at random moments."""
    draw, ledger = random.Random(3), Counter[str]()
    requests = [ask(f"question {n}") for n in range(400)]
    cut_off, answered = 0, set[str]()
    for life in range(6):
        journal = open_journal()
        spend = journal.spend("jb_1")
        budget = Budget(1000.0, spend.settled + spend.pending)
        provider = Scripted(lambda body: f"re {asked(body)}", latency=0.004)
        made = client(journal, provider, budget, start=32)
        tasks = [asyncio.create_task(made.call(one)) for one in requests]
        if life < 5:
            await asyncio.sleep(draw.uniform(0.005, 0.03))
            cut_off += made.stats.in_flight
            for one in tasks:
                one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        resent = {asked(body) for body in provider.sent} & answered
        assert resent == set()
        ledger.update(asked(body) for body in provider.sent)
        answered |= {asked(provider.body(one)) for one in requests if _has(journal, made, provider, one)}
        assert budget.reserved == 0.0
        await journal.close()
    assert len(answered) == 400
    assert sum(ledger.values()) - 400 <= cut_off  # paid twice: only what was in flight at a kill
    assert cut_off > 0
    journal = open_journal()
    assert journal.spend("jb_1").settled == pytest.approx(400 * (2 * 0.001 + 2 * 0.01), abs=1e-9)
    await journal.close()


def _has(journal: Journal, made: Client, provider: Scripted, request: Request) -> bool:
    return journal.raw(request_key("mock", "text", provider.body(request), request.sample_index)) is not None


# Weather, in virtual time


def weather(share: float, seed: int) -> Script:
    """Fail this share of attempts, each in one of several ways."""
    draw = random.Random(seed)
    ways = (DOWN, TIMED_OUT, SLOW_DOWN, CallError("reset", retry="transient"), RawReply("<html>", 0.0))
    return lambda body: draw.choice(ways) if draw.random() < share else "yes"


@pytest.mark.parametrize(
    ("share", "calls", "slower", "per_call"), [(0.05, 20_000, 1 / 0.85, 1.15), (0.3, 6_000, 2.5, 1.6)]
)
def test_bad_weather_slows_and_loses_nothing(
    open_journal: Callable[[], Journal],
    at_once: None,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    calls: int,
    slower: float,
    per_call: float,
) -> None:
    monkeypatch.setattr(module, "_jitter", random.Random(7))
    provider = Scripted(weather(share, 11), latency=0.2)

    async def main(made: Client, journal: Journal) -> None:
        ended = await all_of(made, calls, window=128)
        lost = [one for one in ended if isinstance(one, CallError)]
        assert len(ended) == calls
        assert len(lost) <= (0 if share < 0.1 else 20)  # 0.3**6 of 6000 is 4.4
        assert all("gave up after 6 attempts" in str(one) for one in lost)
        assert max(Counter(asked(body) for body in provider.sent).values()) <= 6
        assert len(provider.sent) <= per_call * calls
        fair = calls / 64 * 0.2  # seconds, with 64 in flight all the time
        assert fair <= clock() <= slower * fair

    virtual(open_journal, provider, main, max=64)


def test_a_minutes_outage_is_sat_out(open_journal: Callable[[], Journal], at_once: None) -> None:
    sent: list[float] = []

    def script(body: Mapping[str, Any]) -> str | CallError:
        sent.append(clock())
        return DOWN if 20 <= clock() < 80 else "yes"

    async def main(made: Client, journal: Journal) -> None:
        ended = await all_of(made, 8000, window=200)
        assert all(isinstance(one, Answer) for one in ended)
        out = [at for at in sent if 25 <= at < 80]
        assert len(out) <= 55
        assert min(b - a for a, b in pairwise(out)) >= 1.0
        before = sum(10 <= at < 20 for at in sent)
        assert sum(90 <= at < 95 for at in sent) >= 0.8 * before / 2  # within 15 s of the end

    virtual(open_journal, Scripted(script, latency=0.5), main, max=64)


def test_poisoned_requests_fail_alone(open_journal: Callable[[], Journal], at_once: None) -> None:
    def script(body: Mapping[str, Any]) -> str | CallError:
        return DOWN if asked(body).endswith("00") else "yes"

    async def main(made: Client, journal: Journal) -> None:
        ended = await all_of(made, 2000, window=100)
        lost = [one for one in ended if isinstance(one, CallError)]
        assert len(lost) == 19  # 100, 200, ... 1900
        assert clock() < 120

    virtual(open_journal, Scripted(script, latency=0.1), main)


def test_retry_after_is_sat_out(open_journal: Callable[[], Journal], at_once: None) -> None:
    sent: list[float] = []

    def script(body: Mapping[str, Any]) -> str | CallError:
        sent.append(clock())
        return CallError("slow down", retry="rate_limit", retry_after=40.0) if len(sent) == 1 else "yes"

    async def main(made: Client, journal: Journal) -> None:
        await made.call(ask("?"))
        assert 40.0 <= sent[1] - sent[0] <= 40.5

    virtual(open_journal, Scripted(script), main)


def test_an_overlong_retry_after_is_not_believed_while_others_get_through(
    open_journal: Callable[[], Journal], at_once: None
) -> None:
    told: list[float] = []

    def script(body: Mapping[str, Any]) -> str | CallError:
        if asked(body) == "question 500" and not told:
            told.append(clock())
            return CallError("slow down", retry="rate_limit", retry_after=600.0)
        return "yes"

    async def main(made: Client, journal: Journal) -> None:
        ended = await all_of(made, 1000, window=30)
        assert all(isinstance(one, Answer) for one in ended)
        assert told
        assert clock() < 60

    virtual(open_journal, Scripted(script, latency=0.1), main)
