"""Methods side by side: wins over what they began as, raw and with length held equal, gold, KL, length, cost.

Owns the table of a compare step. Leaves drawing and scoring to the measure steps it is made from, the judge
to ``lab.preferring`` and the page to ``contest``.

A policy's row looks at all its responses alike; the row of best of n weighs each by how likely it is the best
by the proxy. So one rule serves both: a prompt is won where the weighed mean is above the start's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from pydantic import TypeAdapter

from rlaif.audits.bootstrap import wilson
from rlaif.errors import InputError
from rlaif.iterations.records import Opinion
from rlaif.lab.preferring import Matched, Verdicts, preferred
from rlaif.recipes.config import Comparing
from rlaif.recipes.desk import Desk
from rlaif.recipes.folder import Done
from rlaif.recipes.leaving import Reference, leaves
from rlaif.recipes.lineage import ancestry
from rlaif.recipes.measuring import Measured, Rate, even
from rlaif.recipes.rows import Row, by_prompt, text
from rlaif.recipes.serving import beside
from rlaif.records import Record
from rlaif.store import write_sheets
from rlaif.training.bestofn import divergence, weights
from rlaif.training.lineage import sheet
from rlaif.wholefile import put

_FIGURES: TypeAdapter[list[Measured]] = TypeAdapter(list[Measured])


class Wins(Record):
    """How often a method is better than the start, prompt by prompt, ties half."""

    raw: Rate
    """With Wilson's interval."""
    even: Rate | None
    """The same where both responses are equally long, by regression; None where no line can be drawn."""

    @property
    def only_longer(self) -> bool:
        """Whether it wins for certain, and no longer does where both are equally long."""
        return self.raw.low > 0.5 and self.even is not None and self.even.low <= 0.5


class Cost(Record):
    """What a method took beyond what all of them have in common."""

    seconds: float
    """Processor time of its own steps."""
    calls: int
    """Calls of its own steps."""
    draws: int
    """Responses drawn for every answer it gives."""


class Method(Record):
    """One row of the table."""

    name: str
    """The policy's step, or ``best of n`` of one."""
    policy: str
    """Where the policy lies that answers."""
    gold: Opinion
    """The truth, or a second opinion in its place."""
    wins: Wins | None
    """By gold; None of the start."""
    judged: Wins | None
    """By the held-out judge; None of the start, and where nobody was asked."""
    kl: float
    """Nats a response from the start, mean of log pi - log pi_start; best of n adds its bound,
    ln n - (n - 1) / n."""
    kl_k3: float | None
    """The same by the estimator that is never negative; None of best of n."""
    tokens: float
    """Mean length of a response."""
    cost: Cost

    @property
    def only_longer(self) -> bool:
        """Whether gold or the judge has it win only before length is held equal."""
        return any(one is not None and one.only_longer for one in (self.wins, self.judged))


class Table(Record):
    """What came of comparing."""

    name: str
    """Of the recipe."""
    seed: int
    size: str
    prompts: int
    """Held-out prompts every row is measured on."""
    judge: str | None
    """Who judged beside gold."""
    judge_calls: int
    """What that took."""
    common: Cost
    """What all of them but the start have in common: demonstrations, the start, the pairs."""
    rows: tuple[Method, ...]
    """The start first."""

    @property
    def start(self) -> Method:
        """What the others began as and are held against."""
        return self.rows[0]


@dataclass(frozen=True, slots=True)
class _Entry:
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


