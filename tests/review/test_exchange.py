"""Argilla and Label Studio: what leaves says nothing of the judge; what comes back is matched by id."""

import json
from pathlib import Path

import pytest

from rlaif.errors import InputError
from rlaif.records import Preference
from rlaif.review import Choice, argilla, keep, label_studio, standing
from rlaif.review.exchange import Task, matched, tasks
from rlaif.store import Workspace


def save(folder: Path, rows: object) -> Path:
    path = folder / "answers.json"
    path.write_text(json.dumps(rows))
    return path


def argilla_record(task: Task, *said: tuple[str, object]) -> dict:
    """A record as the SDK exports it, with answers of some people."""
    [record] = argilla.records([task])
    record["responses"] = {"better": [{"value": value, "user_id": person} for person, value in said]}
    return record


def studio_task(task: Task, *said: tuple[object, str]) -> dict:
    [made] = label_studio.tasks_json([task])
    made["annotations"] = [
        {
            "id": number,
            "completed_by": person,
            "was_cancelled": False,
            "updated_at": "2026-02-03T04:05:06.000000Z",
            "result": [
                {"from_name": "better", "to_name": "better", "type": "pairwise", "value": {"selected": side}}
            ],
        }
        for number, (person, side) in enumerate(said)
    ]
    return made


async def test_what_leaves_tells_nothing_of_the_judge(workspace: Workspace) -> None:
    found = list(tasks(workspace.store, Choice()))
    pairs = {one.id: one for one in workspace.store.read(Preference)}
    assert [one.preference for one in found] == [
        one.id for one in workspace.store.read(Preference, order="rowid")
    ]
    chosen_first = sum(one.a_id == pairs[one.preference].chosen_id for one in found)
    assert 0.3 < chosen_first / len(found) < 0.7
    text = json.dumps([*argilla.records(found), *label_studio.tasks_json(found)])
    for word in ("chosen", "rejected", "margin", "gpt-5-mini", "probability"):
        assert word not in text
    assert len(list(tasks(workspace.store, Choice(), limit=7))) == 7


async def test_argilla_answers_come_back(workspace: Workspace, tmp_path: Path) -> None:
    one, two, three = list(tasks(workspace.store, Choice(axis="safety"), limit=3))
    rows = [
        argilla_record(one, ("u-ann", ["response_a", "response_b"]), ("u-bob", ["response_b", "response_a"])),
        argilla_record(two, ("u-ann", "response_b")),
        argilla_record(
            three, ("u-ann", [{"value": "response_b", "rank": 1}, {"value": "response_a", "rank": 1}])
        ),
    ]
    labels, brought = matched(workspace.store, argilla.answers(save(tmp_path, rows)), "argilla")
    await keep(workspace, labels)
    assert (brought.kept, brought.known, brought.people) == (4, 0, {"u-ann": 3, "u-bob": 1})
    now = {
        (label.person, label.first_id, label.second_id): label.winner
        for _, label in standing(workspace.store)
    }
    assert now == {
        ("u-ann", one.a_id, one.b_id): one.a_id,
        ("u-bob", one.a_id, one.b_id): one.b_id,
        ("u-ann", two.a_id, two.b_id): two.b_id,
        ("u-ann", three.a_id, three.b_id): None,
    }
    assert all(label.blind and label.source == "argilla" for _, label in standing(workspace.store))
    again, brought = matched(workspace.store, argilla.answers(save(tmp_path, rows)), "argilla")
    assert (again, brought.kept, brought.known) == ([], 0, 4)


async def test_argillas_server_shape_is_read(workspace: Workspace, tmp_path: Path) -> None:
    [task] = tasks(workspace.store, Choice(), limit=1)
    record = argilla_record(task)
    ranked = [{"value": "response_b", "rank": 1}, {"value": "response_a", "rank": 2}]
    record["responses"] = [
        {"values": {"better": {"value": ranked}}, "status": "submitted", "user_id": "7b1f"},
        {"values": {"better": {"value": ranked}}, "status": "draft", "user_id": "drafted"},
    ]
    labels, _ = matched(workspace.store, argilla.answers(save(tmp_path, [record])), "argilla")
    assert [(one.person, one.verdict, one.first_id) for one in labels] == [("7b1f", "second", task.a_id)]


