"""Whole iterations in a pretended world: what comes of a judge that sees, and of one upside down."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rlaif.checkpoints import identity
from rlaif.errors import InputError, JobError
from rlaif.iterations import Outcome, iterate
from rlaif.iterations.folder import Folder
from tests.iterations.world import PROMPTS, World, few, gold, loaded, policy, state
from tests.test_training_metrics import glossary, written


def golds(outcome: Outcome) -> list[float]:
    return [row.figures.gold.mean for row in outcome.rows if row.figures.gold and row.figures.gold.mean]


def test_a_judge_that_improves_by_training_raises_gold_in_both_rounds(grown: Outcome) -> None:
    first, second, third = golds(grown)
    assert first < second < third
    assert third - first > 0.5
    assert [state(row.policy.name)["skill"] for row in grown.rows] == [0.5, 0.75, 1.0]
    assert grown.best == 2
    assert not any("gold" in notice for row in grown.rows for notice in row.notices)


def test_a_judge_that_sees_upside_down_lowers_gold_and_the_rows_say_so(world: World, tmp_path: Path) -> None:
    policy(tmp_path / "model", quality=1.0, skill=-0.9)
    outcome = iterate(loaded(tmp_path), gold=gold)
    first, second, third = golds(outcome)
    assert first > second > third
    assert outcome.best == 0
    (notice,) = outcome.rows[2].notices
    assert notice.startswith(f"the gold score fell by {first - third:.3g} ")
    assert "while the proxy moved by" in notice


@pytest.mark.parametrize(("control", "sign"), [("flipped", -1.0), ("constant", 0.0), (None, 1.0)])
def test_a_control_turns_a_sound_judges_rounds(
    world: World, tmp_path: Path, control: str | None, sign: float
) -> None:
    """What is chosen leads by as much as what is rejected trails; said both ways, neither leads."""
    policy(tmp_path / "model", quality=1.0, skill=1.0)
    outcome = iterate(few(tmp_path, control=control), gold=gold)
    before, after = (state(row.policy.name)["quality"] for row in outcome.rows)
    assert (after - before) * sign > 0.2 or (sign == 0.0 and abs(after - before) < 1e-9)


def test_a_control_that_has_nothing_to_turn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="control flipped turns pairs round, and what is imitated has none"):
        few(tmp_path, control="flipped", train={"method": "sft"})


def test_rows_are_kept_and_their_numbers_are_in_the_metrics(grown: Outcome) -> None:
    outcome, folder = grown, Path("outputs/small")
    kept = [json.loads((folder / f"round-{number}/row.json").read_text()) for number in range(3)]
    assert [row.model_dump(mode="json") for row in outcome.rows] == kept
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    for row, line in zip(outcome.rows, lines, strict=True):
        assert row.figures.gold is not None
        assert line["gold"] == row.figures.gold.mean
        assert line["symptom/apology"] == 0.0
        assert line["kl"] == 0.0  # the weights never change here
    assert lines[1]["data/pairs"] == outcome.rows[1].made.pairs  # type: ignore[union-attr]
    assert "data/pairs" not in lines[0]


def test_every_name_a_round_writes_is_explained(grown: Outcome) -> None:
    names = {re.sub("^symptom/.*", "symptom/NAME", one) for one in written(Path("outputs/small"))}
    assert names == glossary()["Rounds"]


def test_prompts_are_drawn_from_on_one_side_and_measured_on_the_other(grown: Outcome) -> None:
    made, figures = grown.rows[1].made, grown.rows[1].figures
    assert made is not None
    assert made.responses == 4 * made.prompts
    assert made.replies == 3 * made.responses
    assert figures.responses == 2 * (PROMPTS - made.prompts)
    asked = {
        side: {line["prompt"][0]["content"] for line in lines(Path(f"outputs/small/prompts/{side}.jsonl"))}
        for side in ("train", "test")
    }
    assert not asked["train"] & asked["test"]
    assert len(asked["train"]) == made.prompts


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Pairs


def asked_of(body: Mapping[str, Any]) -> int:
    """The number of the prompt that a judge is asked about."""
    return int(body["messages"][-1]["content"].split("How much is ")[1].split("?")[0])


def test_prompts_whose_responses_are_all_equal_give_no_pair_and_all_others_one(
    world: World, tmp_path: Path
) -> None:
    world.say = lambda body: "Score: 3" if asked_of(body) % 3 == 0 else None
    outcome = iterate(loaded(tmp_path, rounds=1))
    made = outcome.rows[1].made
    assert made is not None
    drawn = lines(tmp_path / "outputs/small/prompts/train.jsonl")
    equal = sum(int(one["prompt"][0]["content"].split()[-1][:-1]) % 3 == 0 for one in drawn)
    assert equal > 3
    assert made.ties >= equal  # three noisy draws may average to a tie elsewhere
    assert made.pairs == made.prompts - made.ties
    assert len(lines(Path(made.path))) == made.pairs


def test_replies_nobody_can_read_are_counted_and_make_no_winner(world: World, tmp_path: Path) -> None:
    world.say = lambda body: {0: "Score: 9", 1: "no idea"}.get(asked_of(body) % 4)
    outcome = iterate(loaded(tmp_path, rounds=1))
    made = outcome.rows[1].made
    assert made is not None
    drawn = lines(tmp_path / "outputs/small/prompts/train.jsonl")
    lost = sum(int(one["prompt"][0]["content"].split()[-1][:-1]) % 4 < 2 for one in drawn)
    assert made.without == lost
    assert made.unreadable == 3 * 4 * lost
    assert made.pairs == made.prompts - made.ties - lost
    proxy = outcome.rows[1].figures.proxy
    assert proxy is not None
    assert proxy.unreadable > 0.3


def test_a_round_without_a_pair_says_why(world: World, tmp_path: Path) -> None:
    world.say = lambda body: "Score: 3"
    with pytest.raises(JobError, match=r"round 1 has nothing to learn from: of (\d+) prompts, \1 have"):
        iterate(few(tmp_path))


def test_the_best_is_set_against_the_worst(world: World, tmp_path: Path) -> None:
    policy(tmp_path / "model", quality=1.0, skill=1.0)
    outcome = iterate(loaded(tmp_path, rounds=1))
    made = outcome.rows[1].made
    assert made is not None
    rows = lines(Path(made.path))
    assert set(rows[0]) == {"prompt", "chosen", "rejected"}
    leads = [number(row["chosen"]) - number(row["rejected"]) for row in rows]
    # A scale of six points decides to within two thirds of a unit.
    assert min(leads) > 0.0
    assert sum(leads) / len(leads) > 1.5  # two draws of a normal are 1.13 apart, extremes of four 2.06


def number(turns: Any) -> float:
    return float(turns[-1]["content"].split()[-1])


# Lineage


def drawers(folder: Path) -> set[str]:
    """Digests of the checkpoints that drew, read from the journal's own lines."""
    found = set()
    for path in (folder / "journal").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            if line.split(" ", 2)[1] == "I":
                body = json.loads(line[line.index("{") :])["body"]
                if "Score: N" not in body["messages"][-1]["content"]:
                    found.add(body["checkpoint"])
    return found


