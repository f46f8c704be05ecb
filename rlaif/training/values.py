"""A policy with its value function: what is likely, and what is expected, read in one pass where they share.

Owns the value head, on the policy's own trunk or on that of a reward model, and the frozen policy that KL is
measured from. Leaves rows to ``packing`` and what is learned from the numbers to ``ppo``.

The value of a token is read where the token is predicted: it is the value of the state in which the token was
drawn, before anything of it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from rlaif.checkpoints import Adapter, load, load_scorer
from rlaif.records import Record
from rlaif.training.config import RunConfig
from rlaif.training.models import Policy, Scorer, linear

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from rlaif.training.packing import Packed


class SharedValue(Record):
    """A head on the policy's trunk: one pass gives both, and one gradient trains both."""

    kind: Literal["shared"] = "shared"
    """Names the kind."""
    lr: float = Field(default=1e-3, gt=0.0)
    """Peak learning rate of the head, which begins at 0 and so needs more than the trunk."""


class SeparateValue(Record):
    """A whole model, as InstructGPT (app. C.4) and Stiennon et al. have it: twice the memory and work."""

    kind: Literal["separate"]
    """Names the kind."""
    model: str
    """Where it begins: the reward model, best of all."""
    lr: float = Field(default=9e-6, gt=0.0)
    """Peak learning rate; InstructGPT's."""


ValueConfig = Annotated[SharedValue | SeparateValue, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pass tells of every response token, ``(N,)`` each, float32."""

    logprobs: Tensor
    """Of the token, at the temperature it was drawn at."""
    entropy: Tensor | None
    """Of the distribution it was drawn from, in nats; None where nobody asked."""
    values: Tensor
    """Of the state it was drawn in."""

    @classmethod
    def joined(cls, some: Sequence[Reading]) -> Reading:
        """Join the readings of several passes, entropy and all."""
        import torch

        return cls(
            torch.cat([one.logprobs for one in some]),
            torch.cat([one.entropy for one in some if one.entropy is not None]),
            torch.cat([one.values for one in some]),
        )

    def to(self, device: torch.device) -> Reading:
        """Move every tensor to a device."""
        entropy = None if self.entropy is None else self.entropy.to(device)
        return Reading(self.logprobs.to(device), entropy, self.values.to(device))


class ActorCritic:
    """A policy and its value function.

    Args:
        model: the policy's.
        config: which value function.
    """

    def __init__(self, model: PreTrainedModel, config: ValueConfig) -> None:
        self.policy = Policy(model)
        self._own = Scorer(load_scorer(config.model).model) if isinstance(config, SeparateValue) else None
        self._head = _blank(model) if self._own is None else _normalised(self._own)
        self.modules: dict[str, nn.Module] = {"policy": model, "value": self._head}
        """What trains, by name."""
        self.rates = {"value": config.lr, "value_trunk": config.lr}
        """Peak learning rates other than the policy's."""
        if self._own is not None:
            self.modules["value_trunk"] = self._own.model.base_model

    def read(self, packed: Packed, temperature: float, *, entropy: bool) -> Reading:
        """Read a row; call it where the models attend by trees.

        Entropy has its price: the gradient would go through every logit once more.
        """
        states = self.policy.hidden(packed)
        spread: Tensor | None = None
        if entropy:
            logprobs, spread = self.policy.read_spread(states, packed, temperature)
        else:
            logprobs = self.policy.read(states, packed, temperature)
        seen = states if self._own is None else self._own.hidden(packed)
        return Reading(logprobs, spread, linear(seen[packed.before], self._head))


class Reference:
    """The policy as it was before it trained: a copy, or the same weights with the adapters off.

    Args:
        policy: the one that trains.
        config: where it began.
        adapter: what trains of it; None where all of it does, so that a copy is needed.
    """

    def __init__(self, policy: Policy, config: RunConfig, adapter: Adapter | None) -> None:
        self._adapter = adapter
        self._policy = policy if adapter else Policy(load(config.model).model)

    def logprobs(self, packed: Packed, temperature: float) -> Tensor:
        """Return the log-probability of every response token, ``(N,)``, without gradient."""
        import torch

        with torch.no_grad(), self._policy.passes():
            if self._adapter is None:
                return self._policy.logprobs(packed, temperature)
            with self._adapter.off():
                return self._policy.logprobs(packed, temperature)


def _blank(model: PreTrainedModel) -> nn.Linear:
    """Make a head that expects nothing of any state."""
    import torch

    head = torch.nn.Linear(model.config.get_text_config().hidden_size, 1, device=model.device)
    for one in head.parameters():
        torch.nn.init.zeros_(one)
    return head


def _normalised(scorer: Scorer) -> nn.Linear:
    """Make a head that expects the normalised score a reward model would give what is there so far."""
    import torch

    weight = cast("nn.Linear", scorer.model.score).weight.detach()
    head = torch.nn.Linear(weight.shape[1], 1, device=weight.device)
    with torch.no_grad():
        head.weight.copy_(weight / scorer.std)
        head.bias.fill_(-scorer.mean / scorer.std)
    return head
