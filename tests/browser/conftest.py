"""Chromium, four served stores, and pages that fail their test on anything a person would not want.

``visit(address)`` opens a page; whatever goes wrong on it before the test ends fails the test: a console
error, a script error, a dialog, a request to another origin, a reply from 400 on. A test that means to see
such a reply adds its status to ``allowed``.
"""

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from rlaif.service.serving import serving
from rlaif.settings import Serving, Settings
from tests.browser import stores

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

WIDE = (1366, 768)
NARROW = (390, 844)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """One Chromium for this folder's tests; others must not find its loop on the main thread."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; install it with: apt-get install chromium")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


# Servers


def settings() -> Settings:
    """This machine's, with the mock models offered."""
    return Settings.load().model_copy(update={"service": Serving(mock=True)})


@dataclass
class Site:
    """One served store."""

    folder: Path
    address: str = ""
    problem: BaseException | None = None
    _stop: Callable[[], object] = lambda: None
    _ready: threading.Event = field(default_factory=threading.Event)

    def __str__(self) -> str:
        return self.address

    def start(self, port: int = 0) -> None:
        """Serve on a thread of its own, with a loop of its own."""
        self._ready.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(port)), daemon=True)
        self._thread.start()
        assert self._ready.wait(60), "the service did not start within 60 s"
        if self.problem is not None:
            raise self.problem

    def stop(self) -> None:
        self._stop()
        self._thread.join(15)

    async def _serve(self, port: int) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        try:
            async with serving(self.folder, settings(), host="127.0.0.1", port=port) as address:
                self.address = address
                self._ready.set()
                await stopped.wait()
        except BaseException as error:
            self.problem = error
            self._ready.set()
            raise


@contextmanager
def served(folder: Path) -> Iterator[Site]:
    site = Site(folder)
    site.start()
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a store once for all worker processes, and give each its own copy."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent

    def make(name: str) -> Path:
        source = shared / f"store-{name}"
        try:
            (shared / f"making-{name}").mkdir()
        except FileExistsError:
            _wait(shared / f"made-{name}")
        else:
            source.mkdir()
            with ThreadPoolExecutor(1) as thread:  # a loop of playwright's may be running on this one
                thread.submit(getattr(stores, name), source).result()
            (shared / f"made-{name}").touch()
        return Path(shutil.copytree(source, tmp_path_factory.mktemp("served") / name))

    return make


def _wait(mark: Path) -> None:
    deadline = time.monotonic() + 120
    while not mark.exists():
        assert time.monotonic() < deadline, f"{mark.name}: another worker did not finish the store"
        time.sleep(0.1)


class Sites:
    """Served stores by name, each started when first asked for."""

    def __init__(self, made: Callable[[str], Path]) -> None:
        self._made = made
        self._running: dict[str, Site] = {}

    def __getitem__(self, name: str) -> Site:
        if name not in self._running:
            site = Site(self._made(name))
            site.start()
            self._running[name] = site
        return self._running[name]

    def stop(self) -> None:
        for site in self._running.values():
            site.stop()


@pytest.fixture(scope="session")
def sites(made: Callable[[str], Path]) -> Iterator[Sites]:
    """``sites["demo"]``: a store shared by all tests; what a test writes there stays."""
    running = Sites(made)
    yield running
    running.stop()


@pytest.fixture
def own_site(made: Callable[[str], Path]) -> Iterator[Callable[[str], Site]]:
    """Serve a copy of a store that this test may change."""
    started: list[Site] = []

    def start(name: str) -> Site:
        site = Site(made(name))
        site.start()
        started.append(site)
        return site

    yield start
    for site in started:
        site.stop()


# Pages


@dataclass
class Watch:
    """What went wrong on the pages of one test."""

    allowed: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def attach(self, page: Any) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self._request(page, request))
        page.on("response", self._response)

    def _console(self, message: Any) -> None:
        refused = message.text.startswith("Failed to load resource")  # told by the response itself
        if message.type in ("error", "warning") and not refused:
            self.faults.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message!r}")
        dialog.dismiss()

    def _request(self, page: Any, request: Any) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("data", "blob", "about") or request.is_navigation_request():
            return
        if asked[:2] != urlsplit(page.url)[:2]:
            self.faults.append(f"request to another origin: {request.url} from {page.url}")

    def _response(self, response: Any) -> None:
        if response.status >= 400 and response.status not in self.allowed:
            self.faults.append(f"status {response.status}: {response.request.method} {response.url}")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """What all pages of the test are watched by; ``watch.faults`` must be empty at its end."""
    watching = Watch()
    yield watching
    assert watching.faults == []