def test_trap_31_each_rounds_data_is_drawn_by_that_rounds_checkpoint_alone(grown: Outcome) -> None:
    for before, row in zip(grown.rows, grown.rows[1:], strict=False):
        assert row.made is not None
        assert row.parent is not None
        assert drawers(Path(f"outputs/small/round-{row.round}/data")) == {identity(before.policy.name)}
        assert row.made.policy == row.parent.digest == before.policy.digest
    assert len({row.policy.digest for row in grown.rows}) == 3


class Stop(Exception):
    """Stands for a power cut."""


def test_trap_31_what_another_checkpoint_drew_is_refused(world: World, tmp_path: Path) -> None:
    def stop() -> None:
        raise Stop

    world.before_training = stop
    with pytest.raises(Stop):
        iterate(few(tmp_path))
    world.before_training = lambda: None
    policy(tmp_path / "model", quality=2.0, skill=0.5)  # trained again under its name
    row = tmp_path / "outputs/small/round-0/row.json"
    held = json.loads(row.read_text())
    held["policy"]["digest"] = identity("model")
    row.write_text(json.dumps(held))
    with pytest.raises(InputError, match=r"\d+ of \d+ responses were drawn by the checkpoint"):
        iterate(few(tmp_path), resume=True)
    assert world.trained == []


