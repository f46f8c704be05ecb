"""Methods side by side: wins over what they began as, raw and with length held equal, gold, KL, length, cost.

Owns how a compare step fills its table. Leaves drawing and scoring to the measure steps it is made from, what
stands for a method to ``entries``, the judge to ``lab.preferring`` and the page to ``contest``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rlaif.audits.bootstrap import wilson
from rlaif.iterations.records import Opinion
from rlaif.lab.preferring import Judged, Matched, Verdicts, preferred
from rlaif.recipes.bodies import absolute
from rlaif.recipes.config import Comparing
from rlaif.recipes.desk import Desk
from rlaif.recipes.entries import Entry, entered
from rlaif.recipes.folder import Done
from rlaif.recipes.lineage import ancestry
from rlaif.recipes.measuring import Rate, even
from rlaif.recipes.rows import by_prompt, text
from rlaif.recipes.serving import beside
from rlaif.recipes.table import Cost, Method, Table, Wins
from rlaif.store import write_sheets
from rlaif.training.bestofn import divergence
from rlaif.training.lineage import sheet
from rlaif.wholefile import put


def compared(comparing: Comparing, desk: Desk, folder: Path) -> tuple[Table, float]:
    """Make the table of a step, and write it: JSON, and tables of DuckDB.

    Returns:
        The table, and what the judge cost in USD.

    Raises:
        InputError: a judge cannot be used, or policies were measured on different prompts.
        BudgetError: the cap was reached; what was answered is kept.
    """
    entries = entered(comparing, desk)
    start = entries[0]
    verdicts = _asked(comparing, desk, folder, entries)
    common = _common(entries)
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
    sheets = {"methods": [one.columns() for one in rows], "lineage": sheet(ancestry(desk))}
    write_sheets(folder / "lab.duckdb", {title: some for title, some in sheets.items() if some})
    return table, verdicts.spent


def _common(entries: Sequence[Entry]) -> frozenset[str]:
    """Steps that every method but the start takes; of a single one, those that the start takes too."""
    start, *others = (one.steps for one in entries)
    return frozenset.intersection(*(others if len(others) > 1 else [start, *others]))


def _method(entry: Entry, start: Entry, cost: Cost, p: Sequence[float | None] | None) -> Method:
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
        unread=None if not p else sum(one is None for one in p) / len(p),
        kl=whole.kl + (divergence(entry.n) if entry.n > 1 else 0.0),
        kl_k3=whole.kl_k3 if entry.n == 1 else None, tokens=fmean(lengths.values()), cost=cost,
    )  # fmt: skip


def _leanings(entry: Entry, p: Sequence[float | None]) -> dict[str, float]:
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
    return Wins(prompts=len(said), raw=raw, even=even([one for one, _ in said], [one for _, one in said]))


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


def _asked(comparing: Comparing, desk: Desk, folder: Path, entries: Sequence[Entry]) -> _Said:
    """Ask the judge about every response that counts, beside one of the start's to the same prompt."""
    if comparing.judge is None:
        return _Said([None] * len(entries))
    theirs = by_prompt(entries[0].rows)
    matches = [list(_matches(one, theirs)) for one in entries[1:]]
    flat = [one for some in matches for one in some]
    verdicts = asyncio.run(_verdicts(comparing, desk, folder / "judged", flat))
    left = iter(verdicts.p)
    return _Said([None, *([next(left) for _ in some] for some in matches)], verdicts.calls, verdicts.spent)


def _matches(entry: Entry, theirs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Matched]:
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
    body = absolute(comparing.judge.model_dump(mode="json"), desk.home)
    judged = Judged.model_validate(body).model_copy(update={"budget": min(caps, default=None)})
    async with beside(desk.recipe, desk.world) as settings:
        return await preferred(
            judged, matches, store, settings, desk.home,
            allow_unpriced=desk.money.allow_unpriced, knob="--budget USD", agreed=desk.money.agreed,
        )  # fmt: skip
