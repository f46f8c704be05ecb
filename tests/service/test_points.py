"""Points of a course: of sweeps of the laboratory, whole and half done, and of held-out evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlaif.errors import InputError
from rlaif.lab.curve import Point, drawn_up
from rlaif.service import runs
from rlaif.service.points import points
from rlaif.service.web.lines import Box
from rlaif.service.web.overoptimisation import plot, table
from tests.service import trained
from tests.service.rooms import room

START = (0.0, 0.0, 1.0, 1.0)
"""Gold of the start on four prompts."""


def policy(name: str, gains: tuple[float, ...], kl: float, **more: Any) -> Point:
    """A policy whose gold exceeds the start's by so much, prompt by prompt; its proxy by twice its KL."""
    gold = tuple(its + gain for its, gain in zip(START, gains, strict=True))
    proxy = tuple(2.0 * kl for _ in START)
    return Point(
        name=name, setting=None if name == "start" else 1.0, kl=kl, proxy=proxy, gold=gold, length=20.0 + kl,
        responses=16, **more,
    )  # fmt: skip


POLICIES = (
    policy("start", (0.0, 0.0, 0.0, 0.0), 0.0, symptoms={"hedging": 0.0}),
    policy("beta = 0.1", (1.0, 1.0, 1.0, 1.1), 4.0, symptoms={"hedging": 0.25}),
    policy("beta = 0.01", (-1.0, -1.0, -1.0, -1.1), 9.0, symptoms={"hedging": 0.5}),
)


def sweep(folder: Path, *, ended: bool, **about: Any) -> Path:
    """A sweep's folder, with its curve or with finished points alone."""
    (folder / "points").mkdir(parents=True)
    told = {"world": "exploit", "model": "speaking", "sweep": {"values": [0.1, 0.01]}}
    (folder / "config.json").write_text(json.dumps(told))
    for one in POLICIES:
        path = folder / "points" / f"{one.name.replace(' = ', '-')}.json"
        path.write_text(one.model_dump_json())
    if ended:
        curve = drawn_up("made", {"held_out": "gold", **about}, POLICIES[0], POLICIES[1:])
        (folder / "curve.json").write_text(curve.model_dump_json())
    return folder


def test_a_sweep_is_told_by_gains_and_by_its_own_choice(tmp_path: Path) -> None:
    course = points(sweep(tmp_path / "sweep", ended=True))
    assert course is not None
    assert (course.kind, course.judged_by, course.peak, course.stop, course.falls) == (
        "policies", "gold", 1, 1, True,
    )  # fmt: skip
    start, best, last = course.points
    assert (start.name, start.distance, start.gold.mean) == ("start", 0.0, 0.0)  # type: ignore[union-attr]
    assert best.gold is not None
    assert best.gold.mean == pytest.approx(1.025)
    # Gains 1, 1, 1, 1.1: variance .0025, over four prompts .05 / 2.
    assert best.gold.error == pytest.approx(0.025)
    assert best.proxy is not None
    assert (best.proxy.mean, best.proxy.error) == (8.0, 0.0)
    assert (last.distance, last.tokens, last.symptoms) == (3.0, 29.0, {"hedging": 0.5})
    assert any("use beta = 0.1" in one for one in course.notices)


def test_a_second_reward_model_is_no_gold(tmp_path: Path) -> None:
    course = points(sweep(tmp_path / "sweep", ended=True, held_out="outputs/other"))
    assert course is not None
    assert course.judged_by == "second"
    assert {one.gold for one in course.points} == {None}


