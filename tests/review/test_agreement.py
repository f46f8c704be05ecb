"""Agreement with people, counted by hand."""

import pytest

from rlaif.errors import InputError
from rlaif.records import Preference, PreferenceSet, StoredScorecard
from rlaif.review import agree, keep, new_label
from rlaif.store import Workspace
from tests.review.conftest import preferences


async def say(workspace: Workspace, person: str, pairs: list[Preference], chosen: list[bool | None]) -> None:
    """A person who sides with the judge where ``chosen`` is True, and calls a tie where it is None."""
    words = {True: "first", False: "second", None: "tie"}
    await keep(
        workspace,
        [
            new_label(one, person, words[side], first=one.chosen_id, source="page")  # type: ignore[arg-type]
            for one, side in zip(pairs, chosen, strict=True)
        ],
    )


async def test_accuracy_is_the_share_people_side_with(workspace: Workspace) -> None:
    pairs = preferences(workspace)[:10]
    await say(workspace, "ann", pairs, [True] * 7 + [False] * 2 + [None])
    found = await agree(workspace, "helpful-safe/helpfulness")
    assert (found.total.pairs, found.total.ties) == (9, 1)
    assert found.total.accuracy == pytest.approx(7 / 9)
    assert found.total.prompts == len({one.prompt_id for one in pairs[:9]})
    assert found.total.interval is not None
    assert found.total.interval[0] < 7 / 9 < found.total.interval[1]
    assert sum(one.pairs for one in found.slices) == 9
    assert [(one.name, one.pairs) for one in found.people] == [("human:ann", 9)]
    assert found.between_people is None
    assert any("only 9 pairs" in note for note in found.notes)
    assert any("pipeline file has gone" in note for note in found.notes)


async def test_a_majority_counts_and_a_split_does_not(workspace: Workspace) -> None:
    pairs = preferences(workspace)[:4]
    await say(workspace, "ann", pairs, [True, True, True, False])
    await say(workspace, "bob", pairs, [True, True, False, False])
    await say(workspace, "cyd", pairs[:2], [False, True])
    found = await agree(workspace, "helpful-safe/helpfulness")
    assert found.undecided == 1  # the third pair: one against one
    assert found.total.pairs == 3
    assert found.total.accuracy == pytest.approx(2 / 3)
    by_name = {one.name: one.accuracy for one in found.people}
    assert by_name == {"human:ann": pytest.approx(3 / 4), "human:bob": pytest.approx(1 / 2), "human:cyd": 0.5}
    assert found.between_people is not None


async def test_the_scorecard_is_kept_once_and_speaks_for_the_judge(workspace: Workspace) -> None:
    pairs = preferences(workspace)[:5]
    await say(workspace, "ann", pairs, [True] * 5)
    first = await agree(workspace, "helpful-safe/helpfulness")
    assert (await agree(workspace, "helpful-safe/helpfulness")).scorecard == first.scorecard
    [card] = workspace.store.read(StoredScorecard)
    [made] = workspace.store.read(PreferenceSet, "axis = 'helpfulness'")
    assert card.id == first.scorecard
    assert (card.judge, card.constitution, card.template) == (made.judge, made.constitution, made.template)
    await say(workspace, "ann", pairs[:1], [False])  # another word makes another card
    assert (await agree(workspace, "helpful-safe/helpfulness")).scorecard != first.scorecard


async def test_sides_do_not_tell_the_judges_choice(workspace: Workspace) -> None:
    pairs = preferences(workspace)
    await say(workspace, "ann", pairs, [True] * len(pairs))
    await agree(workspace, "helpful-safe/helpfulness")
    [card] = workspace.store.read(StoredScorecard)
    first = card.cells["TOTAL"]["ceiling"]["first"]  # type: ignore[index, call-overload]
    assert 0.3 < first < 0.7


async def test_without_labels_there_is_nothing_to_measure(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="nobody has labelled a pair of 'helpful-safe/safety'"):
        await agree(workspace, "helpful-safe/safety")