async def test_label_studio_answers_come_back(workspace: Workspace, tmp_path: Path) -> None:
    one, two = list(tasks(workspace.store, Choice(), limit=2))
    skipped = studio_task(two, (3, "left"))
    skipped["annotations"][0]["was_cancelled"] = True
    tie = studio_task(two, ({"id": 4, "email": "ann@example.org"}, "left"))
    tie["annotations"][0]["result"].append(
        {"from_name": "tie", "to_name": "prompt", "type": "choices", "value": {"choices": ["tie"]}}
    )
    rows = [studio_task(one, (1, "left"), (2, "right")), skipped, tie]
    labels, brought = matched(workspace.store, label_studio.answers(save(tmp_path, rows)), "label_studio")
    assert brought.people == {"1": 1, "2": 1, "ann@example.org": 1}
    assert [(each.person, each.verdict) for each in labels] == [
        ("1", "first"), ("2", "second"), ("ann@example.org", "tie"),
    ]  # fmt: skip
    assert labels[0].at == "2026-02-03T04:05:06.000000+00:00"
    assert "<Pairwise name" in label_studio.CONFIG
    assert 'toName="response_a,response_b"' in label_studio.CONFIG


async def test_what_does_not_match_is_named_and_nothing_is_guessed(
    workspace: Workspace, tmp_path: Path
) -> None:
    one, two, three, four = list(tasks(workspace.store, Choice(), limit=4))
    ann = ("ann", "response_a")
    unknown = argilla_record(one, ann)
    unknown["metadata"]["preference_id"] = "pf_nobody"
    changed = argilla_record(two, ann)
    changed["fields"]["response_a"] += " and more"
    swapped = argilla_record(three, ann)
    fields = swapped["fields"]
    fields["response_a"], fields["response_b"] = fields["response_b"], fields["response_a"]
    vague = argilla_record(four, ("ann", "both are fine"), ("bob", ["response_a"]))
    nameless = argilla_record(one, ann)
    nameless["id"], nameless["metadata"] = None, {}
    rows = [unknown, changed, swapped, vague, nameless]
    labels, brought = matched(workspace.store, argilla.answers(save(tmp_path, rows)), "argilla")
    assert labels == []
    assert brought.unknown == ("pf_nobody", "record 5, answer 1")
    assert brought.changed == (two.preference, three.preference)
    assert brought.unread == ("record 4, answer 1", "record 4, answer 2")
    assert (brought.unknown_count, brought.changed_count, brought.unread_count) == (2, 2, 2)


async def test_line_ends_do_not_make_another_text(workspace: Workspace, tmp_path: Path) -> None:
    [task] = tasks(workspace.store, Choice(), limit=1)
    record = argilla_record(task, ("ann", "response_a"))
    record["fields"]["response_a"] = f"{task.a}\r\n"
    _, brought = matched(workspace.store, argilla.answers(save(tmp_path, [record])), "argilla")
    assert brought.kept == 1


async def test_the_last_word_of_a_person_counts(workspace: Workspace, tmp_path: Path) -> None:
    [task] = tasks(workspace.store, Choice(), limit=1)
    rows = [argilla_record(task, ("ann", "response_a")), argilla_record(task, ("ann", "response_b"))]
    for kept in (1, 0):
        labels, brought = matched(workspace.store, argilla.answers(save(tmp_path, rows)), "argilla")
        await keep(workspace, labels)
        assert brought.kept == kept
        assert [label.winner for _, label in standing(workspace.store)] == [task.b_id]


@pytest.mark.parametrize("rows", [[1], ["x"], [{}], [{"fields": 3}], {"fields": {}}])
def test_files_of_another_shape_are_refused(rows: object, tmp_path: Path) -> None:
    for module in (argilla, label_studio):
        with pytest.raises(InputError):
            list(module.answers(save(tmp_path, rows)))


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("a", "first"), ("B", "second"), ("tie", "tie"), ("", None), (None, None), (3, None),
        (["response_a", "response_a"], None), (["x", "y"], None), ([], None),
        ([{"value": "response_a", "rank": 2}, {"value": "response_b", "rank": 1}], "second"),
    ],
)  # fmt: skip
def test_argilla_values(said: object, verdict: str | None) -> None:
    assert argilla.verdict(said) == verdict


def test_label_studio_values() -> None:
    def pairwise(side: object) -> dict:
        return {"type": "pairwise", "value": {"selected": side}}

    assert label_studio.verdict([pairwise("left")]) == "first"
    assert label_studio.verdict([pairwise("right"), pairwise("right")]) == "second"
    assert label_studio.verdict([pairwise("left"), pairwise("right")]) is None
    assert label_studio.verdict([pairwise("none")]) is None
    assert label_studio.verdict([{"type": "choices"}]) is None
    assert label_studio.verdict("left") is None
