"""Sweeps: the curve whose shape is known, its control, and what is written and kept of a sweep."""

import asyncio
import csv
import json
import math
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from random import Random
from statistics import fmean
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlaif.checkpoints import identity
from rlaif.errors import InputError
from rlaif.lab import teaching
from rlaif.lab.asking import prompts_of
from rlaif.lab.config import Steps, Sweeping, load_sweep
from rlaif.lab.curve import Curve, Point, halves
from rlaif.lab.files import Folder
from rlaif.lab.fits import Fit
from rlaif.lab.gold_judge import GoldJudge, Temper, listening
from rlaif.lab.overoptimisation import control, overoptimise
from rlaif.lab.speaker import say
from rlaif.lab.worlds import NOUNS, Harm, World
from rlaif.store import read_sheet
from rlaif.training.loop import Outcome
from rlaif.training.ppo import PpoConfig
from tests import tiny
from tests.recipes import speaking

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "pipelines").glob("lab_overopt_*.yaml"))
HELPFUL = str(ROOT / "constitutions/helpfulness.yaml")
POWERS = [2**at for at in range(1, 13)]


def sweeping(folder: Path, **more: Any) -> Sweeping:
    told = {
        "schema_version": 1, "name": "made", "output": str(folder / "out"), "size": "toy",
        "world": "features", "proxy": {"kind": "world"}, "sweep": {"kind": "best_of_n", "values": POWERS},
    }  # fmt: skip
    return Sweeping.model_validate_json(json.dumps(told | more))


def law(curve: Curve, form: str) -> Fit:
    (one,) = (fit for fit in curve.fits if fit.form == form)
    return one


def proxies(curve: Curve) -> list[float]:
    return [one.mean("proxy").mean for one in curve.points]


def gains(curve: Curve) -> list[float]:
    return [one.gain(curve.start).mean for one in curve.points]


# GW4


def test_best_of_n_by_a_linear_proxy_helps_and_then_hurts(tmp_path: Path, seed: int) -> None:
    curve = overoptimise(sweeping(tmp_path, seed=seed, size="full"))
    assert proxies(curve) == sorted(proxies(curve))
    assert curve.proxy_rises == pytest.approx(1.0)
    assert curve.choice.point in {"n = 128", "n = 256", "n = 512"}
    assert curve.choice.interior
    found = law(curve, "best_of_n")
    assert found.r2 >= 0.95
    assert found.alpha == pytest.approx(2.13, abs=0.15)
    assert found.beta == pytest.approx(0.51, abs=0.1)
    assert found.peak is not None
    assert found.peak.d == pytest.approx(2.15, abs=0.25)
    # Gold at n = 1, 2, 4 ... 64, as computed once by other means; beyond, the proxy's own errors show.
    assert gains(curve)[:7] == pytest.approx([0.0, 0.71, 1.25, 1.65, 1.94, 2.13, 2.25], abs=0.1)
    assert 2.2 < max(gains(curve)) < 2.6
    assert "gold is highest at" in curve.notices[0]


def test_the_distance_of_best_of_n_is_known(tmp_path: Path) -> None:
    curve = overoptimise(sweeping(tmp_path, sweep={"kind": "best_of_n", "values": [2, 4, 16, 64, 256]}))
    due = [0.0, 0.1931, 0.6363, 1.8351, 3.1745]
    assert [one.kl for one in curve.points][:5] == pytest.approx(due, abs=1e-4)
    assert curve.points[4].d == pytest.approx(math.sqrt(3.1745), abs=1e-4)


def test_policies_along_the_proxy_help_and_then_hurt(tmp_path: Path, seed: int) -> None:
    betas = [20.0, 8.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.6, 1.3, 1.0]
    curve = overoptimise(sweeping(tmp_path, seed=seed, sweep={"kind": "kl", "values": betas}))
    assert proxies(curve) == sorted(proxies(curve))
    assert curve.choice.interior
    best = max(zip(gains(curve), (one.d for one in curve.points), strict=True))
    assert best[0] == pytest.approx(2.0, abs=0.25)  # 2.00 ± .05 over 60 seeds
    assert best[1] == pytest.approx(1.84, abs=0.5)