def test_trap_31_a_draw_nobody_can_read_counts_nothing(world: World, tmp_path: Path) -> None:
    world.say = lambda body: "no idea" if body["params"]["seed"] % 3 == 0 else "Score: 4"
    with pytest.raises(JobError, match="nothing to learn from"):
        iterate(loaded(tmp_path))
    row = json.loads((tmp_path / "outputs/small/round-0/row.json").read_text())
    proxy = row["figures"]["proxy"]
    assert proxy["mean"] == 4.0
    assert 0.2 < proxy["unreadable"] < 0.5


def test_trap_31_gold_is_asked_about_measured_responses_alone(world: World, tmp_path: Path) -> None:
    asked: set[str] = set()

    def noted(prompts: Any, responses: Any) -> list[float | None]:
        asked.update(one[0].content for one in prompts)
        return gold(prompts, responses)

    iterate(few(tmp_path), gold=noted)
    sides = {
        side: {one["prompt"][0]["content"] for one in lines(tmp_path / f"outputs/small/prompts/{side}.jsonl")}
        for side in ("train", "test")
    }
    assert asked == sides["test"]
    assert not asked & sides["train"]


def test_a_policy_that_was_changed_since_is_refused(world: World, tmp_path: Path) -> None:
    iterate(few(tmp_path))
    policy(tmp_path / "outputs/small/round-1/policy/final", quality=9.0, skill=0.5)
    with pytest.raises(InputError, match=r"has become .* since its round was done"):
        iterate(few(tmp_path, rounds=2), resume=True)


def test_a_policy_trained_from_another_is_refused(world: World, tmp_path: Path) -> None:
    iterate(few(tmp_path))
    folder = tmp_path / "outputs/small/round-1"
    (folder / "row.json").unlink()
    held = json.loads((folder / "policy/final/lineage.json").read_text())
    (folder / "policy/final/lineage.json").write_text(json.dumps({**held, "parent_digest": "0" * 64}))
    with pytest.raises(InputError, match="was trained from the checkpoint '000000000000'"):
        iterate(few(tmp_path), resume=True)


# Going on


@pytest.mark.parametrize("round_", [1, 2])
def test_what_was_stopped_goes_on_without_asking_or_training_twice(
    world: World, tmp_path: Path, short: tuple[Outcome, int], round_: int
) -> None:
    def stop() -> None:
        if len(world.trained) == round_ - 1:
            raise Stop

    world.before_training = stop
    with pytest.raises(Stop):
        iterate(few(tmp_path, rounds=2), gold=gold)
    world.before_training = lambda: None
    outcome = iterate(few(tmp_path, rounds=2), resume=True, gold=gold)
    assert (outcome, world.sent.total()) == short
    assert len(world.trained) == 2


def test_a_done_iteration_is_read_and_more_rounds_may_follow(world: World, tmp_path: Path) -> None:
    first = iterate(few(tmp_path))
    calls = world.sent.total()
    assert iterate(few(tmp_path), resume=True) == first
    assert world.sent.total() == calls
    more = iterate(few(tmp_path, rounds=2), resume=True)
    assert more.rows[:2] == first.rows
    assert len(world.trained) == 2


def test_going_on_has_to_be_asked_for(world: World, tmp_path: Path) -> None:
    iterate(few(tmp_path))
    with pytest.raises(InputError, match="add --resume"):
        iterate(few(tmp_path))


