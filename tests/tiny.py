"""Tiny random checkpoints made on the spot: nothing is downloaded, every run has the same weights."""

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlaif.checkpoints import Checkpoint

torch.set_num_threads(1)  # so small that a second thread only waits for the first

SPECIALS = ("<|end|>", "<|turn|>", "<|pad|>")
TEMPLATE = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
VOCAB = 300


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level: three special tokens, then one token a byte, and a few merges of two."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("a", "n"), ("e", "r"), ("Ġ", "A"), ("Ġ", "B")]
    words = [*SPECIALS, *alphabet, *("".join(pair) for pair in merges)]
    words += [f"<unused{i}>" for i in range(VOCAB - len(words))]
    inner = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|turn|>"],
    )
    made.chat_template = TEMPLATE
    return made


def llama(seed: int = 0, context: int = 256, scale: float = 0.3) -> LlamaForCausalLM:
    """Two layers, grouped heads, rotary positions."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=context,
        eos_token_id=0, bos_token_id=None, pad_token_id=2, initializer_range=scale,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def gpt2(seed: int = 0, context: int = 256, scale: float = 0.3) -> GPT2LMHeadModel:
    """Two layers and absolute positions, which show every position that is off by one."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=context,
        eos_token_id=0, bos_token_id=None, pad_token_id=2, initializer_range=scale,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def checkpoint(kind: str = "llama", dtype: torch.dtype = torch.float32, scale: float = 0.3) -> Checkpoint:
    """Return the one ``llama`` or the one ``gpt2`` of this process.

    Args:
        kind: ``llama`` or ``gpt2``.
        dtype: what the weights are held in.
        scale: spread of the weights; large ones make sharp choices and magnify rounding.
    """
    return _made(kind, dtype, scale)


@cache
def _made(kind: str, dtype: torch.dtype, scale: float) -> Checkpoint:
    model = llama(scale=scale) if kind == "llama" else gpt2(scale=scale)
    return Checkpoint(model.to(dtype), tokenizer(), f"tiny-{kind}", Path("/nowhere"))


def saved(folder: Path, kind: str = "llama") -> Path:
    """Write a tiny checkpoint as a folder."""
    made = checkpoint(kind)
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder
