"""Direct methods in worlds whose optimum is known: how close they come, and what must fail.

Policies here are small networks read through the trainers' own passes and loop; the worlds are tables.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rlaif.training import dpo
from rlaif.training.bestofn import expected
from rlaif.training.config import DataConfig, RunConfig
from rlaif.training.data import Compared, Pair
from rlaif.training.loop import Run
from rlaif.training.losses import direct
from rlaif.training.models import Policy
from rlaif.training.origin import Origin
from rlaif.training.packing import Group, pack
from rlaif.training.rejection import Scored, best_of_each, improve
from tests.training import worlds
from tests.training.worlds import ARMS, PROMPTS

BETA = 0.5


@dataclass(frozen=True)
class Bandit:
    """The table of ``worlds.arms``; prompt x is the token ``ARMS + x``, arm a the token a."""

    reward: torch.Tensor
    reference: torch.Tensor
    """log pi_ref, ``(PROMPTS, ARMS)``."""
    optimum: torch.Tensor
    """log pi* at ``BETA``."""

    def value(self, logp: torch.Tensor) -> float:
        """Mean reward of a policy over prompts."""
        return float((logp.exp() * self.reward).sum(-1).mean())

    def network(self) -> LlamaForCausalLM:
        """A network that stands at the reference and can move anywhere."""
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=ARMS + PROMPTS, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=8, initializer_range=0.3,
        )  # fmt: skip
        made = LlamaForCausalLM(config).eval()
        logits = torch.full((PROMPTS, ARMS + PROMPTS), -9.0)
        logits[:, :ARMS] = self.reference.float()
        with torch.no_grad():
            states = made.model(_asked()).last_hidden_state[:, -1]
            made.lm_head.weight.copy_((torch.linalg.pinv(states) @ logits).T)
        return made

    def wins(self, pairs: int, seed: int) -> torch.Tensor:
        """How often arm a beat arm b, ``(PROMPTS, ARMS, ARMS)``, in so many comparisons in all.

        Both are drawn from the reference; who wins follows Bradley-Terry with the reward as strength.
        """
        stream = torch.Generator().manual_seed(seed)
        counts = torch.zeros(PROMPTS, ARMS, ARMS)
        for x, p in enumerate(self.reference.exp()):
            a, b = torch.multinomial(p, 2 * (pairs // PROMPTS), True, generator=stream).view(2, -1)
            odds = (self.reward[x, a] - self.reward[x, b]).sigmoid()
            first = torch.rand(len(a), generator=stream) < odds
            winner, loser = torch.where(first, a, b), torch.where(first, b, a)
            counts[x].index_put_((winner, loser), torch.ones(len(a)), accumulate=True)
            counts[x].fill_diagonal_(0.0)  # an arm against itself says nothing
        return counts


def _asked() -> torch.Tensor:
    return torch.arange(ARMS, ARMS + PROMPTS)[:, None]


def stands(network: LlamaForCausalLM) -> torch.Tensor:
    """log pi of each arm, the arms alone taken together, ``(PROMPTS, ARMS)``."""
    with torch.no_grad():
        return network(_asked()).logits[:, -1, :ARMS].double().log_softmax(-1)


def divergence(left: torch.Tensor, right: torch.Tensor) -> float:
    """KL(left || right) of two tables of logs, in nats, averaged over prompts."""
    return float((left.exp() * (left - right)).sum(-1).mean())


def compared(wins: torch.Tensor) -> list[Compared]:
    """Every arm of a prompt as one response, every pair once with its count as weight."""
    arms = tuple((arm,) for arm in range(ARMS))
    return [
        Compared(
            Group((ARMS + x,), arms),
            tuple(Pair(a, b, weight=wins[x, a, b].item()) for a, b in wins[x].nonzero().tolist()),
        )
        for x in range(PROMPTS)
    ]


def optimise(folder: Path, network: LlamaForCausalLM, pairs: list[Compared], beta: float, **how: Any) -> None:
    """Train by DPO, through the trainer's own passes and loop, on the same batch again and again."""
    policy, groups = Policy(network), [one.group for one in pairs]
    with torch.no_grad(), policy.passes():
        known = policy.logprobs(pack(groups)).split([sum(map(len, one.responses)) for one in groups])
    told = RunConfig(
        data=DataConfig(path="none"), output=str(folder / "run"),
        **{"lr": 0.03, "schedule": "cosine", "warmup": 0.0, "steps": 120, **how},
    )  # fmt: skip
    run = Run(told, {"policy": network}, Origin(parent="", parent_digest="", data_digest=""), told.steps or 1)
    for batch in run.batches([dpo.Referred(*both) for both in zip(pairs, known, strict=True)]):
        run.update(dpo.shares(run, policy, dpo.Sigmoid(beta=beta), batch))


