"""Datasets in a browser: looked at, exported, downloaded."""

import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import NARROW, WIDE, Site, Sites, nodes, sideways, weight


@pytest.mark.parametrize("store", ["demo", "hostile", "large"])
@pytest.mark.parametrize(("size", "dark"), [(WIDE, True), (NARROW, False)])
def test_a_set_fits_and_reads_well(
    store: str, size: tuple[int, int], dark: bool, sites: Sites, visit: Callable[..., Any], axe: Any
) -> None:
    page = visit(f"{sites[store]}/datasets", size=size, dark=dark)
    page.locator("tbody th a").first.click()
    page.locator("#exports").wait_for()
    assert (sideways(page), axe(page)) == (0, [])
    assert nodes(page) <= 3_000
    assert weight(page) <= 250_000


def test_a_set_is_exported_and_downloaded(
    own_site: Callable[[str], Site], visit: Callable[..., Any], tmp_path: Any
) -> None:
    page = visit(f"{own_site('demo')}/datasets")
    page.locator("tbody th a").first.click()
    page.select_option("select[name=to]", "openrlhf")
    page.click("button:text('Export')")
    page.locator("summary:has-text('openrlhf')").wait_for()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    with page.expect_download() as started:
        page.click("a[href$='archive?to=openrlhf']")
    started.value.save_as(tmp_path / "set.tar")
    with tarfile.open(tmp_path / "set.tar") as archive:
        names = archive.getnames()
    assert any(name.endswith("/manifest.json") for name in names)
    assert any("/train-00000." in name for name in names)


def test_a_pair_of_the_set_is_one_step_away(sites: Sites, visit: Callable[..., Any]) -> None:
    page = visit(f"{sites['demo']}/datasets", scripts=False)
    page.locator("tbody th a").first.click()
    page.click("text=Browse its pairs")
    assert page.locator(".entries li").count() > 3
