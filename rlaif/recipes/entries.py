"""What is compared: policies and best of n of them, each with its responses to the same prompts.

Owns which responses stand for a method, how much each of them counts, and which steps they come from. Leaves
wins, judges and costs to ``comparing``.

A policy's entry looks at all its responses alike; that of best of n weighs each by how likely it is the best
by the proxy. So one rule serves both: a prompt is won where the weighed mean is above the start's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from rlaif.errors import InputError
from rlaif.recipes.config import Comparing
from rlaif.recipes.desk import Desk
from rlaif.recipes.folder import Done
from rlaif.recipes.leaving import Reference, leaves
from rlaif.recipes.measuring import Measured
from rlaif.recipes.rows import Row, by_prompt
from rlaif.training.bestofn import shared

_FIGURES: TypeAdapter[list[Measured]] = TypeAdapter(list[Measured])


@dataclass(frozen=True, slots=True)
class Entry:
    """Responses that stand for a method, and how much each counts."""

    name: str
    measured: Measured
    steps: frozenset[str]
    """All steps it was made from."""
    n: int
    """Of best of n; 1 for a policy's own draws."""
    rows: tuple[Row, ...]
    keys: tuple[str, ...]
    """Which prompt each response is to."""
    shares: Mapping[int, float]
    """How much each counts within its prompt, by place; those that count nothing are not in it."""

    @classmethod
    def of(cls, name: str, measured: Measured, steps: frozenset[str], n: int, rows: Sequence[Row]) -> Self:
        """Weigh the responses."""
        keys = [""] * len(rows)
        for key, some in by_prompt(_numbered(rows)).items():
            for row in some:
                keys[row["place"]] = key
        return cls(name, measured, steps, n, tuple(rows), tuple(keys), shares(rows, n))

    def mean(self, column: str) -> dict[str, float]:
        """Return the weighed mean of a column, prompt by prompt."""
        found: dict[str, float] = {}
        for place, share in self.shares.items():
            key = self.keys[place]
            found[key] = found.get(key, 0.0) + share * float(self.rows[place][column])
        return found


def entered(comparing: Comparing, desk: Desk) -> list[Entry]:
    """Return what a compare step is to put side by side, the start first.

    Raises:
        InputError: policies were measured on different prompts.
    """
    return list(_different(_alike(_entries(comparing, desk))))


def _entries(comparing: Comparing, desk: Desk) -> Iterator[Entry]:
    """Yield every policy of the measure steps, and every best of n of them."""
    for measure in comparing.of:
        reference = Reference.read(measure)
        assert reference is not None  # checked when the recipe was read
        path = Path(desk.path(reference))
        choosing = _choosing(reference.step, desk)
        for at, one in enumerate(_FIGURES.validate_json(path.read_bytes())):
            told = (path.parent / f"responses-{at}.jsonl").read_text().splitlines()
            rows = [json.loads(line) for line in told]
            own = ancestors([one.policy], desk.done)
            yield Entry.of(one.policy, one, own, 1, rows)
            for n in one.best:
                yield Entry.of(f"best of {n} of {one.policy}", one, own | choosing, n, rows)


def _alike(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Let through what was measured on the same prompts as the first."""
    first: Entry | None = None
    for one in entries:
        first = first or one
        if set(one.keys) != set(first.keys):
            raise InputError(
                f"{one.name!r} was measured on other prompts than {first.name!r}; give all measure steps of a"
                " table the same prompts",
                field="compare.of",
            )
        yield one


def _different(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Leave out a policy that another measure step has shown already."""
    seen: set[tuple[str, int]] = set()
    for one in entries:
        key = (one.measured.path, one.n)
        if key not in seen:
            seen.add(key)
            yield one


def _choosing(measure: str, desk: Desk) -> frozenset[str]:
    """Steps that what a measure step chooses by was made from."""
    [step] = [one for one in desk.recipe.steps if one.name == measure]
    assert step.measure is not None
    if step.measure.proxy is None:
        return frozenset()
    found = (Reference.read(value) for _, value in leaves(step.measure.proxy.model_dump(mode="json")))
    return ancestors([one.step for one in found if one is not None], desk.done)


def ancestors(names: Iterable[str], done: Mapping[str, Done]) -> frozenset[str]:
    """Return some steps and all that they were made from; names of no step count nothing."""
    seen: set[str] = set()
    todo = [one for one in names if one in done]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [one.step for text in done[name].inputs if (one := Reference.read(text))]
    return frozenset(seen)


def shares(rows: Sequence[Mapping[str, Any]], n: int) -> dict[int, float]:
    """Return how much each response counts within its prompt; those that count nothing are left out.

    Args:
        rows: ``prompt``, ``gold`` and ``proxy`` of each response.
        n: 1 for all alike; above that, how likely each is the best of n by the proxy, equal ones alike.
    """
    found: dict[int, float] = {}
    for some in by_prompt(_numbered(rows)).values():
        known = [row for row in some if row["gold"] is not None and (n == 1 or row["proxy"] is not None)]
        if len(known) < n or not known:
            continue
        scores = [0.0 if n == 1 else row["proxy"] for row in known]
        chances = zip(known, shared(scores, n), strict=True)
        found |= {row["place"]: float(share) for row, share in chances}
    return {place: share for place, share in found.items() if share > 0.0}


def _numbered(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [{**row, "place": at} for at, row in enumerate(rows)]
