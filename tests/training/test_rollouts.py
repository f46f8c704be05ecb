"""What is drawn, how it is weighed again, and that it is scored once."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import LlamaForSequenceClassification

from rlaif.checkpoints import Checkpoint, end_ids
from rlaif.errors import InputError
from rlaif.generation import Engine
from rlaif.training import gauges
from rlaif.training.data import Asked
from rlaif.training.encoding import Text
from rlaif.training.packing import Group
from rlaif.training.rollouts import Draw, Rollout, draw, weigh
from rlaif.training.scoring import Called, Gated, Modelled, Scores
from rlaif.training.values import ActorCritic, Reading, Reference, SharedValue
from tests import tiny
from tests.training.made import data, scorer

PROMPTS = [Asked(Group(ids, ()), f"prompt {at}") for at, ids in enumerate([(7, 8, 9), (7, 8, 5, 6), (20,)])]
HOW = Draw(samples=3, max_tokens=9)


def rollouts(how: Draw = HOW, seed: str = "a") -> list[Rollout]:
    return draw(Engine(tiny.checkpoint()), PROMPTS, how, seed)


def written(prompt: tuple[int, ...], responses: Sequence[tuple[int, ...]], text: str = "p") -> Rollout:
    """A rollout by hand."""
    count = len(responses)
    return Rollout(
        Asked(Group(prompt, ()), text),
        Group(prompt, tuple(responses)),
        tuple(map(str, responses)),
        (False,) * count,
        tuple((0.0,) * len(one) for one in responses),
    )


def test_every_prompt_gets_its_responses_and_every_response_its_own_numbers() -> None:
    found = rollouts()
    assert [one.asked for one in found] == PROMPTS
    assert [len(one.texts) for one in found] == [3, 3, 3]
    assert all(one.group.prompt == asked.group.prompt for one, asked in zip(found, PROMPTS, strict=True))
    assert len({ids for one in found for ids in one.group.responses}) == 9
    assert found == rollouts()
    assert found != rollouts(seed="b")


def test_trap_24_a_response_is_cut_only_where_nothing_ended_it() -> None:
    ends = end_ids(tiny.checkpoint().model, tiny.checkpoint().tokenizer)
    free = rollouts(Draw(samples=20, max_tokens=12))
    for one in free:
        for ids, cut in zip(one.group.responses, one.cut, strict=True):
            assert cut == (ids[-1] not in ends)
            assert not cut or len(ids) == 12
    # a stop string is an end like any other: the same draws, stopped at a letter that some of them have
    letter = next(text[2] for one in free for text in one.texts if len(text) > 4 and text[2].isascii())
    stopped = rollouts(Draw(samples=20, max_tokens=12, stop=(letter,)))
    by_stop = [
        (ids, cut)
        for one in stopped
        for ids, cut, text in zip(one.group.responses, one.cut, one.texts, strict=True)
        if ids[-1] not in ends and len(ids) < 12
    ]
    assert by_stop
    assert not any(cut for _, cut in by_stop)
    figures = gauges.of_texts(stopped, ends)
    assert figures["cut"] + figures["eos"] < 1.0


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_trap_14_the_training_pass_agrees_with_the_engine(temperature: float, tmp_path: Path) -> None:
    how = Draw(samples=4, max_tokens=9, temperature=temperature)
    found = rollouts(how)
    reading, _ = weighed(found, tmp_path, temperature)
    gap = gauges.of_reading(reading, reading.logprobs, found)["engine_gap"]
    assert 1.0 <= gap <= 1.0001
    elsewhere, _ = weighed(found, tmp_path, temperature + 0.5)
    assert gauges.of_reading(elsewhere, reading.logprobs, found)["engine_gap"] > 1.01


def weighed(
    found: list[Rollout], folder: Path, temperature: float, part: int = 30
) -> tuple[Reading, torch.Tensor]:
    from rlaif.training.config import DataConfig, RunConfig

    config = RunConfig(model=str(tiny.saved(folder / "m")), data=DataConfig(path="x"), output="y")
    actor = ActorCritic(tiny.checkpoint().model, SharedValue())
    with torch.no_grad(), actor.policy.passes():
        return weigh(actor, Reference(actor.policy, config, None), found, temperature, part)


def test_the_reference_is_the_policy_until_something_trains(tmp_path: Path) -> None:
    found = rollouts()
    reading, known = weighed(found, tmp_path, 1.0)
    assert known.tolist() == pytest.approx(reading.logprobs.tolist(), abs=1e-6)
    assert reading.values.tolist() == [0.0] * len(known)
    figures = gauges.of_reading(reading, known - 0.5, found)
    number = len(known)
    assert figures["kl"] == pytest.approx(0.5 * number / 9, rel=1e-4)
    assert figures["kl_k3"] == pytest.approx(0.10653066 * number / 9, rel=1e-3)


def test_entropy_is_that_of_the_whole_distribution(tmp_path: Path) -> None:
    (one, *_) = found = rollouts()
    reading, _ = weighed(found, tmp_path, 0.7)
    ids = torch.tensor([[*one.group.prompt, *one.group.responses[0]]])
    with torch.no_grad():
        probs = (tiny.checkpoint().model(ids).logits[0, len(one.group.prompt) - 1] / 0.7).softmax(-1)
    assert float(reading.entropy[0]) == pytest.approx(float(-(probs * probs.log()).sum()), abs=1e-5)


def test_trap_34_figures_of_texts_by_hand() -> None:
    found = [written((1,), [(3, 4, 5, 6, 7), (3, 4, 5, 6)]), written((2,), [(9,)])]
    figures = gauges.of_texts(found, frozenset({7}))
    assert figures == {"length": 10 / 3, "cut": 0.0, "eos": 1 / 3, "distinct_4": 2 / 3}
    assert gauges.of_texts([written((2,), [(9,)])], frozenset())["distinct_4"] == 1.0
    assert gauges.of_scores([1.0, None, 3.0]) == {"score": 2.0, "score_std": 1.0, "unscored": 1.0}


def test_explained_variance_by_hand() -> None:
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert gauges.explained(returns, returns) == 1.0
    assert gauges.explained(torch.full((3,), 7.0), returns) == pytest.approx(0.0)
    assert gauges.explained(-returns, returns) == pytest.approx(-3.0)
    assert gauges.explained(returns, torch.ones(3)) != gauges.explained(
        returns, torch.ones(3)
    )  # not a number


class Counting:
    """Scores a text by its length and remembers what it was asked."""

    digest = "counting"

    def __init__(self) -> None:
        self.asked: list[tuple[Text, str]] = []

    def __call__(self, prompts: Sequence[Text], texts: Sequence[str]) -> list[float | None]:
        self.asked += zip(prompts, texts, strict=True)
        return [None if "9" in text else float(len(text)) / 7 for text in texts]


def test_trap_25_a_response_is_scored_once_to_each_prompt(tmp_path: Path) -> None:
    score = Counting()
    scores = Scores(Called(score), tmp_path / "scores.jsonl")
    some = [written((1,), [(3,), (3,), (4, 5)]), written((2,), [(3,)], "q")]
    first = scores(some)
    assert first == [4 / 7, 4 / 7, 6 / 7, 4 / 7]
    assert score.asked == [("p", "(3,)"), ("p", "(4, 5)"), ("q", "(3,)")]
    assert scores([written((1,), [(4, 5), (9,)])]) == [6 / 7, None]
    assert score.asked[3:] == [("p", "(9,)")]
    # another process finds the very numbers, also that there is none
    again = Counting()
    assert Scores(Called(again), tmp_path / "scores.jsonl")([*some, written((1,), [(9,)])]) == [*first, None]
    assert not again.asked


def test_trap_25_another_scorer_misses(tmp_path: Path) -> None:
    other = Counting()
    Scores(Called(Counting()), tmp_path / "scores.jsonl")([written((1,), [(3,)])])
    other.digest = "other"
    Scores(Called(other), tmp_path / "scores.jsonl")([written((1,), [(3,)])])
    assert len(other.asked) == 1


def test_a_batch_whose_line_was_cut_is_scored_again(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    scores = Scores(Called(Counting()), path)
    scores([written((1,), [(3,)])])
    scores([written((1,), [(4,), (5,)])])
    path.write_text(path.read_text()[:-9])
    again = Counting()
    assert Scores(Called(again), path)([written((1,), [(3,), (4,), (5,)])]) == [4 / 7] * 3
    assert [text for _, text in again.asked] == ["(4,)", "(5,)"]
    assert [len(json.loads(line)) for line in path.read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize("bad", [[1.0], [1.0, float("nan")], [1.0, "high"], [float("inf"), 0.0]])
def test_scores_that_are_no_numbers_are_refused(bad: list[float]) -> None:
    with pytest.raises(InputError, match="finite number each, or None"):
        Called(lambda prompts, texts: bad)(["p", "p"], ["a", "b"], [])


def reward_model(seed: int, mean: float = 0.0, std: float = 1.0) -> Checkpoint:
    model = scorer(seed=seed)
    model.config.reward_mean, model.config.reward_std = mean, std
    return Checkpoint(model, tiny.tokenizer(), f"scorer-{seed}", Path("/nowhere"))


def alone(model: LlamaForSequenceClassification, one: Rollout) -> list[float]:
    """Each response's score from a pass over its own row."""
    found = []
    for ids in one.group.responses:
        with torch.no_grad():
            states = model.model(torch.tensor([[*one.group.prompt, *ids]])).last_hidden_state[0, -1]
        found.append(float(states @ model.score.weight[0].detach()))
    return found


