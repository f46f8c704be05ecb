"""The loop every method runs in: batches, updates, logs, checkpoints, and going on after a stop.

Owns the optimiser, the order of data, what a step that is not finite does, and several processes. Leaves
the objective, and with it every trainer's few lines, to the methods.

Each process sees the whole batch and knows what its loss is divided by, computes some of its parts, and
adds its gradient to the others'. So neither the cut into parts nor the number of processes changes what
is learned.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import JsonValue

from rlaif.checkpoints import save
from rlaif.errors import InputError, JobError
from rlaif.generation import lent, takes_trees
from rlaif.records import Record
from rlaif.training import snapshots
from rlaif.training.config import RunConfig
from rlaif.training.data import Census
from rlaif.training.origin import Origin, claim
from rlaif.training.packing import Group, parts
from rlaif.training.processes import Processes
from rlaif.training.reporting import Metrics, Watch
from rlaif.training.schedule import factor
from rlaif.training.sharding import assembled, clipped, joined, like, shard, split, whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")
MOST_SKIPPED: Final = 10
"""Steps in a row that may come to nothing before a run is given up."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one pass adds to an update."""

    loss: Tensor
    """Its share of the batch's loss: a sum, divided by a number that the whole batch fixes."""
    sums: Mapping[str, Tensor] = field(default_factory=dict)
    """Numbers to add up over the batch, e.g. how many pairs are right; no gradient flows through them."""


@dataclass(frozen=True, slots=True)
class Update:
    """What an update came to."""

    loss: float
    """Of the whole batch."""
    grad_norm: float
    """Before clipping."""
    lr: float
    """Learning rate of the step."""
    skipped: bool
    """Whether loss or gradient was not finite, so that nothing changed."""
    sums: Mapping[str, float]
    """The shares' sums."""
    seconds: float
    """How long it took."""

    def metrics(self) -> dict[str, float]:
        """What every method logs of an update."""
        values = {"loss": self.loss, "grad_norm": self.grad_norm, "lr": self.lr, "seconds": self.seconds}
        return values | {"skipped": float(self.skipped)}


class Outcome(Record):
    """What a run left behind."""

    folder: str
    """The checkpoint, ``OUTPUT/final``."""
    steps: int
    """Updates made."""
    skipped: int
    """Updates that came to nothing because a number was not finite."""
    metrics: dict[str, float]
    """What was measured last."""


