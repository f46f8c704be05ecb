"""The constitution editor in a browser: faults at their line, changes, versions, no script needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.authoring.judges import TEXT
from tests.browser.conftest import NARROW, WIDE, planted, sideways
from tests.browser.payloads import PAYLOADS

PAGES = ("/constitutions", "/constitutions/helpfulness")
FAULTY = TEXT.replace("id: colours", "id: helpfulness").replace("axis: colours", "axiss: colours")


@pytest.mark.parametrize("store", ["empty", "demo", "hostile"])
@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (NARROW, True)])
def test_both_pages_in_every_store(
    store: str, size: tuple[int, int], dark: bool, sites: Any, visit: Callable[..., Any], axe: Any
) -> None:
    for address in PAGES:
        page = visit(f"{sites[store]}{address}", size=size, dark=dark)
        assert sideways(page) == 0
        assert axe(page) == []
        assert page.evaluate("document.querySelectorAll('*').length") < 3000


def test_a_fault_stands_at_its_line_while_typing(sites: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{sites['empty']}/constitutions/helpfulness")
    assert page.locator("#lint .badge.good").is_visible()
    page.fill("#text", FAULTY)
    page.locator("#lint .badge.bad").wait_for()
    assert page.locator("#gutter b.error").first.inner_text().split()[-1] == "1"
    assert page.locator("#L3.error").count() == 1
    page.click('#lint a[data-line="3"]')
    chosen = "(t => t.value.slice(t.selectionStart, t.selectionEnd))(document.getElementById('text'))"
    assert page.evaluate(chosen) == "axiss: colours"
    assert page.evaluate("document.activeElement.id") == "text"
    page.fill("#text", FAULTY.replace("axiss", "axis"))
    page.locator("#lint .badge.good").wait_for()
    assert page.locator("#gutter b.error").count() == 0


def test_a_new_version_is_saved_and_compared(own_site: Any, visit: Callable[..., Any]) -> None:
    site = own_site("empty")
    page = visit(f"{site}/constitutions/helpfulness")
    text = page.input_value("#text")
    page.fill("#text", text.replace("title: Helpfulness", "title: Being of help"))
    page.click("#changes button")
    page.locator(".diff .come").wait_for()
    assert page.locator(".diff .come").inner_text().endswith("title: Being of help")
    assert "Judges are shown the same" in page.inner_text("#changes")
    page.click("text=Save as a new version")
    page.locator("text=Saved as version 2").wait_for()
    page.click("text=changes since 1")
    page.locator(".diff .gone").wait_for()
    assert page.locator(".diff .gone").inner_text().endswith("title: Helpfulness")


def test_a_refused_save_keeps_the_text(own_site: Any, visit: Callable[..., Any], allowed: set[int]) -> None:
    allowed.add(422)
    page = visit(f"{own_site('empty')}/constitutions/helpfulness")
    page.fill("#text", FAULTY)
    page.click("text=Save as a new version")
    page.locator(".notice.bad").wait_for()
    assert "line 3: unknown key 'axiss'" in page.inner_text(".notice.bad")
    assert page.input_value("#text") == FAULTY


def test_somebody_else_s_version_is_not_overwritten(
    own_site: Any, visit: Callable[..., Any], allowed: set[int]
) -> None:
    allowed.add(409)
    site = own_site("empty")
    mine, other = (visit(f"{site}/constitutions/helpfulness") for _ in range(2))
    text = mine.input_value("#text")
    for page, title in ((other, "Theirs"), (mine, "Mine")):
        page.fill("#text", text.replace("title: Helpfulness", f"title: {title}"))
        page.click("text=Save as a new version")
        page.locator(".notice").wait_for()
    assert "saved meanwhile" in mine.inner_text(".notice.bad")
    assert "title: Mine" in mine.input_value("#text")


def test_the_editor_without_scripts(own_site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{own_site('empty')}/constitutions/helpfulness", scripts=False)
    page.fill("#text", FAULTY)
    page.click("text=Check")
    assert page.locator("#L3").inner_text().split()[-1] == "3"
    assert page.locator('#lint a[href="#L3"]').count() == 1


def test_a_new_one_from_another(own_site: Any, visit: Callable[..., Any]) -> None:
    page = visit(f"{own_site('empty')}/constitutions")
    page.fill("input[name=name]", "kindness")
    page.select_option("select[name=start]", "honesty")
    page.click("text=Open the editor")
    page.locator("text=not saved yet").wait_for()
    assert "\nid: kindness\n" in page.input_value("#text")
    page.click("text=Save as a new version")
    page.locator("text=Saved as version 1").wait_for()


def test_the_payloads_do_nothing_in_the_editor(
    own_site: Any, visit: Callable[..., Any], allowed: set[int]
) -> None:
    """As lines that changed, as a key that is unknown, and in the reply of a save that is refused."""
    allowed.add(422)
    page = visit(f"{own_site('empty')}/constitutions/helpfulness")
    lines = [one for one in PAYLOADS if one.isprintable() and one.strip() and len(one) < 1_000]
    assert len(lines) > 70
    keys = [json.dumps(one) for one in lines if one.isascii()]
    text = "".join(f"# {one}\n" for one in lines) + page.input_value("#text")
    page.fill("#text", text + "".join(f"{one}: 1\n" for one in keys))
    page.locator("#lint .badge.bad").wait_for()
    told = " ".join(page.locator("#lint li").all_text_contents())
    assert "<script>alert(document.domain)</script>" in told
    page.click("#changes button")
    page.locator(".diff").first.wait_for()
    assert {f"# {one}" for one in lines} <= set(page.locator(".diff pre").all_text_contents())
    assert planted(page) == []
    page.click("text=Save as a new version")
    page.locator(".notice.bad").wait_for()
    assert page.input_value("#text").startswith(f"# {lines[0]}\n")
    assert planted(page) == []
