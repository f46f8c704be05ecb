"""Policy training on scores: PPO, and REINFORCE with a baseline.

Owns the trainer and its configuration. Leaves a round's evidence to ``exploring``, the formulas to
``advantages``, ``kl`` and ``losses.policy``, and the figures of what was drawn to ``gauges``.

A round draws responses to a batch of prompts, scores and weighs them, and makes all its updates. Checkpoints
lie between rounds, so that no rollout is ever pending in one: a run that goes on draws the round it was
killed in again, from the same weights and seeds, and finds the scores it had.
Several processes share the draw and the passes of an update; in between each holds the whole round.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from rlaif.checkpoints import Adapter, end_ids, load
from rlaif.generation import Engine, Limits
from rlaif.records import Record, digest
from rlaif.training import gauges
from rlaif.training.advantages import gae, penalised, token_rewards, whitened, whole_return
from rlaif.training.config import RunConfig
from rlaif.training.data import Asked, read_prompts
from rlaif.training.exploring import Explored, Explorer
from rlaif.training.kl import Controller, k1, k3
from rlaif.training.loop import Outcome, Run, Share, Update
from rlaif.training.losses import policy as losses
from rlaif.training.origin import Origin
from rlaif.training.packing import Group, pack
from rlaif.training.ptx import Ptx, Remembered
from rlaif.training.reporting import Watch
from rlaif.training.rollouts import Draw
from rlaif.training.schedule import Shape
from rlaif.training.scoring import Called, Gate, RewardSource, Score, Scores, rater
from rlaif.training.snapshots import seed
from rlaif.training.stopping import Stop, must_be_told, noted
from rlaif.training.values import ActorCritic, Reading, Reference, SharedValue, ValueConfig

if TYPE_CHECKING:
    from torch import Tensor


class Clip(Record):
    """PPO's clipped objective; defaults of Stiennon et al. 2020, app. B, and of the PPO paper."""

    kind: Literal["clip"] = "clip"
    """Names the objective."""
    epsilon: float = Field(default=0.2, gt=0.0, lt=1.0)
    """How far a token's ratio may move."""
    dual: float | None = Field(default=None, gt=1.0)
    """Greatest ratio that counts where the advantage is negative; none when left out."""
    value_epsilon: float | None = Field(default=0.2, gt=0.0)
    """How far a value may move in a round; null for no bound."""
    decay: float = Field(default=0.95, ge=0.0, le=1.0)
    """Lambda of GAE."""
    discount: float = Field(default=1.0, gt=0.0, le=1.0)
    """Gamma of GAE."""
    inner_epochs: int = Field(default=4, ge=1)
    """Times a round's responses are trained on."""
    minibatches: int = Field(default=1, ge=1)
    """Updates an inner epoch is cut into, by prompt."""
    whiten_rewards: bool = False
    """Scale token rewards to variance 1, their mean kept."""
    entropy: float = Field(default=0.0, ge=0.0)
    """Weight of a bonus for entropy, mean over tokens."""


class Reinforce(Record):
    """REINFORCE with a baseline, one update a round: Lee et al. 2023, app. B and F.

    A response earns (1 - beta) score - beta KL, and every token of it the whole of that.
    """

    kind: Literal["reinforce"]
    """Names the objective."""


Objective = Annotated[Clip | Reinforce, Field(discriminator="kind")]


class KlConfig(Record):
    """What moving away from the reference costs."""

    beta: float = Field(default=0.05, ge=0.0)
    """Cost of a nat of k1, token by token, to begin with."""
    target: float | None = Field(default=None, gt=0.0)
    """KL of a response to steer towards, in nats; the cost stays as it is when left out."""
    horizon: int = Field(default=10_000, ge=1)
    """Responses in which a KL far off the target changes the cost by a fifth."""