class Run:
    """One training run, begun or gone on with.

    Args:
        config: what the run was told.
        modules: what trains, by name; parameters that need no gradient stay as they are.
        origin: what it begins from and learns from.
        total: updates in all, which the schedule needs.
        lr: peak rates of modules that do not take the configuration's.
        resume: go on from the newest checkpoint in the output folder.
        watch: told every metric.

    Raises:
        InputError: the folder holds another run, or ``resume`` with a changed configuration.
    """

    def __init__(
        self,
        config: RunConfig,
        modules: Mapping[str, nn.Module],
        origin: Origin,
        total: int,
        *,
        lr: Mapping[str, float] | None = None,
        resume: bool = False,
        watch: Watch | None = None,
    ) -> None:
        self.config, self.origin, self.total = config, origin, total
        self.folder = Path(config.output)
        self.step = 0
        """Updates made."""
        self.skipped = 0
        """Updates that came to nothing because a number was not finite."""
        self.kept: dict[str, JsonValue] = {}
        """What the method must find again after a stop, e.g. its KL coefficient."""
        self.kept_tensors: dict[str, Tensor] = {}
        """The same for tensors."""
        self._taken = 0
        self._saved = 0
        self._skipped_in_a_row = 0
        self.processes = Processes.joined()
        """Those that train together, this one among them."""
        self._modules = dict(modules)
        sharded = config.sharded and self.processes.count > 1
        count = self.processes.count
        self._layers = [one for module in modules.values() for one in shard(module, count)] if sharded else []
        self._idle = False
        self._names: dict[Tensor, str] = {
            parameter: f"{name}.{key}"
            for name, module in modules.items()
            for key, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self._rates = {name: (lr or {}).get(name, config.lr) for name in modules}
        self._optimizer = self._made()
        if self.processes.first:
            claim(self.folder, config, origin, resume=resume)
        self.processes.wait()
        newest = snapshots.newest(self.folder) if resume else None
        if newest is not None:
            self._go_on(snapshots.read(newest))
        self._metrics = (
            Metrics(self.folder, self.step, config.report_to, watch) if self.processes.first else None
        )

    def batches(self, items: Sequence[T], size: int | None = None) -> Iterator[list[T]]:
        """Yield batches in a seeded order until all updates are made, saving between them where due.

        Each epoch has an order of its own, a function of seed and epoch. The last batch of an epoch may
        be smaller.

        Args:
            items: what to batch.
            size: of a batch; the configuration's when None.
        """
        size = size or self.config.batch
        each = -(-len(items) // size)
        while self.step < self.total:
            epoch, place = divmod(self._taken, each)
            order = list(range(len(items)))
            random.Random(f"{self.config.seed}:{epoch}").shuffle(order)  # noqa: S311  # no secret
            self._taken += 1
            yield [items[at] for at in order[place * size : (place + 1) * size]]
            every = self.config.save_every
            if every and self.step // every > self._saved // every:
                self.save()

    def parts(self, groups: Sequence[Group]) -> Iterator[range]:
        """Cut a batch into passes of bounded size and yield those that are this process's to compute.

        Where layers are split, every process has to make as many passes as any: one that has no more repeats
        one, which then counts nothing.
        """
        count = self.processes.count
        share = -(-sum(one.tokens for one in groups) // count)  # no process idle while another does it all
        cut = list(parts(groups, min(self.config.part_tokens, share)))
        mine = self.processes.mine(cut)
        yield from mine
        if self._layers and len(mine) * count < len(cut):
            self._idle = True
            yield cut[0]
            self._idle = False

    def update(self, shares: Iterable[Share]) -> Update:
        """Make one step of the optimiser.

        Each share's gradient is taken before the next is asked for, so that only one pass is held.

        Raises:
            InputError: memory ran out; says which knob to turn.
            JobError: too many steps in a row were not finite.
        """
        from torch.nn.utils import clip_grad_norm_

        started = time.perf_counter()
        loss, sums = self._accumulate(shares)
        clip = clipped if self._layers else clip_grad_norm_
        norm = float(clip(list(self._names), self.config.clip))
        rate = factor(self.config.schedule, self.step, self.total, round(self.config.warmup * self.total))
        skipped = not (abs(loss) < float("inf") and norm < float("inf"))
        if not skipped:
            for group in self._optimizer.param_groups:
                group["lr"] = group["peak"] * rate
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._note(skipped)
        seconds = time.perf_counter() - started
        return Update(loss, norm, self.config.lr * rate, skipped, sums, seconds)

    def log(self, values: Mapping[str, float], prefix: str = "") -> None:
        """Write metrics of the step made last."""
        if values and self._metrics is not None:
            self._metrics.write(self.step, {f"{prefix}{name}": value for name, value in values.items()})

    def describe(self, census: Census) -> None:
        """Write what became of the data's rows, once a run."""
        if self.step == 0:
            self.log({name: float(value) for name, value in census.model_dump().items()}, "data/")

    def due(self, every: int | None) -> bool:
        """Whether something done every so many updates is to be done now."""
        return bool(every) and self.step % (every or 1) == 0

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Let the models attend by trees, in the run's precision, until the end of the block."""
        import torch

        with ExitStack() as stack:
            for module in self._modules.values():
                if hasattr(module, "get_decoder") and takes_trees(module):  # type: ignore[arg-type]
                    stack.enter_context(lent(module))  # type: ignore[arg-type]
            if self.config.dtype == "bfloat16":
                device = next(iter(self._names)).device.type
                stack.enter_context(torch.autocast(device, torch.bfloat16))
            yield

    @contextmanager
    def assembled(self) -> Iterator[None]:
        """Let each process make as many passes as it likes, until the end of the block, and train nothing."""
        with assembled(self._layers):
            yield

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Compute without gradient, in evaluation mode; modes and random generators are put back."""
        import torch

        modes = {name: module.training for name, module in self._modules.items()}
        state = snapshots.generators()
        for module in self._modules.values():
            module.train(False)
        try:
            with torch.no_grad(), self.passing():
                yield
        finally:
            for name, module in self._modules.items():
                module.train(modes[name])
            snapshots.set_generators(state)

    def save(self) -> None:
        """Write ``step-N``, from which the run can go on; older ones are removed."""
        self._saved = self.step
        weights = {name: whole(parameter.detach()) for parameter, name in self._names.items()}
        moments = snapshots.moments(self._optimizer, self._names)
        if not self.processes.first:
            return
        state: dict[str, JsonValue] = {
            "step": self.step, "taken": self._taken, "skipped": self.skipped,
            "skipped_in_a_row": self._skipped_in_a_row, "generators": snapshots.generators(),
            "kept": dict(self.kept),
        }  # fmt: skip
        snapshots.write(
            self.folder, self.step, snapshots.Snapshot(weights, moments, self.kept_tensors, state)
        )

    def finish(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, metrics: Mapping[str, float]
    ) -> Outcome:
        """Write ``final/``, an ordinary checkpoint with its lineage.

        Args:
            model: what to write, its adapters merged.
            tokenizer: with its chat template.
            metrics: what was measured last.
        """
        folder = self.folder / "final"
        model = joined(model) if self._layers else model
        if self.processes.first:
            lineage = self.origin.lineage(self.config, self.step, self.skipped, metrics)
            save(model, tokenizer, folder, lineage)
        return Outcome(folder=str(folder), steps=self.step, skipped=self.skipped, metrics=dict(metrics))

    def _made(self) -> torch.optim.Optimizer:
        """Make AdamW; matrices decay, gains and biases do not."""
        import torch

        for module in self._modules.values():
            _still(module)
            module.train()
            if self.config.gradient_checkpointing and hasattr(module, "activation_checkpointing_enable"):
                module.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        groups: dict[tuple[float, float, bool], list[Tensor]] = {}
        for parameter, name in self._names.items():
            decay = self.config.weight_decay if parameter.ndim > 1 else 0.0
            key = (self._rates[name.partition(".")[0]], decay, split(parameter))
            groups.setdefault(key, []).append(parameter)
        return torch.optim.AdamW(
            [{"params": some, "peak": key[0], "weight_decay": key[1]} for key, some in groups.items()],
            lr=self.config.lr, betas=self.config.betas, eps=self.config.epsilon, fused=True,
        )  # fmt: skip

    def _accumulate(self, shares: Iterable[Share]) -> tuple[float, dict[str, float]]:
        """Add up gradients, losses and sums of all shares, of all processes."""
        import torch

        losses: list[Tensor] = []
        sums: dict[str, Tensor] = {}
        with _memory(), self.passing():
            for share in shares:
                (share.loss * 0.0 if self._idle else share.loss).backward()  # type: ignore[no-untyped-call]
                if self._idle:
                    continue
                losses.append(share.loss.detach().double())
                for name, value in share.sums.items():
                    sums[name] = sums.get(name, 0.0) + value.detach().double()
        self.processes.add_gradients(list(self._names))
        loss = float(torch.stack(losses).sum()) if losses else 0.0
        total = self.processes.add({name: float(value) for name, value in sums.items()})
        return self.processes.add({"loss": loss})["loss"], total

    def _note(self, skipped: bool) -> None:
        self.skipped += skipped
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if skipped else 0
        if self._skipped_in_a_row == MOST_SKIPPED:
            raise JobError(
                f"{MOST_SKIPPED} updates in a row had a loss or gradient that is not a number, the last at"
                f" step {self.step}; lower lr (found {self.config.lr!r}) or set dtype: float32"
            )

    def _go_on(self, snapshot: snapshots.Snapshot) -> None:
        """Put everything where the snapshot found it."""
        import torch

        state: Mapping[str, Any] = snapshot.state
        with torch.no_grad():
            for parameter, name in self._names.items():
                parameter.copy_(like(snapshot.weights[name], parameter))
        snapshots.put_back(self._optimizer, self._names, snapshot.moments)
        snapshots.set_generators(state["generators"])
        self.step = self._saved = state["step"]
        self._taken, self.skipped = state["taken"], state["skipped"]
        self._skipped_in_a_row = state["skipped_in_a_row"]
        self.kept, self.kept_tensors = state["kept"], dict(snapshot.kept)


def _still(module: nn.Module) -> None:
    """Turn dropout off: two passes over the same tokens must agree."""
    from torch.nn import Dropout

    for one in module.modules():
        if isinstance(one, Dropout):
            one.p = 0.0


@contextmanager
def _memory() -> Iterator[None]:
    """Say which knob to turn when memory runs out."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in text:
            raise
        raise InputError(
            "memory ran out during an update; lower part_tokens, set gradient_checkpointing: true or train"
            " with lora, then go on with --resume"
        ) from None