def test_where_the_proxy_is_the_truth_nothing_falls(tmp_path: Path, seed: int) -> None:
    curve = overoptimise(sweeping(tmp_path, seed=seed, proxy={"kind": "gold"}))
    assert gains(curve) == sorted(gains(curve))
    assert curve.choice.point == "n = 4096"
    assert not curve.choice.interior
    assert curve.notices == ()


@pytest.mark.parametrize("world", ["features", "cover"])
@pytest.mark.parametrize("kind", ["flip", "shuffle", "constant"])
def test_controls_come_out_as_they_have_to(tmp_path: Path, world: str, kind: str) -> None:
    how = {"world": world, "control": kind, "sweep": {"kind": "best_of_n", "values": [2, 8]}}
    curve = overoptimise(sweeping(tmp_path, seed=3, **how))
    assert curve.notices[0].startswith(f"control {kind}: gold has to {'fall' if kind == 'flip' else 'stay'}")
    assert curve.notices[0].endswith(": as it should")
    gain = curve.points[-1].gain(curve.start).mean
    assert gain < -0.5 if kind == "flip" else abs(gain) < 0.1


def test_a_control_that_fails_is_told(tmp_path: Path) -> None:
    curve = overoptimise(
        sweeping(tmp_path, proxy={"kind": "gold"}, sweep={"kind": "best_of_n", "values": [8]})
    )
    for kind in ("flip", "constant"):
        assert control(kind, curve).endswith("NOT as it should")


# Worlds of texts, answered by a table


def test_a_proxy_that_pays_for_words_gets_words(tmp_path: Path, seed: int) -> None:
    how = {"world": "exploit", "sweep": {"kind": "best_of_n", "values": [2, 4, 8, 16]}}
    curve = overoptimise(sweeping(tmp_path, seed=seed, **how))
    lengths = [one.length for one in curve.points]
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0] + 5
    assert curve.start.length == pytest.approx(21, abs=4)


def test_helpfulness_alone_costs_safety(tmp_path: Path, seed: int) -> None:
    how = {"world": "harm", "sweep": {"kind": "best_of_n", "values": [8]}}
    curve = overoptimise(sweeping(tmp_path, seed=seed, **how))
    (after,) = curve.points[1:]
    assert after.gain(curve.start, by="proxy").clear
    assert after.gain(curve.start).mean > 0.2
    gains = [
        float(mine or 0) - float(its or 0) for mine, its in zip(after.gold, curve.start.gold, strict=True)
    ]
    assert fmean(gains[0::2]) > 0.4  # every other prompt is safe
    assert fmean(gains[1::2]) == pytest.approx(0.0, abs=0.01)  # the table never declines for a reason


@pytest.mark.parametrize("prompts", [8, 64, 200])
def test_safe_and_unsafe_prompts_choose_and_report(prompts: int) -> None:
    held_out, _ = prompts_of(World.drawn("harm", 0), prompts, 16)
    for half in halves(prompts):
        share = sum(Harm().unsafe(held_out[at]) for at in half) / len(half)
        assert 0.25 <= share <= 0.75


def test_a_choice_in_harm_is_not_made_by_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """A table that declines half the time: every step of the proxy's is one away from safety."""
    monkeypatch.setattr("rlaif.lab.choosing.say", declining)
    values = [2, 4, 8, 16, 32, 64]
    how = {"world": "harm", "size": "small", "sweep": {"kind": "best_of_n", "values": values}}
    curve = overoptimise(sweeping(tmp_path, seed=seed, **how))
    whole = named(curve, curve.choice.point).gain(curve.start)
    assert whole.error is not None
    far = 5.0 * whole.error
    assert curve.choice.over_start.mean == pytest.approx(whole.mean, abs=far)


