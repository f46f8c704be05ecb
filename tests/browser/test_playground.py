"""The playground in a browser: the price before anything is sent, then verdicts that a clause can turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.authoring.judges import TEXT, Literal

CLAUSE = "Prefers red."


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Literal:
    """A judge that takes rules literally, offered by an operator who allows it."""
    config = tmp_path / "rlaif.toml"
    config.write_text("[service]\nmock = true\n")
    monkeypatch.setenv("RLAIF_CONFIG", str(config))
    provider = Literal()
    monkeypatch.setattr("rlaif.pipeline.models.open_provider", lambda spec, settings: provider)
    return provider


@pytest.fixture
def page(judge: Literal, own_site: Any, visit: Callable[..., Any]) -> Any:
    """The editor of a saved constitution about colours, its first case in the playground."""
    opened = visit(f"{own_site('empty')}/constitutions/colours?start=honesty")
    opened.fill("#text", TEXT)
    opened.click("text=Save as a new version")
    opened.locator("text=Saved as version 1").wait_for()
    opened.fill("input[name=judge]", "mock:text")
    return opened


def ask(page: Any) -> Any:
    page.click("#price")
    page.locator("#ask").wait_for()
    page.click("#ask")
    page.locator("table.verdicts").wait_for()
    return page.locator("table.verdicts")


def test_the_price_comes_first(judge: Literal, page: Any) -> None:
    assert page.input_value("textarea[name=prompt]") == "Wall?"
    page.click("#price")
    page.locator("#ask").wait_for()
    assert "Nothing has been sent" in page.inner_text("#trial")
    assert judge.sent == []
    page.click("#ask")
    page.locator("table.verdicts").wait_for()
    assert len(judge.sent) == 6


def test_one_clause_turns_a_verdict(judge: Literal, page: Any, axe: Any) -> None:
    assert ask(page).locator("tbody tr").first.locator(".side-a").count() == 1
    page.fill("#text", TEXT.replace(CLAUSE, "Prefers calm."))
    table = ask(page)
    assert table.locator("tr.turned").count() == 2, "the whole, and the clause"
    assert table.locator("tbody tr").first.locator("td").nth(1).inner_text().startswith("tie")
    assert axe(page) == []


def test_a_changed_question_shows_its_new_price(judge: Literal, page: Any) -> None:
    page.click("#price")
    page.locator("#ask").wait_for()
    page.fill("textarea[name=prompt]", "Door?")
    page.click("#ask")
    page.locator("#trial .notice.bad").wait_for()
    assert "changed since its price was shown" in page.inner_text("#trial")
    assert judge.sent == []
    page.click("#ask")
    page.locator("table.verdicts").wait_for()


def test_a_judge_that_is_not_offered(page: Any) -> None:
    page.fill("input[name=judge]", "local:/etc/passwd")
    page.click("#price")
    page.locator("#trial .notice.bad").wait_for()
    assert "is not offered here" in page.inner_text("#trial")


def test_a_case_fills_the_playground(page: Any) -> None:
    page.click("a[data-case=two]")
    assert page.input_value("textarea[name=second]") == "make it blue"


def test_without_scripts(judge: Literal, page: Any, visit: Callable[..., Any]) -> None:
    plain = visit(page.url.partition("?")[0], scripts=False)
    plain.fill("input[name=judge]", "mock:text")
    plain.click("#price")
    plain.click("#ask")
    assert plain.locator("table.verdicts tbody tr").count() == 3
