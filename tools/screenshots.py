"""Takes a picture of every page from every store, for people to look at: ``docs/img/PAGE-STORE.png``.

    python tools/screenshots.py [PAGE ...]

The stores are those of the browser tests; ``demo`` is the one people have worked with, its responses by the
bundled model where that is at hand. A page about one thing is reached as a person would, from the list, and
what a page answers by pressing its button; a store that has no such thing has no such picture.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from rlaif.checkpoints import at_hand  # noqa: E402
from rlaif.providers.mock import Mock  # noqa: E402
from tests.browser import stores, unhurried  # noqa: E402
from tests.browser.conftest import CHROMIUM, NARROW, WIDE, mock_job, send, served  # noqa: E402

IMAGES: Final = ROOT / "docs" / "img"
STORES: Final = ("empty", "demo", "hostile", "large")
Reach = Callable[[Page], bool]
"""Goes from a list, or a form, to what is shown; False where there is nothing to go to."""


def _first(link: str) -> Reach:
    """Press the first of some links or buttons."""

    def reach(page: Page) -> bool:
        if not page.locator(link).count():
            return False
        page.locator(link).first.click()
        return True

    return reach


def _stay(_page: Page) -> bool:
    return True


JOB: Final = "main a[href^='/jobs/']:not([href='/jobs/new'])"


def _tasks(page: Page) -> bool:
    return _first(JOB)(page) and _first("text=Tasks and attempts")(page)


def _attempts(page: Page) -> bool:
    return _tasks(page) and _first("tbody tr:has-text('judge') a")(page)


def _fault(page: Page) -> bool:
    page.fill("#text", page.input_value("#text").replace("\naxis:", "\naxiss:", 1))
    page.locator("#lint .badge.bad").wait_for()
    page.click("#lint a[data-line]")
    return True


def _trial(page: Page) -> bool:
    page.fill("input[name=judge]", "mock:text")
    clause = "Does what was asked, following every instruction and limit given."
    page.fill("#text", page.input_value("#text").replace(clause, "Is a poem."))
    page.click("#price")
    page.locator("#ask").wait_for()
    page.locator("#try-name").scroll_into_view_if_needed()
    return True


def _verdicts(page: Page) -> bool:
    _trial(page)
    page.click("#ask")
    page.locator("table.verdicts").wait_for()
    page.locator("table.verdicts").scroll_into_view_if_needed()
    return True


def _compared(page: Page) -> bool:
    """Compare the two judges that people were between."""
    cards = page.locator("select[name=a] option")
    wanted = [one.get_attribute("value") for one in cards.all() if "@helpfulness" in one.inner_text()]
    if len(wanted) < 2:
        return False
    page.select_option("select[name=a]", wanted[0])
    page.select_option("select[name=b]", wanted[1])
    return _first("text=Compare >> nth=-1")(page)


def _overlaid(page: Page) -> bool:
    for box in page.locator("tbody input[value^=dpo]").all():
        box.check()
    return bool(page.locator("tbody input:checked").count()) and _first("text=Overlay the ticked runs")(page)


def _chosen(run: str) -> Reach:
    """Choose a run, where there is such a one."""

    def reach(page: Page) -> bool:
        if not page.locator(f"select[name=run] option:text-is('{run}')").count():
            return False
        page.select_option("select[name=run]", run)
        return _first("text=Show")(page)

    return reach


PAGES: Final[dict[str, tuple[str, Reach]]] = {
    "jobs": ("/", _stay),
    "job": ("/", _first(JOB)),
    "tasks": ("/", _tasks),
    "attempts": ("/", _attempts),
    "new-job": ("/jobs/new", _stay),
    "preferences": ("/preferences", _stay),
    "preference": ("/preferences", _first("main a[href^='/preferences/']")),
    "constitutions": ("/constitutions", _stay),
    "constitution": ("/constitutions", _first("main a[href^='/constitutions/']")),
    "fault": ("/constitutions/helpfulness", _fault),
    "price": ("/constitutions/helpfulness", _trial),
    "verdicts": ("/constitutions/helpfulness", _verdicts),
    "scorecards": ("/scorecards", _stay),
    "scorecard": ("/scorecards", _first("main a[href^='/scorecards/']")),
    "compared": ("/scorecards", _compared),
    "datasets": ("/datasets", _stay),
    "dataset": ("/datasets", _first("main a[href^='/datasets/']")),
    "training": ("/training", _stay),
    "run": ("/training", _first("main a[href^='/training/']")),
    "overlaid": ("/training", _overlaid),
    "overoptimisation": ("/overoptimisation", _stay),
    "sweep": ("/overoptimisation", _chosen("best-of-n")),
    "keys": ("/keys", _stay),
    "health": ("/health", _stay),
    "docs": ("/docs", _stay),
}
"""Where each page is: an address, and how to go on from there."""
ALIKE: Final = {"new-job", "fault", "price", "verdicts", "docs"}
"""Pages that look the same whatever the store holds: one picture is enough."""
SHOWN: Final = {
    "job-hostile": "/jobs/hostile-0000000000",
    "run-demo": "/training/dpo",
    "overoptimisation-demo": "/overoptimisation?run=rounds",
}
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
    make = partial(stores.worked, model=model, size="small") if store == "demo" else getattr(stores, store)
    with ThreadPoolExecutor(1) as thread:  # playwright's loop is running on this one
        thread.submit(make, folder).result()
    return folder


def _taken(browser: Browser, address: str, store: str, pages: dict[str, tuple[str, Reach]]) -> Iterator[str]:
    for page, (start, reach) in pages.items():
        if page in ALIKE and store != "demo":
            continue
        name = f"{page}-{store}"
        start, reach = (SHOWN[name], _stay) if name in SHOWN else (start, reach)
        if _take(browser, f"{address}{start}", reach, name):
            yield name
        if store == "demo" and _take(browser, f"{address}{start}", reach, f"{page}-narrow", narrow=True):
            yield f"{page}-narrow"


def _take_running(browser: Browser, address: str) -> None:
    """Take the list of jobs and a job's page while one runs, on models that take their time."""
    at_once, Mock.send = Mock.send, unhurried.after_a_while  # type: ignore[method-assign]
    context = browser.new_context(viewport=dict(zip(("width", "height"), WIDE, strict=True)))  # type: ignore[arg-type]
    try:
        page = context.new_page()
        page.goto(address)
        asked = mock_job("kitchen", 100)
        asked["pipeline"]["limits"] = {"start": 8, "max": 16}
        _, job = send(page, "/v1/jobs", asked)
        page.wait_for_timeout(10_000)
        page.screenshot(path=IMAGES / "jobs-running.png")
        page.goto(f"{address}/jobs/{job['id']}")
        page.wait_for_timeout(1_500)
        page.screenshot(path=IMAGES / "job-running.png")
        send(page, f"/v1/jobs/{job['id']}/cancel", {})
    finally:
        Mock.send = at_once  # type: ignore[method-assign]
        context.close()


def _take(browser: Browser, address: str, reach: Reach, name: str, *, narrow: bool = False) -> bool:
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
        if not reach(page):
            return False
        page.wait_for_load_state()
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / f"{name}.png")
        return True
    finally:
        context.close()


if __name__ == "__main__":
    main(sys.argv[1:])
