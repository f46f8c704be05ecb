"""When to stop a run: the held-out estimate has fallen, for certain and not once only.

Owns the rule. Leaves the estimate to the trainer's evaluations, and what they are kept in to its checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from rlaif.errors import InputError

_KEPT: Final = "estimates"
"""Under which a run keeps them, so that one that goes on remembers what it had come to."""

Estimates = Sequence[tuple[float, float]]
"""A mean and its standard error an evaluation, in their order."""
Stop = Callable[[Estimates], bool]
"""Told all evaluations so far; True ends the run."""


@dataclass(frozen=True, slots=True)
class Falling:
    """Stop where the last few evaluations in a row lie clearly below the best before each of them.

    Of runs whose estimate never changes, with independent noise, twelve evaluations stop 12 in 100; a
    patience of 3 stops 3.

    Args:
        errors: standard errors of the difference that make it clear.
        patience: how many evaluations in a row.
    """

    errors: float = 2.0
    patience: int = 2

    def __post_init__(self) -> None:
        if not (self.errors > 0.0 and self.patience >= 1):
            raise InputError(
                f"found errors = {self.errors!r} and patience = {self.patience!r}; errors is above 0,"
                " patience at least 1"
            )

    def __call__(self, estimates: Estimates) -> bool:
        """Tell whether to stop; errors count as independent, which prompts in common make the safe side."""
        return len(estimates) > self.patience and all(
            self._fell(estimates, at) for at in range(len(estimates) - self.patience, len(estimates))
        )

    def _fell(self, estimates: Estimates, at: int) -> bool:
        best, best_error = max(estimates[:at])
        mean, error = estimates[at]
        return bool(mean < best - self.errors * (error**2 + best_error**2) ** 0.5)


def must_be_told(every: int | None, gold: bool, prompts: int) -> None:
    """Refuse a run whose rule would never be told anything.

    Args:
        every: updates between evaluations.
        gold: whether there is a gold score.
        prompts: held-out prompts.

    Raises:
        InputError: no evaluation would give a gold score with an error.
    """
    if not (every and gold and prompts > 1):
        raise InputError(
            f"found eval_every = {every!r}, {'a' if gold else 'no'} gold score and {prompts} held-out"
            " prompts; a rule that stops the run needs all three: set eval_every, data.test_share and"
            " gold",
            field="eval_every",
        )


def noted(kept: MutableMapping[str, JsonValue], figures: Mapping[str, float]) -> Estimates:
    """Keep an evaluation's gold with those before it, and return them all.

    Args:
        kept: what a run finds again after a stop.
        figures: of the evaluation; one without a gold score and error counts for nothing.
    """
    before = kept.setdefault(_KEPT, [])
    assert isinstance(before, list)
    if "gold_error" in figures:
        before.append([figures["gold"], figures["gold_error"]])
    return [(one[0], one[1]) for one in before]  # type: ignore[index, misc]
