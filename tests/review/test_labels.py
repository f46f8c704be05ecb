"""Labels: the latest of a person stands, None takes back, others' stay."""

import pytest

from rlaif.errors import InputError
from rlaif.review import keep, new_label, pair, standing
from rlaif.review.labels import check_person, moment, of_pair
from rlaif.store import Workspace
from tests.review.conftest import preferences


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02d}.000000+00:00"


async def test_the_latest_of_each_person_stands(workspace: Workspace) -> None:
    one = preferences(workspace)[0]

    def said(person: str, verdict, second: int, first: str | None = None):
        return new_label(one, person, verdict, first=first or one.chosen_id, source="page", at=at(second))

    await keep(workspace, [said("ann", "first", 1), said("bob", "second", 2), said("cyd", "tie", 3)])
    # The same words about the sides the other way round are about the same pair.
    await keep(workspace, [said("ann", "first", 9, one.rejected_id), said("bob", None, 8)])
    await keep(workspace, [said("ann", "tie", 4)])  # came late, was said earlier
    now = {label.person: label.winner for _, label in standing(workspace.store)}
    assert now == {"ann": one.rejected_id, "cyd": None}
    assert {label.judge for label in of_pair(workspace.store, one.axis, one.rejected_id, one.chosen_id)} == {
        "human:ann",
        "human:cyd",
    }
    assert of_pair(workspace.store, "safety", one.chosen_id, one.rejected_id) == []


async def test_labels_of_a_set_and_of_a_person(workspace: Workspace) -> None:
    helpful, safe = preferences(workspace)[0], preferences(workspace, "safety")[0]
    await keep(
        workspace,
        [
            new_label(helpful, "ann", "first", first=helpful.chosen_id, source="api"),
            new_label(safe, "bob", "tie", first=safe.chosen_id, source="api"),
        ],
    )
    assert [label.person for _, label in standing(workspace.store, sets=[safe.set])] == ["bob"]
    assert [label.axis for _, label in standing(workspace.store, person="ann")] == ["helpfulness"]
    ((place, _), *_) = standing(workspace.store)
    assert [label.person for _, label in standing(workspace.store, start=place)] == ["bob"]


async def test_a_label_is_about_its_pair(workspace: Workspace) -> None:
    one, other = preferences(workspace)[:2]
    of_other = (other.chosen_id, other.rejected_id)
    strange = next(id for id in of_other if id not in (one.chosen_id, one.rejected_id))
    with pytest.raises(InputError, match="is no sample of the pair"):
        new_label(one, "ann", "first", first=strange, source="api")


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "a\nb", "a\u202eb"])
def test_names_that_cannot_be_shown_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="found the name"):
        check_person(name)


def test_moments_of_other_programs_become_ours() -> None:
    assert moment("2026-03-01T12:00:00+02:00") == "2026-03-01T10:00:00.000000+00:00"
    assert moment("2026-03-01T12:00:00.5Z") == "2026-03-01T12:00:00.500000+00:00"
    assert moment("2026-03-01 12:00:00") == "2026-03-01T12:00:00.000000+00:00"


async def test_one_pair_whole(workspace: Workspace) -> None:
    one = preferences(workspace)[0]
    await keep(workspace, [new_label(one, "ann", "first", first=one.chosen_id, source="page")])
    found = pair(workspace, one.id)
    assert found.preference == one
    assert [label.person for label in found.labels] == ["ann"]
    assert (found.chosen.id, found.rejected.id) == (one.chosen_id, one.rejected_id)
    assert [order.id for order in found.orders] == list(one.judgment_ids)
    assert found.prompt[0].role == "user"
    with pytest.raises(InputError, match="there is no preference 'pf_none'"):
        pair(workspace, "pf_none")
