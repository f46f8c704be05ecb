"""Every page from every store: it loads, fits, reads well, weighs little, and runs nothing it is given."""

from collections.abc import Callable
from typing import Any

import pytest

from rlaif.service.web.render import NAVIGATION
from tests.browser.conftest import NARROW, WIDE, Sites, nodes, planted, sideways, weight
from tests.browser.payloads import PAYLOADS

PAGES = [address for _, address in NAVIGATION]
STORES = ("empty", "worked", "hostile", "large")


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("store", STORES)
def test_page_loads_and_fits(
    store: str, address: str, sites: Sites, visit: Callable[..., Any], axe: Callable[[Any], list[str]]
):
    wide = visit(f"{sites[store]}{address}", size=WIDE)
    assert wide.locator("h1").count() == 1
    assert wide.locator("nav a[aria-current=page]").get_attribute("href") == address
    assert sideways(wide) == 0
    assert nodes(wide) <= 3_000
    assert weight(wide) <= 250_000
    assert axe(wide) == []
    assert planted(wide) == []
    narrow = visit(f"{sites[store]}{address}", size=NARROW, dark=True)
    assert sideways(narrow) == 0
    assert axe(narrow) == []


def test_corpus_is_as_large_as_it_claims():
    assert len(set(PAYLOADS)) >= 80


def test_menu_opens_without_scripts(sites: Sites, visit: Callable[..., Any]):
    page = visit(f"{sites['empty']}/", size=NARROW, scripts=False)
    link = page.get_by_role("link", name="Health", exact=True)
    assert not link.is_visible()
    page.get_by_text("Menu", exact=True).click()
    link.click()
    assert page.url.endswith("/health")


def test_first_stop_of_the_keyboard_skips_the_menu(sites: Sites, visit: Callable[..., Any]):
    page = visit(f"{sites['demo']}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_unknown_address_is_a_page(sites: Sites, visit: Callable[..., Any], allowed: set[int], axe: Any):
    allowed.add(404)
    page = visit(f"{sites['demo']}/nothing/here")
    assert page.locator("h1").inner_text() == "Not found"
    assert axe(page) == []


@pytest.mark.parametrize("dark", [False, True])
def test_responses_are_told_apart_by_shape_as_well(dark: bool, sites: Sites, visit: Callable[..., Any]):
    page = visit(f"{sites['empty']}/", dark=dark)
    shapes = page.evaluate(
        """() => ["side-a", "side-b"].map(name => {
            const one = document.createElement("span");
            one.className = name;
            document.body.append(one);
            return [getComputedStyle(one, "::before").content, getComputedStyle(one).color];
        })"""
    )
    (first, first_colour), (second, second_colour) = shapes
    assert first != second
    assert first_colour != second_colour
