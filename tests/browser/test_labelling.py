"""Labelling pairs by keyboard, by buttons, blind and without scripts."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Site


@pytest.fixture
def site(own_site: Callable[[str], Site]) -> Site:
    return own_site("demo")


def labels(site: Site) -> list[Any]:
    with urllib.request.urlopen(f"{site}/v1/labels") as reply:
        return json.load(reply)["data"]


def open_first(page: Any) -> None:
    page.locator(".entries .open").first.click()
    page.locator("#pair").wait_for()
    page.wait_for_load_state("load")  # its keys are there


def said(page: Any) -> str:
    return page.inner_text(".labels [role=status]")


def test_five_pairs_by_keyboard(site: Site, visit: Callable[..., Any], axe: Any) -> None:
    page = visit(f"{site}/preferences?axis=safety")
    open_first(page)
    for key, word in zip(
        "12012", ("A is better", "B is better", "a tie", "A is better", "B is better"), strict=True
    ):
        address = page.url
        page.keyboard.press(key)
        page.get_by_text(f"You said: {word}").wait_for()
        assert page.url == address  # nothing was reloaded
        page.keyboard.press("j")
        page.wait_for_url(lambda url, before=address: url != before)
    kept = labels(site)
    assert [one["verdict"] for one in kept] == ["first", "second", "tie", "first", "second"]
    assert {(one["source"], one["blind"], one["person"]) for one in kept} == {("page", False, "local")}
    assert axe(page) == []
    page.goto(f"{site}/preferences?axis=safety&label=any")
    assert "5 pairs" in page.inner_text("main")


def test_a_label_is_changed_and_taken_back(site: Site, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/preferences")
    open_first(page)
    page.keyboard.press("1")
    page.get_by_text("You said: A is better").wait_for()
    page.keyboard.press("2")
    page.get_by_text("You said: B is better").wait_for()
    assert [one["verdict"] for one in labels(site)] == ["second"]
    page.keyboard.press("u")
    page.get_by_text("You have not labelled").wait_for()
    assert labels(site) == []


def test_blind_hides_the_judge_until_the_label(site: Site, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/preferences")
    open_first(page)
    assert page.locator("text=Verdict").count() == 1
    page.keyboard.press("b")
    page.wait_for_url("**blind=1**")
    for word in ("Verdict", "mock:text", "the judge's choice", "margin", "preferred"):
        assert word not in page.content(), word
    page.keyboard.press("1")
    page.get_by_text("You said: A is better").wait_for()
    assert page.get_by_role("heading", name="Verdict").is_visible()
    assert [one["blind"] for one in labels(site)] == [True]
    address = page.url
    page.keyboard.press("j")
    page.wait_for_url(lambda url: url != address)
    assert "blind=1" in page.url
    assert "Verdict" not in page.content()


def test_people_are_told_apart(site: Site, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/preferences")
    open_first(page)
    for name, key in (("ann", "1"), ("<b>bob</b>", "2")):
        page.fill("input[name=person]", name)
        page.locator("h2").first.click()  # leave the field
        page.keyboard.press(key)
        page.wait_for_function(
            "name => document.querySelector('.said')?.textContent.includes(name)", arg=name
        )
    assert [(one["judge"], one["verdict"]) for one in labels(site)] == [
        ("human:ann", "first"), ("human:<b>bob</b>", "second"),
    ]  # fmt: skip


def test_buttons_work_without_scripts(site: Site, visit: Callable[..., Any]) -> None:
    page = visit(f"{site}/preferences?blind=1&person=ann", scripts=False)
    open_first(page)
    page.get_by_role("button", name="B is better").click()
    assert "You said: B is better" in said(page)
    assert "blind=1" in page.url
    assert [(one["person"], one["verdict"], one["blind"]) for one in labels(site)] == [
        ("ann", "second", True)
    ]
