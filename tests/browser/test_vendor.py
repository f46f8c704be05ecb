"""Libraries of others run under the pages' policy: no inline style, nothing evaluated, a silent console."""

from collections.abc import Callable
from typing import Any

from tests.browser.conftest import Sites


def test_libraries_load_without_a_complaint(sites: Sites, visit: Callable[..., Any]):
    page = visit(f"{sites['demo']}/")
    page.locator("tbody a").first.click()
    page.wait_for_function("() => Boolean(window.htmx && window.uPlot)")
    assert page.evaluate("htmx.version") == "4.0.1"
    assert page.evaluate("htmx.config.includeIndicatorCSS") is False
    assert page.evaluate("htmx.config.sse.reconnectMaxDelay") == 5_000
    assert page.evaluate("document.adoptedStyleSheets.length") == 0


def test_chart_is_drawn_under_the_policy(sites: Sites, visit: Callable[..., Any]):
    page = visit(f"{sites['demo']}/")
    page.locator("tbody a").first.click()
    page.wait_for_function("() => Boolean(window.uPlot)")
    page.evaluate(
        """() => {
            const one = document.createElement("div");
            document.querySelector("main").append(one);
            new uPlot({width: 300, height: 100, series: [{}, {stroke: "red"}]}, [[1, 2, 3], [1, 4, 9]], one);
        }"""
    )
    assert page.locator(".uplot canvas").is_visible()


def test_inline_script_of_any_kind_is_refused(sites: Sites, visit: Callable[..., Any], watch: Any):
    page = visit(f"{sites['demo']}/")
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
        }"""
    )
    assert page.evaluate("window.ran") is None
    assert len(watch.faults) == 1
    assert "Content Security Policy" in watch.faults.pop()