def compared(comparing: Comparing, desk: Desk, folder: Path) -> tuple[Table, float]:
    """Make the table of a step, and write it: JSON, and tables of DuckDB.

    Returns:
        The table, and what the judge cost in USD.

    Raises:
        InputError: a judge cannot be used, or policies were measured on different prompts.
        BudgetError: the cap was reached; what was answered is kept.
    """
    entries = list(_different(_alike(_entries(comparing, desk))))
    start = entries[0]
    verdicts = _asked(comparing, desk, folder, entries)
    common = frozenset.intersection(*(one.steps for one in entries[1:] or entries))
    rows = [
        _method(one, start, _cost(desk.done, one.steps - common, one.n), verdicts.by_entry[at])
        for at, one in enumerate(entries)
    ]
    table = Table(
        name=desk.recipe.name, seed=desk.recipe.seed, size=desk.recipe.size,
        prompts=rows[0].gold.prompts, judge=None if comparing.judge is None else comparing.judge.name,
        judge_calls=verdicts.calls, common=_cost(desk.done, common, 1), rows=tuple(rows),
    )  # fmt: skip
    put(folder / "table.json", table.model_dump_json(indent=1) + "\n")
    sheets = {"methods": list(map(_sheet, rows)), "lineage": sheet(ancestry(desk))}
    write_sheets(folder / "lab.duckdb", {title: some for title, some in sheets.items() if some})
    return table, verdicts.spent


def _entries(comparing: Comparing, desk: Desk) -> Iterator[_Entry]:
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
            yield _Entry.of(one.policy, one, own, 1, rows)
            for n in one.best:
                yield _Entry.of(f"best of {n} of {one.policy}", one, own | choosing, n, rows)


def _alike(entries: Iterable[_Entry]) -> Iterator[_Entry]:
    """Let through what was measured on the same prompts as the first."""
    first: _Entry | None = None
    for one in entries:
        first = first or one
        if set(one.keys) != set(first.keys):
            raise InputError(
                f"{one.name!r} was measured on other prompts than {first.name!r}; give all measure steps of a"
                " table the same prompts",
                field="compare.of",
            )
        yield one


def _different(entries: Iterable[_Entry]) -> Iterator[_Entry]:
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
        n: 1 for all alike; above that, how likely each is the best of n by the proxy.
    """
    found: dict[int, float] = {}
    for some in by_prompt(_numbered(rows)).values():
        known = [row for row in some if row["gold"] is not None and (n == 1 or row["proxy"] is not None)]
        if len(known) < n or not known:
            continue
        if n > 1:
            known.sort(key=lambda row: row["proxy"])
        chances = zip(known, weights(len(known), n), strict=True)
        found |= {row["place"]: float(share) for row, share in chances}
    return {place: share for place, share in found.items() if share > 0.0}


def _numbered(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [{**row, "place": at} for at, row in enumerate(rows)]


def _method(entry: _Entry, start: _Entry, cost: Cost, p: Sequence[float | None] | None) -> Method:
    """Make a row; ``p`` is the judge's, of each response that counts."""
    gold, first = (one.mean("gold") for one in (entry, start))
    lengths, short = (one.mean("tokens") for one in (entry, start))
    longer = {key: length / max(short.get(key, 0.0), 1.0) - 1.0 for key, length in lengths.items()}
    gaps = {key: value - first[key] for key, value in gold.items() if key in first}
    whole = entry.measured.figures
    return Method(
        name=entry.name, policy=entry.measured.path, gold=Opinion.of(list(gold.values()), 0.0),
        wins=None if entry is start else won(gaps, longer),
        judged=None if p is None else won(_leanings(entry, p), longer),
        kl=whole.kl + (divergence(entry.n) if entry.n > 1 else 0.0),
        kl_k3=whole.kl_k3 if entry.n == 1 else None, tokens=fmean(lengths.values()), cost=cost,
    )  # fmt: skip


def _leanings(entry: _Entry, p: Sequence[float | None]) -> dict[str, float]:
    """How far a judge leans to a method's responses, by prompt; those without a verdict are left out."""
    sums: dict[str, list[float]] = {}
    for (place, share), one in zip(entry.shares.items(), p, strict=True):
        if one is not None:
            total = sums.setdefault(entry.keys[place], [0.0, 0.0])
            total[0] += share * (one - 0.5)
            total[1] += share
    # A judge without a preference says one half less the rounding of its logarithms.
    return {key: round(lean / whole, 9) for key, (lean, whole) in sums.items()}


