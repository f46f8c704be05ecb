"""Training and over-optimisation in a browser: curves, overlays, a run that goes on, the peak."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.conftest import NARROW, WIDE, planted, served, sideways
from tests.service import trained

PAGES = (
    "/training",
    "/training/dpo",
    "/training/compare?run=dpo&run=other",
    "/overoptimisation?run=loop",
    "/overoptimisation?run=ppo",
    "/overoptimisation?run=sweep",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("training")
    place = folder / "training"
    trained.dpo(place / "dpo")
    trained.dpo(place / "other", lift=0.1)
    trained.ppo(place / "ppo")
    trained.rounds(place / "loop")
    trained.sweep(place / "sweep")
    with served(folder) as running:
        yield running


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize(("size", "dark"), [(WIDE, True), (NARROW, False)])
def test_every_page_fits_and_can_be_read(
    address: str, size: tuple[int, int], dark: bool, site: Any, visit: Callable[..., Any], axe: Any
) -> None:
    page = visit(f"{site}{address}", size=size, dark=dark)
    assert sideways(page) == 0
    assert axe(page) == []
    assert page.evaluate("document.querySelectorAll('*').length") < 3000


def test_nothing_trained_says_what_to_do(sites: Any, visit: Callable[..., Any], axe: Any) -> None:
    for address, command in (("/training", "rlaif train"), ("/overoptimisation", "rlaif lab overopt")):
        page = visit(f"{sites['empty']}{address}")
        assert command in page.inner_text(".empty")
        assert axe(page) == []


def test_curves_are_drawn_and_explained(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/training/dpo")
    page.locator(".uplot").first.wait_for()
    assert page.locator(".uplot").count() == 3
    assert "reward of chosen less reward of rejected" in page.inner_text("[data-name=margin]")


def test_ticked_runs_are_overlaid(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/training")
    for name in ("dpo", "other"):
        page.check(f"input[value={name}]")
    page.click("text=Overlay the ticked runs")
    page.locator("[data-name=loss] .uplot").wait_for()
    values = page.locator("[data-name=loss] .value").all_inner_texts()
    assert sorted(one.split()[0] for one in values) == ["0.39", "0.49", "0.59", "0.59"]


def test_curves_without_scripts(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/training/dpo", scripts=False)
    assert page.locator(".chart svg.spark").count() == 5
    assert "0.39" in page.inner_text("[data-name=loss]")


def test_a_run_that_goes_on_is_followed(tmp_path: Any, visit: Callable[..., Any]) -> None:
    folder = trained.dpo(tmp_path / "training" / "live", finished=False)
    with served(tmp_path) as running:
        page = visit(f"{running}/training/live")
        page.locator(".uplot").first.wait_for()
        with (folder / "metrics.jsonl").open("a") as file:
            file.write('{"step": 41, "loss": 0.123}\n')
        page.locator("[data-name=loss] .value", has_text="0.123").wait_for()
        (folder / "final").mkdir()
        (folder / "final" / "lineage.json").write_text('{"method": "dpo"}')
        page.locator(".badge.completed").wait_for()


def test_peak_stop_and_table(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/overoptimisation?run=loop")
    assert "over-optimised" in page.inner_text("main")
    assert page.locator("svg .peak").count() == 2  # in the plot, and through the symptoms under it
    assert page.locator("svg .gold .error").count() == 6
    assert "hedging" in page.inner_text("main")
    with page.expect_download() as download:
        page.click("text=Download CSV")
    assert download.value.suggested_filename == "overoptimisation.csv"


def test_a_sweep_of_the_laboratory(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/overoptimisation", scripts=False)
    page.select_option("select[name=run]", "sweep")
    page.click("text=Show")
    names = page.locator("tbody th").all_inner_texts()
    assert names == ["start", *(f"n = {2**power}" for power in range(1, 13))]
    assert page.locator("svg .gold polyline.law").count() == 2
    assert page.locator("svg .proxy polyline.law").count() == 0
    assert "gains over the start" in page.inner_text(".verdict")
    said = page.locator(".verdict b").first.inner_text()
    assert page.locator("tbody tr").filter(has=page.locator(".badge.good")).locator("th").inner_text() == said


def evaluated(step: int, gold: float) -> dict[str, float]:
    """A line of PPO's own evaluation, one nat further every ten updates."""
    distance = step / 10
    return {
        "step": step, "eval/kl": distance, "eval/score": distance, "eval/gold": gold, "eval/gold_error": 0.05,
    }  # fmt: skip


def test_a_policy_that_trains_is_followed_by_its_evaluations(
    tmp_path: Any, visit: Callable[..., Any]
) -> None:
    lines = [evaluated(10, 0.1), evaluated(20, 0.4), evaluated(30, 0.5)]
    folder = trained.run(tmp_path / "training" / "live", lines, "ppo", finished=False)
    with served(tmp_path) as running:
        page = visit(f"{running}/overoptimisation")
        assert "3 evaluations" in page.inner_text("main")
        page.evaluate("window.kept = true")
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(f"{json.dumps(evaluated(40, 0.1))}\n")
        page.locator("tbody th", has_text="step 40").wait_for()
        assert page.locator(".badge.bad").inner_text() == "over-optimised"
        assert page.evaluate("window.kept") is True


def test_hostile_runs_stay_text(sites: Any, visit: Callable[..., Any], axe: Any) -> None:
    page = visit(f"{sites['hostile']}/training", size=NARROW)
    names = page.locator("tbody th a").all_inner_texts()
    assert len(names) > 30
    assert "<img src=x onerror=alert(document.domain)>" in names
    assert (sideways(page), planted(page)) == (0, [])
    for box in page.locator("tbody input").all()[:3]:
        box.check()
    page.click("text=Overlay the ticked runs")
    page.locator(".uplot").first.wait_for()
    assert (sideways(page), axe(page), planted(page)) == (0, [], [])
    page.locator("tbody th a").first.click()
    page.locator(".uplot").first.wait_for()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert (sideways(page), axe(page), planted(page)) == (0, [], [])
