"""The arithmetic of progress, by a clock that the test turns."""

from __future__ import annotations

import pytest

from rlaif.pipeline import Live, Planned
from rlaif.records import TaskState
from rlaif.service.progress import POINTS, Meter


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def done(number: int) -> TaskState:
    return TaskState.make(job_id="j", task_id=f"t{number}", stage="sample", state="done")


STAGES = [Planned("sample", 10, True), Planned("judge x", 20, True), Planned("export", 1, False)]


def test_rate_and_time_left_are_of_this_run_alone() -> None:
    clock, live = Clock(), Live()
    meter = Meter("j", STAGES, live, clock)
    live.at = 0
    meter.stage("sample", 10)
    for _ in range(4):
        meter.task(True)  # an earlier run's: told, and not counted in the rate
    for number in range(4):
        live.told(done(number), [])
        meter.task(True)
    clock.now += 2.0
    said = meter.progress()
    assert (said.ended, said.total, said.rate) == (8, 30, 2.0)
    assert said.eta == pytest.approx((30 - 8) / 2.0)
    assert [one.state for one in said.stages] == ["running", "waiting", "waiting"]


def test_the_rate_forgets_what_is_older_than_half_a_minute() -> None:
    clock, live = Clock(), Live()
    meter = Meter("j", STAGES, live, clock)
    for number in range(100):
        live.told(done(number), [])
    for _ in range(240):  # a minute in quarters of a second
        clock.now += 0.25
        meter.tick()
    assert meter.progress().rate == 0.0
    assert meter.progress().eta is None


def test_a_stage_that_is_over_had_as_many_tasks_as_ended() -> None:
    live = Live()
    meter = Meter("j", STAGES, live, Clock())
    live.at = 0
    meter.stage("sample", 10)
    for number in range(10):
        meter.task(number > 1)
    live.at = 1
    meter.stage("judge x", 20)
    for _ in range(5):  # the other pairs were identical
        meter.task(True)
    live.at = 2
    assert meter.finalizing
    said = meter.progress()
    assert (said.total, said.ended, said.failed) == (15, 15, 2)
    assert [one.state for one in said.stages] == ["done", "done", "running"]
    meter.finish()
    assert [one.state for one in meter.progress().stages] == ["done"] * 3


def test_a_long_history_keeps_its_ends_and_thins_out() -> None:
    clock, live = Clock(), Live()
    meter = Meter("j", STAGES, live, clock)
    for _ in range(4 * 3600):  # an hour
        clock.now += 0.25
        meter.tick()
    at = [one.at for one in meter.history()]
    assert POINTS / 2 <= len(at) <= POINTS
    assert at[0] == 0.25
    assert at[-1] >= 3590
    assert at == sorted(at)