def declining(prompt: str, key: str) -> str:
    turned = Random(f"{prompt} {key}").random() < 0.5
    return "I leave that out because it could harm someone." if turned else say(prompt, key)


# What is written


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Curve]:
    return tmp_path / "out", overoptimise(sweeping(tmp_path))


def test_the_curve_is_written_in_every_form(made: tuple[Path, Curve]) -> None:
    folder, curve = made
    assert Curve.model_validate_json((folder / "curve.json").read_bytes()) == curve
    with (folder / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["point"] for row in rows] == ["start", *(f"n = {n}" for n in POWERS)]
    table = read_sheet(folder / "lab.duckdb", "points").to_pylist()
    for row, stored, one in zip(rows, table, curve.points, strict=True):
        assert float(row["d"]) == stored["d"] == pytest.approx(math.sqrt(one.kl))
        assert float(row["gold"]) == stored["gold"] == one.mean("gold").mean
        assert stored["gain_error"] == one.gain(curve.start).error
        assert (stored["world"], stored["sweep"], stored["run"]) == ("features", "best_of_n", "made")
    fits = read_sheet(folder / "lab.duckdb", "fits").to_pylist()
    assert [one["form"] for one in fits] == ["best_of_n", "rl"]
    assert fits[0]["peak_d"] == curve.fits[0].peak.d  # type: ignore[union-attr]
    (choice,) = read_sheet(folder / "lab.duckdb", "choice").to_pylist()
    assert (choice["point"], choice["interior"]) == (curve.choice.point, curve.choice.interior)


def test_the_page_is_one_file_that_runs_nothing(made: tuple[Path, Curve]) -> None:
    text = (made[0] / "curve.html").read_text()
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=\"(?:https?:|//)", text)
    assert "default-src 'none'" in text
    assert " style=" not in text  # the policy would drop it
    assert text.count("<svg") == 2  # gold and proxy; features have no symptoms
    assert text.count('class="dot"') == 2 * len(made[1].points)
    assert f"<dd>{made[1].choice.point}</dd>" in text
    assert 'class="used"' in text
    for x in re.findall(r'(?:cx|x1|x2)="([\d.-]+)"', text):
        assert 0 <= float(x) <= 640


def test_symptoms_are_drawn_under_the_curve(tmp_path: Path) -> None:
    how = {"world": "cover", "proxy": {"kind": "bonus", "symptom": "hedging"}}
    overoptimise(sweeping(tmp_path, **how, sweep={"kind": "best_of_n", "values": [2, 4, 8]}))
    text = (tmp_path / "out/curve.html").read_text()
    assert text.count("<svg") == 3
    assert '<li class="s0">— hedging</li>' in text
    assert "found 3 points away from the start" in text


def test_a_name_cannot_break_the_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name"):
        sweeping(tmp_path, name="<script>")


# Going on


def test_another_sweep_in_the_folder_is_refused(tmp_path: Path) -> None:
    small = {"kind": "best_of_n", "values": [2, 4]}
    overoptimise(sweeping(tmp_path, sweep=small))
    with pytest.raises(InputError, match="add --resume"):
        overoptimise(sweeping(tmp_path, sweep=small))
    with pytest.raises(InputError, match="seed \\(0 before, 7 now\\)"):
        overoptimise(sweeping(tmp_path, sweep=small, seed=7), resume=True)
    longer = overoptimise(sweeping(tmp_path, sweep={"kind": "best_of_n", "values": [2, 4, 8]}), resume=True)
    assert len(longer.points) == 4