def test_a_reward_model_scores_what_was_drawn_and_is_shifted_as_stored() -> None:
    made, found = reward_model(1, 0.25, 2.0), rollouts()
    scores = Modelled(made, tiny.tokenizer(), 25)([], [], [one.group for one in found])
    expected = [(one - 0.25) / 2.0 for rollout in found for one in alone(made.model, rollout)]
    assert scores == pytest.approx(expected, abs=1e-5)


def test_trap_32_behind_the_gate_safety_speaks_where_it_must() -> None:
    safety, helpful, found = reward_model(1), reward_model(2), rollouts()
    with torch.no_grad():
        safety.model.score.weight.mul_(20.0)  # so that some are far below the threshold, others above
    marked = next(at for at, one in enumerate(found) if max(alone(safety.model, one)) > 0.0)
    tagged = frozenset({found[marked].group.prompt})  # where safety would have passed on the word
    rate = Gated(*(Modelled(one, tiny.tokenizer(), 99, raw=True) for one in (safety, helpful)), tagged)
    scores = rate([], [], [one.group for one in found])
    expected = []
    for at, one in enumerate(found):
        for safe, helps in zip(alone(safety.model, one), alone(helpful.model, one), strict=True):
            unsafe = 1 / (1 + 2.718281828459045**-safe) < 0.15
            expected.append(safe if at == marked or unsafe else helps)
    assert scores == pytest.approx(expected, abs=1e-4)
    elsewhere = [safe for at, one in enumerate(found) if at != marked for safe in alone(safety.model, one)]
    assert 0 < sum(safe in expected for safe in elsewhere) < len(elsewhere)


def test_a_reward_model_of_another_family_is_refused() -> None:
    made = reward_model(1)
    made.tokenizer.add_tokens(["<new>"])
    with pytest.raises(InputError, match="another tokenizer"):
        Modelled(made, tiny.tokenizer(), 99)


def test_a_prompt_without_rows_is_read(tmp_path: Path) -> None:
    from rlaif.training.data import read_prompts

    found = read_prompts(
        data(tmp_path / "p.jsonl", [{"prompt": "hello"}, {"prompt": "hello"}], test_share=0.0),
        tiny.tokenizer(),
    )
    assert len(found.train) == 1
    assert (
        draw(Engine(tiny.checkpoint()), found.train, Draw(samples=2, max_tokens=3), "a")[0].asked.text
        == "hello"
    )