def ended(folder: Path, bandit: Bandit, wins: torch.Tensor, beta: float = BETA, **how: Any) -> torch.Tensor:
    """Where DPO ends, log pi ``(PROMPTS, ARMS)``."""
    network = bandit.network()
    optimise(folder, network, compared(wins), beta, **how)
    return stands(network)


@pytest.fixture
def bandit() -> Bandit:
    """About one nat from the reference to the optimum, and no arm hardly ever drawn."""
    return flat(seed=1, beta=BETA)


def flat(seed: int, beta: float) -> Bandit:
    reward, reference, _ = worlds.arms(seed, beta)
    reward, reference = 0.8 * reward, (0.3 * reference).log_softmax(-1)
    return Bandit(reward, reference, (reference + reward / beta).log_softmax(-1))


# DPO


def test_the_network_stands_at_the_reference(bandit: Bandit) -> None:
    assert (stands(bandit.network()) - bandit.reference).abs().max() < 1e-4
    assert divergence(bandit.optimum, bandit.reference) > 0.7


def test_dpo_comes_to_the_optimum_with_enough_pairs(tmp_path: Path, bandit: Bandit) -> None:
    found = ended(tmp_path, bandit, bandit.wins(20_000, seed=2))
    assert divergence(bandit.optimum, found) <= 0.05
    assert bandit.value(found) > 0.9 * bandit.value(bandit.optimum)


def test_dpo_with_many_pairs_is_at_the_optimum_of_a_rougher_world(tmp_path: Path) -> None:
    bandit = Bandit(*worlds.arms(0, BETA))
    found = ended(tmp_path, bandit, bandit.wins(200_000, seed=2))
    assert divergence(bandit.optimum, found) <= 0.01
    assert float((found.exp() - bandit.optimum.exp()).abs().sum(-1).mean()) / 2 <= 0.05
    assert bandit.value(found) >= 0.98 * bandit.value(bandit.optimum)


def test_dpo_with_few_pairs_is_worse_than_not_training(tmp_path: Path, bandit: Bandit) -> None:
    found = ended(tmp_path, bandit, bandit.wins(1_000, seed=2))
    assert divergence(bandit.optimum, found) > divergence(bandit.optimum, bandit.reference)


def test_flipped_labels_lower_the_reward(tmp_path: Path, bandit: Bandit) -> None:
    found = ended(tmp_path, bandit, bandit.wins(20_000, seed=2).transpose(1, 2), steps=30)
    assert bandit.value(found) < bandit.value(bandit.reference) - 0.3


def test_a_strong_pull_keeps_the_policy_at_the_reference(tmp_path: Path, bandit: Bandit) -> None:
    found = ended(tmp_path, bandit, bandit.wins(20_000, seed=2), beta=100.0, steps=60, lr=0.003)
    assert divergence(found, bandit.reference) < 1e-3


def test_dpo_and_ppo_share_their_optimum(tmp_path: Path) -> None:
    """In the world PPO is measured in, at its beta: pairs of words whose odds are known, any will do."""
    beta = 0.3
    world = worlds.Letters.made(tmp_path)
    ids = [tuple(worlds.NODES.index(word[:end]) for end in (1, 2, 3)) for word in worlds.WORDS]
    stream = torch.Generator().manual_seed(0)
    pairs = []
    for at in range(len(ids)):
        for other in torch.randint(len(ids), (6,), generator=stream).tolist():
            odds = float((world.reward[at] - world.reward[other]).sigmoid())
            pairs.append(Pair(at, other, p=odds))
    network = LlamaForCausalLM.from_pretrained(tmp_path / "model", attn_implementation="sdpa")
    optimise(tmp_path, network, [Compared(Group((0,), tuple(ids)), tuple(pairs))], beta, lr=0.02, steps=200)
    found = worlds.enumerated(network)
    assert worlds.variation(found, world.best(beta)) <= 0.05
    assert world.share(found, beta) >= 0.97
    assert worlds.variation(world.reference, world.best(beta)) > 0.3


