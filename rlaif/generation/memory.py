"""Keys and values of the rows being drawn, each row in a place of its own.

Owns the layout. A row's columns begin at 0, so rows of any length stand side by side without
padding: what lies behind a row's end is masked, and written over as the row grows. A row joins by
one copy into a free place and leaves by one copy of the last row into its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_STEP = 64
"""Columns by which the memory grows at least."""


class Memory:
    """What ``transformers`` expects of a cache, with a write position for every row."""

    def __init__(self) -> None:
        self._layers: list[Tensor] = []
        """Each ``(2, places, heads, columns, width)``."""
        self._places = 0
        self._columns = 0
        self._at: Tensor | None = None
        self._visible = 0

    def reserve(self, places: int, columns: int) -> None:
        """Have at least so many places and columns."""
        if places <= self._places and columns <= self._columns:
            return
        # A quarter more than asked for: the number of copies stays logarithmic in the length.
        if columns > self._columns:
            columns = -(-(columns + columns // 4) // _STEP) * _STEP
        self._places, self._columns = max(places, self._places), max(columns, self._columns)
        self._layers = [self._grown(layer) for layer in self._layers]

    def write(self, place: int, kv: Sequence[Tensor]) -> None:
        """Fill a place from its first column on with runs of ``(layers, 2, heads, tokens, width)``."""
        column = 0
        for run in kv:
            end = column + run.shape[-2]
            for index, part in enumerate(run):
                self._layer(index, part[:, None])[:, place, :, column:end] = part
            column = end

    def move(self, source: int, target: int, columns: int) -> None:
        """Copy the first columns of one place over another's."""
        for layer in self._layers:
            layer[:, target, :, :columns] = layer[:, source, :, :columns]

    def aim(self, at: Tensor, visible: int) -> None:
        """Set where the next pass writes, a column for each row ``(B,)``, and how far it looks."""
        self._at, self._visible = at, visible

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object) -> tuple[Tensor, Tensor]:
        """Write one token a row, ``(B, heads, 1, width)``; return what all rows shall see."""
        import torch

        assert self._at is not None  # ``aim`` comes before every pass
        new = torch.stack((keys, values))
        held = self._layer(layer, new)
        rows = torch.arange(len(self._at), device=self._at.device)
        held[:, rows, :, self._at] = new[:, :, :, 0].transpose(0, 1)
        return held[0, : len(rows), :, : self._visible], held[1, : len(rows), :, : self._visible]

    def get_seq_length(self, layer: int = 0) -> int:
        """Return the columns a pass sees before its own."""
        return self._visible - 1

    def _layer(self, index: int, like: Tensor) -> Tensor:
        """Return a layer's memory, made on its first use after the shape of ``(2, B, heads, T, width)``."""
        if index == len(self._layers):
            # Zeros: a masked column still enters a product, and 0 x NaN is NaN.
            _, _, heads, _, width = like.shape
            self._layers.append(like.new_zeros(2, self._places, heads, self._columns, width))
        return self._layers[index]

    def _grown(self, old: Tensor) -> Tensor:
        two, places, heads, columns, width = old.shape
        new = old.new_zeros(two, self._places, heads, self._columns, width)
        new[:, :places, :, :columns] = old
        return new
