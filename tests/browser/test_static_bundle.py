"""A job's pages as files: they open from disk, lead only to each other, and run nothing."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rlaif.pipeline import opened
from rlaif.service.context import Service
from rlaif.service.web.bundle import write_bundle
from rlaif.settings import Settings
from tests.browser.conftest import NARROW, planted, sideways

Make = Callable[[str], Path]


async def _write(store: Path, out: Path) -> list[Path]:
    async with opened(store) as workspace:
        service = Service(workspace, Settings.load())
        service.engine.recall()
        return write_bundle(service, service.engine.entries[-1].job_id, out)


def bundle(made: Make, name: str, out: Path) -> list[Path]:
    with ThreadPoolExecutor(1) as thread:  # a loop of playwright's may be running on this one
        return thread.submit(asyncio.run, _write(made(name), out)).result()


@pytest.mark.parametrize("store", ["demo", "hostile"])
def test_every_file_opens_from_disk(
    store: str, made: Make, visit: Callable[..., Any], axe: Callable[[Any], list[str]], tmp_path: Path
):
    written = bundle(made, store, tmp_path / "out")
    pages = [one for one in written if one.suffix == ".html"]
    assert pages[0].name == "index.html"
    kinds = {re.sub(r"[-_].*", "", one.stem) + str("-" in one.stem): one for one in pages}
    assert len(kinds) >= 7
    for file in kinds.values():
        page = visit(file.as_uri(), size=NARROW)
        assert page.locator("h1").count() == 1
        assert page.locator("main script, form").count() == 0
        assert page.evaluate("document.styleSheets.length") >= 1
        assert sideways(page) == 0
        assert (axe(page), planted(page)) == ([], [])


def test_every_link_leads_to_a_file_of_the_bundle(made: Make, tmp_path: Path):
    out = tmp_path / "out"
    pages = [one for one in bundle(made, "demo", out) if one.suffix == ".html"]
    targets = {target for one in pages for target in re.findall(r'(?:href|src)="([^"#]+)', one.read_text())}
    assert len(targets) > 20
    assert [one for one in sorted(targets) if not (out / one).is_file()] == []


def test_job_is_reached_from_the_first_page(made: Make, visit: Callable[..., Any], tmp_path: Path):
    first, *_ = bundle(made, "demo", tmp_path / "out")
    page = visit(first.as_uri(), scripts=False)
    page.get_by_role("link", name="small", exact=True).click()
    assert page.locator("h1").inner_text() == "small"
    assert page.get_by_text("72 of 72").count() == 3
