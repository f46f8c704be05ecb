"""A model whose layers are split over the processes that train it: each holds and updates its share.

Owns the split, the way back to whole tensors, and the norm of gradients that nobody holds whole. Leaves when
to do which to ``loop`` and the mathematics to FSDP2
(https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html).

A layer is put together for its pass, forwards and again backwards, and taken apart after each; moments never
are whole. Embeddings, norms outside of layers and heads stay whole: they may be tied to each other, and
beside the layers of a model that needs this they are small.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rlaif.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.distributed.fsdp import FSDPModule
    from transformers import PreTrainedModel

M = TypeVar("M", bound="PreTrainedModel")


def shard(module: nn.Module, count: int) -> list[FSDPModule]:
    """Split a model's layers, in place, over all processes, and return them; none where it is a mere head.

    Args:
        module: held whole, and the same, by every process.
        count: of processes.

    Raises:
        InputError: it has no list of layers.
    """
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if not hasattr(module, "get_decoder"):
        return []
    decoder: nn.Module = module.get_decoder()  # type: ignore[operator]
    stacks = [one for one in decoder.children() if isinstance(one, torch.nn.ModuleList)]
    if len(stacks) != 1:
        raise InputError(
            f"the layers of a {type(module).__name__} cannot be split: it has {len(stacks)} lists of them;"
            " set sharded: false"
        )
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (count,))
    inside = set(stacks[0].parameters())
    outside = {one for one in decoder.parameters() if one not in inside}
    layers = [fully_shard(one, mesh=mesh, reshard_after_forward=True) for one in stacks[0]]
    fully_shard(decoder, mesh=mesh, ignored_params=outside)
    for one in layers:
        one.set_gradient_divide_factor(1.0)  # losses are shares of the whole batch's: they add up
        one.set_force_sum_reduction_for_comms(True)
    return layers


@contextmanager
def assembled(layers: Sequence[FSDPModule]) -> Iterator[None]:
    """Keep all layers whole to the end of the block, so that a process may run as many passes as it likes."""
    for one in layers:
        one.set_reshard_after_forward(False)
        one.unshard()
    try:
        yield
    finally:
        for one in layers:
            one.set_reshard_after_forward(True)
            one.reshard()


def split(tensor: Tensor) -> bool:
    """Whether this process holds a share of it alone."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor; where it is split, every process has to ask."""
    found: Tensor = tensor.full_tensor() if split(tensor) else tensor  # type: ignore[attr-defined]
    return found


def like(value: Tensor, other: Tensor) -> Tensor:
    """Return a whole tensor that every process has, split as ``other`` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(other, DTensor):
        return value
    home = value.to(other.device)
    return distribute_tensor(home, other.device_mesh, other.placements, src_data_rank=None)


def clipped(parameters: Iterable[Tensor], most: float) -> float:
    """Scale gradients down to a norm of at most ``most``; return what it was, over all processes."""
    import torch
    import torch.distributed as dist
    from torch.distributed.tensor import DTensor

    gradients = [one.grad for one in parameters if one.grad is not None]
    shares = [one.to_local() for one in gradients if isinstance(one, DTensor)]
    others = [one for one in gradients if not isinstance(one, DTensor)]
    squares = torch.stack([one.square().sum() for one in shares]).sum()
    dist.all_reduce(squares)
    norm = float((squares + sum(one.square().sum() for one in others)).sqrt())
    scale = min(1.0, most / (norm + 1e-6))  # as torch does where nothing is split
    for one in (*shares, *others):
        one.mul_(scale)
    return norm


def joined(model: M) -> M:
    """Return a plain copy of a split model; every process has to ask."""
    state = {name: whole(one) for name, one in model.state_dict().items()}
    made: M = type(model)(model.config)
    made.load_state_dict(state)
    if model.can_generate():
        made.generation_config = model.generation_config
    return made
