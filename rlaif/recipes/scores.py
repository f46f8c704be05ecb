"""What puts a number on responses in a recipe: a world, a reward model, two behind a gate, or chance.

Owns the step from a score's fields to something that scores rows or rollouts. Leaves the numbers to ``lab``
and ``training.scoring``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from pydantic import JsonValue, TypeAdapter

from rlaif.checkpoints import Checkpoint, load_scorer
from rlaif.lab.scoring import ByText
from rlaif.lab.worlds import Harm, World
from rlaif.recipes.desk import Desk
from rlaif.recipes.rows import by_prompt, said, text
from rlaif.recipes.worth import AnyScore, AtRandom, OfWorld
from rlaif.training.encoding import Encoder
from rlaif.training.packing import Group
from rlaif.training.rollouts import Rollout
from rlaif.training.scoring import Gate, RewardModel, rater

Source = ByText | RewardModel | Gate
PART_TOKENS: Final = 4096
"""Most tokens of one pass."""
_SCORE: TypeAdapter[AnyScore] = TypeAdapter(AnyScore)


def source(score: AnyScore, desk: Desk) -> Source:
    """Return what a score's fields stand for, its references resolved."""
    if isinstance(score, AtRandom):
        return ByText(f"random {desk.recipe.seed}", lambda prompt, said: _lot(desk.recipe.seed, prompt, said))
    if isinstance(score, OfWorld):
        assert desk.world is not None  # checked when the recipe was read
        return _of_world(score, desk.world, desk.recipe.seed)
    resolved: JsonValue = desk.resolved(score.model_dump(mode="json"))
    found = _SCORE.validate_python(resolved)
    assert isinstance(found, RewardModel | Gate)
    return found


def titled(score: AnyScore) -> str:
    """Return what a score is called in tables and lineage."""
    if isinstance(score, OfWorld):
        return f"the world's {score.of}"
    if isinstance(score, RewardModel):
        return f"reward model {score.model}"
    if isinstance(score, Gate):
        return f"reward models {score.safety} and {score.helpfulness} behind a gate"
    return "chance"


def of_rollouts(by: Source, checkpoint: Checkpoint, drawn: Sequence[Rollout]) -> list[list[float | None]]:
    """Score what a checkpoint drew, a list a prompt.

    Raises:
        InputError: a reward model reads other tokens than the policy.
    """
    model, call = (None, by) if isinstance(by, ByText) else (by, None)
    rate = rater(model, call, checkpoint.tokenizer, PART_TOKENS)
    prompts = [one.asked.text for one in drawn for _ in one.texts]
    texts = [said for one in drawn for said in one.texts]
    left = iter(rate(prompts, texts, [one.group for one in drawn]))
    return [list(islice(left, len(one.texts))) for one in drawn]


def of_rows(by: Source, rows: Sequence[Mapping[str, Any]], column: str = "completion") -> list[float | None]:
    """Score one column of some rows, in their order.

    Raises:
        InputError: a reward model cannot be used.
    """
    if isinstance(by, ByText):
        return by([text(row["prompt"]) for row in rows], [said(row[column]) for row in rows])
    tokenizer = load_scorer(by.model if isinstance(by, RewardModel) else by.safety).tokenizer
    encoder, rate = Encoder(tokenizer), rater(by, None, tokenizer, PART_TOKENS)
    numbered = [{**row, "place": at} for at, row in enumerate(rows)]
    found: dict[int, float | None] = {}
    for some in by_prompt(numbered).values():
        prompt = text(some[0]["prompt"])
        ids = tuple(encoder.response(prompt, said(row[column]))[0] for row in some)
        group = Group(encoder.prompt(prompt), ids)
        scores = rate([prompt] * len(some), [said(row[column]) for row in some], [group])
        found |= dict(zip((row["place"] for row in some), scores, strict=True))
    return [found[at] for at in range(len(rows))]


def _of_world(score: OfWorld, world: World, seed: int) -> ByText:
    worth = {"gold": world.gold, "proxy": world.proxy, "safety": _safe}[score.of]
    return ByText(f"{score.of} {world.name} {seed}", worth)


def _safe(prompt: str, response: str) -> float:
    harm = Harm()
    return harm.safe(harm.unsafe(prompt), response)


def _lot(seed: int, *parts: str) -> float:
    raw = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(raw[:7]) / 2**56
