"""The jobs pages with eyes on them: live without reload, again after a cut, steered by buttons, plain."""

import asyncio
import errno
import os
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import expect

from rlaif.journal import Journal
from rlaif.providers.base import RawReply
from rlaif.providers.mock import Mock
from rlaif.service.web import datasets as datasets_page
from rlaif.service.web import notices
from rlaif.store import InUse, Workspace
from tests.browser.conftest import (
    NARROW,
    Site,
    Sites,
    Watch,
    mock_job,
    nodes,
    planted,
    send,
    sideways,
    weight,
)
from tests.browser.payloads import PAYLOADS

Visit = Callable[..., Any]


@pytest.fixture
def slow_replies(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Make every mock reply take some seconds: no job is over before the test has done with it."""
    at_once = Mock.send

    def slow(seconds: float) -> None:
        async def send_late(mock: Mock, body: Mapping[str, Any]) -> RawReply:
            await asyncio.sleep(seconds)
            return await at_once(mock, body)

        monkeypatch.setattr(Mock, "send", send_late)

    return slow


def first_job(sites: Sites, visit: Visit, store: str) -> Any:
    page = visit(f"{sites[store]}/")
    page.locator("main").get_by_role("link").filter(has_not_text="New job").first.click()
    return page


def test_live_job_reaches_the_end_without_reload(
    own_site: Callable[[str], Site], visit: Visit, slow_replies: Callable[[float], None]
):
    slow_replies(0.2)
    page = visit(f"{own_site('empty')}/")
    page.evaluate("window.kept = true")
    status, job = send(page, "/v1/jobs", mock_job("live", 60))
    assert status == 200, job
    card = page.locator(f"#job-{job['id']}")
    expect(card.get_by_role("progressbar").first).to_be_visible(timeout=30_000)
    row = page.get_by_role("row").filter(has_text=job["id"])
    expect(row.get_by_text("completed")).to_be_visible(timeout=60_000)
    assert page.evaluate("window.kept") is True


def test_page_listens_though_the_extension_for_events_comes_late(sites: Sites, visit: Visit):
    page = visit()

    def late(route: Any) -> None:
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/hx-sse.min.js*", late)
    with page.expect_request("**/v1/events"):
        page.goto(f"{sites['empty']}/")


def test_job_page_shows_every_stage_to_100_percent(own_site: Callable[[str], Site], visit: Visit):
    site = own_site("empty")
    page = visit(f"{site}/")
    _, job = send(page, "/v1/jobs", mock_job("watched", 60))
    page.goto(f"{site}/jobs/{job['id']}")
    page.evaluate("window.kept = true")
    expect(page.get_by_text("100.0%")).to_be_visible(timeout=30_000)
    expect(page.locator("h1 + .badge")).to_have_text("completed", timeout=30_000)
    stage = page.locator("table.stages tr").filter(has_text="judge helpfulness")
    expect(stage).to_contain_text("60 of 60")
    assert page.evaluate("window.kept") is True


def test_cut_stream_is_taken_up_again(own_site: Callable[[str], Site], visit: Visit, watch: Watch):
    site = own_site("empty")
    page = visit(f"{site}/")
    expect(page.get_by_text("No job has run")).to_be_visible()
    port = int(site.address.rpartition(":")[2])
    site.stop()
    site.start(port)
    other = visit(f"{site}/")  # the token of the first page's service is gone with it
    _, job = send(other, "/v1/jobs", mock_job("after", 4))
    expect(page.get_by_text(job["id"]).first).to_be_visible(timeout=30_000)
    told = [one for one in watch.faults if "htmx:sse:error" in one]  # the library says that it was cut off
    watch.faults[:] = [one for one in watch.faults if one not in told]


def test_paused_resumed_cancelled_by_buttons(
    own_site: Callable[[str], Site], visit: Visit, slow_replies: Callable[[float], None]
):
    slow_replies(1.0)
    site = own_site("empty")
    page = visit(f"{site}/")
    _, job = send(page, "/v1/jobs", mock_job("steered", 4_000))
    page.goto(f"{site}/jobs/{job['id']}")
    badge = page.locator("h1 + .badge")
    expect(badge).to_have_text("running", timeout=20_000)
    page.get_by_role("button", name="Pause").click()
    expect(badge).to_have_text("paused", timeout=20_000)
    hidden = "row => getComputedStyle(row).visibility"
    states = page.locator("table.stages tbody tr").evaluate_all(f"rows => rows.map({hidden})")
    assert states == ["visible"] * 3  # those that wait as well
    page.get_by_role("button", name="Resume").click()
    expect(badge).to_have_text(re.compile("queued|running"))
    page.get_by_role("button", name="Cancel").click()
    expect(badge).to_have_text("cancelled", timeout=20_000)
    page.get_by_role("button", name="Resume").wait_for()


def test_cap_is_changed_by_a_form(
    own_site: Callable[[str], Site], visit: Visit, slow_replies: Callable[[float], None]
):
    slow_replies(1.0)
    site = own_site("empty")
    page = visit(f"{site}/")
    _, job = send(page, "/v1/jobs", mock_job("capped", 4_000))
    page.goto(f"{site}/jobs/{job['id']}")
    page.get_by_label("Cap, USD in all").fill("2.5")
    page.get_by_role("button", name="Change the cap").click()
    expect(page.get_by_text("of $2.50")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()


def test_jobs_and_one_job_are_readable_without_scripts(sites: Sites, visit: Visit):
    page = visit(f"{sites['demo']}/", scripts=False)
    page.get_by_role("link", name="small", exact=True).click()
    assert page.locator("h1").inner_text() == "small"
    assert page.get_by_text("72 of 72").count() == 3
    page.get_by_role("link", name="Tasks and attempts").click()
    page.locator("tbody a").first.click()
    assert page.get_by_text("Records made").is_visible()


def test_attempts_show_request_and_reply(sites: Sites, visit: Visit, axe: Callable[[Any], list[str]]):
    page = first_job(sites, visit, "demo")
    page.get_by_role("link", name="Tasks and attempts").click()
    page.locator("tbody tr").filter(has_text="judge helpfulness").first.get_by_role("link").click()
    assert "You compare two responses" in page.get_by_label("Request of call 1").inner_text()
    assert page.get_by_label("Reply of call 1").inner_text() != ""
    assert (
        page.get_by_role("link", name="its pair").first.get_attribute("href").startswith("/preferences/pf_")
    )
    assert axe(page) == []


def test_hostile_jobs_stay_text(sites: Sites, visit: Visit, axe: Callable[[Any], list[str]]):
    site = sites["hostile"]
    for start in range(0, len(PAYLOADS), 50):
        page = visit(f"{site}/?skip={start}", size=NARROW)
        assert sideways(page) == 0
        assert nodes(page) <= 3_000
        assert planted(page) == []
    page = visit(f"{site}/jobs/hostile-{0:010x}")
    assert page.locator("h1").inner_text() == "<script>alert(document.domain)</script>"
    assert page.title().startswith("<script>alert(document.domain)</script>")
    assert (planted(page), axe(page)) == ([], [])
    page.get_by_role("link", name="The failed tasks, one by one").click()
    assert sideways(page) == 0
    assert (planted(page), axe(page)) == ([], [])
    page.locator("tbody a").first.click()
    assert (planted(page), axe(page)) == ([], [])


def test_direction_of_a_name_ends_with_it(sites: Sites, visit: Visit):
    """Controls of direction that a name opens and never closes must not turn the id that follows it."""
    page = visit(f"{sites['hostile']}/")
    turned = page.evaluate(
        """() => [...document.querySelectorAll("tbody th > a + span.muted")].filter(one => {
            const places = [0, one.firstChild.length - 1].map(at => {
                const range = document.createRange();
                range.setStart(one.firstChild, at);
                range.setEnd(one.firstChild, at + 1);
                return range.getBoundingClientRect();
            });
            return places[0].top === places[1].top && places[0].left > places[1].left;
        }).map(one => one.textContent)"""
    )
    assert turned == []


def test_every_payload_is_shown_as_a_job_name(sites: Sites, visit: Visit):
    site = sites["hostile"]
    shown = []
    for start in range(0, len(PAYLOADS), 50):
        page = visit(f"{site}/?skip={start}", scripts=False)
        shown += page.locator("tbody th a").all_inner_texts()
    assert len(shown) == len(PAYLOADS)
    whole = " ".join(shown)
    for payload in PAYLOADS:
        if payload.isascii() and payload.isprintable() and 0 < len(payload.strip()) <= 60:
            assert " ".join(payload.split()) in whole


def test_large_store_lists_its_job_lightly(sites: Sites, visit: Visit):
    page = first_job(sites, visit, "large")
    expect(page.get_by_text("100,000").first).to_be_visible()
    assert weight(page) <= 250_000
    assert nodes(page) <= 3_000


def test_new_job_is_priced_before_it_starts(own_site: Callable[[str], Site], visit: Visit, axe: Any):
    page = visit(f"{own_site('empty')}/jobs/new", scripts=False)
    pipeline = page.get_by_label("Pipeline")
    assert "constitution: helpfulness" in pipeline.input_value()
    pipeline.fill(pipeline.input_value().replace("local:smollm2-135m-instruct", "mock:text"))
    page.get_by_label("Prompts, one a line").fill('How are you?\n{"prompt": "Count to three."}')
    page.get_by_role("button", name="Price it").click()
    row = page.get_by_role("row").filter(has_text="sample")
    assert row.locator("td").nth(1).inner_text() == "8"  # two prompts, four responses each
    assert page.get_by_text("Nothing has been sent.").is_visible()
    page.get_by_role("button", name="Start").click()
    assert page.locator("h1").inner_text() == "quickstart"


def test_new_job_says_what_is_wrong_and_keeps_what_was_typed(
    own_site: Callable[[str], Site], visit: Visit, allowed: set[int], axe: Callable[[Any], list[str]]
):
    allowed.add(422)
    page = visit(f"{own_site('empty')}/jobs/new", size=NARROW)
    pipeline = page.get_by_label("Pipeline")
    pipeline.fill("name: typed\nstages:\n  - kind: sample\n   broken: yes\n")
    page.get_by_role("button", name="Price it").click()
    assert "line 4" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Pipeline").input_value().startswith("name: typed\n")
    page.get_by_label("Pipeline").fill("name: typed\nstages: []\n")
    page.get_by_role("button", name="Start").click()
    assert "stages" in page.get_by_role("alert").inner_text()
    assert axe(page) == []
    assert sideways(page) == 0


def test_new_job_begins_with_one_handed_in_before(own_site: Callable[[str], Site], visit: Visit):
    site = own_site("empty")
    page = visit(f"{site}/")
    _, job = send(page, "/v1/jobs", mock_job("again", 3))
    page.goto(f"{site}/jobs/new?base={job['id']}")
    assert page.get_by_label("Prompts, one a line").input_value().splitlines()[2] == "What is 2 times 2?"
    assert "constitution: helpfulness" in page.get_by_label("Pipeline").input_value()
    page.get_by_role("button", name="Price it").click()
    assert page.get_by_text("Nothing has been sent.").is_visible()


def test_job_that_needs_a_missing_key_says_so_in_one_line(
    own_site: Callable[[str], Site], visit: Visit, allowed: set[int], monkeypatch: Any
):
    allowed.add(422)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    page = visit(f"{own_site('empty')}/jobs/new")
    pipeline = page.get_by_label("Pipeline")
    pipeline.fill(pipeline.input_value().replace("local:smollm2-135m-instruct", "openai:gpt-5-mini"))
    page.get_by_label("Cap, USD").fill("1")
    page.get_by_role("button", name="Start").click()
    said = page.get_by_role("alert").inner_text()
    assert "OPENAI_API_KEY is not set" in said
    assert "\n" not in said.strip()


def test_disk_that_fills_up_is_said_in_one_line(
    own_site: Callable[[str], Site], visit: Visit, monkeypatch: Any, axe: Callable[[Any], list[str]]
):
    site = own_site("empty")
    left = SimpleNamespace(total=2**40, used=2**40 - 2**20, free=2**20)
    monkeypatch.setattr(notices, "shutil", SimpleNamespace(disk_usage=lambda _: left))
    page = visit(f"{site}/")
    assert page.get_by_role("status").inner_text().startswith("1.0 MiB are free where ")
    assert axe(page) == []


def test_job_on_a_full_disk_says_so_in_one_line(
    own_site: Callable[[str], Site],
    visit: Visit,
    monkeypatch: Any,
    axe: Callable[[Any], list[str]],
    slow_replies: Callable[[float], None],
):
    slow_replies(0.5)
    site = own_site("empty")
    page = visit(f"{site}/")
    _, job = send(page, "/v1/jobs", mock_job("full", 4_000))
    page.goto(f"{site}/jobs/{job['id']}")
    expect(page.locator("h1 + .badge")).to_have_text("running", timeout=20_000)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Journal, "_write", full)
    said = page.locator("p.notice").filter(has_text="No space left on device")
    expect(said).to_be_visible(timeout=20_000)
    assert "\n" not in said.inner_text().strip()
    assert axe(page) == []


def test_store_that_somebody_else_has_is_said_in_one_line(
    own_site: Callable[[str], Site], visit: Visit, allowed: set[int], monkeypatch: Any
):
    allowed.add(503)
    site = own_site("demo")
    with pytest.raises(InUse) as held:
        Workspace.open(site.folder)
    assert site.address in str(held.value)  # whoever comes second learns where the first one answers

    def taken(*_: object) -> None:
        raise held.value

    monkeypatch.setattr(datasets_page, "view_datasets", taken)
    page = visit(f"{site}/datasets")
    assert page.locator("h1").inner_text() == "Not available"
    assert [one for one in page.locator("main p").all_inner_texts() if "already running at" in one] == [
        str(held.value)
    ]
