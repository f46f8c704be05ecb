"""Direct preference optimisation and its relatives: a policy from pairs, without a reward model.

Owns the configuration, what a batch of pairs costs, and what is measured on the way. Leaves formulas to
``losses.direct``, the reference to ``reference`` and the loop to ``loop``.

The two responses of a pair stand behind one copy of their prompt, and a response that is in several
pairs is read once. That chosen responses become less likely while the margin grows is usual; both are
logged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rlaif.checkpoints import Adapter, load
from rlaif.records import Record
from rlaif.training.config import RunConfig
from rlaif.training.data import Compared, read_pairs
from rlaif.training.loop import Outcome, Run, Share
from rlaif.training.losses import direct
from rlaif.training.models import Policy, by_response
from rlaif.training.origin import Origin
from rlaif.training.packing import Packed, pack, parts
from rlaif.training.reference import reference
from rlaif.training.reporting import Watch
from rlaif.training.schedule import Shape
from rlaif.training.snapshots import seed

if TYPE_CHECKING:
    from torch import Tensor


class Sigmoid(Record):
    """DPO (https://arxiv.org/abs/2305.18290), or its conservative form."""

    kind: Literal["sigmoid"] = "sigmoid"
    """Names the objective."""
    beta: float = Field(default=0.1, gt=0.0)
    """Strength of the pull to the reference; the paper's .1, and .5 for summaries."""
    flip_rate: float = Field(default=0.0, ge=0.0, lt=0.5)
    """Share of labels taken to be wrong: above 0 no pair is believed entirely (cDPO)."""


class Robust(Record):
    """DPO that labels flipped at random do not bias (https://arxiv.org/abs/2403.00409)."""

    kind: Literal["robust"]
    """Names the objective."""
    beta: float = Field(default=0.1, gt=0.0)
    """Strength of the pull to the reference."""
    flip_rate: float = Field(default=0.1, ge=0.0, lt=0.5)
    """Share of labels that are flipped."""


class Ipo(Record):
    """IPO (https://arxiv.org/abs/2310.12036): a margin to be met, not to be widened without end."""

    kind: Literal["ipo"]
    """Names the objective."""
    tau: float = Field(default=0.1, gt=0.0)
    """The margin aimed at is 1 / (2 tau)."""
    lengths: Literal["averaged", "summed"] = "averaged"
    """Whether log-ratios are averaged over a response's tokens, as its authors do, or summed."""


class Hinge(Record):
    """The hinge of SLiC (https://arxiv.org/abs/2309.06657)."""

    kind: Literal["hinge"]
    """Names the objective."""
    beta: float = Field(default=0.1, gt=0.0)
    """A pair is done with at a margin of 1 / beta."""


class Cpl(Record):
    """Contrastive preference learning (https://arxiv.org/abs/2310.13639)."""

    kind: Literal["cpl"]
    """Names the objective."""
    alpha: float = Field(default=0.1, gt=0.0)
    """Temperature: how much one nat of log-probability counts."""
    bias: float = Field(default=0.5, gt=0.0, le=1.0)
    """The paper's lambda; below 1 it holds the policy to the data."""
    gamma: float = Field(default=1.0, gt=0.0, le=1.0)
    """Discount of a response's later tokens."""
    reference: bool = False
    """Count log-ratios to the reference in place of log-probabilities."""


Objective = Annotated[Sigmoid | Robust | Ipo | Hinge | Cpl, Field(discriminator="kind")]


class DpoConfig(RunConfig):
    """``method: dpo``. Defaults: Rafailov et al. 2023, app. B; the authors' warm-up spans 150 updates."""

    method: Literal["dpo"]
    """Train a policy on pairs."""
    objective: Objective = Sigmoid()
    """What is minimised."""
    lr: float = Field(default=1e-6, gt=0.0)
    """Peak learning rate; with ``lora`` ten times as much is usual."""
    schedule: Shape = "constant"
    """Shape of the learning rate after warm-up."""
    warmup: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of all updates in which the rate climbs to its peak."""


@dataclass(frozen=True, slots=True)
class Referred:
    """A prompt's pairs, and what the reference thinks of their responses."""

    compared: Compared
    """Responses and pairs."""
    reference: Tensor | None
    """Log-probability of every response token, ``(N,)``; None where the objective has no reference."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of a pass: places of responses among the R of the row, and labels; all ``(P,)``."""

    chosen: Tensor
    rejected: Tensor
    p: Tensor
    weight: Tensor

    @classmethod
    def of(cls, compared: Iterable[Compared], like: Tensor) -> Pairs:
        """Number the responses of all groups in a row, on the device of a tensor."""
        rows: list[tuple[int, int, float, float]] = []
        first = 0
        for one in compared:
            rows += [(first + it.chosen, first + it.rejected, it.p, it.weight) for it in one.pairs]
            first += len(one.group.responses)
        chosen, rejected, p, weight = map(like.new_tensor, zip(*rows, strict=True))
        return cls(chosen.long(), rejected.long(), p, weight)


def train(config: DpoConfig, *, resume: bool = False, watch: Watch | None = None) -> Outcome:
    """Train a policy on pairs and write it as an ordinary model of ``transformers``.

    Args:
        config: what to train on what.
        resume: go on where a stopped run was.
        watch: told every metric.

    Raises:
        InputError: the data, the model or the output folder cannot be used.
        JobError: the loss stayed not a number.
    """
    # 1. The model and the data: every prompt with all its pairs, split by prompt.
    seed(config.seed)
    checkpoint = load(config.model)
    data = read_pairs(config.data, checkpoint.tokenizer)

    # 2. What the reference thinks of them: the same weights, before anything has trained.
    seen = [*data.train, *data.test]
    if isinstance(config.objective, Cpl) and not config.objective.reference:
        referred = [Referred(one, None) for one in seen]
    else:
        known = reference(checkpoint, [one.group for one in seen], config)
        referred = [Referred(*both) for both in zip(seen, known, strict=True)]
    training, held_out = referred[: len(data.train)], referred[len(data.train) :]

    # 3. Updates. The loss is the mean over the batch's pairs, whatever passes the batch is cut into.
    adapter = Adapter(checkpoint.model, config.lora) if config.lora else None
    policy = Policy(checkpoint.model)
    origin = Origin.of(config, checkpoint, data.digest)
    run = Run(
        config, {"policy": checkpoint.model}, origin, config.total(len(training)), resume=resume, watch=watch
    )
    run.describe(data.census)
    for batch in run.batches(training):
        update = run.update(shares(run, policy, config.objective, batch))
        run.log(update.metrics() | averages(update.sums))
        if run.due(config.eval_every) and run.step < run.total:
            run.log(evaluate(run, policy, config.objective, held_out), "eval/")

    # 4. What it came to.
    metrics = evaluate(run, policy, config.objective, held_out)
    run.log(metrics, "eval/")
    model = adapter.merged() if adapter else checkpoint.model
    return run.finish(model, checkpoint.tokenizer, metrics)


def shares(run: Run, policy: Policy, objective: Objective, batch: Sequence[Referred]) -> Iterator[Share]:
    """Yield each pass's share of the mean over pairs, by weight."""
    whole = sum(pair.weight for one in batch for pair in one.compared.pairs)
    for part in run.parts([one.compared.group for one in batch]):
        sums = read(policy, objective, [batch[at] for at in part])
        loss = sums.pop("loss") / (whole or 1.0)  # pairs that weigh nothing cost nothing
        yield Share(loss, sums)


def evaluate(run: Run, policy: Policy, objective: Objective, batch: Sequence[Referred]) -> dict[str, float]:
    """Return loss and figures of pairs that are not trained on; empty where there are none."""
    sums: Counter[str] = Counter()
    with run.evaluating():
        for part in parts([one.compared.group for one in batch], run.config.part_tokens):
            found = read(policy, objective, [batch[at] for at in part])
            sums.update({name: float(value) for name, value in found.items()})
    whole = sum(pair.weight for one in batch for pair in one.compared.pairs)
    return averages(sums) | {"loss": sums["loss"] / (whole or 1.0)} if batch else {}


def averages(sums: Mapping[str, float]) -> dict[str, float]:
    """Divide sums over pairs by how many pairs there were."""
    return {name: value / sums["pairs"] for name, value in sums.items() if name != "pairs"}


def read(policy: Policy, objective: Objective, some: Sequence[Referred]) -> dict[str, Tensor]:
    """Read some groups in one pass; call it where the policy attends by trees.

    Returns:
        ``loss``, by weight and with its gradient, and what ``measured`` measures, both summed over pairs.
    """
    import torch

    packed = pack([one.compared.group for one in some]).to(policy.model.device)
    logprobs = policy.logprobs(packed)
    known = [one.reference for one in some if one.reference is not None]
    base = torch.cat(known).to(logprobs.device) if known else torch.zeros_like(logprobs)
    pairs = Pairs.of((one.compared for one in some), logprobs)
    losses, rewards = weigh(objective, logprobs, base, packed, pairs)
    sums = {"loss": pairs.weight * losses}
    with torch.no_grad():
        sums |= measured(pairs, rewards, by_response(logprobs, packed), packed.lengths.float())
        if known:
            sums["chosen_kl"] = by_response(logprobs - base, packed)[pairs.chosen]
    return {name: value.sum() for name, value in sums.items()}


def measured(pairs: Pairs, rewards: Tensor, logprobs: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """Return what is worth watching of each pair, ``(P,)`` each.

    - ``chosen_logprob``, ``rejected_logprob``: log pi(y|x), summed over a response's tokens;
    - ``chosen_reward``, ``rejected_reward``: what the objective takes for a reward, such as beta u;
    - ``margin``: their difference;
    - ``accuracy``: 1 where the likelier response by ``p`` has the greater reward, half for a tie of either;
    - ``chosen_tokens``, ``rejected_tokens``: lengths.

    ``read`` adds ``chosen_kl``, u of the chosen response in nats: how far the policy has moved there.

    Args:
        pairs: which responses are compared.
        rewards: of each response, ``(R,)``.
        logprobs: of each response, ``(R,)``.
        lengths: of each response, ``(R,)``.
    """
    margin = rewards[pairs.chosen] - rewards[pairs.rejected]
    right = margin.sign() * (pairs.p - 0.5).sign()
    values = {"pairs": right.new_ones(len(right)), "margin": margin, "accuracy": (1 + right) / 2}
    for name, of in (("logprob", logprobs), ("reward", rewards), ("tokens", lengths)):
        values |= {f"chosen_{name}": of[pairs.chosen], f"rejected_{name}": of[pairs.rejected]}
    return values


def weigh(
    objective: Objective, logprobs: Tensor, base: Tensor, packed: Packed, pairs: Pairs
) -> tuple[Tensor, Tensor]:
    """Return the loss of each pair, ``(P,)``, and the implicit reward of each response, ``(R,)``.

    Args:
        objective: what is minimised.
        logprobs: of all response tokens under the policy, ``(N,)``.
        base: the same under the reference.
        packed: the row they are of.
        pairs: which responses are compared.
    """
    u = by_response(logprobs - base, packed)
    if isinstance(objective, Cpl):
        score = objective.alpha * direct.discounted(logprobs - base, packed.lengths, objective.gamma)
        return direct.cpl(score[pairs.chosen], score[pairs.rejected], pairs.p, objective.bias), score
    if isinstance(objective, Ipo):
        u = u / packed.lengths if objective.lengths == "averaged" else u
        h = u[pairs.chosen] - u[pairs.rejected]
        return direct.ipo(h, pairs.p, objective.tau), objective.tau * u
    h, rewards = u[pairs.chosen] - u[pairs.rejected], objective.beta * u
    if isinstance(objective, Hinge):
        return direct.hinge(h, pairs.p, objective.beta), rewards
    believed = direct.conservative if isinstance(objective, Sigmoid) else direct.unbiased
    return direct.dpo(h, believed(pairs.p, objective.flip_rate), objective.beta), rewards
