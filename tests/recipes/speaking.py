"""A tiny checkpoint that says the nouns of the worlds at random: its responses differ in worth."""

from pathlib import Path

import torch
from tokenizers import Tokenizer

from rlaif.lab.worlds import NOUNS
from tests import tiny


def saved(folder: Path) -> Path:
    """Write it: nouns in the place of unused tokens, and a head that prefers them to bytes."""
    tokenizer = tiny.tokenizer()
    text = tokenizer.backend_tokenizer.to_str()
    for at, noun in enumerate(NOUNS):
        text = text.replace(f'"<unused{at}>"', f'"Ġ{noun}"')
    tokenizer._tokenizer = Tokenizer.from_str(text)
    model = tiny.llama(context=4096)
    said = tokenizer.convert_tokens_to_ids([f"Ġ{noun}" for noun in NOUNS])
    with torch.no_grad():
        model.get_input_embeddings().weight[:, 0] = 3.0  # in every state, for the head to lean on
        head = model.get_output_embeddings().weight
        head[:, 0] = -1.0
        head[said, 0] = 1.0
        head[0] = 0.0
        head[0, 0] = 1.3  # the end of a turn: one token in twenty or so
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
