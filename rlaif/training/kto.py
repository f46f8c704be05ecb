"""Kahneman-Tversky optimisation: a policy from responses that are good or bad by themselves.

Owns the configuration, which response stands in for which when the baseline is measured, and what a batch
costs. Leaves formulas to ``losses.direct``, the reference to ``reference`` and the loop to ``loop``.

The baseline z0 is how far the policy has moved on responses to other prompts. Each response is given
such a stranger once for the whole run: the response in its place at the next prompt of the file. So a
row is never its own stranger, not in a batch of one either, and the reference is asked once. z0 of a
batch is known before its first gradient, so the cut into passes changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from rlaif.checkpoints import Adapter, Checkpoint, load
from rlaif.errors import InputError, tell
from rlaif.training.config import RunConfig
from rlaif.training.data import Data, Labelled, read_labelled
from rlaif.training.loop import Outcome, Run, Share
from rlaif.training.losses import direct
from rlaif.training.models import Policy, by_response
from rlaif.training.origin import Origin
from rlaif.training.packing import Group, Ids, pack, parts
from rlaif.training.reference import reference
from rlaif.training.reporting import Watch
from rlaif.training.schedule import Shape
from rlaif.training.snapshots import seed

if TYPE_CHECKING:
    from torch import Tensor

BALANCED: Final = (1.0, 1.5)
"""Where the paper wants desirable weight times count over undesirable weight times count to lie."""
_KINDS: Final = ("desirable", "undesirable")


class KtoConfig(RunConfig):
    """``method: kto``. Defaults: Ethayarajh et al. 2024, section 4.2."""

    method: Literal["kto"]
    """Train a policy on single responses marked good or bad."""
    beta: float = Field(default=0.1, gt=0.0)
    """How soon gains and losses saturate; smaller lets the policy go further from the reference."""
    desirable_weight: float = Field(default=1.0, ge=0.0)
    """How much a good response counts."""
    undesirable_weight: float = Field(default=1.0, ge=0.0)
    """How much a bad response counts."""
    baseline: Literal["mismatched", "zero"] = "mismatched"
    """Measure z0 on responses to other prompts, or hold it at 0: half the passes, and usually worse."""
    batch: int = Field(default=32, ge=1)
    """Prompts of one update, each with all its responses."""
    lr: float = Field(default=5e-6, gt=0.0)
    """Peak learning rate; two to ten times that of DPO."""
    schedule: Shape = "constant"
    """Shape of the learning rate after warm-up."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of all updates in which the rate climbs to its peak."""


@dataclass(frozen=True, slots=True)
class Known:
    """Responses, and what the reference thinks of them."""

    group: Group
    """A prompt with responses."""
    logprobs: Tensor
    """Of every response token under the reference, ``(N,)``."""


@dataclass(frozen=True, slots=True)
class Referred:
    """A prompt's labelled responses beside its strangers."""

    labels: tuple[bool, ...]
    """Of its own responses."""
    own: Known
    """The prompt's own responses."""
    strange: Known | None
    """The prompt with responses to other prompts; None where the baseline is held at 0."""


