"""Training and over-optimisation in a browser: curves, overlays, a run that goes on, the peak."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.conftest import NARROW, WIDE, served, sideways
from tests.service import trained

PAGES = (
    "/training",
    "/training/dpo",
    "/training/compare?run=dpo&run=other",
    "/overoptimisation?run=loop",
    "/overoptimisation?run=ppo",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("training")
    place = folder / "training"
    trained.dpo(place / "dpo")
    trained.dpo(place / "other", lift=0.1)
    trained.ppo(place / "ppo")
    trained.rounds(place / "loop")
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
    for address, command in (("/training", "rlaif train"), ("/overoptimisation", "rlaif iterate")):
        page = visit(f"{sites['hostile']}{address}")
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
    assert page.locator("svg .peak").count() == 1
    assert page.locator("svg .gold .error").count() == 6
    assert "hedging" in page.inner_text("main")
    with page.expect_download() as download:
        page.click("text=Download CSV")
    assert download.value.suggested_filename == "overoptimisation.csv"
