"""Adapters: they alone train, the model without them stays what it was, and they fold into the weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("peft", reason="adapters need peft: pip install 'rlaif[train]'")

from rlaif.checkpoints import Adapter, Lora, load, load_scorer
from rlaif.errors import InputError
from rlaif.training import reward, sft
from rlaif.training.models import Policy, Scorer
from rlaif.training.packing import Group, pack
from tests import tiny
from tests.training.made import data, demonstrations, metrics, pairs, scorer

ROW = [Group((5, 6, 7), ((8, 9), (10, 11, 12)))]


def logprobs(model: Any) -> torch.Tensor:
    with torch.no_grad(), Policy(model).passes():
        return Policy(model).logprobs(pack(ROW))


def moved(model: Any) -> Adapter:
    """Adapters that do something, as after training."""
    adapter = Adapter(model, Lora(rank=4))
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "lora_B" in name:
                one.normal_(generator=torch.Generator().manual_seed(len(name)))
    return adapter


def test_they_alone_train() -> None:
    model = tiny.llama()
    Adapter(model, Lora(rank=4))
    trains = [name for name, one in model.named_parameters() if one.requires_grad]
    assert trains
    assert all("lora_" in name for name in trains)
    assert not any("lm_head" in name for name in trains)


def test_a_reward_models_head_trains_too() -> None:
    model = scorer()
    Adapter(model, Lora(rank=4))
    trains = [name for name, one in model.named_parameters() if one.requires_grad]
    assert "score.weight" in trains
    assert all("lora_" in name or name == "score.weight" for name in trains)


def test_trap_11_switched_off_the_model_is_bit_equal_to_what_it_was() -> None:
    model = tiny.llama()
    before = logprobs(model)
    adapter = moved(model)
    after = logprobs(model)
    assert (after - before).abs().max() > 1e-3
    with adapter.off():
        assert torch.equal(logprobs(model), before)
    assert torch.equal(logprobs(model), after)


def test_folded_in_the_model_says_the_same() -> None:
    model = tiny.llama()
    adapter = moved(model)
    before = logprobs(model)
    merged = adapter.merged()
    assert not any("lora_" in name for name, _ in merged.named_parameters())
    assert logprobs(merged).tolist() == pytest.approx(before.tolist(), abs=1e-4)


def test_targets_that_fit_nothing_are_named() -> None:
    with pytest.raises(InputError, match=r"lora\.targets \('nothing',\)"):
        Adapter(tiny.llama(), Lora(targets=("nothing",)))


def test_a_run_writes_a_plain_model_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    finals = []
    for name in ("whole", "cut"):
        folder = tmp_path / name
        made = sft.SftConfig(
            method="sft", model=str(tiny.saved(folder / "model")), output=str(folder / "out"), batch=8,
            data=data(folder / "rows.jsonl", demonstrations(32), test_share=0.2), lora=Lora(rank=4), lr=1e-2,
            save_every=2,
        )  # fmt: skip
        if name == "cut":
            stop_at(made, 5)
        outcome = sft.train(made, resume=name == "cut")
        finals.append((Path(outcome.folder) / "model.safetensors").read_bytes())
        losses = [one["loss"] for one in metrics(folder / "out") if "loss" in one]
        assert losses[-1] < losses[0]
    assert finals[0] == finals[1]
    assert load(outcome.folder).model.config.architectures == ["LlamaForCausalLM"]


class Stopped(Exception):
    pass


def stop_at(made: sft.SftConfig, step: int) -> None:
    def watch(now: int, values: Any) -> None:
        if now == step and "loss" in values:
            raise Stopped

    with pytest.raises(Stopped):
        sft.train(made, watch=watch)


def test_a_reward_model_keeps_its_trained_head(tmp_path: Path) -> None:
    made = reward.RewardConfig(
        method="reward", model=str(tiny.saved(tmp_path / "model")), output=str(tmp_path / "out"), batch=8,
        data=data(tmp_path / "rows.jsonl", pairs(40), test_share=0.2), lora=Lora(rank=8), lr=1e-2, epochs=4,
    )  # fmt: skip
    outcome = reward.train(made)
    assert outcome.metrics["accuracy"] > 0.9
    loaded = load_scorer(outcome.folder)
    assert Scorer(loaded.model).std > 0