# KTO


def labelled(
    bandit: Bandit, good: int, bad: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw prompts, arms and labels until there are enough of each; liked with odds of the reward."""
    stream = torch.Generator().manual_seed(seed)
    x = torch.randint(PROMPTS, (10 * (good + bad),), generator=stream)
    arm = torch.multinomial(bandit.reference[x].exp(), 1, generator=stream)[:, 0]
    liked = torch.rand(len(x), generator=stream) < bandit.reward[x, arm].sigmoid()
    kept = torch.cat([liked.nonzero()[:good, 0], (~liked).nonzero()[:bad, 0]])
    kept = kept[torch.randperm(len(kept), generator=stream)]
    return x[kept], arm[kept], liked[kept]


def kto_ended(bandit: Bandit, good: int, bad: int, weights: tuple[float, float]) -> torch.Tensor:
    """Where KTO ends as a table, log pi ``(PROMPTS, ARMS)``; beta 1."""
    return kto_fitted(bandit, labelled(bandit, good, bad, seed=1), weights)


def kto_fitted(
    bandit: Bandit,
    rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    weights: tuple[float, float] = (1.0, 1.0),
    beta: float = 1.0,
    lr: float = 0.05,
    steps: int = 300,
) -> torch.Tensor:
    """Fit a table that begins at the reference to prompts, arms and labels."""
    x, arm, liked = rows
    table = bandit.reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], lr=lr)
    for _ in range(steps):
        u = table.log_softmax(-1) - bandit.reference
        z0 = direct.baseline(u[x, arm.roll(-1)])
        optimizer.zero_grad()
        direct.kto(u[x, arm], liked, z0, beta, weights).mean().backward()
        optimizer.step()
    return table.detach().log_softmax(-1)


def rank_correlation(left: torch.Tensor, right: torch.Tensor) -> float:
    """Spearman's, averaged over prompts."""
    ranks = (one.argsort(-1).argsort(-1).double() for one in (left, right))
    return sum(float(torch.corrcoef(torch.stack(both))[0, 1]) for both in zip(*ranks, strict=True)) / PROMPTS


def test_kto_finds_the_order_of_rewards_and_weights_make_up_for_rare_labels() -> None:
    bandit = flat(seed=0, beta=1.0)
    balanced = kto_ended(bandit, 4000, 4000, (1.0, 1.0))
    assert rank_correlation(balanced, bandit.reward) >= 0.65
    assert bandit.value(balanced) >= bandit.value(bandit.reference) + 0.5
    moved = divergence(balanced, bandit.reference)
    for weight in (10.0, 13.3):
        weighted = divergence(kto_ended(bandit, 400, 4000, (weight, 1.0)), bandit.reference)
        assert abs(weighted - moved) <= 0.3 * moved
    assert divergence(kto_ended(bandit, 400, 4000, (1.0, 1.0)), bandit.reference) > 2 * moved


def test_kto_learns_nothing_from_shuffled_labels() -> None:
    bandit, ranks, losses = flat(seed=0, beta=1.0), [], []
    for seed in range(10):
        stream = torch.Generator().manual_seed(seed)
        (x, arm, liked), held_out = (labelled(bandit, 1000, 1000, at) for at in (seed, 100 + seed))
        mixed = liked[torch.randperm(len(liked), generator=stream)]
        learned = kto_fitted(bandit, (x, arm, mixed), steps=100) - bandit.reference
        ranks.append(rank_correlation(learned, bandit.reward))
        u = learned[held_out[0], held_out[1]]
        again = held_out[2][torch.randperm(len(u), generator=stream)]
        losses.append(float(direct.kto(u, again, torch.zeros(()), 1.0, (1.0, 1.0)).mean()))
    found = torch.tensor(ranks)
    assert abs(float(found.mean())) <= 2 * float(found.std()) / len(ranks) ** 0.5
    assert min(losses) >= 0.49  # .5 is no opinion


def test_kto_goes_the_other_way_with_flipped_labels() -> None:
    bandit = flat(seed=0, beta=1.0)
    x, arm, liked = labelled(bandit, 4000, 4000, seed=1)
    found = kto_fitted(bandit, (x, arm, ~liked))
    assert bandit.value(found) < bandit.value(bandit.reference) - 0.3


def test_kto_with_a_strong_pull_stays_at_the_reference() -> None:
    bandit = flat(seed=0, beta=1.0)
    found = kto_fitted(bandit, labelled(bandit, 4000, 4000, seed=1), beta=300.0, lr=3e-3)
    assert divergence(found, bandit.reference) < 1e-3


# Best of n and rejection sampling


def drawn(bandit: Bandit, logp: torch.Tensor, each: int, seed: int, k: int = 1) -> list[Scored]:
    """Draw ``each`` times k responses to every prompt and score them by the reward."""
    stream = torch.Generator().manual_seed(seed)
    return [
        Scored(f"{x}/{number // k}", str(arm), float(bandit.reward[x, arm]))
        for x in range(PROMPTS)
        for number, arm in enumerate(
            torch.multinomial(logp[x].exp(), each * k, True, generator=stream).tolist()
        )
    ]


def imitated(kept: Sequence[Scored], before: torch.Tensor) -> torch.Tensor:
    """Frequencies of demonstrations, log, ``(PROMPTS, ARMS)``; a prompt without any stays as it was."""
    counts = 1e-6 * before.exp()
    for one in kept:
        counts[int(str(one.prompt)[0]), int(one.response)] += 1
    return (counts / counts.sum(-1, keepdim=True)).log()


def test_imitating_the_best_of_eight_is_worth_its_maximum(bandit: Bandit) -> None:
    samples = drawn(bandit, bandit.reference, each=500, seed=0, k=8)
    rewards = torch.tensor([one.score for one in samples], dtype=torch.float64).view(-1, 8)
    gained = bandit.value(imitated(best_of_each(samples, seed=0), bandit.reference)) - bandit.value(
        bandit.reference
    )
    assert gained >= 0.95 * (rewards.max(-1).values.mean() - bandit.value(bandit.reference))
    assert gained > 0.5


def test_rest_rises_with_every_threshold_and_every_grow(bandit: Bandit) -> None:
    policy, ends = bandit.reference, []
    for grow in range(2):
        steps = list(improve(drawn(bandit, policy, 2000, seed=grow), (0.0, 0.5, 0.7, 0.8, 0.9), "pooled"))
        tables = list(accumulate(steps, lambda before, one: imitated(one.samples, before), initial=policy))
        golds = [bandit.value(one) for one in tables[1:]]
        kept = [len(one.samples) for one in steps]
        if grow == 0:
            assert all(later < earlier for earlier, later in pairwise(kept))
        assert all(later >= earlier - 0.05 for earlier, later in pairwise(golds))
        policy = tables[-1]
        ends.append(golds[-1])
    assert ends[1] > ends[0] > bandit.value(bandit.reference) + 0.5


def test_rest_on_random_rewards_gains_nothing(bandit: Bandit) -> None:
    stream = random.Random(0)
    samples = [
        Scored(one.prompt, one.response, stream.random())
        for one in drawn(bandit, bandit.reference, 2000, seed=0)
    ]
    (last,) = improve(samples, (0.9,), "pooled")
    spread = float((bandit.reference.exp() * bandit.reward**2).sum(-1).mean()) ** 0.5
    error = spread / len(last.samples) ** 0.5
    assert (
        abs(bandit.value(imitated(last.samples, bandit.reference)) - bandit.value(bandit.reference))
        <= 3 * error
    )


def test_best_of_many_overdoes_a_proxy() -> None:
    phi, gold = worlds.features(0, 2 * 5000)
    wins = np.random.default_rng(1).random(5000) < 1 / (1 + np.exp(gold[5000:] - gold[:5000]))
    apart, weight = phi[:5000] - phi[5000:], np.zeros(8)
    for _ in range(30):  # Newton's steps to the Bradley-Terry fit
        p = 1 / (1 + np.exp(-apart @ weight))
        hessian = (apart * (p * (1 - p))[:, None]).T @ apart + 1e-6 * np.eye(8)
        weight += np.linalg.solve(hessian, apart.T @ (wins - p))
    phi, gold = worlds.features(2, 60_000)
    proxy = (phi @ weight).tolist()
    counts = [2**power for power in range(13)]
    by_proxy = [expected(proxy, proxy, n) for n in counts]
    by_gold = [expected(proxy, gold.tolist(), n) for n in counts]
    assert all(later > earlier for earlier, later in pairwise(by_proxy))
    peak = by_gold.index(max(by_gold))
    assert 4 <= peak <= 11
    assert by_gold[-1] < max(by_gold) - 0.1
