"""Takes a picture of every page from every store, for people to look at: ``docs/img/PAGE-STORE.png``.

    python tools/screenshots.py [PAGE ...]

The stores are those of the browser tests; ``demo`` is the one people have worked with, its responses by the
bundled model where that is at hand. A page about one thing is reached as a person would, by the first
link of its list; a store that has no such thing has no such picture.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from rlaif.checkpoints import at_hand  # noqa: E402
from rlaif.providers.mock import Mock  # noqa: E402
from tests.browser import stores, unhurried  # noqa: E402
from tests.browser.conftest import CHROMIUM, NARROW, WIDE, mock_job, send, served  # noqa: E402

IMAGES: Final = ROOT / "docs" / "img"
STORES: Final = ("empty", "demo", "hostile", "large")
PAGES: Final = {
    "jobs": ("/", ""),
    "job": ("/", "main a[href^='/jobs/']:not([href='/jobs/new'])"),
    "new-job": ("/jobs/new", ""),
    "preferences": ("/preferences", ""),
    "preference": ("/preferences", "main a[href^='/preferences/']"),
    "constitutions": ("/constitutions", ""),
    "constitution": ("/constitutions", "main a[href^='/constitutions/']"),
    "scorecards": ("/scorecards", ""),
    "scorecard": ("/scorecards", "main a[href^='/scorecards/']"),
    "datasets": ("/datasets", ""),
    "dataset": ("/datasets", "main a[href^='/datasets/']"),
    "training": ("/training", ""),
    "run": ("/training", "main a[href^='/training/']"),
    "overoptimisation": ("/overoptimisation", ""),
    "keys": ("/keys", ""),
    "health": ("/health", ""),
    "docs": ("/docs", ""),
}
"""Where each page is: an address, and the link to follow from there, if any."""
ALIKE: Final = {"new-job", "docs"}
"""Pages that look the same whatever the store holds: one picture is enough."""
SHOWN: Final = {"job-hostile": "/jobs/hostile-0000000000"}
"""Where another than the first of the list has more to show."""


def main(wanted: list[str]) -> None:
    """Take the pictures of some pages, or of all."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    pages = {name: where for name, where in PAGES.items() if not wanted or name in wanted}
    with sync_playwright() as started, tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        folders = {store: _made(store) for store in STORES}
        os.environ["RLAIF_HOME"] = "cache"  # relative, as the folders are: pictures name none of this machine
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for store, folder in folders.items():
            with served(folder) as site:
                for name in _taken(browser, site.address, store, pages):
                    print(name)
                if store == "demo" and (not wanted or "running" in wanted):
                    _take_running(browser, site.address)


def _made(store: str) -> Path:
    folder = Path("outputs") / store
    folder.mkdir(parents=True)
    local = "smollm2-135m-instruct"
    model = "mock:text" if at_hand(local) is None else f"local:{local}"
    make = partial(stores.worked, model=model) if store == "demo" else getattr(stores, store)
    with ThreadPoolExecutor(1) as thread:  # playwright's loop is running on this one
        thread.submit(make, folder).result()
    return folder


def _taken(browser: Browser, address: str, store: str, pages: dict[str, tuple[str, str]]) -> Iterator[str]:
    for page, (start, link) in pages.items():
        if page in ALIKE and store != "demo":
            continue
        name = f"{page}-{store}"
        start, link = (SHOWN[name], "") if name in SHOWN else (start, link)
        if _take(browser, f"{address}{start}", link, name):
            yield name
        if store == "demo" and _take(browser, f"{address}{start}", link, f"{page}-narrow", narrow=True):
            yield f"{page}-narrow"


def _take_running(browser: Browser, address: str) -> None:
    """Take the list of jobs and a job's page while one runs, on models that take their time."""
    at_once, Mock.send = Mock.send, unhurried.after_a_while  # type: ignore[method-assign]
    context = browser.new_context(viewport=dict(zip(("width", "height"), WIDE, strict=True)))  # type: ignore[arg-type]
    try:
        page = context.new_page()
        page.goto(address)
        _, job = send(page, "/v1/jobs", mock_job("kitchen", 150))
        page.wait_for_timeout(8_000)
        page.screenshot(path=IMAGES / "jobs-running.png")
        page.goto(f"{address}/jobs/{job['id']}")
        page.wait_for_timeout(1_500)
        page.screenshot(path=IMAGES / "job-running.png")
        send(page, f"/v1/jobs/{job['id']}/cancel", {})
    finally:
        Mock.send = at_once  # type: ignore[method-assign]
        context.close()


def _take(browser: Browser, address: str, link: str, name: str, *, narrow: bool = False) -> bool:
    """Take one picture; False where there is nothing to follow. The narrow ones are dark."""
    width, height = NARROW if narrow else WIDE
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if narrow else "light",
        reduced_motion="reduce",
    )
    try:
        page = context.new_page()
        page.goto(address)
        if link:
            found = page.locator(link)
            if not found.count():
                return False
            page.goto(urljoin(address, found.first.get_attribute("href")))
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / f"{name}.png")
        return True
    finally:
        context.close()


if __name__ == "__main__":
    main(sys.argv[1:])
