"""The loop: what is learned does not depend on how it is cut, watched, stopped or gone on with."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rlaif.errors import InputError, JobError
from rlaif.training import loop, snapshots
from rlaif.training.config import DataConfig, RunConfig
from rlaif.training.loop import MOST_SKIPPED, Run, Share
from rlaif.training.losses.likelihood import nll
from rlaif.training.models import Policy
from rlaif.training.origin import Origin, moved
from rlaif.training.packing import Group, pack
from tests import tiny
from tests.training.made import groups, metrics

ORIGIN = Origin(parent="tiny", parent_digest="p", data_digest="d")


def config(folder: Path, **how: Any) -> RunConfig:
    base = {"data": DataConfig(path="rows.jsonl"), "output": str(folder / "out"), "lr": 1e-2, "warmup": 0.0,
            "schedule": "constant", "batch": 8}  # fmt: skip
    return RunConfig(**{**base, **how})


def begin(folder: Path, modules: dict[str, nn.Module] | None = None, total: int = 4, **how: Any) -> Run:
    resume = how.pop("resume", False)
    return Run(config(folder, **how), modules or {"policy": tiny.llama()}, ORIGIN, total, resume=resume)


def imitate(run: Run, policy: Policy, batch: Sequence[Group]) -> Iterator[Share]:
    tokens = sum(len(text) for one in batch for text in one.responses)
    for part in run.parts(batch):
        yield Share(nll(policy.logprobs(pack(batch[at] for at in part))) / tokens)


def gradient(folder: Path, some: list[Group], **how: Any) -> list[torch.Tensor]:
    """The gradient of one update, caught before it is used."""
    model = tiny.llama()
    run = begin(folder, {"policy": model}, clip=1e9, **how)
    caught: list[torch.Tensor] = []
    run._optimizer.step = lambda: caught.extend(one.grad.clone() for one in model.parameters())  # type: ignore[assignment,method-assign,union-attr]
    run.update(imitate(run, Policy(model), some))
    return caught


# Trap 21: cuts


@pytest.mark.parametrize("part_tokens", [1, 30, 60])
def test_trap_21_a_batch_in_parts_has_the_gradient_of_the_whole(tmp_path: Path, part_tokens: int) -> None:
    some = groups(0, 8)
    whole = gradient(tmp_path / "whole", some, part_tokens=10**6)
    cut = gradient(tmp_path / "cut", some, part_tokens=part_tokens)
    assert whole
    for one, other in zip(whole, cut, strict=True):
        assert (one - other).abs().max() <= 2e-6 * one.abs().max() + 1e-9


def test_trap_21_computing_activations_again_changes_nothing(tmp_path: Path) -> None:
    some = groups(0, 4)
    plain = gradient(tmp_path / "a", some)
    again = gradient(tmp_path / "b", some, gradient_checkpointing=True)
    for one, other in zip(plain, again, strict=True):
        assert (one - other).abs().max() <= 1e-6 * one.abs().max() + 1e-9


# An update


def single(folder: Path, value: float = 0.0, **how: Any) -> tuple[Run, nn.Linear]:
    """One weight, so that a step can be worked out by hand."""
    layer = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(value)
    return begin(folder, {"layer": layer}, **how), layer


def test_a_step_is_that_of_adam(tmp_path: Path) -> None:
    run, layer = single(tmp_path, 1.0, lr=0.1)
    update = run.update([Share(0.5 * layer.weight.square().sum())])
    # the first step of Adam is lr * sign(gradient)
    assert layer.weight.item() == pytest.approx(0.9, abs=1e-6)
    assert (update.loss, update.grad_norm, update.lr, update.skipped) == (0.5, 1.0, 0.1, False)


def test_trap_33_the_norm_logged_is_the_one_before_clipping(tmp_path: Path) -> None:
    run, layer = single(tmp_path, clip=0.5)
    assert run.update([Share(7.0 * layer.weight.sum())]).grad_norm == pytest.approx(7.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_trap_33_a_step_that_is_not_finite_changes_nothing_and_is_counted(tmp_path: Path, bad: float) -> None:
    run, layer = single(tmp_path, 1.0)
    before = snapshots.moments(run._optimizer, run._names)
    update = run.update([Share(bad * layer.weight.sum())])
    assert update.skipped
    assert update.metrics()["skipped"] == 1.0
    assert (layer.weight.item(), run.skipped, run.step) == (1.0, 1, 1)
    assert snapshots.moments(run._optimizer, run._names) == before == {}
    assert not run.update([Share(layer.weight.sum())]).skipped
    assert layer.weight.item() != 1.0


def test_a_finite_loss_with_an_infinite_gradient_is_skipped_too(tmp_path: Path) -> None:
    run, layer = single(tmp_path, 0.0)
    assert run.update([Share(layer.weight.sum().abs().sqrt())]).skipped
    assert layer.weight.item() == 0.0


def test_a_run_of_nothing_but_nan_is_given_up(tmp_path: Path) -> None:
    run, layer = single(tmp_path, total=100)
    bad = lambda: [Share(float("nan") * layer.weight.sum())]  # noqa: E731
    for _ in range(MOST_SKIPPED - 1):
        assert run.update(bad()).skipped
    with pytest.raises(JobError, match=f"{MOST_SKIPPED} updates in a row.*lower lr"):
        run.update(bad())


def test_only_matrices_decay(tmp_path: Path) -> None:
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(1.0)
    run = begin(tmp_path, {"layer": layer}, lr=0.1, weight_decay=0.5)
    run.update([Share(0.0 * (layer.weight + layer.bias).sum())])
    assert (layer.weight.item(), layer.bias.item()) == (pytest.approx(0.95), 1.0)


def test_modules_may_have_rates_of_their_own(tmp_path: Path) -> None:
    one, other = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    start = [layer.weight.item() for layer in (one, other)]
    made = config(tmp_path, lr=0.1)
    run = Run(made, {"one": one, "other": other}, ORIGIN, 1, lr={"other": 0.01})
    run.update([Share((one.weight + other.weight).sum())])
    moved = [before - layer.weight.item() for before, layer in zip(start, (one, other), strict=True)]
    assert moved == pytest.approx([0.1, 0.01], abs=1e-6)


def test_dropout_is_off(tmp_path: Path) -> None:
    model = tiny.gpt2()
    assert any(one.p > 0 for one in model.modules() if isinstance(one, nn.Dropout))
    begin(tmp_path, {"policy": model})
    assert model.training
    assert all(one.p == 0 for one in model.modules() if isinstance(one, nn.Dropout))


def test_memory_that_runs_out_names_the_knobs(tmp_path: Path) -> None:
    run, _ = single(tmp_path)

    def shares() -> Iterator[Share]:
        raise torch.OutOfMemoryError("no more")
        yield

    with pytest.raises(InputError, match="lower part_tokens, set gradient_checkpointing: true"):
        run.update(shares())


# Order


def test_every_epoch_has_all_items_in_an_order_of_its_own(tmp_path: Path) -> None:
    run, _ = single(tmp_path, total=6, batch=4)
    seen = []
    for batch in run.batches(range(10)):
        seen.append(batch)
        run.step += 1
    assert [len(one) for one in seen] == [4, 4, 2, 4, 4, 2]
    first, second = [*seen[0], *seen[1], *seen[2]], [*seen[3], *seen[4], *seen[5]]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


# Trap 26: going on


class Trial:
    """A run whose every update draws from all generators, keeps a number, and may be stopped."""

    def __init__(self, folder: Path, resume: bool = False, **how: Any) -> None:
        snapshots.seed(7)
        self.model = tiny.llama()
        self.items = groups(1, 20)
        self.run = begin(folder, {"policy": self.model}, 6, batch=6, save_every=2, resume=resume, **how)
        self.orders: list[list[Group]] = []

    def go(self, stop: int | None = None) -> dict[str, Any]:
        for batch in self.run.batches(self.items):
            if self.run.step == stop:
                break
            self.orders.append(batch)
            noise = torch.randn(()).item() + random.random() + float(np.random.rand())
            update = self.run.update(
                Share(share.loss * (1 + 0.1 * noise))
                for share in imitate(self.run, Policy(self.model), batch)
            )
            coefficient = self.run.kept.get("coefficient", 0.1)
            assert isinstance(coefficient, float)
            self.run.kept["coefficient"] = coefficient * (1 + update.loss / 3)
            self.run.kept_tensors["rollouts"] = torch.randn(3)
            self.run.log({"loss": update.loss})
        return {
            "weights": {name: one.detach().clone() for name, one in self.model.named_parameters()},
            "moments": snapshots.moments(self.run._optimizer, self.run._names),
            "generators": snapshots.generators(),
            "kept": (self.run.kept, self.run.kept_tensors["rollouts"].tolist()),
            "counts": (self.run.step, self.run.skipped, self.run._taken),
        }


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name in ("weights", "moments"):
        assert one[name].keys() == other[name].keys()
        for key, value in one[name].items():
            assert torch.equal(value, other[name][key]), key
    for name in ("generators", "kept", "counts"):
        assert one[name] == other[name]


@pytest.mark.parametrize("stop", [2, 3, 4, 5])
def test_trap_26_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, stop: int) -> None:
    whole = Trial(tmp_path / "whole")
    expected = whole.go()
    Trial(tmp_path / "cut").go(stop)
    random.seed(1), torch.manual_seed(2)  # what happens in between must not matter
    again = Trial(tmp_path / "cut", resume=True)
    same(again.go(), expected)
    assert again.orders == whole.orders[stop // 2 * 2 :]
    assert metrics(tmp_path / "cut/out") == metrics(tmp_path / "whole/out")


def test_trap_26_a_write_that_was_cut_off_is_as_if_it_had_not_begun(tmp_path: Path) -> None:
    expected = Trial(tmp_path / "whole").go()
    Trial(tmp_path / "cut").go(5)
    out = tmp_path / "cut/out"
    half = out / ".step-6.partial"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half of it")
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    same(Trial(tmp_path / "cut", resume=True).go(), expected)
    assert metrics(out) == metrics(tmp_path / "whole/out")
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "metrics.jsonl", "step-6"]


def test_trap_26_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    Trial(tmp_path).go(3)
    path = tmp_path / "out/step-2/moments.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match=r"step-2: not a checkpoint to resume from"):
        Trial(tmp_path, resume=True)


def test_a_changed_configuration_is_refused_and_named(tmp_path: Path) -> None:
    Trial(tmp_path).go(3)
    with pytest.raises(InputError) as caught:
        begin(tmp_path, {"policy": tiny.llama()}, 6, batch=7, save_every=2, seed=3, resume=True)
    assert "batch (6 before, 7 now), seed (0 before, 3 now)" in str(caught.value)


def test_what_files_are_called_is_part_of_what_a_run_was_told(tmp_path: Path) -> None:
    """Whoever goes on by hand may have meant another file; who knows that it is the same says so."""
    Trial(tmp_path, model=ORIGIN.parent).go(3)
    same = {"model": ORIGIN.parent, "batch": 6, "save_every": 2}
    other = DataConfig(path="elsewhere.jsonl")
    policy = {"policy": tiny.llama()}
    with pytest.raises(InputError, match=r"data \(.* before, .* now\); put these back"):
        begin(tmp_path, policy, 6, **same, data=other, resume=True)
    moved(config(tmp_path, **same, data=other))
    assert begin(tmp_path, policy, 6, **same, data=other, resume=True).step == 2
    moved(config(tmp_path, **same, data=other, seed=3))  # that is no name
    with pytest.raises(InputError, match=r"otherwise: seed \(0 before, 3 now\);"):
        begin(tmp_path, policy, 6, **same, data=other, seed=3, resume=True)
    path = tmp_path / "out/config.json"
    path.write_text(path.read_text().replace('"data_digest": "d"', '"data_digest": "of other rows"'))
    moved(config(tmp_path, **same, data=other))
    with pytest.raises(InputError, match="otherwise: data_digest "):
        begin(tmp_path, policy, 6, **same, data=other, resume=True)


def test_a_run_may_go_on_with_smaller_passes(tmp_path: Path) -> None:
    Trial(tmp_path).go(3)
    assert Trial(tmp_path, resume=True, part_tokens=16).run.step == 2


def test_a_folder_with_a_run_or_anything_else_is_not_written_to(tmp_path: Path) -> None:
    begin(tmp_path)
    with pytest.raises(InputError, match="holds a run already; add --resume"):
        begin(tmp_path)
    (tmp_path / "other/out").mkdir(parents=True)
    (tmp_path / "other/out/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="no run wrote"):
        begin(tmp_path / "other")


def test_resuming_what_never_saved_begins_anew(tmp_path: Path) -> None:
    begin(tmp_path)
    assert begin(tmp_path, resume=True).step == 0


# Trap 27: determinism


def test_trap_27_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Trial(tmp_path / name).go()
    for name in ("weights.safetensors", "moments.safetensors", "kept.safetensors", "state.json"):
        one, other = ((tmp_path / run / "out/step-6" / name).read_bytes() for run in ("a", "b"))
        assert one == other, name


def test_trap_27_looking_at_a_run_does_not_change_it(tmp_path: Path) -> None:
    expected = Trial(tmp_path / "a").go()
    watched = Trial(tmp_path / "b")
    update = watched.run.update

    def looking(shares: Any) -> loop.Update:
        done = update(shares)
        with watched.run.evaluating():
            assert not watched.model.training
            assert not torch.is_grad_enabled()
            torch.randn(5), random.random(), np.random.rand()
        assert watched.model.training
        assert torch.is_grad_enabled()
        return done

    watched.run.update = looking  # type: ignore[method-assign]
    same(watched.go(), expected)


def test_trap_27_modes_come_back_after_a_failure(tmp_path: Path) -> None:
    run, layer = single(tmp_path)
    with pytest.raises(ZeroDivisionError), run.evaluating():
        _ = 1 / 0
    assert layer.training


# Logs


def test_nothing_measured_is_no_line(tmp_path: Path) -> None:
    run, _ = single(tmp_path)
    run.log({}, "eval/")
    assert metrics(tmp_path / "out") == []


def test_numbers_that_are_not_finite_are_written_as_null(tmp_path: Path) -> None:
    run, _ = single(tmp_path)
    run.log({"loss": float("nan"), "gap": 2.0}, "eval/")
    (line,) = (tmp_path / "out/metrics.jsonl").read_text().splitlines()
    assert json.loads(line) == {"step": 0, "eval/loss": None, "eval/gap": 2.0}


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_dashboard_is_told_what_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import sys
    from types import SimpleNamespace

    told: list[Any] = []
    board = SimpleNamespace(
        init=lambda **how: told.append(how), log=lambda values, step: told.append((step, values))
    )
    monkeypatch.setitem(sys.modules, name, board)
    run, _ = single(tmp_path, report_to=name)
    run.log({"loss": 0.5})
    assert told == [{"project": "rlaif", "name": "out"}, (0, {"loss": 0.5})]


def test_a_dashboard_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb, or set report_to: none"):
        single(tmp_path, report_to="wandb")
