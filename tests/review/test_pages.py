"""Pages of pairs: every filter against a plain reading of the records, and cursors under inserts."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import InputError
from rlaif.records import Preference, Prompt, Sample
from rlaif.review import Choice, beside, keep, new_label, page
from rlaif.review import pages as module
from rlaif.review.choice import cursor_of, place_of
from rlaif.review.tables import cell, rows_of
from rlaif.store import Workspace
from tests import factory
from tests.review.conftest import flag, preferences


def all_ids(workspace: Workspace, choice: Choice, limit: int = 7) -> list[str]:
    """Ids of every page, one after the other."""
    found, after = [], None
    while True:
        shown = page(workspace.store, choice, limit=limit, after=after)
        found += [one.id for one in shown.data]
        assert len(shown.data) <= limit
        after = shown.after
        if after is None:
            return found


def expected(workspace: Workspace, keep_it) -> list[str]:
    return [one.id for one in workspace.store.read(Preference, order="rowid") if keep_it(one)]


async def test_pages_hold_every_pair_once_in_the_order_made(workspace: Workspace) -> None:
    whole = expected(workspace, lambda one: True)
    assert len(whole) > 60
    for limit in (1, 7, 200):
        assert all_ids(workspace, Choice(), limit) == whole
    assert page(workspace.store, Choice(), limit=3).counted == len(whole)


async def test_narrow_filters_pass_what_they_say(workspace: Workspace) -> None:
    cases = {
        Choice(axis="safety"): lambda one: one.axis == "safety",
        Choice(margin="slight"): lambda one: one.margin == "slight",
        Choice(judge="openai:gpt-5-mini"): lambda one: True,
        Choice(judge="nobody"): lambda one: False,
        Choice(disagreement="orders"): lambda one: not one.consistent,
        Choice(set="helpful-safe/safety"): lambda one: one.axis == "safety",
        Choice(job="helpful-safe"): lambda one: True,
        Choice(job="helpful-safe", axis="safety", margin="better"): (
            lambda one: one.axis == "safety" and one.margin == "better"
        ),
    }
    for choice, keep_it in cases.items():
        found = page(workspace.store, choice, limit=200)
        assert [one.id for one in found.data] == expected(workspace, keep_it), choice
        assert found.counted == len(found.data)


async def test_filters_on_texts_read_the_texts(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRETCH", 10)  # several stretches, some without a pair that passes
    monkeypatch.setattr(module, "SECONDS", 0.0)  # one a page
    texts = {one.id: one.response for one in workspace.store.read(Sample)}
    prompts = {one.id: one.text for one in workspace.store.read(Prompt)}

    def apart(one: Preference) -> bool:
        return abs(len(texts[one.chosen_id]) - len(texts[one.rejected_id])) >= 100

    def says(one: Preference) -> bool:
        return "lentils" in prompts[one.prompt_id] or any(
            "lentils" in texts[id] for id in (one.chosen_id, one.rejected_id)
        )

    assert 0 < len(expected(workspace, says)) < len(expected(workspace, lambda one: True))
    for limit in (2, 50):
        assert all_ids(workspace, Choice(min_length_gap=100), limit) == expected(workspace, apart)
        assert page(workspace.store, Choice(min_length_gap=100)).counted == len(expected(workspace, apart))
        assert all_ids(workspace, Choice(text="LENTILS"), limit) == expected(workspace, says)
    found = page(workspace.store, Choice(text="no such words"), limit=5)
    assert (found.data, found.counted, found.looked_at) == ((), None, 10)
    assert found.after is not None


async def test_a_page_says_how_far_it_looked(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRETCH", 10)
    monkeypatch.setattr(module, "SECONDS", 0.0)
    nowhere, safety = Choice(text="no such words", axis="safety"), len(preferences(workspace, "safety"))
    after, reached = None, []
    while True:
        shown = page(workspace.store, nowhere, after=after)
        assert (shown.data, shown.counted, shown.among) == ((), None, safety)
        reached.append(shown.reached)
        after = shown.after
        if after is None:
            break
    assert reached == [*range(10, safety, 10), safety]
    monkeypatch.setattr(module, "SECONDS", 60.0)
    shown = page(workspace.store, nowhere)
    assert (shown.after, shown.looked_at, shown.reached) == (None, safety, safety)


async def test_a_page_ends_with_its_last_pair(workspace: Workspace) -> None:
    whole = expected(workspace, lambda one: True)
    assert len(all_ids(workspace, Choice(text="lentils"))) > 2
    shown = page(workspace.store, Choice(text="lentils"), limit=1)
    assert shown.looked_at == shown.reached == whole.index(shown.data[0].id) + 1
    second = page(workspace.store, Choice(text="lentils"), limit=1, after=shown.after)
    assert second.reached == whole.index(second.data[0].id) + 1 == shown.reached + second.looked_at
    assert page(workspace.store, Choice(), limit=3).reached == 3


async def test_a_pair_is_there_once_its_texts_are(workspace: Workspace) -> None:
    made = factory.world(prompts=2, seed=5)
    [*pairs] = made.of(Preference)
    before = page(workspace.store, Choice()).counted
    assert before is not None
    await workspace.commit(pairs, job_id="j")
    await workspace.flush()
    assert page(workspace.store, Choice()).counted == before
    drawn = made.of(Sample)
    await workspace.commit([*made.of(Prompt), *drawn[:-1]], job_id="j")
    await workspace.flush()
    some = [one for one in pairs if drawn[-1].id not in (one.chosen_id, one.rejected_id)]
    assert all_ids(workspace, Choice())[before:] == [one.id for one in some]
    await workspace.commit(drawn[-1:], job_id="j")
    await workspace.flush()
    assert sorted(all_ids(workspace, Choice())[before:]) == sorted(one.id for one in pairs)
    assert workspace.store.census() == workspace.store.tallies


async def test_flags_and_labels_filter(workspace: Workspace) -> None:
    one, other, third = preferences(workspace)[:3]
    await flag(workspace, one)
    await keep(
        workspace,
        [
            new_label(other, "ann", "first", first=other.chosen_id, source="page"),
            new_label(third, "ann", "first", first=third.rejected_id, source="page"),
        ],
    )
    flagged = {
        each.id
        for each in workspace.store.read(Preference, '"set" = ?', [one.set])
        if one.chosen_id in (each.chosen_id, each.rejected_id)
    }
    assert (
        set(all_ids(workspace, Choice(flag="any")))
        == flagged
        == set(all_ids(workspace, Choice(flag="repeated")))
    )
    assert all_ids(workspace, Choice(flag="near_empty")) == []
    assert set(all_ids(workspace, Choice(label="any"))) == {other.id, third.id}
    assert len(all_ids(workspace, Choice(label="none"))) == len(expected(workspace, lambda _: True)) - 2
    assert all_ids(workspace, Choice(disagreement="human")) == [third.id]
    shown = {each.id: each for each in page(workspace.store, Choice(), limit=200).data}
    assert shown[one.id].flags == ("chosen:repeated",)
    assert (shown[other.id].labels, shown[one.id].labels) == (1, 0)


async def test_a_cursor_stays_good_while_pairs_come(workspace: Workspace) -> None:
    first = page(workspace.store, Choice(axis="safety"), limit=5)
    pair = preferences(workspace, "safety")[0]
    late = pair.model_copy(update={"id": "pf_late"})
    await workspace.commit([late], job_id="j")
    await workspace.flush()
    rest = page(workspace.store, Choice(axis="safety"), limit=200, after=first.after)
    ids = [one.id for one in (*first.data, *rest.data)]
    assert ids == [*expected(workspace, lambda one: one.axis == "safety" and one.id != "pf_late"), "pf_late"]


async def test_steps_lead_both_ways_and_end(workspace: Workspace) -> None:
    safety = Choice(axis="safety")
    ids = [one.id for one in preferences(workspace, "safety")]
    for here, there in pairwise(ids):
        assert beside(workspace.store, safety, here, back=False) == there
        assert beside(workspace.store, safety, there, back=True) == here
    assert beside(workspace.store, safety, ids[-1], back=False) is None
    assert beside(workspace.store, safety, ids[0], back=True) is None
    assert beside(workspace.store, Choice(text="lentils"), "pf_nobody", back=True) is None
    found = all_ids(workspace, Choice(text="lentils"))
    assert beside(workspace.store, Choice(text="lentils"), found[1], back=True) == found[0]


@given(st.integers(0, 10**18 - 1))
def test_cursors_read_back(place: int) -> None:
    assert place_of(cursor_of(place)) == place


@pytest.mark.parametrize(
    "cursor", ["x", "cDEuLTE", "%%%", "cDEuMS41", "é", "cDEu", "cDEuMTIzNDU2Nzg5MDEyMzQ1Njc4OTA"]
)
def test_other_cursors_are_refused(cursor: str) -> None:
    with pytest.raises(InputError, match="is no cursor"):
        place_of(cursor)


async def test_unknown_sets_and_jobs_are_named(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="there is no set 'nothing'; sets: helpful-safe/helpfulness"):
        page(workspace.store, Choice(set="nothing"))
    with pytest.raises(InputError, match="there is no job 'nothing'"):
        page(workspace.store, Choice(job="nothing"))


def test_an_empty_field_of_a_form_is_no_filter() -> None:
    given = {"set": "", "margin": "", "min_length_gap": "", "flag": "", "text": "  ", "label": ""}
    assert Choice.model_validate(given) == Choice()
    assert Choice(text="a b&c", margin="slight").query(after=None) == "margin=slight&text=a+b%26c"


async def test_a_filter_as_lines(workspace: Workspace) -> None:
    lines = b"".join(rows_of(workspace.store, Choice(axis="safety"), "jsonl")).splitlines()
    assert [json.loads(one)["id"] for one in lines] == [one.id for one in preferences(workspace, "safety")]
    table = b"".join(rows_of(workspace.store, Choice(axis="safety"), "csv")).decode()
    assert table.startswith("id,set,set_name,prompt_id,")
    assert table.count("\r\n") == len(lines) + 1


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_other_cells_stay_as_they_are() -> None:
    assert (cell("a=1"), cell(-0.5), cell(None), cell(("x", "y"))) == ("a=1", -0.5, None, "x y")
