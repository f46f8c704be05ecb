"""Scorecards over HTTP: read back whole, compared, and paired on the pairs both judges saw."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from rlaif.records import Fact
from rlaif.service import cards
from tests import factory
from tests.service import measured
from tests.service.measured import JUDGES, judged_pair, scorecard
from tests.service.rooms import room, settings
from tests.service.served import Served, served


async def fill(folder: Path, facts: list[Fact]) -> None:
    async with room(folder, facts):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("audits")
    asyncio.run(fill(folder, measured.folder_facts(30)))
    with served(folder / "store", settings=settings(folder)) as running:
        yield running


def rows(site: Served) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = site.ask("GET", "/v1/audits").json()["data"]
    return listed


def test_the_headline_is_the_card_s(site: Served) -> None:
    newest, oldest = rows(site)
    assert [one["judge"] for one in (newest, oldest)] == [JUDGES[1], JUDGES[0]]
    kept = scorecard(JUDGES[0], slices=3).cells["TOTAL"]
    assert isinstance(kept, dict)
    assert (oldest["accuracy"], oldest["pairs"]) == (kept["acc"], kept["n"])
    assert "position" in newest["flags"]  # type: ignore[operator]


def test_a_card_is_read_back_as_it_was_kept(site: Served) -> None:
    (one,) = [one for one in rows(site) if one["judge"] == JUDGES[0]]
    whole = site.ask("GET", f"/v1/audits/{one['id']}").json()
    assert list(whole["cells"]) == ["part 0", "part 1", "part 2", "TOTAL"]
    kept = scorecard(JUDGES[0], slices=3).cells["part 1"]
    assert isinstance(kept, dict)
    for section in ("agreement", "order", "selective", "calibration", "power"):
        assert whole["cells"]["part 1"][section] == kept[section]


def test_an_unknown_card(site: Served) -> None:
    assert site.ask("GET", "/v1/audits/sd_0").status == 404
    reply = site.ask("GET", "/v1/audits/compare?a=sd_0&b=sd_1")
    assert (reply.status, "query.a" in reply.said) == (422, True)


async def test_pairs_of_both_judges_are_paired(tmp_path: Path) -> None:
    """Of five pairs: both right, first alone right twice, a tie of the second, both wrong."""
    facts: list[Fact] = [scorecard(JUDGES[0]), scorecard(JUDGES[1])]
    said = [(0.9, 0.8), (0.9, 0.2), (0.7, 0.1), (0.6, 0.5), (0.3, 0.4)]
    for number, p in enumerate(said):
        facts += judged_pair(number, p, "first")
    facts += judged_pair(9, (0.9, 0.9))
    async with room(tmp_path, facts) as service:
        second, first = cards.cards(service)
        both = cards.both(service, first, second)
    assert (both.pairs, both.agree, both.differ, both.labelled) == (6, 3, 2, 5)
    assert both.paired is not None
    assert (both.paired.first, both.paired.second) == (pytest.approx(4 / 5), pytest.approx(1.5 / 5))
    assert (both.paired.only_first, both.paired.only_second) == (3, 0)
    assert both.paired.difference == pytest.approx(-0.5)
    assert [(one.a, one.b) for one in both.disagreements] == [
        (pytest.approx(0.9), pytest.approx(0.2)), (pytest.approx(0.7), pytest.approx(0.1)),
    ]  # fmt: skip
    assert {one.human for one in both.disagreements} == {1.0}


async def test_a_label_taken_back_counts_no_more(tmp_path: Path) -> None:
    facts: list[Fact] = [scorecard(JUDGES[0]), scorecard(JUDGES[1])]
    pair = judged_pair(1, (0.9, 0.2), "first")
    asked, first, second = pair[:3]
    facts += [*pair, measured.label(asked, first, second, None, at=2)]  # type: ignore[arg-type]
    async with room(tmp_path, facts) as service:
        both = cards.both(service, *cards.cards(service))
    assert (both.pairs, both.labelled, both.paired) == (1, 0, None)


async def test_a_disagreement_leads_to_a_preference(tmp_path: Path) -> None:
    pair = judged_pair(1, (0.9, 0.2))
    asked, first, second = pair[:3]
    made = factory.preference_set(judge=JUDGES[0])
    kept = factory.Preference.make(
        set=made.id, prompt_id=asked.id, axis="helpfulness", split="train", chosen_id=first.id,
        rejected_id=second.id, p=0.9, margin="significant", p_chosen_first=0.9, p_chosen_second=0.9, mass=0.9,
        judge=JUDGES[0], constitution="cn_1", judgment_ids=("ju_1",),
    )  # fmt: skip
    facts: list[Fact] = [scorecard(JUDGES[0]), scorecard(JUDGES[1]), *pair, made, kept]
    async with room(tmp_path, facts) as service:
        (one,) = cards.both(service, *cards.cards(service)).disagreements
    assert (one.preference, one.prompt) == (kept.id, "question 1?")


async def test_judges_that_share_no_pair_have_none(tmp_path: Path) -> None:
    facts: list[Fact] = [scorecard(JUDGES[0]), scorecard("mock:other"), *judged_pair(1, (0.9, 0.2))]
    async with room(tmp_path, facts) as service:
        both = cards.both(service, *cards.cards(service))
    assert (both.pairs, both.paired, both.disagreements) == (0, None, ())


def test_the_pages_show_the_sections_and_the_way_down(site: Served) -> None:
    a, b = (one["id"] for one in rows(site))
    one = unescape(site.ask("GET", f"/scorecards/{a}").body.decode())
    for title in ("Floors and ceiling", "Calibration", "Not measured", "part 2"):
        assert title in one
    two = unescape(site.ask("GET", f"/scorecards/compare?a={a}&b={b}").body.decode())
    assert "Where they disagree" in two
    assert "McNemar p" in two
    assert site.ask("GET", "/scorecards/sd_0", [("Accept", "text/html")]).status == 404
