"""Worlds in which the best policy is known: what trainers are measured against.

``Letters``   125 sequences of three letters, few enough to enumerate: J*, pi* and KL are exact
``arms``      four prompts with 32 responses each, a table

The worlds of texts and of features are the package's own, ``rlaif.lab.worlds``, and are to be had here too.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlaif.lab.worlds import NOUNS, Cover, Harm, asking, features, named, nouns

__all__ = ["NOUNS", "Cover", "Harm", "Letters", "arms", "asking", "features", "named", "nouns"]

LETTERS = "abcde"
LENGTH = 3
ROOT = "^"
"""The prompt."""
NODES = (ROOT, *("".join(one) for size in range(1, LENGTH + 1) for one in product(LETTERS, repeat=size)))
"""The vocabulary: a token for everything that may have been said so far."""
WORDS = NODES[-(len(LETTERS) ** LENGTH) :]
"""All 125 responses; each is drawn as three tokens, the last of which spells it."""
CONTEXTS = len(NODES) - len(WORDS)
"""31 places where a letter is chosen."""
_NEVER = -40.0
"""Logit of a token that does not continue another."""


@dataclass(frozen=True)
class Letters:
    """Three letters after one prompt; every response is cut at its third.

    The policy is a table, 31 places by 5 letters, in the clothes of an ordinary checkpoint: the embedding of
    a token says which place it is, layers add nothing, and the head holds the logits. Nothing is shared
    between places, so that what the trainer misses is not the network's fault.
    """

    reward: torch.Tensor
    """Of each of ``WORDS``, float64, ``(125,)``."""
    reference: torch.Tensor
    """log pi_ref of each, float64, ``(125,)``."""
    folder: Path
    """Holds ``model/`` and ``prompts.jsonl``."""

    @classmethod
    def made(cls, folder: Path, seed: int = 0, scale: float = 1.0) -> "Letters":
        """Draw a reference and rewards, both standard normal of their kind."""
        model = _model(seed)
        model.save_pretrained(folder / "model")
        _tokenizer().save_pretrained(folder / "model")
        (folder / "prompts.jsonl").write_text(json.dumps({"prompt": ROOT}) + "\n")
        drawn = np.random.default_rng(seed).normal(size=len(WORDS)) * scale
        return cls(torch.tensor(drawn), enumerated(model), folder)

    def score(self, prompts: Sequence[object], texts: Sequence[str]) -> list[float]:
        """The reward of each response."""
        return [float(self.reward[WORDS.index(text[-LENGTH:])]) for text in texts]

    def best(self, beta: float) -> torch.Tensor:
        """log pi* of each response: the reference tilted by exp(r / beta)."""
        return (self.reference + self.reward / beta).log_softmax(0)

    def value(self, logp: torch.Tensor, beta: float) -> float:
        """J: expected reward less beta times KL."""
        return float((logp.exp() * (self.reward - beta * (logp - self.reference))).sum())

    def share(self, logp: torch.Tensor, beta: float) -> float:
        """How much of what can be gained over the reference a policy gains; 1 is the optimum."""
        start, most = self.value(self.reference, beta), beta * self._partition(beta)
        return (self.value(logp, beta) - start) / (most - start)

    def divergence(self, logp: torch.Tensor) -> float:
        """Exact KL from the reference, in nats."""
        return float((logp.exp() * (logp - self.reference)).sum())

    def _partition(self, beta: float) -> float:
        return float((self.reference + self.reward / beta).logsumexp(0))


def enumerated(model: LlamaForCausalLM) -> torch.Tensor:
    """log pi of every word after the prompt, from one plain pass that shares no code with the trainers."""
    ids = torch.tensor([[0, *(NODES.index(word[:end]) for end in range(1, LENGTH + 1))] for word in WORDS])
    with torch.no_grad():
        logp = model(ids).logits.double().log_softmax(-1)
    return logp[:, :-1].gather(-1, ids[:, 1:, None]).sum((1, 2))


def trained(folder: Path) -> torch.Tensor:
    """log pi of every word under a checkpoint."""
    return enumerated(AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa"))


def variation(left: torch.Tensor, right: torch.Tensor) -> float:
    """Total variation of two distributions given as logs."""
    return float((left.exp() - right.exp()).abs().sum() / 2)


def _model(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(NODES), hidden_size=32, intermediate_size=4, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=16, tie_word_embeddings=False,
        eos_token_id=None, bos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "proj" in name:
                one.zero_()  # and, all of them 0, without a gradient for ever
        # Far from 0, where the norm hardly turns when a step of the optimiser is added.
        model.model.embed_tokens.weight.copy_(1000.0 * torch.eye(len(NODES), config.hidden_size))
        model.lm_head.weight.copy_(_table() / config.hidden_size**0.5)  # the norm multiplies by the root
    return model


def _table() -> torch.Tensor:
    """Logits of every token in every place, ``(156, 32)``: normal for the letters, never anything else."""
    table = torch.full((len(NODES), 32), _NEVER)
    for at, node in enumerate(NODES[1:], start=1):
        table[at, NODES.index(node[:-1] or ROOT)] = torch.randn(())
    return table


def _tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE({node: at for at, node in enumerate(NODES)}, []))
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=inner)


PROMPTS, ARMS = 4, 32


def arms(seed: int, beta: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A table of four prompts by 32 responses: rewards, log pi_ref and log pi*, float64, ``(4, 32)``."""
    stream = np.random.default_rng(seed)
    reward = torch.tensor(stream.normal(size=(PROMPTS, ARMS)))
    reference = torch.tensor(stream.normal(size=(PROMPTS, ARMS))).log_softmax(1)
    return reward, reference, (reference + reward / beta).log_softmax(1)
