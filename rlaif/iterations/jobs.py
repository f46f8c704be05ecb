"""The pipelines an iteration is made of, each an ordinary job in a folder of its own, under one cap.

Owns the stages of a pipeline and what is left of the cap for it. Leaves the running, and with it journal,
retries and going on after a stop, to ``pipeline``. The file of every pipeline stays in its folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from rlaif.errors import InputError
from rlaif.iterations.config import JudgedBy, Loaded
from rlaif.iterations.records import Policy
from rlaif.jobs import Listener
from rlaif.pipeline import Options, Outcome, load_pipeline, quote, run
from rlaif.providers.budget import Budget
from rlaif.records import SamplingParams
from rlaif.settings import Settings
from rlaif.wholefile import put

Stage = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Money:
    """What the calls of an iteration may cost."""

    budget: float | None = None
    """Most USD in all; needed where any call costs something."""
    agreed: bool = False
    """Whether somebody agreed to spend without a budget."""
    allow_unpriced: bool = False
    """Whether models may be called whose price is unknown; no budget can hold then."""


FREE: Final = Money()
"""No call costs anything."""


class Jobs:
    """Runs pipelines one after the other.

    Args:
        loaded: the iteration.
        money: what all of them may cost together.
        listener: hears how they go on.

    Raises:
        InputError: the budget is none.
    """

    def __init__(self, loaded: Loaded, money: Money, listener: Listener) -> None:
        Budget(money.budget)
        self.loaded = loaded
        self.spent = 0.0
        """USD of all runs so far, those of earlier processes included once they are gone through again."""
        self.calls = 0
        """Calls of all runs of this process that were answered, then or before."""
        self._money, self._listener = money, listener
        self._settings = Settings.load()

    @property
    def bought(self) -> tuple[float, int]:
        """USD and calls so far."""
        return self.spent, self.calls

    async def run(self, name: str, folder: Path, prompts: Path, stages: Sequence[Stage]) -> Outcome:
        """Run, or go on with, one pipeline.

        Args:
            name: of the pipeline; ids of its jobs begin with it.
            folder: its output folder.
            prompts: what to answer, by absolute path; all of them are on its training side.
            stages: as a pipeline file has them.

        Raises:
            InputError: it cannot be run, or costs something and nobody said how much it may.
            BudgetError: the cap was reached.
            Interrupted: a signal stopped it.
            JobError: too much of it failed.
        """
        asked = {
            "schema_version": 1,
            "name": name,
            "seed": self.loaded.config.seed,
            "prompts": {"path": str(prompts), "test_share": 0.0},
            "stages": list(stages),
            "limits": self.loaded.config.limits.model_dump(mode="json"),
        }
        path = folder / f"{name}.yaml"
        put(path, json.dumps(asked, indent=1) + "\n")
        loaded = load_pipeline(path)
        money = self._money
        lines = quote(loaded, self._settings, allow_unpriced=money.allow_unpriced)
        most = sum(one.usd or 0.0 for one in lines)
        if most and money.budget is None and not money.agreed:
            raise InputError(
                f"the calls of one round alone may cost up to ${most:,.4f} ({name}); say what all may cost:"
                " --budget USD"
            )
        left = None if money.budget is None else max(0.0, money.budget - self.spent)
        options = Options(left, money.allow_unpriced, folder)
        outcome = await run(loaded, options, self._settings, self._listener)
        self.spent += outcome.spent
        self.calls += outcome.answered
        return outcome

    def judging(self, by: JudgedBy, policy: Policy) -> Stage:
        """Return the stage in which a judge judges."""
        return {
            "kind": "judge",
            "constitution": str((self.loaded.path.parent / by.constitution).resolve()),
            "judge": self.loaded.resolved(by, policy.spec),
        }


def sampling(policies: Sequence[Policy], k: int, params: SamplingParams) -> Stage:
    """Return the stage that draws ``k`` responses from each of some policies."""
    drawn: list[JsonValue] = [
        {"model": one.spec, "k": k, "params": params.model_dump(mode="json")} for one in policies
    ]
    return {"kind": "sample", "policies": drawn}


def preferring(axis: str, select: str) -> Stage:
    """Return the stage that makes a set of what was judged on an axis."""
    return {"kind": "prefer", "axis": axis, "pairing": {"select": select}}