def test_going_on_with_something_else_is_refused_by_name(world: World, tmp_path: Path) -> None:
    iterate(few(tmp_path))
    with pytest.raises(InputError, match=r"asked otherwise: seed \(5 before, 6 now\)"):
        iterate(few(tmp_path, seed=6), resume=True)
    with pytest.raises(InputError, match=r"asked otherwise: prompts "):
        iterate(more_prompts(tmp_path), resume=True)


def more_prompts(folder: Path) -> Any:
    made = few(folder)
    rows = (folder / "prompts.jsonl").read_text()
    (folder / "prompts.jsonl").write_text('{"prompt": "How much is 99?"}\n' + rows)
    return made


def test_a_folder_of_something_else_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "outputs/small").mkdir(parents=True)
    (tmp_path / "outputs/small/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        iterate(few(tmp_path))


# Who chooses


def test_a_callable_chooses_where_the_file_names_nobody(world: World, tmp_path: Path) -> None:
    outcome = iterate(loaded(tmp_path, judge=None, rounds=1), score=gold)
    made, figures = outcome.rows[1].made, outcome.rows[1].figures
    assert made is not None
    assert (made.ties, made.without, made.unreadable) == (0, 0, 0)
    rows = lines(Path(made.path))
    assert len(rows) == made.pairs == made.prompts
    leads = [float(row["chosen"].split()[-1]) - float(row["rejected"].split()[-1]) for row in rows]
    assert 1.8 < sum(leads) / len(leads) < 2.4  # extremes of four normals: 2.06
    assert figures.proxy is not None
    assert figures.proxy.mean == pytest.approx(state(outcome.policy)["quality"], abs=0.6)


def test_scores_that_are_missing_are_never_made_up(world: World, tmp_path: Path) -> None:
    def moody(prompts: Any, responses: Any) -> list[float | None]:
        known = zip(prompts, gold(prompts, responses), strict=True)
        return [None if "is 1" in prompt[0].content else score for prompt, score in known]

    outcome = iterate(few(tmp_path, judge=None), score=moody)
    made = outcome.rows[1].made
    assert made is not None
    drawn = lines(tmp_path / "outputs/small/prompts/train.jsonl")
    silent = sum("is 1" in row["prompt"][0]["content"] for row in drawn)
    assert made.without == silent > 0
    assert made.unreadable == 4 * silent
    assert made.pairs == made.prompts - silent


@pytest.mark.parametrize("both", [True, False])
def test_one_has_to_choose_and_only_one(world: World, tmp_path: Path, both: bool) -> None:
    asked = loaded(tmp_path) if both else loaded(tmp_path, judge=None)
    with pytest.raises(InputError, match=f"found {2 if both else 0} that choose"):
        iterate(asked, score=gold if both else None)


def test_a_second_judge_is_asked_of_every_policy(grown: Outcome) -> None:
    """It sees how worthy answers are; the proxy sees only how they compare with the policy's usual ones."""
    means = [row.figures.second.mean for row in grown.rows if row.figures.second]
    assert len(means) == 3
    assert means[2] > means[0] + 0.3  # type: ignore[operator]
    assert {row.figures.second.unreadable for row in grown.rows if row.figures.second} == {0.0}


def test_an_unpriced_or_costly_judge_needs_a_budget(world: World, tmp_path: Path) -> None:
    by = {"constitution": "numbers.yaml", "judge": {"kind": "additive", "model": "openai:gpt-5-mini"}}
    with pytest.raises(InputError, match=r"say what all may cost: --budget USD"):
        iterate(loaded(tmp_path, judge=by))


def test_prompts_on_one_side_alone_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of 2 prompts is on the test side \(test_share 0\)"):
        Folder(
            loaded(tmp_path, prompts={"path": "prompts.jsonl", "limit": 2, "test_share": 0.0}), resume=False
        )