def won(gaps: Mapping[str, float], longer: Mapping[str, float]) -> Wins | None:
    """Count prompts that are won.

    Args:
        gaps: above 0 where a prompt is won, 0 where it is tied.
        longer: by what share a method's response is longer than the start's.

    Returns:
        None where no prompt could be compared.
    """
    said = [(0.5 if gap == 0.0 else float(gap > 0.0), longer[key]) for key, gap in gaps.items()]
    between = wilson(sum(one for one, _ in said), len(said))
    if between is None:
        return None
    raw = Rate(mean=fmean(one for one, _ in said), low=between[0], high=between[1])
    return Wins(raw=raw, even=even([one for one, _ in said], [one for _, one in said]))


def _cost(done: Mapping[str, Done], names: Iterable[str], draws: int) -> Cost:
    some = [done[one] for one in names]
    calls = int(sum(one.counts.get("calls", 0.0) for one in some))
    return Cost(seconds=sum(one.cpu for one in some), calls=calls, draws=draws)


# The judge


@dataclass(frozen=True, slots=True)
class _Said:
    """What the judge said of every entry; None of the start, and where nobody was asked."""

    by_entry: Sequence[Sequence[float | None] | None]
    calls: int = 0
    spent: float = 0.0


def _asked(comparing: Comparing, desk: Desk, folder: Path, entries: Sequence[_Entry]) -> _Said:
    """Ask the judge about every response that counts, beside one of the start's to the same prompt."""
    if comparing.judge is None:
        return _Said([None] * len(entries))
    theirs = by_prompt(entries[0].rows)
    matches = [list(_matches(one, theirs)) for one in entries[1:]]
    flat = [one for some in matches for one in some]
    verdicts = asyncio.run(_verdicts(comparing, desk, folder / "judged", flat))
    left = iter(verdicts.p)
    return _Said([None, *([next(left) for _ in some] for some in matches)], verdicts.calls, verdicts.spent)


def _matches(entry: _Entry, theirs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Matched]:
    """Put every response that counts beside the start's of the same number, and round again."""
    seen: dict[str, int] = {}
    for place in entry.shares:
        key, row = entry.keys[place], entry.rows[place]
        number = seen[key] = seen.get(key, -1) + 1
        other = theirs[key][number % len(theirs[key])]
        yield Matched(text(row["prompt"]), row["completion"], other["completion"])


async def _verdicts(comparing: Comparing, desk: Desk, store: Path, matches: Sequence[Matched]) -> Verdicts:
    assert comparing.judge is not None
    caps = [one for one in (comparing.judge.budget, desk.money.left) if one is not None]
    judged = comparing.judge.model_copy(update={"budget": min(caps, default=None)})
    async with beside(desk.recipe, desk.world) as settings:
        return await preferred(judged, matches, store, settings, desk.home)


# Written


def _sheet(one: Method) -> dict[str, str | float | int | None]:
    """A row as a table of DuckDB has it."""
    told: dict[str, str | float | int | None] = {"method": one.name, "policy": one.policy}
    told |= {"gold": one.gold.mean, "gold_error": one.gold.error, "prompts": one.gold.prompts}
    for by, wins in (("wins", one.wins), ("judged", one.judged)):
        for how, rate in (("", wins and wins.raw), ("_even", wins and wins.even)):
            for part in ("mean", "low", "high"):
                told[f"{by}{how}_{part}"] = getattr(rate, part) if rate else None
        told[f"{by}_only_longer"] = None if wins is None else float(wins.only_longer)
    told |= {"kl": one.kl, "kl_k3": one.kl_k3, "tokens": one.tokens}
    return told | {f"cost_{name}": value for name, value in one.cost.model_dump().items()}
