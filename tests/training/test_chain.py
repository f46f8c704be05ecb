"""Contrastive preference learning on a chain whose optimal advantages are known: it beats what it imitated.

Ten places in a row; a step right or left slips into the other one time in ten. The right end is to be reached
from the left one within 14 steps. Segments of five random steps are labelled by regret, the sum of optimal
advantages of what was done; the control labels them by what they earned, which tells little of the way.
"""

import random

import torch
from torch import Tensor

from rlaif.training.losses.direct import cpl

PLACES, STEPS, SEGMENT, SLIP, DISCOUNT = 10, 14, 5, 0.1, 0.95
ALPHA, BIAS = 0.1, 0.5  # of the paper's code
SEED = random.SystemRandom().randrange(2**31)


def moves() -> Tensor:
    """Probability of getting from place to place by action 0 (left) and 1 (right), ``(2, 10, 10)``."""
    found = torch.zeros(2, PLACES, PLACES, dtype=torch.float64)
    for place in range(PLACES):
        for action in (0, 1):
            for step, said in ((-1, 0), (1, 1)):
                there = min(max(place + step, 0), PLACES - 1)
                found[action, place, there] += 1 - SLIP if action == said else SLIP
    return found


def advantages() -> Tensor:
    """A* of every action under maximum entropy, by value iteration, ``(10, 2)``; reward 1 for being right."""
    reward = torch.zeros(PLACES, dtype=torch.float64)
    reward[-1] = 1.0
    value = torch.zeros(PLACES, dtype=torch.float64)
    for _ in range(500):
        worth = (moves() @ (reward + DISCOUNT * value)).T
        value = worth.logsumexp(-1)
    return worth - value[:, None]


def reached(policy: Tensor) -> float:
    """Probability of reaching the right end, exactly; ``policy`` is ``(10, 2)``."""
    step = torch.einsum("pa,apt->pt", policy, moves())
    step[-1] = torch.eye(PLACES, dtype=torch.float64)[-1]
    where = torch.eye(PLACES, dtype=torch.float64)[0]
    for _ in range(STEPS):
        where = where @ step
    return float(where[-1])


def segments(number: int, stream: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Places, actions and the places these led to, ``(number, 5)`` each, by actions at random."""
    place = torch.randint(PLACES, (number,), generator=stream)
    found: tuple[list[Tensor], ...] = ([], [], [])
    for _ in range(SEGMENT):
        action = torch.randint(2, (number,), generator=stream)
        slips = torch.rand(number, generator=stream) < SLIP
        there = (place + torch.where((action == 1) ^ slips, 1, -1)).clamp(0, PLACES - 1)
        for column, one in zip(found, (place, action, there), strict=True):
            column.append(one)
        place = there
    places, actions, ends = (torch.stack(one, 1) for one in found)
    return places, actions, ends


def fitted(places: Tensor, actions: Tensor, worth: Tensor | None = None) -> Tensor:
    """Imitate all segments and then, where they are worth something, prefer the better of each pair."""
    table = torch.zeros(PLACES, 2, dtype=torch.float64, requires_grad=True)
    half = len(places) // 2
    for stage in range(1 if worth is None else 2):
        optimizer = torch.optim.Adam([table], lr=0.05)
        for _ in range(300):
            said = table.log_softmax(-1)[places, actions]
            if stage == 0 or worth is None:
                loss = -said.mean()
            else:
                gap = worth[:half] - worth[half:]
                sums = ALPHA * said.sum(-1)
                loss = cpl(sums[:half], sums[half:], (gap > 0).double(), BIAS)[gap != 0].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return table.detach().softmax(-1)


def test_the_right_end_can_be_reached() -> None:
    right, left = (torch.tensor([one] * PLACES, dtype=torch.float64) for one in ([0.0, 1.0], [1.0, 0.0]))
    assert reached(right) > 0.85
    assert reached(left) < 1e-6
    assert bool((advantages()[:, 1] > advantages()[:, 0]).all())


def test_regret_takes_a_policy_far_beyond_what_it_imitated() -> None:
    places, actions, ends = segments(2000, torch.Generator().manual_seed(SEED))
    imitated = reached(fitted(places, actions))
    by_regret = reached(fitted(places, actions, advantages()[places, actions].sum(1)))
    by_return = reached(fitted(places, actions, (ends == PLACES - 1).double().sum(1)))
    assert imitated < 0.05, SEED
    assert by_regret >= imitated + 0.20, SEED
    assert by_return < by_regret, SEED  # the control: what was earned does not say what was wise
