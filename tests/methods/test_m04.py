"""M4, the whole line: rankings of four to nine become a reward model, and PPO on that raises the truth."""

from itertools import combinations
from math import comb
from pathlib import Path

import torch

from rlaif.audits.bootstrap import wilson
from rlaif.recipes.rows import ranked
from rlaif.training.ppo import train
from tests.methods.linear import fitted
from tests.training.test_ppo import in_world
from tests.training.worlds import WORDS, Letters, trained

RANKINGS, STEP = 400, 0.5
"""Rankings collected; gold closer than a step is a tie to whoever ranks."""


def rankings(world: Letters, stream: torch.Generator) -> list[dict]:
    """Rows as people's rankings are read: K responses drawn from the reference, and their ranks."""
    found = []
    for number in range(RANKINGS):
        k = int(torch.randint(4, 10, (1,), generator=stream))
        drawn = torch.multinomial(world.reference.exp(), k, generator=stream).tolist()  # all different
        grades = [round(float(world.reward[at]) / STEP) for at in drawn]
        best_first = sorted(set(grades), reverse=True)
        found.append({
            "prompt": f"{number}", "responses": [WORDS[at] for at in drawn],
            "ranks": [1 + best_first.index(grade) for grade in grades],
        })  # fmt: skip
    return found


def test_rankings_become_a_reward_that_ppo_raises_gold_by(tmp_path: Path, seed: int) -> None:
    world, stream = Letters.made(tmp_path, seed), torch.Generator().manual_seed(seed)
    rows = rankings(world, stream)
    pairs = [(one["chosen"], one["rejected"]) for row in rows for one in ranked(row)]
    tied = sum(one == other for row in rows for one, other in combinations(row["ranks"], 2))
    assert len(pairs) == sum(comb(len(row["responses"]), 2) for row in rows) - tied

    places = torch.tensor([[WORDS.index(word) for word in pair] for pair in pairs])
    one_hot = torch.eye(len(WORDS), dtype=torch.float64)
    gaps = one_hot[places[:, 0]] - one_hot[places[:, 1]]
    (learned,) = fitted(gaps[None], torch.ones(1, len(pairs), dtype=torch.float64), ridge=0.1)
    outcome = train(
        in_world(world, steps=120),
        score=lambda prompts, texts: [float(learned[WORDS.index(text[-3:])]) for text in texts],
    )

    before, after = world.reference.exp(), trained(Path(outcome.folder)).exp()
    assert float(after @ world.reward) > float(before @ world.reward) + 0.5 * float(world.reward.std())
    mine, its = (world.reward[torch.multinomial(one, 200, True, generator=stream)] for one in (after, before))
    wins = float((mine > its).sum()) + 0.5 * float((mine == its).sum())
    low, _ = wilson(wins, 200) or (0.0, 0.0)
    assert wins / 200 >= 0.57
    assert low > 0.5
