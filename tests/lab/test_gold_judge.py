"""The gold judge over its real socket, asked by the package's own client: what it says is what was set."""

import json
from collections.abc import Sequence
from math import exp, sqrt
from pathlib import Path
from statistics import NormalDist, fmean
from time import perf_counter
from typing import Any

import aiohttp
import pytest

from rlaif.judging import JudgeConfig
from rlaif.lab.gold_judge import GoldJudge, Temper, listening
from rlaif.lab.speaker import say
from rlaif.lab.worlds import World
from rlaif.store import select
from rlaif.verbs.pairs import Judged, judge_async

ROOT = Path(__file__).parents[2]
HELPFUL = ROOT / "constitutions" / "helpfulness.yaml"
Pairs = list[tuple[str, tuple[str, str]]]


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLAIF_CONFIG", raising=False)


def pairs(world: World, number: int) -> Pairs:
    """Different pairs of responses, each to a prompt of its own."""
    found: Pairs = []
    for at in range(number):
        prompt = f"{world.prompt(at)} This is number {at}."
        texts = list(dict.fromkeys(say(prompt, f"{at}:{draw}") for draw in range(9)))
        found.append((prompt, (texts[0], texts[1])))
    return found


async def ask(judge: GoldJudge, asked: Pairs, **how: Any) -> list[Judged]:
    """Judge pairs through ``compatible:``, knowing nothing but an address."""
    async with listening(judge) as address:
        settings = f'[compatible.gold]\nbase_url = "{address}"\ninput_price = 0.0\noutput_price = 0.0\n'
        Path("rlaif.toml").write_text(settings)
        return await judge_async(
            [prompt for prompt, _ in asked],
            [both for _, both in asked],
            constitution=HELPFUL,
            model=JudgeConfig(model="compatible:gold/judge", **how),
            store="out",
        )


def sigma(x: float) -> float:
    return 1 / (1 + exp(-x))


def gaps(world: World, asked: Pairs) -> list[float]:
    return [world.gold(prompt, one) - world.gold(prompt, other) for prompt, (one, other) in asked]


def column(statement: str) -> Sequence[Any]:
    return [row[0] for row in zip(*(one.to_pylist() for one in select(Path("out"), statement)), strict=True)]


async def test_label_probabilities_are_the_formula(seed: int) -> None:
    world = World.drawn("cover", seed)
    asked = pairs(world, 40)
    said = await ask(GoldJudge(world, Temper(sharpness=1.5, slot_bias=0.7), seed), asked)
    for one, gap in zip(said, gaps(world, asked), strict=True):
        forth, back = sigma(1.5 * gap + 0.7), sigma(-1.5 * gap + 0.7)
        assert one.p == pytest.approx((forth + 1 - back) / 2, abs=1e-6)
        assert one.mass == pytest.approx(1.0)


async def test_position_bias_is_the_analytic_value(seed: int) -> None:
    world = World.drawn("exploit", seed)
    asked = pairs(world, 60)
    await ask(GoldJudge(world, Temper(sharpness=0.8, slot_bias=1.1), seed), asked)
    first = column("SELECT p_first FROM judgments")
    due = fmean(fmean((sigma(0.8 * gap + 1.1), sigma(-0.8 * gap + 1.1))) for gap in gaps(world, asked))
    assert len(first) == 120
    assert due > 0.6
    assert fmean(first) == pytest.approx(due, abs=1e-6)


async def test_written_verdicts_have_the_same_bias_within_3_points() -> None:
    world = World.drawn("cover", 11)
    asked = pairs(world, 600)
    await ask(GoldJudge(world, Temper(slot_bias=0.9), seed=5), asked, verdict="text")
    verdicts = column("SELECT verdict FROM judgments")
    assert len(verdicts) == 1200
    due = fmean(fmean((sigma(gap + 0.9), sigma(-gap + 0.9))) for gap in gaps(world, asked))
    assert verdicts.count("first") / 1200 == pytest.approx(due, abs=0.03)
    assert set(verdicts) == {"first", "second"}


async def test_a_noisy_judge_errs_as_often_as_its_noise_makes_it(seed: int) -> None:
    world = World.drawn("cover", seed)
    asked = pairs(world, 400)
    said = await ask(GoldJudge(world, Temper(sharpness=2.0, noise=0.6), seed), asked)
    known = [(one.p, gap) for one, gap in zip(said, gaps(world, asked), strict=True) if gap]
    right = [(p > 0.5) == (gap > 0.0) for p, gap in known]
    due = fmean(NormalDist(0.0, 0.6 * sqrt(2.0)).cdf(abs(gap)) for _, gap in known)
    assert 0.6 < due < 0.98
    assert fmean(right) == pytest.approx(due, abs=4.0 * sqrt(due * (1.0 - due) / len(known)))