def test_a_held_out_judge_chooses_and_gold_stands_beside_it(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", ended=False)
    shares = ((0.0, 0.0, 0.0, 0.0), (0.1, 0.2, 0.1, 0.2), (0.3, 0.4, 0.3, 0.4))
    judged = [one.model_copy(update={"judged": by}) for one, by in zip(POLICIES, shares, strict=True)]
    curve = drawn_up("made", {"held_out": "mock:text"}, judged[0], judged[1:])
    (folder / "curve.json").write_text(curve.model_dump_json())
    course = points(folder)
    assert course is not None
    assert (course.judged_by, course.peak, course.falls) == ("second", 2, False)
    assert [one.gold.mean for one in course.points] == pytest.approx([0.0, 1.025, -1.025])  # type: ignore[union-attr]
    assert [one.second.mean for one in course.points] == pytest.approx([0.0, 0.15, 0.35])  # type: ignore[union-attr]


def test_a_sweep_that_goes_on_shows_what_is_finished(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", ended=False)
    course = points(folder)
    assert course is not None
    assert [one.name for one in course.points] == ["start", "beta = 0.1", "beta = 0.01"]
    assert (course.judged_by, course.peak, course.falls, course.fits) == ("gold", 1, True, ())
    run = runs.read("sweep", folder)
    assert (run.method, run.state, run.step, run.total) == ("sweep", "running", 2, 2)
    for path in (folder / "points").glob("beta*"):
        path.unlink()
    assert points(folder) is None


@pytest.mark.parametrize("name", ["curve.json", "points/start.json"])
def test_a_damaged_sweep_is_named(name: str, tmp_path: Path) -> None:
    folder = sweep(tmp_path / "sweep", ended=name == "curve.json")
    (folder / name).write_text('{"half": ')
    with pytest.raises(InputError, match=r"curve of a sweep|point of a sweep"):
        points(folder)


async def test_sweeps_and_the_runs_inside_them_are_found(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "store" / "training" / "lab", ended=False)
    trained.ppo(folder / "points" / "beta-0.1")
    async with room(tmp_path) as service:
        assert set(runs.found(service)) == {"lab.beta-0.1"}
        assert set(runs.places(service)) == {"lab", "lab.beta-0.1"}


def test_strips_lie_over_the_plot_s_own_axis(tmp_path: Path) -> None:
    course = points(sweep(tmp_path / "sweep", ended=True))
    assert course is not None
    length, hedging = plot(course)["strips"]  # type: ignore[misc]
    assert (length.name, length.first, length.last) == ("length, tokens", "20", "29")
    assert (hedging.name, hedging.first, hedging.last, hedging.worse) == ("hedging", "0.0%", "50.0%", True)
    # d is 0, 2, 3 of 3 over 640 units.
    assert [x for x, _ in hedging.dots] == pytest.approx([0.0, 640 * 2 / 3, 640.0], abs=0.05)
    assert table(course).splitlines()[2].startswith("beta = 0.1,1,4.0,2.0,8.0,0.0,1.0")


def line(step: int, before: str = "", **numbers: float) -> dict[str, float]:
    return {"step": step, **{f"{before}{name}": value for name, value in numbers.items()}}


def test_held_out_evaluations_come_before_updates(tmp_path: Path) -> None:
    lines = [line(step, kl=float(step), score=9.0, gold=9.0) for step in range(1, 7)]
    for at, gold in enumerate((0.1, 0.5, 0.2), 1):
        numbers = {"kl": float(at**2), "score": float(at), "gold": gold, "gold_error": 0.01, "cut": 0.1 * at}
        lines.append(line(2 * at, "eval/", distinct_4=0.9, **numbers))
    course = points(trained.run(tmp_path / "ppo", lines, "ppo"))
    assert course is not None
    assert (course.kind, course.judged_by, course.peak, course.falls) == ("evaluations", "gold", 4, True)
    assert [one.distance for one in course.points] == [1.0, 2.0, 3.0]
    assert course.points[1].gold is not None
    assert (course.points[1].gold.mean, course.points[1].gold.error) == (0.5, 0.01)
    assert course.points[2].symptoms == {
        "cut": pytest.approx(0.3),
        "repeated_4": pytest.approx(0.1),
    }
    fewer = points(trained.run(tmp_path / "fewer", lines[:-1], "ppo"))
    assert fewer is not None
    assert fewer.kind == "updates"


def test_curves_of_one_chart_share_their_axes() -> None:
    """Steps 0 to 10 over a width of 100, values 0 to 1 between 29 and 1; a gap is passed over."""
    mine, held_out = ((0, 5, 10), (0.0, None, 1.0)), ((5,), (0.5,))
    box = Box([mine, held_out])
    assert box.path(*mine) == "M0.00 29.00L100.00 1.00"
    assert box.path(*held_out) == "M50.00 15.00m-1 0h2"
    assert Box([((3,), (2.0,))]).path((3,), (2.0,)) == "M0.00 15.00m-1 0h2"
