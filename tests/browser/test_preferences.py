"""Reading pairs in a browser."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import NARROW, WIDE, Sites, nodes, planted, sideways, weight
from tests.browser.payloads import PAYLOADS


def open_first(page: Any) -> None:
    page.locator(".entries .open").first.click()
    page.locator("#pair").wait_for()


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (WIDE, True), (NARROW, False), (NARROW, True)])
def test_a_pair_fits_and_reads_well(
    size: tuple[int, int],
    dark: bool,
    sites: Sites,
    visit: Callable[..., Any],
    axe: Callable[[Any], list[str]],
) -> None:
    page = visit(f"{sites['demo']}/preferences?diff=1", size=size, dark=dark)
    open_first(page)
    assert (sideways(page), axe(page)) == (0, [])
    assert nodes(page) <= 3_000
    assert weight(page) <= 250_000
    left, right = (page.locator(f".response.{name}").bounding_box() for name in "ab")
    beside = left["x"] + left["width"] <= right["x"]
    below = left["y"] + left["height"] <= right["y"]
    assert (beside, below) == ((True, False) if size == WIDE else (False, True))


def test_a_filter_is_kept_from_list_to_pair_and_back(sites: Sites, visit: Callable[..., Any]) -> None:
    page = visit(f"{sites['demo']}/preferences")
    page.select_option("select[name=margin]", "slight")
    page.fill("input[name=text]", "plus")
    page.click("text=Filter >> nth=-1")
    assert "margin=slight" in page.url
    open_first(page)
    assert "margin=slight" in page.url
    page.keyboard.press("j")
    page.wait_for_url("**margin=slight**")
    assert page.locator("dt:text-is('margin') + dd").inner_text() == "slight"
    page.click(".crumbs a")
    assert page.input_value("select[name=margin]") == "slight"
    assert page.input_value("input[name=text]") == "plus"


def test_the_keyboard_steps_marks_and_explains(sites: Sites, visit: Callable[..., Any]) -> None:
    page = visit(f"{sites['demo']}/preferences")
    open_first(page)
    first = page.url
    page.keyboard.press("k")
    page.wait_for_url("**end=first**")
    assert "This is the first pair" in page.inner_text("main")
    page.keyboard.press("j")
    page.wait_for_url(lambda url: url.partition("?")[0] != first.partition("?")[0])
    page.keyboard.press("k")
    page.wait_for_url(lambda url: url.partition("?")[0] == first.partition("?")[0])
    assert page.locator("mark").count() == 0
    page.keyboard.press("d")
    page.wait_for_url("**diff=1**")
    assert page.locator("mark").count() > 0
    page.keyboard.press("?")
    assert page.get_by_text("A is better,").is_visible()


def test_a_key_in_a_field_is_a_letter(sites: Sites, visit: Callable[..., Any]) -> None:
    page = visit(f"{sites['demo']}/preferences")
    open_first(page)
    address = page.url
    page.fill("input[name=person]", "")
    page.type("input[name=person]", "jk120d")
    assert (page.url, page.input_value("input[name=person]")) == (address, "jk120d")


def test_a_hundred_thousand_pairs_page_on(sites: Sites, visit: Callable[..., Any]) -> None:
    page = visit(f"{sites['large']}/preferences")
    assert "100,000 pairs" in page.inner_text("main")
    seen = set()
    for _ in range(3):
        seen |= {link.get_attribute("href") for link in page.locator(".entries .open").all()}
        page.click("a[rel=next]")
    assert len(seen) == 75


def test_a_text_that_no_pair_has_is_looked_for_to_the_end(sites: Sites, visit: Callable[..., Any]) -> None:
    """A page reads for a moment and says how far it came: a quick machine needs one, a busy one many."""
    page = visit(f"{sites['large']}/preferences?text=no+such+words+anywhere")
    reached = [0]
    while page.locator("text=Look further").count():
        told = re.search(r"([\d,]+) of 100,000 so far", page.inner_text("main"))
        assert told is not None
        reached.append(int(told[1].replace(",", "")))
        assert reached[-1] >= reached[-2] + 4_000
        page.click("text=Look further")
        assert "after=" in page.url
    assert "No pair passes this filter" in page.inner_text("main")


@pytest.mark.parametrize("query", ["", "?blind=1"])
def test_hostile_texts_are_shown_as_texts(
    query: str, sites: Sites, visit: Callable[..., Any], axe: Any
) -> None:
    page = visit(f"{sites['hostile']}/preferences{query}", size=NARROW)
    for _ in range(len(PAYLOADS)):
        assert (sideways(page), planted(page)) == (0, [])
        links = page.locator("a[rel=next]")
        if not links.count():
            break
        links.click()
    page = visit(f"{sites['hostile']}/preferences{query}", size=NARROW)
    open_first(page)
    for number in range(12):
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert (sideways(page), planted(page)) == (0, []), number
        address = page.url
        page.keyboard.press("j")
        page.wait_for_url(lambda url, before=address: url != before)
    assert axe(page) == []


def test_pairs_read_without_scripts(sites: Sites, visit: Callable[..., Any]) -> None:
    page = visit(f"{sites['demo']}/preferences", scripts=False)
    open_first(page)
    assert page.locator(".response .text").first.inner_text()
    page.click("text=Next")
    page.click("text=Show differences")
    assert page.locator("mark").count() > 0


def test_a_filter_downloads(sites: Sites, visit: Callable[..., Any]) -> None:
    page = visit(f"{sites['demo']}/preferences?axis=safety")
    with page.expect_download() as started:
        page.click("text=CSV")
    assert started.value.suggested_filename == "preferences.csv"


def test_a_filter_that_passes_nothing_says_so(sites: Sites, visit: Callable[..., Any], axe: Any) -> None:
    page = visit(f"{sites['demo']}/preferences?judge=nobody")
    assert "No pair passes this filter" in page.inner_text(".empty")
    assert axe(page) == []
