"""The model as a function, and nothing else of it.

Owns evaluation mode, the additive mask and which models can be run. Leaves what is computed to
``packing`` and ``decoding``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlaif.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel


class Forward:
    """The model as a function of tokens, positions, mask and past; in evaluation mode, no gradient.

    Args:
        model: a decoder with attention in every layer.

    Raises:
        InputError: some layers keep a state instead, so paths cannot be shared.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        config = model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        if not kinds <= {"full_attention", "sliding_attention"}:
            raise InputError(
                f"layers of kind {sorted(kinds)!r} are not supported by the local engine, which shares"
                " prefixes; use a model with attention in every layer, or serve this one and name it"
                " 'compatible:SERVER/MODEL'"
            )
        # Inside its window a sliding layer sees everything, so up to there it is a full one.
        bounds = (getattr(config, name, None) for name in ("max_position_embeddings", "sliding_window"))
        self.context = min((bound for bound in bounds if bound), default=1 << 30)
        """Most positions the model can read here."""

    def __call__(self, ids: Tensor, positions: Tensor, mask: Tensor, past: object, keep: Tensor) -> Tensor:
        """Run one forward pass.

        Args:
            ids: ``(B, T)``.
            positions: ``(B, T)``.
            mask: ``(B, 1, T, columns)``, true where a token may look.
            past: takes each layer's new keys and values and returns all it shall see.
            keep: indices along T whose logits are wanted.

        Returns:
            Logits, ``(B, len(keep), V)``, in float32 or the model's dtype where that is finer.
        """
        import torch

        model, training = self._model, self._model.training
        bias = torch.zeros(mask.shape, dtype=model.dtype, device=mask.device)
        bias.masked_fill_(~mask, float("-inf"))
        if training:  # dropout off, and the trainer's mode back afterwards
            model.train(False)
        try:
            with torch.no_grad():  # not inference mode: what it makes is kept and written to later
                output = model(
                    input_ids=ids,
                    position_ids=positions,
                    attention_mask=bias,
                    past_key_values=past,
                    use_cache=True,
                    logits_to_keep=keep,
                )
        finally:
            if training:
                model.train()
        logits: Tensor = output.logits
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    @property
    def device(self) -> torch.device:
        """Where tensors must be made."""
        return self._model.device
