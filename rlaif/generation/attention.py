"""Attention over a tree of prefixes: each branch sees its own path and nothing else.

Owns the attention function that is lent to a ``transformers`` model, for one pass of the engine or
for a training run. Leaves the tree and what is packed together to ``packing``.

Under a dense mask a pack pays for every pair of its tokens, also where two branches do not see each
other. Here each branch is an attention of its own, so that the cost of a pack is that of its paths.
API page: https://huggingface.co/docs/transformers/attention_interface
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rlaif.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

NAME: Final = "rlaif_tree"
"""What the attention function is registered as."""

_UNKNOWN: Final = ("softcap", "position_bias", "s_aux")
"""Arguments by which models ask for more than plain attention."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Branch:
    """Tokens that follow one another, and where the keys of all they see are."""

    rows: Span
    """Its tokens among the queries."""
    above: tuple[Span, ...]
    """Columns of the path before it, in order."""
    own: Span
    """Columns of its own tokens, as many as rows."""


class Tree:
    """The branches of one pass, with their biases.

    Args:
        branches: in the order of their rows, which together are all queries.
        dtype: of the model.
        device: of the model.
    """

    def __init__(self, branches: Sequence[Branch], dtype: torch.dtype, device: torch.device) -> None:
        self.layers = 0
        """Layers that attended by this tree; a model that took no notice of it leaves 0."""
        paths = [_joined((*one.above, one.own)) for one in branches]
        self._rows = [one.rows[1] - one.rows[0] for one in branches]
        self._tiles = _Tiles(paths)
        self._branches = [
            (self._tiles.of(path), _bias(one, dtype, device))
            for one, path in zip(branches, paths, strict=True)
        ]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Attend in one layer.

        Args:
            query: ``(1, heads, T, width)``.
            key: ``(1, key heads, columns, width)``.
            value: as ``key``.
            scale: of the products; None for the usual root of the width.

        Returns:
            ``(1, T, heads, width)``.
        """
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        self.layers += 1
        _one, heads, tokens, width = query.shape
        shared = heads // key.shape[1]  # query heads that share one key head: a dimension of their own
        grouped = query.view(-1, shared, tokens, width).transpose(0, 1)
        queries = torch.split(grouped, self._rows, dim=2)
        keys, values = self._tiles.cut(key), self._tiles.cut(value)
        results = [
            scaled_dot_product_attention(
                rows,
                _path(keys, tiles).expand(shared, -1, -1, -1),
                _path(values, tiles).expand(shared, -1, -1, -1),
                attn_mask=bias,
                is_causal=bias is None and rows.shape[2] > 1,
                scale=scale,
            )
            for rows, (tiles, bias) in zip(queries, self._branches, strict=True)
        ]
        return torch.cat(results, dim=2).permute(2, 1, 0, 3).reshape(1, tokens, heads, width)


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **options: object,
) -> tuple[Tensor, None]:
    """Attend by the ``tree`` among the options, as ``transformers`` calls it.

    Raises:
        InputError: the model needs more than plain attention.
    """
    asked = [name for name in _UNKNOWN if options.get(name) is not None]
    if asked:
        raise InputError(
            f"the model's attention needs {asked!r}, which the local engine does not compute; serve it and"
            " name it 'compatible:SERVER/MODEL'"
        )
    tree = options["tree"]
    assert isinstance(tree, Tree)
    return tree.attend(query, key, value, scaling), None


def takes_trees(model: PreTrainedModel) -> bool:
    """Whether a model asks the registry for its attention, and would use the plain one."""
    from transformers import AttentionInterface

    if not model._supports_attention_backend or model.config._attn_implementation not in ("sdpa", NAME):
        return False
    AttentionInterface.register(NAME, attend)
    return True


@contextmanager
def lent(model: PreTrainedModel) -> Iterator[None]:
    """Let a model that ``takes_trees`` attend by the tree it is given, until the end of the block."""
    config = model.config
    usual = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = usual


def _bias(branch: Branch, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """What is added to a branch's products: all above is seen, of its own only what came before.

    None for one token, which sees all, and for a branch with nothing above, which is plainly causal.
    """
    import torch

    tokens = branch.own[1] - branch.own[0]
    if tokens == 1 or not branch.above:
        return None
    seen = sum(end - start for start, end in branch.above)
    bias = torch.zeros(tokens, seen + tokens, dtype=dtype, device=device)
    bias[:, seen:] = torch.full((tokens, tokens), float("-inf"), dtype=dtype, device=device).triu(1)
    return bias


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Merge spans that meet, so that a path in one piece is a view."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


class _Tiles:
    """The columns, cut once wherever a path begins or ends.

    One split has one gradient, the pieces' put together. A slice for every path would have as many
    gradients as paths, each as wide as all columns and nearly all of it zeros.
    """

    def __init__(self, paths: Sequence[Sequence[Span]]) -> None:
        self._cuts = sorted({0, *(edge for path in paths for span in path for edge in span)})
        self._number = {cut: number for number, cut in enumerate(self._cuts)}

    def of(self, path: Sequence[Span]) -> list[int]:
        """Return the numbers of a path's tiles."""
        return [one for start, end in path for one in range(self._number[start], self._number[end])]

    def cut(self, held: Tensor) -> Sequence[Tensor]:
        """Cut ``(1, heads, columns, width)`` into tiles."""
        import torch

        edges = [*self._cuts, held.shape[2]]
        return torch.split(held, [end - start for start, end in pairwise(edges)], dim=2)


def _path(tiles: Sequence[Tensor], numbers: Sequence[int]) -> Tensor:
    import torch

    parts = [tiles[one] for one in numbers]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