class PpoConfig(RunConfig):
    """``method: ppo``. Defaults: rate, moments, epsilon and decay of Llama 2, sec. 3.4.3; see each part."""

    method: Literal["ppo"]
    """Train a policy on scores."""
    reward: RewardSource | None = None
    """What scores responses; from Python a function may, in its place."""
    objective: Objective = Clip()
    """What is minimised."""
    draw: Draw = Draw()
    """How responses are drawn."""
    kl: KlConfig = KlConfig()
    """What moving away costs."""
    value: ValueConfig = SharedValue()
    """The value function."""
    value_weight: float = Field(default=0.1, gt=0.0)
    """Weight of the value function's loss beside the policy's."""
    missing_eos_penalty: float = Field(default=1.0, ge=0.0)
    """Taken off the score of a response that was cut."""
    ptx: Ptx | None = None
    """Texts not to be forgotten (PPO-ptx); none when left out."""
    batch: int = Field(default=32, ge=1)
    """Prompts of a round."""
    lr: float = Field(default=1e-6, gt=0.0)
    """Peak learning rate."""
    schedule: Shape = "constant"
    """Shape of the learning rate after warm-up."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of AdamW's two moments."""
    epsilon: float = Field(default=1e-5, gt=0.0)
    """AdamW's epsilon."""
    weight_decay: float = Field(default=0.1, ge=0.0)
    """AdamW's decoupled decay, of matrices only."""

    @model_validator(mode="after")
    def _steerable(self) -> Self:
        number = self.batch * self.draw.samples
        if self.kl.target is not None and number > self.kl.horizon:
            raise ValueError(f"kl.horizon is at least a round's {number} responses, found {self.kl.horizon}")
        return self

    @property
    def rounds(self) -> tuple[int, int]:
        """Inner epochs of a round, and updates of each."""
        one = self.objective
        return (one.inner_epochs, one.minibatches) if isinstance(one, Clip) else (1, 1)

    def total(self, groups: int) -> int:
        """Updates of a run with several an inner epoch; a prompt is in one of them."""
        inner, pieces = self.rounds
        sizes = [self.batch] * (groups // self.batch) + [groups % self.batch]
        return self.steps or self.epochs * inner * sum(min(pieces, size) for size in sizes)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is to be learned from some tokens, ``(n,)`` each, without gradient."""

    logprobs: Tensor
    """Of the policy that drew them."""
    values: Tensor
    """Of the value function at that time."""
    advantages: Tensor
    """How much better than expected each was."""
    returns: Tensor
    """What values should have been."""


@dataclass(frozen=True, slots=True)
class Experience:
    """A prompt's responses with their lesson."""

    group: Group
    """Prompt and responses."""
    lesson: Lesson
    """Over the tokens of all of them."""


def train(
    config: PpoConfig,
    *,
    resume: bool = False,
    watch: Watch | None = None,
    score: Score | None = None,
    gold: Score | None = None,
    stop: Stop | None = None,
) -> Outcome:
    """Train a policy on scores of its own responses and write it as an ordinary causal language model.

    Args:
        config: what to train on what.
        resume: go on where a stopped run was.
        watch: told every metric.
        score: scores responses, where ``config.reward`` names nothing: a judge, or any function.
        gold: measures responses and is not trained on.
        stop: told gold and its error of every evaluation; ends the run where it says so, e.g. ``Falling()``.

    Raises:
        InputError: the data, a model or the output folder cannot be used; or ``stop`` would be told nothing.
        JobError: no response could be scored, or the loss stayed not a number.
    """
    # 1. The policy, what it is held to, and what it expects.
    seed(config.seed)
    checkpoint = load(config.model)
    adapter = Adapter(checkpoint.model, config.lora) if config.lora else None
    actor = ActorCritic(checkpoint.model, config.value)
    reference = Reference(actor.policy, config, adapter)
    engine = Engine(checkpoint, Limits(rows=max(1, config.part_tokens // config.draw.max_tokens)))

    # 2. Prompts, texts not to be forgotten, and what scores.
    data = read_prompts(config.data, checkpoint.tokenizer)
    if stop is not None:
        must_be_told(config.eval_every, gold is not None, len(data.test))
    texts = Remembered(config.ptx, checkpoint.tokenizer, config.seed) if config.ptx else None
    rate = rater(config.reward, score, checkpoint.tokenizer, config.part_tokens)
    known = digest("da", data.digest, rate.digest, texts and texts.digest)
    run = Run(
        config,
        actor.modules,
        Origin.of(config, checkpoint, known),
        config.total(len(data.train)),
        lr=actor.rates,
        resume=resume,
        watch=watch,
    )
    run.describe(data.census)
    explorer = Explorer(
        run=run,
        how=config.draw,
        engine=engine,
        ends=end_ids(checkpoint.model, checkpoint.tokenizer),
        actor=actor,
        reference=reference,
        scores=Scores(rate, run.folder / "scores.jsonl", run.processes),
        gold=Scores(Called(gold), run.folder / "gold.jsonl", run.processes) if gold else None,
    )
    controller = Controller(_beta(run, config), config.kl.target, config.kl.horizon)

    # 3. Rounds: draw, score and weigh; then learn; then set the price of the next.
    for batch in run.batches(data.train):
        before = run.step
        explored, figures = explorer.explore(batch, f"{config.seed}:{run.step}")
        lessons, paid = learnt(config, explored, controller.beta)
        updates = _learn(run, actor, lessons, texts)
        run.log(figures | paid | updates | {"beta": controller.beta})
        controller.observe(figures["kl"], len(explored.scores))
        run.kept["beta"] = controller.beta
        every = config.eval_every
        if every and run.step // every > before // every and run.step < run.total:
            evaluated = _evaluate(explorer, data.test)
            run.log(evaluated, "eval/")
            if stop is not None and stop(noted(run.kept, evaluated)):
                break

    # 4. What it came to.
    metrics = _evaluate(explorer, data.test)
    run.log(metrics, "eval/")
    model = adapter.merged() if adapter else checkpoint.model
    return run.finish(model, checkpoint.tokenizer, metrics)


def learnt(config: PpoConfig, explored: Explored, beta: float) -> tuple[list[Experience], dict[str, float]]:
    """Turn scores into what is to be learned from every token.

    Args:
        config: objective and penalties.
        explored: a round's responses.
        beta: cost of a nat.

    Returns:
        Experiences, and figures: ``penalty``, what cut responses were charged, mean over responses;
        ``reward``, all that a response earned, mean; ``explained_variance`` of the returns by values.
    """
    import torch

    reading, lengths, objective = explored.reading, explored.lengths, config.objective
    scores = whitened(explored.scores) if isinstance(config.reward, Gate) else explored.scores
    paid = penalised(scores, explored.cut, config.missing_eos_penalty)
    figures = {"penalty": float((scores - paid).mean())}
    costs = beta * k1(reading.logprobs, explored.known)
    if isinstance(objective, Reinforce):
        rewards = token_rewards((1.0 - beta) * paid, costs, lengths)
        returns = whole_return(rewards, lengths)
        advantages = returns - reading.values
    else:
        rewards = token_rewards(paid, costs, lengths)
        scaled = whitened(rewards, centred=False) if objective.whiten_rewards else rewards
        plain = gae(scaled, reading.values, lengths, objective.discount, objective.decay)
        returns, advantages = plain + reading.values, whitened(plain)
    figures["reward"] = float(rewards.sum()) / len(scores)
    figures["explained_variance"] = gauges.explained(reading.values, returns)
    groups = [one.group for one in explored.rollouts]
    sizes = [sum(map(len, one.responses)) for one in groups]
    columns = (torch.split(one, sizes) for one in (reading.logprobs, reading.values, advantages, returns))
    return [Experience(group, Lesson(*row)) for group, *row in zip(groups, *columns, strict=True)], figures


def _learn(
    run: Run, actor: ActorCritic, lessons: Sequence[Experience], texts: Remembered | None
) -> dict[str, float]:
    """Make a round's updates, and return figures of them.

    Means over all tokens of all updates: ``policy_loss``, ``value_loss``; ``clipped``, the share without a
    gradient; ``moved``, k3 of the policy that drew from the one trained, in nats; ``ptx_loss`` over updates.
    ``ratio_max``: the greatest ratio of any token. ``loss``, ``grad_norm``, ``lr``: means over updates.
    """
    config = run.config
    assert isinstance(config, PpoConfig)
    updates: list[Update] = []
    peaks: list[float] = []
    for some in _minibatches(config, lessons, f"{config.seed}:{run.step}"):
        if run.step >= run.total:
            break
        shares = _shares(run, actor, some, peaks)
        updates.append(run.update(chain(shares, texts.shares(run, actor.policy)) if texts else shares))
    sums: Counter[str] = Counter()
    for one in updates:
        sums.update(one.sums)
    figures = {name: fmean(one.metrics()[name] for one in updates) for name in updates[0].metrics()}
    remembered = {"ptx_loss": sums.pop("ptx_loss") / len(updates)} if texts else {}
    means = {name: value / sums["tokens"] for name, value in sums.items() if name != "tokens"}
    whole = {name: sum(one.metrics()[name] for one in updates) for name in ("skipped", "seconds")}
    return figures | whole | means | remembered | {"ratio_max": run.processes.most(peaks)}


def _minibatches(config: PpoConfig, lessons: Sequence[Experience], name: str) -> Iterator[list[Experience]]:
    """Cut each inner epoch's own order of prompts into updates of nearly one size."""
    inner, pieces = config.rounds
    for epoch in range(inner):
        order = list(lessons)
        random.Random(f"{name}:{epoch}").shuffle(order)  # noqa: S311  # no secret
        for at in range(min(pieces, len(order))):
            yield order[at::pieces]


def _shares(run: Run, actor: ActorCritic, some: Sequence[Experience], peaks: list[float]) -> Iterator[Share]:
    """Yield each pass's share of an update's loss; the greatest ratio of each pass goes to ``peaks``.

    PPO: the mean over tokens. REINFORCE: the mean over responses of the sum over a response's tokens.
    """
    config = run.config
    assert isinstance(config, PpoConfig)
    tokens = sum(len(one.lesson.logprobs) for one in some)
    whole = tokens if isinstance(config.objective, Clip) else sum(len(one.group.responses) for one in some)
    for part in run.parts([one.group for one in some]):
        packed = pack(some[at].group for at in part).to(actor.policy.model.device)
        bonus = isinstance(config.objective, Clip) and config.objective.entropy > 0.0
        reading = actor.read(packed, config.draw.temperature, entropy=bonus)
        loss, sums = taught(config, reading, _joined([some[at].lesson for at in part]))
        peaks.append(float(sums.pop("peak")))
        yield Share(loss / whole, sums)


def taught(config: PpoConfig, reading: Reading, lesson: Lesson) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of some tokens, summed, and sums of figures over them; ``peak`` is no sum.

    Args:
        config: objective and weights.
        reading: of the policy and value function as they are, with gradient.
        lesson: of the same tokens.
    """
    objective = config.objective
    log_ratio = reading.logprobs - lesson.logprobs
    if isinstance(objective, Reinforce):
        policy = losses.reinforced(reading.logprobs, lesson.advantages)
        value = losses.value(reading.values, lesson.values, lesson.returns, None)
        whole, outside = policy, log_ratio.new_zeros(len(log_ratio))
    else:
        policy = losses.clipped(log_ratio, lesson.advantages, objective.epsilon, objective.dual)
        value = losses.value(reading.values, lesson.values, lesson.returns, objective.value_epsilon)
        whole = policy if reading.entropy is None else policy - objective.entropy * reading.entropy
        outside = losses.outside(log_ratio.detach(), lesson.advantages, objective.epsilon).float()
    moved = k3(lesson.logprobs, reading.logprobs.detach())
    sums = {"policy_loss": policy, "value_loss": value, "clipped": outside, "moved": moved}
    figures = {name: one.detach().sum() for name, one in sums.items()}
    figures |= {"tokens": outside.new_tensor(len(outside)), "peak": log_ratio.detach().max().exp()}
    return (whole + config.value_weight * value).sum(), figures


def _joined(lessons: Sequence[Lesson]) -> Lesson:
    import torch

    return Lesson(*(torch.cat([getattr(one, name) for one in lessons]) for name in Lesson.__slots__))


def _evaluate(explorer: Explorer, prompts: Sequence[Asked]) -> dict[str, float]:
    """Return figures of responses to held-out prompts, drawn by the same numbers every time."""
    return explorer.explore(prompts, f"{explorer.run.config.seed}:eval")[1] if prompts else {}


def _beta(run: Run, config: PpoConfig) -> float:
    """Return the cost of a nat: the one a stopped run had come to, or the one to begin with."""
    kept = run.kept.get("beta", config.kl.beta)
    assert isinstance(kept, float)
    return kept
