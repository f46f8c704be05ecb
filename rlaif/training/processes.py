"""Several processes that train one model: who this one is, and sums over all of them.

Owns the only collectives. Leaves starting the processes to ``torchrun``, whose environment
variables say that there are several (https://docs.pytorch.org/docs/stable/elastic/run.html).
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

from rlaif.training.sharding import split

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of a run."""

    rank: int
    """Its number, from 0."""
    count: int
    """How many there are."""

    @classmethod
    def joined(cls) -> Processes:
        """Join the others, where the environment says there are any."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls(0, 1)
        import torch
        import torch.distributed as dist

        if not dist.is_initialized():
            if torch.cuda.is_available():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
            # Its threads must have ended when the interpreter does, or the process is aborted.
            atexit.register(dist.destroy_process_group)
        return cls(dist.get_rank(), count)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def wait(self) -> None:
        """Return once every process is here."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier()

    def mine(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's share of what every process holds."""
        return items[self.rank :: self.count]

    def gathered(self, share: Sequence[T]) -> list[T]:
        """Return what every process made of its share, one for one, in the order of the whole."""
        shares = self._all(share)
        return [shares[at % self.count][at // self.count] for at in range(sum(map(len, shares)))]

    def most(self, values: Sequence[float]) -> float:
        """Return the greatest number any process has, 0 where nobody has one."""
        return max(chain.from_iterable(self._all(values)), default=0.0)

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Give every parameter the sum of all processes' gradients; one that has none adds 0.

        Those of which each process holds a share have their sums already.
        """
        if self.count == 1:
            return
        import torch
        import torch.distributed as dist

        for one in parameters:
            if split(one):
                continue
            if one.grad is None:
                one.grad = torch.zeros_like(one)
            dist.all_reduce(one.grad)

    def add(self, values: Mapping[str, float]) -> dict[str, float]:
        """Add up numbers of one name over all processes, in the order of names."""
        if self.count == 1:
            return dict(values)
        found = self._all(dict(values))
        names = sorted({name for one in found for name in one})
        return {name: sum(one.get(name, 0.0) for one in found) for name in names}

    def _all(self, own: T) -> list[T]:
        """Return every process's own, by rank."""
        if self.count == 1:
            return [own]
        import torch.distributed as dist

        found = [own] * self.count
        dist.all_gather_object(found, own)
        return found


ALONE: Final = Processes(0, 1)
"""The only one."""