def test_a_sweep_refused_before_its_first_point_does_not_hold_its_folder(tmp_path: Path) -> None:
    asked = {"world": "cover", "model": str(tiny.saved(tmp_path / "model")), "proxy": {"kind": "world"}}
    missing = {"kind": "model", "model": str(tmp_path / "nowhere")}
    small = {"kind": "best_of_n", "values": [2, 4]}
    with pytest.raises(InputError):
        overoptimise(sweeping(tmp_path, sweep=small, **asked, held_out=missing))
    assert overoptimise(sweeping(tmp_path, sweep=small)).points


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds something else"):
        overoptimise(sweeping(tmp_path))


@pytest.mark.parametrize("place", ["model", "proxy.model", "held_out.model"])
def test_a_sweep_of_a_model_that_changed_is_not_gone_on_with(tmp_path: Path, place: str) -> None:
    for name in ("model", "proxy", "second"):
        tiny.saved(tmp_path / name)
    scores = {
        one: {"kind": "model", "model": str(tmp_path / name)}
        for one, name in (("proxy", "proxy"), ("held_out", "second"))
    }
    told = trained(tmp_path, "ppo", sweep={"kind": "best_of_n", "values": [2]}, train=None, **scores)
    first = Folder(told, resume=False)
    (first.root / "points").mkdir()  # it has begun
    stored = json.loads((first.root / "config.json").read_text())["digests"]
    assert stored == {
        one: identity(str(tmp_path / name))
        for one, name in (("model", "model"), ("proxy.model", "proxy"), ("held_out.model", "second"))
    }
    Folder(told, resume=True)
    changed = tmp_path / {"model": "model", "proxy.model": "proxy"}.get(place, "second")
    speaking.saved(changed)
    digests = f"digest {stored[place][:12]} before, {identity(str(changed))[:12]} now"
    with pytest.raises(InputError, match=rf"began: {re.escape(place)} \({digests}\); put the model back"):
        Folder(told, resume=True)
    assert json.loads((first.root / "config.json").read_text())["digests"] == stored


def test_a_folder_that_never_held_digests_is_gone_on_with(tmp_path: Path) -> None:
    told = trained(tmp_path, "ppo", sweep={"kind": "best_of_n", "values": [2]}, train=None)
    path = Folder(told, resume=False).root / "config.json"
    (path.parent / "points").mkdir()
    before = json.loads(path.read_text())
    path.write_text(json.dumps({key: one for key, one in before.items() if key != "digests"}))
    Folder(told, resume=True)
    assert json.loads(path.read_text()) == before


def test_points_of_two_models_are_not_mixed(tmp_path: Path) -> None:
    told = trained(tmp_path, "ppo", sweep={"kind": "best_of_n", "values": [2]}, train=None)
    overoptimise(told)
    shutil.rmtree(tmp_path / "model")
    speaking.saved(tmp_path / "model")
    with pytest.raises(InputError, match="have changed since this sweep began: model"):
        overoptimise(told, resume=True)


# Trained policies


