"""The table that answers: each of its tells shows one symptom, and what a proxy pays for spreads alone."""

from collections import Counter
from pathlib import Path

import pytest

from rlaif.lab.config import Sweeping
from rlaif.lab.overoptimisation import overoptimise
from rlaif.lab.speaker import RATE, TELLS, say
from rlaif.lab.worlds import World
from rlaif.symptoms import SYMPTOMS, found


def test_every_symptom_of_text_alone_has_tells() -> None:
    assert set(TELLS) == set(SYMPTOMS) - {"over_refusal"}


@pytest.mark.parametrize(("symptom", "tell"), [(name, one) for name, some in TELLS.items() for one in some])
def test_a_tell_shows_its_symptom_and_no_other(symptom: str, tell: str) -> None:
    assert found(f"{tell} I saw the apple and the river. It was a warm day.") == {symptom}


def test_each_symptom_is_shown_as_often_as_said(seed: int) -> None:
    world = World.drawn("cover", 0)
    prompt = world.prompt(3)
    shown = Counter(name for at in range(3000) for name in found(say(prompt, f"{seed}:{at}"), prompt))
    for name in TELLS:
        assert shown[name] / 3000 == pytest.approx(RATE, abs=0.022), name


def sweep(folder: Path, symptom: str, seed: int) -> Sweeping:
    return Sweeping.model_validate({
        "schema_version": 1, "name": "planted", "seed": seed, "output": str(folder / "out"), "size": "toy",
        "world": "exploit", "proxy": {"kind": "bonus", "symptom": symptom, "size": 3.0},
        "sweep": {"kind": "best_of_n", "values": [4, 12]},
    })  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("symptom", sorted(TELLS))
def test_a_bonus_raises_each_symptom_and_no_other(tmp_path: Path, symptom: str, seed: int) -> None:
    raises_one(tmp_path, symptom, seed)


def test_a_planted_bonus_raises_its_symptom_and_no_other(tmp_path: Path, seed: int) -> None:
    raises_one(tmp_path, sorted(TELLS)[seed % len(TELLS)], seed)


def raises_one(tmp_path: Path, symptom: str, seed: int) -> None:
    curve = overoptimise(sweep(tmp_path, symptom, seed))
    before, after = curve.start.symptoms, curve.points[-1].symptoms
    assert after[symptom] >= 3 * before[symptom]
    others = {name: after[name] / before[name] for name in TELLS if name != symptom}
    assert max(others.values()) <= 1.5, others
    assert [one for one in curve.notices if repr(symptom) in one]
