"""What a judge says of a policy's responses, each put beside one of the policy it began as.

Owns who is paired with whom and what counts where no verdict can be had. Leaves asking to ``authoring.desk``:
any provider will do, every call is kept in a journal, none is bought twice, and a cap holds over every
process that asks the same judge in the same folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from pydantic import Field

from rlaif.authoring.desk import Terms, desk_in, seen_from_first
from rlaif.constitution import load_constitution
from rlaif.judging import AnyJudge, Pair
from rlaif.pipeline import opened
from rlaif.preferences import Comparison
from rlaif.records import Message, Prompt, Record, unpairable
from rlaif.settings import Settings
from rlaif.training.encoding import Text
from rlaif.verbs.pairs import pairs_of


class Judged(Record):
    """A judge that nothing was optimised for, of any provider."""

    kind: Literal["judge"] = "judge"
    """Names it among what may be held out."""
    judge: AnyJudge
    """Who judges, and how, as in a pipeline's ``judge`` stage; it compares two responses."""
    constitution: str
    """What it judges by: a file, relative to where the command runs, or to a recipe."""
    budget: float | None = Field(default=None, ge=0.0)
    """Most USD its calls may cost in all, those of runs that were cut off included; needed where they cost
    anything."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return str(getattr(self.judge, "model", self.judge.kind))


@dataclass(frozen=True, slots=True)
class Matched:
    """A prompt with one response of a policy and one of the policy it began as."""

    prompt: Text
    mine: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a judge said."""

    p: tuple[float | None, ...]
    """Of each match, how likely the policy's response is the better one; one half where both say the same,
    None where no verdict could be read."""
    calls: int
    """Calls that took, those that were bought before included."""
    spent: float
    """USD that the calls to this judge in this folder have cost so far, by whichever process: a total to put
    in the place of an earlier one of the same folder, never to be added to it."""


class Spending(TypedDict, total=False):
    """What else a caller says of money; each may be left out."""

    allow_unpriced: bool
    """Call a model whose price is unknown; no budget can hold then."""
    knob: str
    """What sets the budget, for messages; ``held_out.budget`` when left out."""
    agreed: bool
    """Somebody agreed to spend without a budget."""


async def preferred(
    judged: Judged,
    matches: Sequence[Matched],
    store: Path,
    settings: Settings,
    home: Path | None = None,
    **money: Unpack[Spending],
) -> Verdicts:
    """Ask a judge about every match, in both orders.

    The budget is one for all that this judge is ever asked in the folder: it begins from what earlier calls
    have cost, or may have cost where a process was cut off.

    Args:
        judged: who judges by what.
        matches: whom to compare.
        store: folder whose journal keeps the calls.
        settings: providers and servers.
        home: folder the constitution is relative to; where the command runs when None.
        money: how its budget is set, and what may be done without one.

    Raises:
        InputError: the judge or the constitution cannot be used, or its calls cost and there is no budget.
        UnpricedError: no price is known for the model.
        BudgetError: the budget leaves no room for the next call; what was answered is kept.
        CallError: no call to this model can succeed.
        StoreError: another process uses the folder.
    """
    words = load_constitution((home or Path()) / judged.constitution)
    prompts = [_prompt(one.prompt) for one in matches]
    pairs = [pair for _, pair in pairs_of(prompts, [(one.mine, one.theirs) for one in matches])]
    how = Spending(knob="held_out.budget") | money
    terms = Terms(judged.budget, store=store, lasting=True, **how)
    async with opened(store) as workspace, desk_in(workspace, settings, judged.judge, terms) as desk:
        said = await desk.judge(words, pairs)
        spent = workspace.journal.spend(desk.job_id).settled
    found = tuple(_p(pair, one) for pair, one in zip(pairs, said.comparisons, strict=True))
    return Verdicts(found, said.bill.calls, spent)


def _prompt(text: Text) -> Prompt:
    return Prompt.make((Message(role="user", content=text),) if isinstance(text, str) else tuple(text))


def _p(pair: Pair, comparison: Comparison | None) -> float | None:
    """How likely the first of a pair is the better one."""
    if comparison is None:  # never put before the judge: the same text twice, or one that says nothing
        if unpairable(pair.first, pair.second) == "identical":
            return 0.5
        mine, theirs = (bool(one.response.strip()) for one in (pair.first, pair.second))
        return 0.5 + (mine - theirs) / 2.0
    return seen_from_first(comparison, pair).p