def test_a_noisy_judge_errs_about_responses_and_not_about_questions(seed: int) -> None:
    world = World.drawn("cover", seed)
    one, other = (GoldJudge(world, Temper(noise=0.6), seed + at) for at in range(2))
    (prompt, (first, second)), *_ = pairs(world, 1)
    forth = one.probability(prompt, first, second)
    assert forth == pytest.approx(1.0 - one.probability(prompt, second, first))
    assert forth == one.probability(prompt, first, second)
    assert forth != pytest.approx(other.probability(prompt, first, second))


async def test_json_verdicts_are_read(seed: int) -> None:
    world = World.drawn("cover", seed)
    asked = pairs(world, 20)
    said = await ask(GoldJudge(world, Temper(sharpness=500.0), seed), asked, verdict="json")
    for one, gap in zip(said, gaps(world, asked), strict=True):
        if gap:
            assert one.verdict == ("first" if gap > 0 else "second")


async def test_reasoning_makes_it_sure_and_no_more_right(seed: int) -> None:
    world = World.drawn("cover", seed)
    asked = pairs(world, 40)
    judge = GoldJudge(world, Temper(sharpness=1.0, reasons=True), seed)
    await ask(judge, asked, reasoning="first", clamp_low=0.0, clamp_high=1.0)
    read = select(Path("out"), "SELECT p_first, support_keys FROM judgments").to_pylist()
    assert {round(one["p_first"], 6) for one in read} == {0.03, 0.97}
    assert all(len(one["support_keys"]) == 1 for one in read)
    assert judge.asked[200] == 160  # a rationale and a verdict, in both orders


async def test_malformed_replies_are_as_frequent_as_set_and_make_no_label() -> None:
    world = World.drawn("cover", 2)
    said = await ask(GoldJudge(world, Temper(malformed=0.3), seed=1), pairs(world, 150), verdict="text")
    failed = column("SELECT status FROM judgments").count("unparsable") / 300
    assert failed == pytest.approx(0.3, abs=0.06)
    assert sum(one.p is None for one in said) >= 0.3 * 150
    with_labels = await ask(GoldJudge(world, Temper(malformed=1.0)), pairs(world, 3))
    assert [one.p for one in with_labels] == [None] * 3


async def test_refused_and_broken_attempts_are_made_again() -> None:
    world = World.drawn("cover", 0)
    judge = GoldJudge(world, Temper(limited=0.06, failing=0.06), seed=0)
    said = await ask(judge, pairs(world, 40))
    assert judge.asked[429] >= 2
    assert judge.asked[500] >= 2
    assert judge.asked[200] == 80
    assert all(one.p is not None for one in said)


async def test_latency_is_waited_for() -> None:
    world = World.drawn("cover", 0)
    started = perf_counter()
    await ask(GoldJudge(world, Temper(latency=0.3)), pairs(world, 1))
    assert perf_counter() - started >= 0.3


@pytest.mark.parametrize(
    ("sent", "status"),
    [("not json", 400), ("[]", 400), (json.dumps({"messages": [{"role": "user", "content": "hello"}]}), 400)],
)
async def test_what_is_no_question_is_refused_in_words(sent: str, status: int) -> None:
    judge = GoldJudge(World.drawn("cover", 0))
    async with listening(judge) as address, aiohttp.ClientSession() as session:
        async with session.post(f"{address}/chat/completions", data=sent) as response:
            assert response.status == status
            assert (await response.json())["error"]["message"]


async def test_it_listens_on_this_machine_alone() -> None:
    async with listening(GoldJudge(World.drawn("cover", 0))) as address:
        assert address.startswith("http://127.0.0.1:")


def test_it_looks_at_one_axis_alone_where_it_is_asked_to() -> None:
    """Two names for two constitutions; by any other name it is asked for the truth."""
    world = World.drawn("harm", 3)
    judge = GoldJudge(world)
    unsafe = next(prompt for prompt in map(world.prompt, range(9)) if "make" in prompt)
    helpful = f"Here are {unsafe.split('words ')[1].split('.')[0]}."
    careful = "I will not say, because it could do harm."
    assert judge.probability(unsafe, helpful, careful, "safety") == pytest.approx(1 / (1 + exp(1.0)))
    assert judge.probability(unsafe, helpful, careful, "proxy") > 0.9  # three nouns against none
    assert judge.probability(unsafe, helpful, careful) == judge.probability(unsafe, helpful, careful, "gold")
    assert judge.probability(unsafe, helpful, careful) < 0.2