def trained(folder: Path, method: str, **more: Any) -> Sweeping:
    if not (folder / "model").exists():
        tiny.saved(folder / "model")
    own = {"data": {"path": "."}, "output": "."}  # as reading a file fills them in
    draws = {"objective": {"kind": "clip", "inner_epochs": 1}, "draw": {"samples": 2, "max_tokens": 6}}
    train = {
        "ppo": {"method": "ppo", "batch": 8, "steps": 4, "lr": 1e-3, **draws, **own},
        "dpo": {"method": "dpo", "batch": 8, "steps": 3, "lr": 1e-3, **own},
    }
    told: dict[str, Any] = {
        "world": "exploit", "model": str(folder / "model"), "max_tokens": 6, "train": train[method],
        "sweep": {"kind": "kl", "values": [1.0, 0.01]},
    }  # fmt: skip
    return sweeping(folder, **(told | more))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders that were trained, in order."""
    found: list[str] = []
    real = teaching.taught

    def taught(*given: Any) -> Outcome:
        found.append(given[4].name)
        return real(*given)

    monkeypatch.setattr("rlaif.lab.overoptimisation.taught", taught)
    return found


def test_a_policy_is_trained_and_measured_for_each_beta(tmp_path: Path, runs: list[str]) -> None:
    curve = overoptimise(trained(tmp_path, "ppo"))
    assert runs == ["beta-1", "beta-0.01"]
    assert {one.name for one in curve.points} == {"start", "beta = 1", "beta = 0.01"}
    assert (curve.start.kl, curve.start.checkpoint) == (0.0, str(tmp_path / "model"))
    for one in curve.points[1:]:
        config = json.loads((Path(str(one.checkpoint)) / "../config.json").read_text())
        assert config["kl"]["beta"] == one.setting
        assert one.kl_k3 is not None
        assert one.kl_k3 > 0.0
        assert one.responses == 16
        assert 1.0 <= one.length <= 6.0


def test_finished_points_are_not_trained_again(tmp_path: Path, runs: list[str]) -> None:
    first = overoptimise(trained(tmp_path, "ppo"))
    more = {"kind": "kl", "values": [1.0, 0.01, 0.1]}
    again = overoptimise(trained(tmp_path, "ppo", sweep=more), resume=True)
    assert runs == ["beta-1", "beta-0.01", "beta-0.1"]
    assert {one.name: one for one in first.points}.items() <= {one.name: one for one in again.points}.items()


def test_a_killed_sweep_goes_on_in_the_middle_of_a_run(tmp_path: Path) -> None:
    whole = overoptimise(trained(tmp_path / "whole", "ppo"))
    told = trained(tmp_path / "cut", "ppo")
    assert told.train is not None
    told = told.model_copy(update={"train": told.train.model_copy(update={"save_every": 2})})

    class Killed(Exception):
        pass

    def watch(step: int, _: object) -> None:
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        overoptimise(told, watch=watch)
    resumed = overoptimise(told, resume=True)
    for one, other in zip(whole.points, resumed.points, strict=True):
        assert one.gold == other.gold
        assert one.kl == pytest.approx(other.kl, abs=1e-6)


def test_updates_are_swept_on_pairs_the_proxy_labelled(tmp_path: Path) -> None:
    how = {"sweep": {"kind": "steps", "values": [1, 4]}, "max_tokens": 110}
    curve = overoptimise(trained(tmp_path, "dpo", **how))
    rows = [json.loads(line) for line in (tmp_path / "out/pairs.jsonl").read_text().splitlines()]
    assert rows
    assert all(0.5 < row["p"] <= 1.0 for row in rows)
    assert [one.setting for one in curve.points[1:]] in ([1.0, 4.0], [4.0, 1.0])
    steps = json.loads((tmp_path / "out/points/step-4/config.json").read_text())["steps"]
    assert steps == 4


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("method", ["ppo", "dpo"])
def test_one_run_makes_all_points_bit_for_bit(tmp_path: Path, runs: list[str], method: str) -> None:
    how = {"sweep": {"kind": "steps", "values": [4, 2, 6]}, "max_tokens": 110 if method == "dpo" else 6}
    asked = trained(tmp_path, method, **how)
    assert asked.train is not None
    rate = {"schedule": "constant", "warmup": 0.0}
    asked = asked.model_copy(update={"train": asked.train.model_copy(update=rate)})
    seen: list[int] = []
    overoptimise(asked, watch=lambda step, line: seen.append(step) if "loss" in line else None)
    assert runs == ["step-2", "step-4", "step-6"]
    assert seen == [1, 2, 3, 4, 5, 6]  # no update is made twice
    alone = asked.model_copy(
        update={"output": str(tmp_path / "alone"), "sweep": Steps(kind="steps", values=(6,))}
    )
    overoptimise(alone)
    found, due = (weights(tmp_path / one / "points/step-6/final") for one in ("out", "alone"))
    assert found.keys() == due.keys()
    assert all((found[name] == due[name]).all() for name in due)
    begun = weights(tmp_path / "out/points/step-4/final")
    assert any((begun[name] != due[name]).any() for name in due)


def test_a_rate_that_depends_on_the_length_makes_a_run_each(tmp_path: Path) -> None:
    asked = trained(tmp_path, "dpo", sweep={"kind": "steps", "values": [1, 2]}, max_tokens=110)
    assert asked.train is not None
    assert not teaching.along(asked.train)  # it warms up
    seen: list[int] = []
    overoptimise(asked, watch=lambda step, line: seen.append(step) if "loss" in line else None)
    assert seen == [1, 1, 2]


def test_a_round_that_would_be_cut_is_not_gone_on_from(tmp_path: Path) -> None:
    asked = trained(tmp_path, "ppo", sweep={"kind": "steps", "values": [3, 6]})
    assert asked.train is not None
    twice = {"warmup": 0.0, "objective": {"kind": "clip", "inner_epochs": 2}}
    told = asked.train.model_dump(mode="json") | twice
    asked = asked.model_copy(update={"train": PpoConfig.model_validate(told)})
    seen: list[float] = []
    overoptimise(asked, watch=lambda step, line: seen.append(step) if "loss" in line else None)
    assert seen == [2, 3, 2, 4, 6]


def test_fewer_prompts_than_the_size_says(tmp_path: Path) -> None:
    told = sweeping(tmp_path, prompts=5, samples=3)
    assert (told.drawn.prompts, told.drawn.samples, told.drawn.teaching) == (5, 3, 16)
    with pytest.raises(ValueError, match="greater than or equal to 4"):
        sweeping(tmp_path, prompts=3)


def short_of_words(folder: Path) -> Path:
    """A checkpoint that says nouns at random and ends after a dozen; its head is a table for PPO to move."""
    speaking.saved(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    said = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids([f"Ġ{noun}" for noun in NOUNS])
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "proj" in name:
                one.zero_()  # every state is the same, and stays so
        model.get_input_embeddings().weight.fill_(1000.0)
        head = model.get_output_embeddings().weight
        head.fill_(-1.0)
        head[said] = 0.0
        head[0] = 0.7 / head.shape[1]  # one token in thirteen
    model.save_pretrained(folder)
    return folder


def along_words(folder: Path, seed: int, proxy: str) -> Curve:
    """Train on words by PPO, and look along the way."""
    draw = {"samples": 4, "max_tokens": 160}
    train = {
        "method": "ppo", "batch": 16, "lr": 2.5e-3, "warmup": 0.0, "missing_eos_penalty": 0.0, "draw": draw,
        "objective": {"kind": "clip", "inner_epochs": 1, "decay": 1.0}, "kl": {"beta": 0.01},
        "data": {"path": "."}, "output": ".",
    }  # fmt: skip
    told = sweeping(
        folder, seed=seed, world="exploit", proxy={"kind": proxy}, size="small", prompts=192, samples=2,
        model=str(short_of_words(folder / "model")), max_tokens=160, train=train,
        sweep={"kind": "steps", "values": [4, 8, 12, 18, 26, 36]},
    )  # fmt: skip
    return overoptimise(told)


def by_gold(curve: Curve) -> tuple[Point, Point]:
    """The point of highest gold, and the one farthest from the start."""
    best = max(curve.points, key=lambda one: one.mean("gold").mean)
    return best, max(curve.points, key=lambda one: one.d)


@pytest.mark.long
def test_a_policy_trained_on_words_is_overdone(tmp_path: Path, seed: int) -> None:
    curve = along_words(tmp_path, seed, "world")
    best, last = by_gold(curve)
    assert curve.proxy_rises >= 0.9
    assert best.gain(curve.start).clear  # by two standard errors, on both sides
    assert best.gain(last).clear
    assert curve.choice.interior
    assert curve.choice.point not in ("start", last.name)
    assert last.length > best.length + 20


@pytest.mark.long
def test_a_policy_trained_on_the_truth_is_not_overdone(tmp_path: Path, seed: int) -> None:
    curve = along_words(tmp_path, seed, "gold")
    best, last = by_gold(curve)
    assert best.gain(curve.start).clear
    assert best.gain(last).mean < 0.4 * best.gain(curve.start).mean
    assert not curve.choice.interior


# A held-out judge


def test_a_judge_over_a_socket_says_what_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = World.drawn("exploit", 0)
    judge = GoldJudge(world, Temper(sharpness=2.0))
    by = {
        "kind": "judge", "judge": {"kind": "pairwise", "model": "compatible:gold/judge"},
        "constitution": HELPFUL,
    }  # fmt: skip
    told = trained(tmp_path, "ppo", held_out=by, max_tokens=30)
    with served(judge) as address:
        Path("rlaif.toml").write_text(
            f'[compatible.gold]\nbase_url = "{address}"\ninput_price = 0.0\noutput_price = 0.0\n'
        )
        curve = overoptimise(told)
        asked = judge.asked[200]
        assert asked > 0
        assert overoptimise(told, resume=True) == curve
        assert judge.asked[200] == asked  # nothing is bought twice
    assert curve.choice.by == "judged"
    assert curve.start.judged == (0.0,) * 8
    for one in curve.points[1:]:
        assert one.judged is not None
        assert one.gold != one.judged
        mine, theirs = (said(tmp_path, name) for name in (one.name.replace(" = ", "-"), "start"))
        for value, (prompt, texts), (_, first) in zip(one.judged, mine, theirs, strict=True):
            due = [likely(world, prompt, a, b) - 0.5 for a, b in zip(texts, first, strict=True)]
            assert value == pytest.approx(sum(due) / len(due), abs=1e-6)
    assert curve.choice.over_start == named(curve, curve.choice.point).gain(curve.start, by="judged", half=1)
    table = read_sheet(tmp_path / "out/lab.duckdb", "points").to_pylist()
    (row,) = (one for one in table if one["point"] == "beta = 1")
    assert row["judged"] == named(curve, "beta = 1").mean("judged").mean
    page = (tmp_path / "out/curve.html").read_text()
    assert "chose this point by the held-out judge" in page
    assert "Held-out judge, share of wins" in page


def likely(world: World, prompt: str, mine: str, theirs: str) -> float:
    """The judge of sharpness 2, averaged over both orders: it has no bias."""
    if mine.strip() == theirs.strip():
        return 0.5
    if not mine.strip() or not theirs.strip():
        return float(bool(mine.strip()))
    gap = world.gold(prompt, mine) - world.gold(prompt, theirs)
    return 1.0 / (1.0 + math.exp(-2.0 * gap))


def said(folder: Path, name: str) -> list[tuple[str, list[str]]]:
    rows = [json.loads(line) for line in (folder / f"out/responses/{name}.jsonl").read_text().splitlines()]
    return [(row["prompt"], row["responses"]) for row in rows]


def named(curve: Curve, name: str) -> Point:
    (one,) = (point for point in curve.points if point.name == name)
    return one


@contextmanager
def served(judge: GoldJudge) -> Iterator[str]:
    """Serve a judge from a thread: a sweep runs loops of its own."""
    loop, found = asyncio.new_event_loop(), Queue[str]()
    ended = asyncio.Event()

    async def serve() -> None:
        async with listening(judge) as address:
            found.put(address)
            await ended.wait()

    thread = Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield found.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def test_a_judge_that_nobody_can_ask_is_told(tmp_path: Path) -> None:
    judge = {"kind": "pairwise", "model": "compatible:nobody/x"}
    for words, wrong in ((HELPFUL, "nobody"), ("none.yaml", r"none\.yaml")):
        by = {"kind": "judge", "judge": judge, "constitution": words}
        told = trained(tmp_path / wrong, "ppo", held_out=by)
        with pytest.raises(InputError, match=wrong):
            overoptimise(told, watch=lambda step, line: pytest.fail("trained before it was told"))


# Lineage


def test_every_checkpoint_says_what_it_came_from(tmp_path: Path) -> None:
    overoptimise(trained(tmp_path, "ppo"))
    rows = read_sheet(tmp_path / "out/lab.duckdb", "lineage").to_pylist()
    assert [one["step"] for one in rows] == ["beta-0.01", "beta-1"]
    for one in rows:
        assert one["parent"] == str(tmp_path / "model")
        assert one["digest"] == identity(str(tmp_path / "out" / one["checkpoint"]))
        assert one["parent_digest"] == identity(str(tmp_path / "model"))
        assert (one["method"], one["data"]) == ("ppo", "teaching.jsonl")
        assert "world exploit" in one["models"]
        assert "proxy.kind world" in one["models"]


def test_best_of_n_of_a_model_draws_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = {"sweep": {"kind": "best_of_n", "values": [2, 4]}, "train": None}
    first = overoptimise(trained(tmp_path, "ppo", **how))
    assert len((tmp_path / "out/pool-16.jsonl").read_text().splitlines()) == 8
    monkeypatch.setattr("rlaif.lab.asking.draw", lambda *_: pytest.fail("drawn again"))
    assert overoptimise(trained(tmp_path, "ppo", **how), resume=True) == first
    assert first.points[-1].gain(first.start, by="proxy").mean > 0.0


# Files


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_files_are_sound(path: Path) -> None:
    assert load_sweep(path).folder == Path(f"outputs/{path.stem}")


KL = {"kind": "kl", "values": [1.0]}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a model of features": ({"model": "x"}, "world features has no model"),
    "steps of features": ({"sweep": {"kind": "steps", "values": [1]}}, "found 'steps'"),
    "a bonus of features": ({"proxy": {"kind": "bonus", "symptom": "hedging"}}, "found 'bonus'"),
    "gold along itself": (
        {"proxy": {"kind": "gold"}, "sweep": {"kind": "kl", "values": [1.0]}},
        "take proxy world",
    ),
    "no symptom": ({"world": "cover", "proxy": {"kind": "bonus", "symptom": "wit"}}, "'wit' is no symptom"),
    "nothing to train": (
        {"world": "cover", "sweep": {"kind": "kl", "values": [1.0]}},
        "give model and train",
    ),
    "a reward model and a table": (
        {"world": "cover", "proxy": {"kind": "model", "model": "x"}},
        "give model",
    ),
    "a control of policies": ({"control": "flip", "sweep": KL}, "has no controls, found 'flip'"),
    "twice": ({"sweep": {"kind": "best_of_n", "values": [2, 2]}}, "a value twice"),
    "one of one": ({"sweep": {"kind": "best_of_n", "values": [1]}}, "greater than or equal to 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_swept_is_refused(tmp_path: Path, name: str) -> None:
    more, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        sweeping(tmp_path, **more)


def test_a_field_every_point_has_its_own_of_is_refused_with_its_line(tmp_path: Path) -> None:
    text = (ROOT / "pipelines/lab_overopt_ppo.yaml").read_text() + "  seed: 3\n"
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"sweep.yaml:{text.count(chr(10))}: train.seed: found 3"):
        load_sweep(path)


def test_an_objective_without_a_beta_cannot_be_swept_by_it(tmp_path: Path) -> None:
    told = trained(tmp_path, "dpo").model_dump()
    told["train"]["objective"] = {"kind": "ipo"}
    with pytest.raises(ValueError, match="'ipo' has no beta to sweep; sweep steps"):
        Sweeping.model_validate(told)


def test_a_model_that_never_ends_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no two ended by themselves"):
        overoptimise(trained(tmp_path, "dpo"))