def train(config: KtoConfig, *, resume: bool = False, watch: Watch | None = None) -> Outcome:
    """Train a policy on labelled responses and write it as an ordinary model of ``transformers``.

    Args:
        config: what to train on what.
        resume: go on where a stopped run was.
        watch: told every metric.

    Raises:
        InputError: the data, the model or the output folder cannot be used.
        JobError: the loss stayed not a number.
    """
    # 1. The model and the data: every prompt with all its responses, split by prompt.
    seed(config.seed)
    checkpoint = load(config.model)
    data = read_labelled(config.data, checkpoint.tokenizer)
    warn(config, data.train)

    # 2. What the reference thinks of the responses and of their strangers, before anything has trained.
    training, held_out = referred(config, checkpoint, data)

    # 3. Updates. The loss is the mean over the batch's responses, whatever passes it is cut into.
    adapter = Adapter(checkpoint.model, config.lora) if config.lora else None
    policy = Policy(checkpoint.model)
    origin = Origin.of(config, checkpoint, data.digest)
    run = Run(
        config, {"policy": checkpoint.model}, origin, config.total(len(training)), resume=resume, watch=watch
    )
    run.describe(data.census)
    for batch in run.batches(training):
        z0 = baseline(run, policy, batch)
        update = run.update(shares(run, policy, config, batch, z0))
        run.log(update.metrics() | averages(update.sums) | {"baseline": float(z0)})
        if run.due(config.eval_every) and run.step < run.total:
            run.log(evaluate(run, policy, config, held_out), "eval/")

    # 4. What it came to.
    metrics = evaluate(run, policy, config, held_out)
    run.log(metrics, "eval/")
    model = adapter.merged() if adapter else checkpoint.model
    return run.finish(model, checkpoint.tokenizer, metrics)


def warn(config: KtoConfig, train: Sequence[Labelled]) -> None:
    """Say so where one kind of response outweighs the other by more than the paper advises."""
    good = sum(label for one in train for label in one.labels)
    bad = sum(len(one.labels) for one in train) - good
    up, down = config.desirable_weight * good, config.undesirable_weight * bad
    if not BALANCED[0] * down <= up <= BALANCED[1] * down:
        advice = f"; set desirable_weight: {config.undesirable_weight * bad / good:.3g}" if good else ""
        tell(
            f"{good} desirable and {bad} undesirable responses weigh {up:g} to {down:g}; advised is a ratio"
            f" of {BALANCED[0]:g} to {BALANCED[1]:g}{advice}"
        )


def referred(
    config: KtoConfig, checkpoint: Checkpoint, data: Data[Labelled]
) -> tuple[list[Referred], list[Referred]]:
    """Put the reference's numbers to both sides of the data; strangers are of the training side alone.

    Raises:
        InputError: a prompt has no stranger.
    """
    seen = [*data.train, *data.test]
    own = _known(config, checkpoint, [one.group for one in seen])
    strange: list[Known | None] = [None] * len(seen)
    if config.baseline == "mismatched":
        most = config.data.max_length
        others = [*strangers(data.train, data.train, most), *strangers(data.test, data.train, most)]
        strange = [*_known(config, checkpoint, others)]
    made = [
        Referred(one.labels, *both) for one, both in zip(seen, zip(own, strange, strict=True), strict=True)
    ]
    return made[: len(data.train)], made[len(data.train) :]


def _known(config: KtoConfig, checkpoint: Checkpoint, groups: Sequence[Group]) -> list[Known]:
    numbers = reference(checkpoint, groups, config)
    return [Known(*both) for both in zip(groups, numbers, strict=True)]


def strangers(asked: Sequence[Labelled], others: Sequence[Labelled], most: int) -> list[Group]:
    """Give every response of every prompt one that was given to another prompt.

    The first that fits behind the prompt, looking from the next place in ``others`` on and round its end.

    Args:
        asked: prompts that need strangers.
        others: prompts whose responses may be taken.
        most: tokens of a prompt with one response.

    Raises:
        InputError: none fits, as with a single prompt.
    """

    def stranger(at: int, place: int) -> Ids:
        prompt = asked[at].group.prompt
        for step in range(1, len(others) + 1):
            other = others[(at + step) % len(others)]
            ids = other.group.responses[place % len(other.group.responses)]
            if other is not asked[at] and len(prompt) + len(ids) <= most:
                return ids
        raise InputError(
            f"a prompt of {len(prompt)} tokens has no response to another of {len(others)} prompts that fits"
            f" behind it within max_length {most}; add prompts, raise data.max_length or set baseline: zero"
        )

    return [
        Group(one.group.prompt, tuple(stranger(at, place) for place in range(len(one.labels))))
        for at, one in enumerate(asked)
    ]


