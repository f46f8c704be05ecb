"""From logits to tokens: temperature, nucleus, and one uniform number a row.

Owns the draw. A row's token depends on its own logits and its own number alone, never on the rows
it happens to share a batch with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_HEAD = 512
"""Tokens looked at first when a nucleus is cut: sorting them all takes longer than the model."""


def choose(logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one token a row by inverting the cumulative distribution.

    Args:
        logits: float32, ``(B, V)``.
        temperature: ``(B,)``; 0 takes the likeliest token.
        top_p: ``(B,)``, in (0, 1]; the nucleus of Holtzman et al., https://arxiv.org/abs/1904.09751.
        uniform: float64 in [0, 1), ``(B,)``.

    Returns:
        Tokens and their log-probabilities, each ``(B,)``. The latter are those of the whole
        distribution at the row's temperature (at 1 for a temperature of 0), before any nucleus.
    """
    greedy = temperature == 0
    logp = (logits / temperature.masked_fill(greedy, 1.0)[:, None]).log_softmax(-1)
    tokens = logits.argmax(-1)
    drawing = ~greedy
    if bool(drawing.any()):
        probs = _nucleus(logp[drawing].exp(), top_p[drawing])
        mass = probs.double().cumsum(-1)
        at = uniform[drawing, None] * mass[:, -1:]
        tokens[drawing] = _invert(mass, at)
    return tokens, logp.gather(1, tokens[:, None])[:, 0]


def _invert(mass: Tensor, at: Tensor) -> Tensor:
    import torch

    # The first token whose cumulative mass exceeds the number: one of probability 0 is never it.
    return torch.searchsorted(mass, at, right=True)[:, 0].clamp_(max=mass.shape[-1] - 1)


def _nucleus(probs: Tensor, top_p: Tensor) -> Tensor:
    """Zero all but the fewest likeliest tokens that reach ``top_p`` together; ``(B, V)``."""
    cut = (top_p < 1).nonzero()[:, 0]
    if not len(cut):
        return probs
    rows, bound = probs[cut], top_p[cut]
    values, tokens = rows.topk(min(_HEAD, rows.shape[-1]))
    probs = probs.clone()
    short = values.sum(-1) < bound
    probs[cut] = _kept(rows, values, tokens, bound)
    if bool(short.any()):
        values, tokens = rows[short].sort(dim=-1, descending=True)
        probs[cut[short]] = _kept(rows[short], values, tokens, bound[short])
    return probs


def _kept(rows: Tensor, values: Tensor, tokens: Tensor, bound: Tensor) -> Tensor:
    """Keep the tokens before which less than ``bound`` has been gathered; values descend."""
    before = values.cumsum(-1) - values
    kept = values.masked_fill(before >= bound[:, None], 0.0)
    return rows.new_zeros(rows.shape).scatter(1, tokens, kept)