@pytest.fixture
def allowed(watch: Watch) -> set[int]:
    """Statuses from 400 on that the test means to see."""
    return watch.allowed


@pytest.fixture
def visit(browser: Any, watch: Watch) -> Iterator[Callable[..., Any]]:
    """Open a page: ``visit(address, size=WIDE, dark=False, scripts=True)``."""
    contexts = []

    def open_page(
        address: object = "", *, size: tuple[int, int] = WIDE, dark: bool = False, scripts: bool = True
    ) -> Any:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            accept_downloads=True,
            reduced_motion="reduce",
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        watch.attach(page)
        if str(address):
            page.goto(str(address))
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(visit: Callable[..., Any]) -> Any:
    """One blank page, wide and light."""
    return visit()


# What a test does, and what a page is measured by


def send(page: Any, path: str, body: object) -> Any:
    """POST JSON from an open page, as its own scripts may."""
    return page.evaluate(
        """async ([path, body]) => {
            const token = document.querySelector('meta[name="csrf"]').content;
            const headers = {"Content-Type": "application/json", "X-CSRF-Token": token};
            const reply = await fetch(path, {method: "POST", headers, body: JSON.stringify(body)});
            return [reply.status, await reply.json()];
        }""",
        [path, body],
    )


def mock_job(name: str, prompts: int) -> dict[str, Any]:
    """A job of the mock models, as ``POST /v1/jobs`` takes it."""
    judge = {"kind": "pairwise", "model": "mock:text", "verdict": "labels"}
    return {
        "pipeline": {
            "name": name,
            "stages": [
                {
                    "kind": "sample",
                    "policies": [{"model": "mock:text", "k": 2, "params": {"max_tokens": 40}}],
                },
                {"kind": "judge", "constitution": "helpfulness", "judge": judge},
                {"kind": "prefer", "axis": "helpfulness"},
            ],
        },
        "prompts": [f"What is {number} times {number}?" for number in range(prompts)],
    }


class _Axe:
    @cached_property
    def script(self) -> str:
        return (resources.files("axe_playwright_python") / "axe.min.js").read_text()


_AXE = _Axe()


@pytest.fixture(scope="session")
def axe() -> Callable[[Any], list[str]]:
    """Serious and critical findings of axe on a page, each with the elements it is about."""
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

    def findings(page: Any) -> list[str]:
        page.evaluate(_AXE.script)  # evaluated, not loaded: the page's policy allows no foreign script
        found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"  # noqa: E501
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    return findings


def planted(page: Any) -> list[str]:
    """What a page holds that no template writes: what a text becomes where it is taken for markup."""
    return page.evaluate(
        """() => {
            const never = new Set(["audio", "base", "embed", "iframe", "img", "marquee", "math", "noscript",
                "object", "template", "video", "animate", "foreignobject"]);
            const leads = new Set(["href", "src", "action", "formaction", "xlink:href", "data"]);
            const elsewhere = /^\\s*(javascript|data):|^(https?:)?\\/\\/attacker/i;
            const found = [];
            for (const one of document.querySelectorAll("*")) {
                const name = one.localName.toLowerCase();
                const misplaced = ["script", "style", "link", "meta"].includes(name) && one.closest("main");
                if (never.has(name) || misplaced) found.push(one.outerHTML.slice(0, 120));
                for (const { name: key, value } of one.attributes)
                    if (key.startsWith("on") || (key === "style" && !one.closest(".uplot"))
                        || (leads.has(key) && elsewhere.test(value))
                        || (key.startsWith("hx-") && /attacker|alert\\(/.test(value)))
                        found.push(`${name} ${key}=${value}`.slice(0, 120));
            }
            return found;
        }"""
    )


def sideways(page: Any) -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def nodes(page: Any) -> int:
    """Elements of the page."""
    return page.evaluate("document.querySelectorAll('*').length")


def weight(page: Any) -> int:
    """Bytes of the page and everything it loaded, as they came over the wire."""
    return page.evaluate(
        "performance.getEntries().filter(one => one.transferSize !== undefined)"
        ".reduce((sum, one) => sum + one.transferSize, 0)"
    )
