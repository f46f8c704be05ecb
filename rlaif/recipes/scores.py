"""What puts a number on responses in a recipe: a world, a reward model, two behind a gate, or chance.

Owns the step from a score's fields to something that scores rows or rollouts, as it is or as a control has
it. Leaves the numbers to ``lab`` and ``training.scoring``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter

from rlaif.checkpoints import load_scorer
from rlaif.lab.scoring import ByText
from rlaif.lab.worlds import World
from rlaif.recipes.bodies import absolute, own
from rlaif.recipes.desk import Desk
from rlaif.recipes.rows import Column, by_prompt, column, said, text
from rlaif.recipes.worth import AnyScore, AtRandom, OfWorld
from rlaif.training.controls import lot
from rlaif.training.encoding import Encoder, Text
from rlaif.training.packing import Group
from rlaif.training.rollouts import Rollout
from rlaif.training.scoring import Gate, RewardModel, rater

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Source = ByText | RewardModel | Gate
PART_TOKENS: Final = 4096
"""Most tokens of one pass."""
TRUE: Final = "true"
"""Column that holds a score as it was before a control spoiled it."""
_SCORE: TypeAdapter[AnyScore] = TypeAdapter(AnyScore)


def source(score: AnyScore, desk: Desk) -> Source:
    """Return what a score's fields stand for, its references resolved."""
    if isinstance(score, AtRandom):
        return ByText(f"random {desk.recipe.seed}", lambda prompt, said: lot(desk.recipe.seed, prompt, said))
    if isinstance(score, OfWorld):
        assert desk.world is not None  # checked when the recipe was read
        return _of_world(score, desk.world, desk.recipe.seed)
    resolved = desk.resolved(absolute(score.model_dump(mode="json"), desk.home))
    found = _SCORE.validate_python(resolved)
    assert isinstance(found, RewardModel | Gate)
    return found


def learned(score: AnyScore, desk: Desk) -> Source:
    """Return what a score's fields stand for where something is learned from it: spoiled, under a control."""
    return spoiling(score, desk) or source(score, desk)


def spoiling(score: AnyScore, desk: Desk) -> Source | None:
    """Return what a control puts in a score's place; None where it leaves it as it is.

    Scores of this recipe's own reward models are left: what those learned was spoiled. A gate with one from
    elsewhere is spoiled, its own part with it.
    """
    control, seed = desk.recipe.control, desk.recipe.seed
    if own(score.model_dump(mode="json")) or isinstance(score, AtRandom):
        return None
    match control:
        case "flipped":
            return _turned(source(score, desk))
        case "shuffled":
            return ByText(f"shuffled {seed}", lambda prompt, said: lot(seed, "shuffled", prompt, said))
        case "constant":
            return ByText("constant", lambda prompt, said: 0.0)
    return None


def _turned(by: Source) -> ByText:
    if isinstance(by, ByText):
        return ByText(f"flipped {by.digest}", lambda prompt, said: -by.worth(prompt, said))
    return Turned(by)


class Turned(ByText):
    """A reward model from elsewhere with its sign changed.

    Args:
        by: the model, or two behind a gate.
    """

    def __init__(self, by: RewardModel | Gate) -> None:
        super().__init__(
            f"flipped {by.model_dump_json()}", lambda prompt, said: self._scores([prompt], [said])[0]
        )
        self._by = by

    def __call__(self, prompts: Sequence[Text], texts: Sequence[str]) -> list[float | None]:
        """Return one number a response.

        Raises:
            InputError: a model cannot be used.
        """
        return list(self._scores([column(one) for one in prompts], texts))

    def _scores(self, prompts: Sequence[Column], texts: Sequence[str]) -> list[float]:
        rows = [{"prompt": one, "completion": said} for one, said in zip(prompts, texts, strict=True)]
        return [-one for one in of_rows(self._by, rows) if one is not None]  # a model has a number for all


def titled(score: AnyScore) -> str:
    """Return what a score is called in tables and lineage."""
    if isinstance(score, OfWorld):
        return f"the world's {score.of}"
    if isinstance(score, RewardModel):
        return f"reward model {score.model}"
    if isinstance(score, Gate):
        return f"reward models {score.safety} and {score.helpfulness} behind a gate"
    return "chance"


def of_rollouts(
    by: Source, tokenizer: PreTrainedTokenizerBase, drawn: Sequence[Rollout]
) -> list[list[float | None]]:
    """Score what a policy drew, a list a prompt.

    Raises:
        InputError: a reward model reads other tokens than the policy.
    """
    model, call = (None, by) if isinstance(by, ByText) else (by, None)
    rate = rater(model, call, tokenizer, PART_TOKENS)
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
    tokenizer = load_scorer(by.model if isinstance(by, RewardModel) else by.safety, trained=True).tokenizer
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
    return ByText(f"{score.of} {world.name} {seed}", world.measure(score.of))