def baseline(run: Run, policy: Policy, batch: Sequence[Referred]) -> Tensor:
    """Return z0 of a batch, a number without gradient; 0 where it is held there."""
    import torch

    measured = [one.strange for one in batch if one.strange is not None]
    if not measured:
        return torch.zeros(())
    with torch.no_grad(), run.passing():
        ratios = [
            _ratios(policy, measured[part.start : part.stop])[0]
            for part in parts([one.group for one in measured], run.config.part_tokens)
        ]
    return direct.baseline(torch.cat(ratios))


def shares(
    run: Run, policy: Policy, config: KtoConfig, batch: Sequence[Referred], z0: Tensor
) -> Iterator[Share]:
    """Yield each pass's share of the mean over responses."""
    whole = sum(len(one.labels) for one in batch)
    for part in run.parts([one.own.group for one in batch]):
        sums = read(policy, config, batch[part.start : part.stop], z0)
        yield Share(sums.pop("loss") / whole, sums)


def evaluate(run: Run, policy: Policy, config: KtoConfig, batch: Sequence[Referred]) -> dict[str, float]:
    """Return loss and figures of responses that are not trained on; empty where there are none."""
    if not batch:
        return {}
    z0 = baseline(run, policy, batch)
    sums: Counter[str] = Counter()
    with run.evaluating():
        for part in parts([one.own.group for one in batch], config.part_tokens):
            found = read(policy, config, batch[part.start : part.stop], z0)
            sums.update({name: float(value) for name, value in found.items()})
    loss = sums.pop("loss") / sum(len(one.labels) for one in batch)
    return averages(sums) | {"loss": loss, "baseline": float(z0)}


def averages(sums: Mapping[str, float]) -> dict[str, float]:
    """Divide sums over desirable and undesirable responses by how many of each there were.

    Gives ``desirable_reward`` (beta u), ``desirable_logprob``, ``desirable_tokens``, the same of
    undesirable ones, and over both ``accuracy``: 1 where u lies on the label's side of z0, half where on
    it. What there is none of is left out.
    """
    count = {kind: sums[kind] for kind in _KINDS}
    values = {"accuracy": sums["accuracy"] / sum(count.values())}
    for name, value in sums.items():
        kind, _, figure = name.partition("_")
        if figure and count[kind]:
            values[name] = value / count[kind]
    return values


def read(policy: Policy, config: KtoConfig, some: Sequence[Referred], z0: Tensor) -> dict[str, Tensor]:
    """Read some groups in one pass; call it where the policy attends by trees.

    Returns:
        ``loss`` with its gradient, and what ``averages`` makes figures of, all summed over responses.
    """
    import torch

    u, logprobs, lengths = _ratios(policy, [one.own for one in some])
    good = torch.tensor([label for one in some for label in one.labels], device=u.device)
    weights = (config.desirable_weight, config.undesirable_weight)
    sums = {"loss": direct.kto(u, good, z0, config.beta, weights).sum()}
    with torch.no_grad():
        side = torch.where(good, u - z0, z0 - u).sign()
        sums["accuracy"] = ((1 + side) / 2).sum()
        for kind, mask in zip(_KINDS, (good, ~good), strict=True):
            sums[kind] = mask.sum()
            figures = {"reward": config.beta * u, "logprob": logprobs, "tokens": lengths}
            sums |= {f"{kind}_{name}": values[mask].sum() for name, values in figures.items()}
    return sums


def _ratios(policy: Policy, some: Sequence[Known]) -> tuple[Tensor, Tensor, Tensor]:
    """Return u, log pi(y|x) and length of every response, ``(R,)`` each."""
    import torch

    packed = pack([one.group for one in some]).to(policy.model.device)
    logprobs = policy.logprobs(packed)
    base = torch.cat([one.logprobs for one in some]).to(logprobs.device)
    return by_response(logprobs - base, packed), by_response(logprobs, packed), packed.lengths
