"""An export is read unchanged by datasets, pandas, DuckDB and one step of each TRL trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlaif.exports import Manifest, Source, export
from rlaif.records import Preference
from tests.factory import job, preference_set, prompt, world

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module", autouse=True)
def offline() -> Any:
    with pytest.MonkeyPatch.context() as patched:
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
            patched.setenv(name, "1")
        patched.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("export") / "out"
    return folder, export(world(prompts=12).source(), folder)


def load(folder: Path, config: str, **options: Any) -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder), config, cache_dir=str(folder.parent / "cache"), **options)


def test_datasets_offers_every_config_and_split(exported: tuple[Path, Manifest]) -> None:
    from datasets import get_dataset_config_names

    folder, manifest = exported
    assert sorted(get_dataset_config_names(str(folder))) == sorted(manifest.configs)
    for name, config in manifest.configs.items():
        loaded = load(folder, name)
        assert {split: len(rows) for split, rows in loaded.items()} == config.rows
    row = load(folder, "helpfulness", split="train")[0]
    assert [one["role"] for one in row["prompt"] + row["chosen"] + row["rejected"]] == [
        "user", "assistant", "assistant",
    ]  # fmt: skip
    assert isinstance(load(folder, "helpfulness-unpaired", split="train")[0]["label"], bool)


def test_datasets_loads_what_is_there_when_a_split_or_a_set_is_empty(tmp_path: Path) -> None:
    made = preference_set(counts={"refused": 1}, pairs=1)
    export(Source.of(job(), [prompt("Hello?", split="test"), made]), tmp_path / "out")
    from datasets import get_dataset_config_names

    assert get_dataset_config_names(str(tmp_path / "out")) == ["prompts"]
    assert {split: len(rows) for split, rows in load(tmp_path / "out", "prompts").items()} == {"test": 1}


def test_jsonl_copies_load_too(exported: tuple[Path, Manifest]) -> None:
    from datasets import load_dataset

    folder, manifest = exported
    loaded = load_dataset(
        "json", data_files=str(folder / "helpfulness/train-*.jsonl"), cache_dir=str(folder.parent / "cache")
    )["train"]
    assert len(loaded) == manifest.configs["helpfulness"].rows["train"]
    assert loaded[0] == {**load(folder, "helpfulness", split="train")[0], "principle_id": None}


def test_pandas_and_duckdb_read_the_same_rows(exported: tuple[Path, Manifest]) -> None:
    import duckdb
    import pandas as pd

    folder, manifest = exported
    rows = manifest.configs["safety"].rows["train"]
    frame = pd.read_parquet(folder / "safety/train-00000.parquet")
    assert len(frame) == rows
    assert frame["consistent"].map(type).eq(bool).all()
    found = duckdb.sql(
        "select count(*), count(distinct id), round(avg(p), 9), min(chosen[1].role)"
        f" from read_parquet('{folder}/safety/train-*.parquet')"
    ).fetchall()
    assert found == [(rows, rows, round(float(frame["p"].mean()), 9), "assistant")]


def test_rows_say_what_the_records_say(tmp_path: Path) -> None:
    made = world(prompts=6)
    export(made.source(), tmp_path / "out")
    rows = [row for split in ("train", "test") for row in load(tmp_path / "out", "safety", split=split)]
    found = {row["id"]: (row["chosen_id"], row["rejected_id"], row["p"], row["consistent"]) for row in rows}
    expected = {
        one.id: (one.chosen_id, one.rejected_id, one.p, one.consistent)
        for one in made.of(Preference)
        if one.axis == "safety"
    }
    assert found == expected


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, exported: tuple[Path, Manifest]) -> Path:
    """Weights of a two-layer Llama and a word tokenizer with ChatML, saved for the trainers."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = (exported[0] / "helpfulness/train-00000.jsonl").read_text().splitlines()
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    specials = ["<unk>", "<pad>", "<|im_start|>", "<|im_end|>"]
    words.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=400, special_tokens=specials))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=512,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        )
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def first_loss(trainer: Any) -> float:
    """Loss of the one step taken."""
    trainer.train()
    return next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry)


def settings(out: Path) -> dict[str, Any]:
    return {
        "output_dir": str(out), "max_steps": 1, "per_device_train_batch_size": 4, "logging_steps": 1,
        "report_to": [], "use_cpu": True, "bf16": False, "save_strategy": "no", "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }  # fmt: skip


def causal(tiny: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)


def test_dpo_takes_a_step_and_starts_at_ln_2(
    exported: tuple[Path, Manifest], tiny: Path, tmp_path: Path
) -> None:
    from trl import DPOConfig, DPOTrainer

    model, tokenizer = causal(tiny)
    rows = load(exported[0], "helpfulness", split="train")
    trainer = DPOTrainer(
        model, args=DPOConfig(**settings(tmp_path)), train_dataset=rows, processing_class=tokenizer
    )
    assert first_loss(trainer) == pytest.approx(0.6931, abs=1e-3)


def test_kto_takes_a_step_and_starts_at_one_half(
    exported: tuple[Path, Manifest], tiny: Path, tmp_path: Path
) -> None:
    from trl import KTOConfig, KTOTrainer

    model, tokenizer = causal(tiny)
    rows = load(exported[0], "helpfulness-unpaired", split="train")
    trainer = KTOTrainer(
        model, args=KTOConfig(**settings(tmp_path)), train_dataset=rows, processing_class=tokenizer
    )
    assert first_loss(trainer) == pytest.approx(0.5, abs=1e-3)


def test_sft_takes_a_step(exported: tuple[Path, Manifest], tiny: Path, tmp_path: Path) -> None:
    import math

    from trl import SFTConfig, SFTTrainer

    model, tokenizer = causal(tiny)
    rows = load(exported[0], "helpfulness-sft", split="train")
    trainer = SFTTrainer(
        model, args=SFTConfig(**settings(tmp_path)), train_dataset=rows, processing_class=tokenizer
    )
    # An untrained model is near uniform over the vocabulary.
    assert first_loss(trainer) == pytest.approx(math.log(model.config.vocab_size), abs=0.3)


@pytest.mark.parametrize("margin", [None, "small"])
def test_reward_takes_a_step_and_sees_a_margin_only_when_asked(
    margin: str | None, tiny: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    export(world(prompts=20, bias=0.0).source(), tmp_path / "out", margin=margin)  # type: ignore[arg-type]
    rows = load(tmp_path / "out", "helpfulness", split="train")
    model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1)
    model.score.weight.data.zero_()  # every score 0, so that the loss is known in closed form
    trainer = RewardTrainer(
        model,
        args=RewardConfig(**settings(tmp_path / "run")),
        train_dataset=rows.filter(lambda row: row["margin_level"] == "significant").select(range(4)),
        processing_class=AutoTokenizer.from_pretrained(tiny),
    )
    # -ln sigmoid(0 - m): ln 2 without a margin, ln(1 + e) with the small scale's 1.
    assert first_loss(trainer) == pytest.approx(0.6931 if margin is None else 1.3133, abs=1e-3)


def test_nothing_of_ours_is_called_margin(exported: tuple[Path, Manifest]) -> None:
    first = json.loads((exported[0] / "helpfulness/train-00000.jsonl").open().readline())
    assert "margin" not in first
