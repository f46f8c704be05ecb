"""Money of a held-out judge: one cap over every process and every point, and a total that is counted once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlaif.errors import BudgetError, InputError, UnpricedError
from rlaif.lab.gold_judge import GoldJudge, Temper
from rlaif.lab.overoptimisation import overoptimise
from rlaif.lab.preferring import Judged, Matched, Verdicts, preferred
from rlaif.lab.worlds import World
from rlaif.pipeline import opened
from rlaif.records import digest
from rlaif.settings import Server, Settings
from tests.lab.test_overoptimisation import HELPFUL, served, trained

WORLD = World.drawn("cover", 0)
PRICE = 60.0
"""USD a million tokens, read or drawn."""


def judged(budget: float | None) -> Judged:
    how = {"kind": "pairwise", "model": "compatible:gold/judge"}
    return Judged.model_validate({"judge": how, "constitution": HELPFUL, "budget": budget})


def matches(first: int, number: int) -> list[Matched]:
    return [
        Matched(WORLD.prompt(at), f"The apple, river and desert of {at}.", f"The table of {at}.")
        for at in range(first, first + number)
    ]


def paid(store: Path) -> float:
    """What a folder's journal has settled for the judge."""

    async def settled() -> float:
        async with opened(store) as workspace:
            return workspace.journal.spend(digest("desk", judged(None).judge)).settled

    return asyncio.run(settled())


@pytest.fixture
def judge() -> Iterator[tuple[GoldJudge, str]]:
    """The judge, and where it listens."""
    gold = GoldJudge(WORLD, Temper(sharpness=2.0))
    with served(gold) as address:
        yield gold, address


def settings(address: str, price: float | None = PRICE) -> Settings:
    server = Server(base_url=address, input_price=price, output_price=price)
    return Settings.load().model_copy(update={"compatible": {"gold": server}})


def ask(store: Path, told: Settings, budget: float | None, some: list[Matched], **how: Any) -> Verdicts:
    """Ask as a process of its own would: nothing is left but the folder."""
    return asyncio.run(preferred(judged(budget), some, store, told, **how))


def test_a_cap_holds_over_every_process_that_asks(tmp_path: Path, judge: tuple[GoldJudge, str]) -> None:
    gold, address = judge
    told = settings(address)
    whole = ask(tmp_path / "whole", told, 1000.0, matches(0, 12)).spent
    cap = 0.6 * whole
    for _ in range(3):
        with pytest.raises(BudgetError, match=r"the same command with a higher held_out\.budget"):
            ask(tmp_path / "cut", told, cap, matches(0, 12))
    assert 0.2 * whole < paid(tmp_path / "cut") <= cap
    before = gold.asked[200]
    again = ask(tmp_path / "cut", told, 1000.0, matches(0, 12))
    assert again.spent == pytest.approx(whole) == paid(tmp_path / "cut")
    assert gold.asked[200] - before < 24  # what the cut runs bought is not bought again


def test_what_is_said_to_be_spent_is_the_folders_total(tmp_path: Path, judge: tuple[GoldJudge, str]) -> None:
    told = settings(judge[1])
    first, again, more = (ask(tmp_path, told, 1000.0, matches(0, number)).spent for number in (4, 4, 8))
    assert first == again > 0.0
    assert more > first
    assert more == pytest.approx(paid(tmp_path))


def test_the_caller_names_what_sets_the_budget(tmp_path: Path, judge: tuple[GoldJudge, str]) -> None:
    told = settings(judge[1])
    with pytest.raises(InputError, match=r"add held_out\.budget, the most"):
        ask(tmp_path, told, None, matches(0, 1))
    with pytest.raises(InputError, match=r"add --budget USD, the most"):
        ask(tmp_path, told, None, matches(0, 1), knob="--budget USD")
    with pytest.raises(BudgetError, match="with a higher --budget USD"):
        ask(tmp_path, told, 0.0, matches(0, 1), knob="--budget USD")
    assert ask(tmp_path, told, None, matches(0, 1), agreed=True).spent > 0.0


def test_a_model_without_a_price_is_asked_where_that_is_allowed(
    tmp_path: Path, judge: tuple[GoldJudge, str]
) -> None:
    told = settings(judge[1], price=None)
    with pytest.raises(UnpricedError, match="compatible:gold/judge"):
        ask(tmp_path, told, None, matches(0, 1))
    found = ask(tmp_path, told, None, matches(0, 1), allow_unpriced=True)
    assert (found.calls, found.spent) == (2, 0.0)
    assert found.p[0] is not None


def test_a_sweep_has_one_budget_for_all_its_points(
    tmp_path: Path, judge: tuple[GoldJudge, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rlaif.toml").write_text(
        f'[compatible.gold]\nbase_url = "{judge[1]}"\ninput_price = {PRICE}\noutput_price = {PRICE}\n'
    )
    by = judged(1000.0).model_dump(mode="json")
    told = trained(tmp_path, "ppo", world="cover", max_tokens=30, held_out=by)
    curve = overoptimise(told)
    whole = paid(tmp_path / "out/judged")
    cap = 0.75 * whole  # more than either point costs
    short = told.model_copy(update={"output": str(tmp_path / "short"), "held_out": judged(cap)})
    with pytest.raises(BudgetError, match=r"a higher held_out\.budget, and --resume$"):
        overoptimise(short)
    with pytest.raises(BudgetError):
        overoptimise(short, resume=True)
    assert paid(tmp_path / "short/judged") <= cap
    richer = overoptimise(short.model_copy(update={"held_out": judged(2 * whole)}), resume=True)
    assert [one.judged for one in richer.points] == [one.judged for one in curve.points]
    assert paid(tmp_path / "short/judged") == pytest.approx(whole)
