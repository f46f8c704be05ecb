"""The scorecards' pages in a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import NARROW, WIDE, planted, served, sideways
from tests.service import measured
from tests.service.rooms import room


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("scorecards")
    filling = threading.Thread(target=lambda: asyncio.run(fill(folder)))  # the browser has this thread's loop
    filling.start()
    filling.join(60)
    with served(folder / "store") as running:
        yield running


async def fill(folder: Path) -> None:
    async with room(folder, measured.folder_facts(40)):
        pass


@pytest.mark.parametrize("store", ["empty", "large"])
def test_no_scorecard_says_what_to_do(store: str, sites: Any, visit: Callable[..., Any], axe: Any) -> None:
    page = visit(f"{sites[store]}/scorecards")
    assert "rlaif audit" in page.inner_text(".empty")
    assert axe(page) == []


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (WIDE, True), (NARROW, False)])
def test_from_the_table_down_to_a_disagreement(
    size: tuple[int, int], dark: bool, site: Any, visit: Callable[..., Any], axe: Any
) -> None:
    page = visit(f"{site}/scorecards", size=size, dark=dark)
    assert (sideways(page), axe(page)) == (0, [])
    page.click("text=Compare >> nth=-1")
    page.locator("#disagreements").wait_for()
    assert (sideways(page), axe(page)) == (0, [])
    assert page.locator("#disagreements tbody tr").count() > 3
    page.click("dl.facts a >> nth=0")
    page.locator("#calibration").wait_for()
    assert (sideways(page), axe(page)) == (0, [])
    assert page.evaluate("document.querySelectorAll('*').length") < 3000


def test_readable_without_scripts(site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/scorecards", scripts=False)
    assert page.locator("tbody tr").count() == 2
    assert page.locator(".track-plot").count() == 2


def test_hostile_names_stay_text(sites: Any, visit: Callable[..., Any], axe: Any) -> None:
    page = visit(f"{sites['hostile']}/scorecards", size=NARROW)
    assert page.locator("tbody th a").first.inner_text().startswith("<")
    page.locator("tbody th a").first.click()
    page.locator("#calibration").wait_for()
    assert (sideways(page), axe(page), planted(page)) == (0, [], [])
    page.click("text=Compare >> nth=-1")
    page.locator("#same").wait_for()
    assert (sideways(page), axe(page), planted(page)) == (0, [], [])


def test_a_disagreement_leads_to_its_pair(sites: Any, visit: Callable[..., Any]) -> None:
    """Two judges of one folder, people between them, down to the pair they decide differently."""
    page = visit(f"{sites['worked']}/scorecards", scripts=False)
    cards = page.locator("select[name=a] option").all_inner_texts()
    mine = [one for one in cards if one.startswith("mock:text")]
    assert len(mine) == 2
    for field, name in zip("ab", mine, strict=True):
        page.select_option(f"select[name={field}]", label=name)
    page.click("text=Compare >> nth=-1")
    row = page.locator("#disagreements tbody tr").first
    asked = row.locator("th").inner_text()
    cells = (row.locator(f"td[data-name='{who} judge']") for who in ("first", "second"))
    first, second = (float(one.inner_text()) for one in cells)
    assert (first - 0.5) * (second - 0.5) < 0
    row.get_by_text("look at it").click()
    assert page.url.partition("?")[0].rpartition("/")[2].startswith("pf_")
    assert page.locator(".prompt .text").first.inner_text().startswith(asked.rstrip("…"))
