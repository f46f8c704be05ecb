"""One set of pairs through every method, and judges of different quality, where the truth is a table.

Four prompts with 32 responses each. Policies are tables that begin at the reference and are moved by the
package's own losses; seeds are drawn when the tests run.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise as neighbours

import pytest
import torch
from torch import Tensor

from rlaif.audits.bootstrap import wilson
from rlaif.training.advantages import whitened
from rlaif.training.losses import direct
from rlaif.training.losses.policy import clipped
from rlaif.training.losses.reward import pairwise
from tests.training.worlds import ARMS, PROMPTS, arms

BETA = 0.5


@pytest.fixture
def seed() -> int:
    drawn = secrets.randbelow(2**31)
    print(f"seed {drawn}")
    return drawn


@dataclass(frozen=True)
class Pairs:
    """Pairs of arms, as one judge labelled them."""

    x: Tensor
    chosen: Tensor
    rejected: Tensor


@dataclass(frozen=True)
class World:
    """Rewards and log pi_ref, ``(PROMPTS, ARMS)`` each."""

    reward: Tensor
    reference: Tensor

    @classmethod
    def drawn(cls, seed: int) -> "World":
        reward, reference, _ = arms(seed, BETA)
        return cls(reward, (0.3 * reference).log_softmax(-1))

    def value(self, logp: Tensor) -> float:
        """Mean reward of a policy over prompts."""
        return float((logp.exp() * self.reward).sum(-1).mean())

    def pairs(self, number: int, right: Callable[[Tensor], Tensor], seed: int) -> Pairs:
        """Draw pairs from the reference; ``right`` makes of gaps of reward how likely the better one wins."""
        stream = torch.Generator().manual_seed(seed)
        x = torch.randint(PROMPTS, (number,), generator=stream)
        a, b = torch.multinomial(self.reference[x].exp(), 2, generator=stream).T  # two different arms
        better = torch.where(self.reward[x, a] > self.reward[x, b], a, b)
        worse = a + b - better
        gaps = self.reward[x, better] - self.reward[x, worse]
        agrees = torch.rand(number, generator=stream) < right(gaps)
        return Pairs(x, torch.where(agrees, better, worse), torch.where(agrees, worse, better))


def moved(world: World, loss: Callable[[Tensor], Tensor], steps: int = 150, lr: float = 0.05) -> Tensor:
    """Move a table from the reference down a loss of u = log pi - log pi_ref; return log pi."""
    table = world.reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(table.log_softmax(-1) - world.reference).backward()
        optimizer.step()
    return table.detach().log_softmax(-1)


def by_dpo(world: World, pairs: Pairs) -> Tensor:
    ones = torch.ones(len(pairs.x))

    def loss(u: Tensor) -> Tensor:
        return direct.dpo(u[pairs.x, pairs.chosen] - u[pairs.x, pairs.rejected], ones, BETA).mean()

    return moved(world, loss)


def by_ipo(world: World, pairs: Pairs) -> Tensor:
    ones = torch.ones(len(pairs.x))

    def loss(u: Tensor) -> Tensor:
        return direct.ipo(u[pairs.x, pairs.chosen] - u[pairs.x, pairs.rejected], ones, 0.2).mean()

    return moved(world, loss)


def by_cpl(world: World, pairs: Pairs) -> Tensor:
    """Without a reference: the advantage is log pi itself."""
    ones = torch.ones(len(pairs.x))

    def loss(u: Tensor) -> Tensor:
        s = BETA * (u + world.reference)
        return direct.cpl(s[pairs.x, pairs.chosen], s[pairs.x, pairs.rejected], ones, 0.5).mean()

    return moved(world, loss)


def by_kto(world: World, pairs: Pairs) -> Tensor:
    """Both sides of every pair by themselves."""
    x, arm = pairs.x.repeat(2), torch.cat([pairs.chosen, pairs.rejected])
    good = torch.arange(len(x)) < len(pairs.x)

    def loss(u: Tensor) -> Tensor:
        z0 = direct.baseline(u[x, arm.roll(-1)])
        return direct.kto(u[x, arm], good, z0, 1.0, (1.0, 1.0)).mean()

    return moved(world, loss)


def rewarded(world: World, pairs: Pairs) -> Tensor:
    """A reward model: a number an arm, ``(PROMPTS, ARMS)``; arms nobody compared stay at 0."""
    table = torch.zeros(PROMPTS, ARMS, dtype=torch.float64, requires_grad=True)
    nothing, ones = torch.zeros(len(pairs.x)), torch.ones(len(pairs.x))
    optimizer = torch.optim.Adam([table], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        gap = table[pairs.x, pairs.chosen] - table[pairs.x, pairs.rejected]
        (pairwise(gap, nothing, ones, nothing).mean() + 1e-3 * table.square().mean()).backward()
        optimizer.step()
    return table.detach()


def by_ppo(world: World, pairs: Pairs, seed: int) -> Tensor:
    """Rounds of 256 responses by the reward model, KL paid for, four epochs each."""
    scores, stream = rewarded(world, pairs), torch.Generator().manual_seed(seed)
    table = world.reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], lr=0.05)
    for _ in range(60):
        logp = table.detach().log_softmax(-1)
        x = torch.randint(PROMPTS, (256,), generator=stream)
        arm = torch.multinomial(logp[x].exp(), 1, generator=stream)[:, 0]
        before = logp[x, arm]
        earned = scores[x, arm] - BETA * (before - world.reference[x, arm])
        for _ in range(4):
            optimizer.zero_grad()
            ratio = table.log_softmax(-1)[x, arm] - before
            clipped(ratio, whitened(earned), 0.2).mean().backward()
            optimizer.step()
    return table.detach().log_softmax(-1)


def best_of(world: World, pairs: Pairs, n: int) -> Tensor:
    """The best of n of the reference by the reward model, exactly: log of P(best is this arm)."""
    order = rewarded(world, pairs).argsort(-1)
    below = world.reference.exp().gather(-1, order).cumsum(-1)
    chances = (below**n).diff(dim=-1, prepend=torch.zeros(PROMPTS, 1, dtype=below.dtype))
    return torch.zeros_like(chances).scatter(-1, order, chances).clamp(min=1e-12).log()


def won(world: World, logp: Tensor, seed: int) -> list[float]:
    """Whether a response beats one of the reference, over 200 prompts, ties half."""
    stream = torch.Generator().manual_seed(seed)
    x = torch.arange(200) % PROMPTS
    mine, its = (
        world.reward[x, torch.multinomial(one[x].exp(), 1, generator=stream)[:, 0]]
        for one in (logp, world.reference)
    )
    return ((1 + (mine - its).sign()) / 2).tolist()


def test_every_method_beats_the_start_on_the_same_500_pairs(seed: int) -> None:
    world = World.drawn(seed)
    pairs = world.pairs(500, lambda gap: (3.0 * gap).sigmoid(), seed)
    ends = {
        "best of 8": best_of(world, pairs, 8), "ppo": by_ppo(world, pairs, seed), "dpo": by_dpo(world, pairs),
        "ipo": by_ipo(world, pairs), "kto": by_kto(world, pairs), "cpl": by_cpl(world, pairs),
    }  # fmt: skip
    for name, logp in ends.items():
        share = won(world, logp, seed)
        between = wilson(sum(share), len(share))
        assert between is not None
        assert between[0] > 0.5, f"{name}: {sum(share)} of 200"
        assert world.value(logp) > world.value(world.reference) + 0.3, name


def test_labels_by_a_coin_teach_no_method_anything(seed: int) -> None:
    """Mean over five worlds; one throw of the coin moves a table about, and the way is not that of gold."""
    methods = (by_dpo, by_ipo, by_kto, by_cpl, lambda world, pairs: best_of(world, pairs, 8))
    for method in methods:
        gains = dict.fromkeys(("coin", "judge"), 0.0)
        for at in range(5):
            world = World.drawn(seed + at)
            for who, right in (("coin", torch.zeros_like), ("judge", lambda gap: 3.0 * gap)):
                pairs = world.pairs(500, lambda gap, right=right: right(gap).sigmoid(), seed + at)
                gains[who] += (world.value(method(world, pairs)) - world.value(world.reference)) / 5
        assert abs(gains["coin"]) < 0.5 * gains["judge"], getattr(method, "__name__", "")


def test_the_better_the_judge_the_better_the_policy(seed: int) -> None:
    """Five seeds; a judge is right so often, however wide the gap."""
    golds = []
    for accuracy in (0.55, 0.7, 0.9):
        ends = []
        for at in range(5):
            world = World.drawn(seed + at)
            pairs = world.pairs(2000, lambda gap, p=accuracy: torch.full_like(gap, p), seed + at)
            ends.append(world.value(by_dpo(world, pairs)) - world.value(world.reference))
        golds.append(ends)
    means = [sum(ends) / len(ends) for ends in golds]
    assert all(later > earlier for earlier, later in neighbours(means)), means
    assert all(best > worst for worst, best in zip(golds[0], golds[2], strict=True))
    assert means[2] - means[0] > 0.3
