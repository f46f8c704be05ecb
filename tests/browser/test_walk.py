"""A newcomer's first half hour, on the command as it is installed.

Start, watch the demonstration to its end, browse its pairs, label five by keyboard, change a clause of a
constitution and see verdicts change, and take a set home.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from rlaif.checkpoints import at_hand
from tests.browser.conftest import send

ROOT = Path(__file__).parents[2]
MODEL = "smollm2-135m-instruct"
CLAUSE = "Does what was asked, following every instruction and limit given."
CLAUSES = (
    "Is a poem.",
    "Names a colour.",
    "Is written for a child.",
    "Ends with a question.",
    "Says no.",
    "Is a single word.",
)
"""Other wordings, until one turns a verdict: what a small model makes of a clause is hard to foretell."""


@contextmanager
def command(module: str, folder: Path, home: Path | None) -> Iterator[str]:
    """Run ``serve --demo`` from the project's folder; yields its address, and stops it as Ctrl-C would."""
    given = {"RLAIF_HOME": str(home)} if home else {}
    line = [sys.executable, "-m", module, "serve", "--demo", "--store", str(folder), "--port", "0"]
    with subprocess.Popen(
        line, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | given
    ) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            found = re.search(r"http://\S+", said)
            assert found, said + process.stderr.read()
            yield found[0]
        finally:
            process.terminate()
    assert process.returncode == 0


def watch_to_the_end(page: Any, address: str, seconds: float) -> None:
    """The list of jobs, then the job's own page, both without a reload."""
    page.goto(address)
    card = page.locator("article.job")
    expect(card.get_by_role("progressbar").first).to_be_visible(timeout=30_000)
    card.get_by_role("link", name="demo", exact=True).click()
    expect(page.locator("h1 + .badge")).to_have_text("running")
    page.evaluate("window.kept = true")
    expect(page.get_by_text("100.0%")).to_be_visible(timeout=seconds * 1000)
    expect(page.locator("h1 + .badge")).to_have_text("completed", timeout=60_000)
    assert page.locator("table.stages tr.done").count() == page.locator("table.stages tbody tr").count()
    assert page.evaluate("window.kept") is True


def label_five(page: Any) -> None:
    """The first five pairs of an axis, by keyboard alone."""
    menu(page, "Preferences")
    page.locator(".entries .open").first.click()
    page.locator("#pair").wait_for()
    for key, words in zip("12012", ("A is better", "B is better", "a tie") * 2, strict=False):
        page.keyboard.press(key)
        page.get_by_text(f"You said: {words}").wait_for()
        shown = page.url
        page.keyboard.press("j")
        page.wait_for_url(lambda url, shown=shown: url != shown)


def measured(page: Any, set: str, judge: str) -> None:
    """What a person said is what the judge is measured by."""
    status, found = send(page, "/v1/audits/from-labels", {"set": set})
    assert status == 200, found
    menu(page, "Scorecards")
    row = page.locator("tbody tr").filter(has_text=judge)
    assert row.locator("td[data-name=pairs]").inner_text() == "4"  # the tie decides nothing


def change_a_clause(page: Any, judge: str, seconds: float) -> None:
    """The playground, first with the text as it is, then with other clauses until a verdict turns."""
    menu(page, "Constitutions")
    page.get_by_role("link", name="helpfulness", exact=True).first.click()
    page.fill("input[name=judge]", judge)
    text = page.input_value("#text")
    assert CLAUSE in text
    before = ask(page, seconds)
    assert not before.locator("tr.turned").count()
    for words in CLAUSES:
        page.fill("#text", text.replace(CLAUSE, words))
        after = ask(page, seconds)
        changes = after.locator("td[data-name=change]").all_inner_texts()
        assert any(re.search(r"[+-]0\.(?!000)\d", one) for one in changes), changes
        if after.locator("tr.turned").count():
            return
    pytest.fail("no clause turned a verdict")


def ask(page: Any, seconds: float) -> Any:
    page.click("#price")
    page.locator("#ask").wait_for()
    assert "Nothing has been sent" in page.inner_text("#trial")
    page.click("#ask")
    table = page.locator("table.verdicts")
    table.wait_for(timeout=seconds * 1000)
    return table


def take_home(page: Any, folder: Path) -> Path:
    """Export a set for TRL and unpack what is downloaded."""
    menu(page, "Datasets")
    page.locator("tbody th a").filter(has_text="helpfulness").first.click()
    page.select_option("select[name=to]", "trl")
    accept = page.locator("input[name=accept_flags]")
    if accept.count():
        accept.check()
    page.click("button:text('Export')")
    opened = page.locator("#exports details[open]")
    with page.expect_download() as started:
        opened.get_by_text("Download all").click()
    started.value.save_as(folder / "set.tar")
    with tarfile.open(folder / "set.tar") as archive:
        archive.extractall(folder / "set", filter="data")
    return next((folder / "set").rglob("manifest.json")).parent


def menu(page: Any, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
    page.locator("h1", has_text=name).wait_for()


def fetched(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"{address}{path}") as reply:
        return json.load(reply)


def walk(page: Any, address: str, folder: Path, judge: str, seconds: float) -> None:
    watch_to_the_end(page, address, seconds)
    label_five(page)
    labels = fetched(address, "/v1/labels")["data"]
    assert [one["judge"] for one in labels] == ["human:local"] * 5
    assert [one["verdict"] for one in labels] == ["first", "second", "tie", "first", "second"]
    sets = {one["axis"]: one for one in fetched(address, "/v1/datasets")["data"]}
    measured(page, sets[labels[0]["axis"]]["name"], judge)
    change_a_clause(page, judge, seconds)
    made = take_home(page, folder)
    tables = load(made, folder / "cache")
    rows = list(itertools.chain.from_iterable(tables.values()))
    assert len(rows) == sets["helpfulness"]["counts"]["preferred"]
    assert all(one["chosen"] != one["rejected"] for one in rows)


def load(folder: Path, cache: Path) -> Any:
    """The set as a training script reads it."""
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    return datasets.load_dataset(str(folder), "helpfulness", cache_dir=str(cache))


def test_newcomer(page: Any, tmp_path: Path) -> None:
    with command("tests.browser.unhurried", tmp_path / "store", tmp_path / "home") as address:
        walk(page, address, tmp_path, "mock:text", seconds=30)


@pytest.mark.model
@pytest.mark.long
def test_newcomer_with_the_bundled_model(page: Any, tmp_path: Path) -> None:
    if at_hand(MODEL) is None:
        pytest.skip("the bundled model is not here yet; fetch it with: rlaif demo")
    with command("rlaif", tmp_path / "store", None) as address:
        walk(page, address, tmp_path, f"local:{MODEL}", seconds=900)
