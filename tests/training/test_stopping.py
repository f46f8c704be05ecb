"""When a run is stopped: by hand, over noise, and in PPO through its public argument."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlaif.errors import InputError
from rlaif.training.ppo import train
from rlaif.training.stopping import Estimates, Falling, noted
from tests.training.made import metrics
from tests.training.test_ppo import rounds, talk, tiny_config, vowels

RULE = Falling()


@pytest.mark.parametrize(
    ("means", "stops"),
    [
        ([1.0, 0.0, 0.0], True), ([1.0, 0.0], False), ([0.0, 1.0, 2.0], False), ([1.0, 0.0, 1.0, 0.0], False),
        ([0.0, 1.0, 0.0, 0.0], True), ([1.0, 0.8, 0.8], False), ([], False), ([1.0], False),
        ([2.0, 1.9, 1.0, 1.9, 1.0, 1.0], True),
    ],
)  # fmt: skip
def test_two_clear_falls_in_a_row_stop(means: list[float], stops: bool) -> None:
    """With errors of .1, a difference is clear from .2 times the root of 2, that is .283."""
    assert RULE([(mean, 0.1) for mean in means]) is stops


def test_errors_decide_what_is_clear() -> None:
    assert RULE([(1.0, 0.1), (0.7, 0.1), (0.7, 0.1)])
    assert not RULE([(1.0, 0.2), (0.7, 0.1), (0.7, 0.1)])
    assert not RULE([(1.0, 0.1), (0.7, 0.1), (0.7, 0.2)])


def test_patience_and_errors_can_be_told() -> None:
    fell = [(1.0, 0.1), (0.7, 0.1), (0.7, 0.1)]
    assert Falling(patience=1)(fell[:2])
    assert not Falling(patience=3)(fell)
    assert not Falling(errors=3.0)(fell)
    for wrong in ({"errors": 0.0}, {"patience": 0}):
        with pytest.raises(InputError, match="errors is above 0"):
            Falling(**wrong)  # type: ignore[arg-type]


def test_noise_alone_seldom_stops() -> None:
    """Twelve evaluations that never change: a best of many is high by luck, which patience pays for."""
    stream = np.random.default_rng(0)
    stopped = dict.fromkeys((1, 2, 3), 0)
    for _ in range(400):
        said = [(float(one) * 0.1, 0.1) for one in stream.normal(size=12)]
        for patience in stopped:
            stopped[patience] += any(Falling(patience=patience)(said[:end]) for end in range(1, 13))
    assert stopped[1] > 2 * stopped[2] > 4 * stopped[3]
    assert stopped[2] / 400 < 0.17
    assert stopped[3] / 400 < 0.06


def test_evaluations_are_kept_with_the_run() -> None:
    kept: dict[str, Any] = {"beta": 0.1}
    noted(kept, {"gold": 1.0, "gold_error": 0.1})
    noted(kept, {"gold": 5.0})  # of one prompt, without an error
    assert noted(kept, {"gold": 0.5, "gold_error": 0.2}) == [(1.0, 0.1), (0.5, 0.2)]
    assert kept["estimates"] == [[1.0, 0.1], [0.5, 0.2]]


def sinking(said: Sequence[object], texts: Sequence[str]) -> list[float]:
    """Gold that is lower at every evaluation, whatever is said."""
    sinking.at -= 1.0  # type: ignore[attr-defined]
    return [sinking.at + 0.001 * number for number in range(len(texts))]  # type: ignore[attr-defined]


def watched(folder: Path, **more: Any) -> Any:
    return tiny_config(
        folder, epochs=8, eval_every=6, data={"path": str(talk(folder, 12)), "test_share": 0.4}, **more
    )


def test_ppo_ends_where_it_is_told_to(tmp_path: Path) -> None:
    told: list[Estimates] = []

    def stop(estimates: Estimates) -> bool:
        told.append(list(estimates))
        return len(estimates) == 2

    config = watched(tmp_path)
    outcome = train(config, score=vowels, gold=vowels, stop=stop)
    assert [len(one) for one in told] == [1, 2]
    evaluated = [one for one in metrics(Path(config.output)) if "eval/gold" in one]
    assert [(one["eval/gold"], one["eval/gold_error"]) for one in evaluated[:2]] == told[-1]
    assert outcome.steps == rounds(Path(config.output))[-1]["step"] == evaluated[1]["step"]
    assert (Path(outcome.folder) / "model.safetensors").is_file()
    whole = train(watched(tmp_path, name="whole"), score=vowels, gold=vowels)
    assert outcome.steps < whole.steps


def test_ppo_is_stopped_by_a_gold_that_falls(tmp_path: Path) -> None:
    """Each response to each prompt is scored once, so the fall is told by hand of what is new."""
    sinking.at = 0.0  # type: ignore[attr-defined]
    outcome = train(watched(tmp_path, lr=1e-2), score=vowels, gold=sinking, stop=Falling())
    evaluated = [one for one in metrics(tmp_path / "out") if "eval/gold" in one]
    assert outcome.steps == evaluated[2]["step"]  # the best, and two below it


def test_a_stopped_run_remembers_what_it_had_come_to(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(estimates: Estimates) -> bool:
        if len(estimates) == 3:
            raise Killed
        return False

    config = watched(tmp_path, save_every=1)
    with pytest.raises(Killed):
        train(config, score=vowels, gold=vowels, stop=kill)
    told: list[Estimates] = []
    train(config, resume=True, score=vowels, gold=vowels, stop=lambda one: told.append(list(one)) or True)
    assert len(told) == 1
    assert len(told[0]) == 3


@pytest.mark.parametrize(
    ("more", "gold"),
    [
        ({"eval_every": None}, True), ({}, False), ({"data": "none held out"}, True),
    ],
)  # fmt: skip
def test_a_rule_that_would_be_told_nothing_is_refused(
    tmp_path: Path, more: dict[str, Any], gold: bool
) -> None:
    if "data" in more:
        more = {"data": {"path": str(talk(tmp_path, 12)), "test_share": 0.0}}
    config = watched(tmp_path).model_copy(update={})
    config = type(config).model_validate(config.model_dump() | more)
    with pytest.raises(InputError, match="needs all three"):
        train(config, score=vowels, gold=vowels if gold else None, stop=RULE)
    assert not (tmp_path / "out").exists()
