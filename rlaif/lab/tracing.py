"""What taught a symptom: the preferences whose chosen response shows it and whose rejected one does not.

Owns the counts by clause and judge, and which pairs are named. Leaves the detectors to ``symptoms`` and a
set's records to ``exports``.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rlaif.audits.bootstrap import wilson
from rlaif.errors import InputError
from rlaif.exports import Group, Source, groups
from rlaif.records import Preference, PreferenceSet, Record
from rlaif.symptoms import SYMPTOMS, found

NAMED: Final = 200
"""Most pairs that a trace names."""


class Share(Record):
    """How some pairs treat a symptom."""

    name: str
    """A clause, a judge, a symptom, or the whole set."""
    pairs: int
    """Pairs counted."""
    chosen: int
    """Of them, those whose chosen response shows it."""
    rejected: int
    """Those whose rejected response shows it."""
    taught: int
    """Those whose chosen response alone shows it."""
    against: int
    """Those whose rejected response alone shows it."""
    won: float | None
    """``taught / (taught + against)``: one half where the labels do not care; None where neither occurs."""
    won_ci: tuple[float, float] | None
    """Its 95 % Wilson interval."""
    lift: float | None
    """How much more often chosen responses show it than all responses of the set; None where none does."""


class Taught(Record):
    """One pair that taught the symptom."""

    preference: str
    """Its id, for ``rlaif show``."""
    prompt_id: str
    """The prompt."""
    chosen_id: str
    """The response that shows it."""
    rejected_id: str
    """The one that does not."""
    clause: str
    """The principle, or all of them."""
    judge: str
    """Who chose."""
    p: float
    """How surely."""


class Trace(Record):
    """What a set has to do with a symptom."""

    symptom: str
    """The symptom."""
    set: str
    """Name of the set."""
    base: float
    """Share of all its responses that show it, each counted once a pair."""
    whole: Share
    """All pairs."""
    clauses: tuple[Share, ...]
    """By clause, those that taught most first."""
    judges: tuple[Share, ...]
    """By judge, likewise."""
    taught: tuple[Taught, ...]
    """The pairs that taught it, surest first, at most 200."""


@dataclass
class _Tally:
    """Counts of one clause, judge or set."""

    pairs: int = 0
    chosen: int = 0
    rejected: int = 0
    taught: int = 0
    against: int = 0

    def add(self, chosen: bool, rejected: bool) -> None:
        self.pairs += 1
        self.chosen += chosen
        self.rejected += rejected
        self.taught += chosen and not rejected
        self.against += rejected and not chosen

    def share(self, name: str, base: float) -> Share:
        split = self.taught + self.against
        return Share(
            name=name, pairs=self.pairs, chosen=self.chosen, rejected=self.rejected, taught=self.taught,
            against=self.against, won=self.taught / split if split else None,
            won_ci=wilson(self.taught, split), lift=self.chosen / self.pairs / base if base else None,
        )  # fmt: skip


@dataclass
class _Tracing:
    """Everything counted of one symptom."""

    whole: _Tally = field(default_factory=_Tally)
    clauses: dict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    judges: dict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    taught: list[tuple[float, str, Taught]] = field(default_factory=list)

    def add(self, one: Preference, clause: str, sides: tuple[bool, bool]) -> None:
        for tally in (self.whole, self.clauses[clause], self.judges[one.judge]):
            tally.add(*sides)
        if sides == (True, False):
            told = Taught(
                preference=one.id, prompt_id=one.prompt_id, chosen_id=one.chosen_id,
                rejected_id=one.rejected_id, clause=clause, judge=one.judge, p=one.p,
            )  # fmt: skip
            insort(self.taught, (-one.p, one.id, told), key=lambda row: row[:2])
            del self.taught[NAMED:]

    @property
    def base(self) -> float:
        return (self.whole.chosen + self.whole.rejected) / (2 * self.whole.pairs)


def trace(source: Source, symptom: str) -> list[Trace]:
    """Find what taught a symptom, in each set of a job.

    Args:
        source: the job's records, or those of one of its sets.
        symptom: a key of ``SYMPTOMS``.

    Raises:
        InputError: an unknown symptom, or a set without pairs.
        StoreError: the records do not fit together.
    """
    if symptom not in SYMPTOMS:
        raise InputError(f"{symptom!r} is no symptom; allowed: {', '.join(SYMPTOMS)}", field="symptom")
    found_in: dict[str, _Tracing] = {one.id: _Tracing() for one in source.sets}
    for one, clause, shown in _compared(source):
        found_in[one.set].add(
            one, clause, (symptom in shown[one.chosen_id], symptom in shown[one.rejected_id])
        )
    return [_traced(symptom, made, found_in[made.id]) for made in _filled(source, found_in)]


def suspects(source: Source) -> dict[str, list[Share]]:
    """Say of every symptom how a job's sets treat it.

    Args:
        source: the job's records.

    Returns:
        By set, the symptoms whose chosen responses show them most often against all responses first.

    Raises:
        InputError: a set has no pairs.
        StoreError: the records do not fit together.
    """
    tallies: dict[str, dict[str, _Tally]] = {
        one.id: {name: _Tally() for name in SYMPTOMS} for one in source.sets
    }
    for one, _, shown in _compared(source):
        for name, tally in tallies[one.set].items():
            tally.add(name in shown[one.chosen_id], name in shown[one.rejected_id])
    return {
        made.name: sorted(
            (tally.share(name, _base(tally)) for name, tally in tallies[made.id].items()),
            key=lambda share: (-(share.lift or 0.0), share.name),
        )
        for made in _filled(source, {id: some["refusal"] for id, some in tallies.items()})
    }


def _compared(source: Source) -> Iterator[tuple[Preference, str, Mapping[str, frozenset[str]]]]:
    """Yield every preference with its clause and what the responses to its prompt show."""
    for group in groups(source):
        wanted = {id for some in group.preferences.values() for one in some for id in _sides(one)}
        shown = {id: found(group.samples[id].response, group.prompt.text) for id in wanted}
        for one in _all(group):
            yield one, _clause(source, one), shown


def _all(group: Group) -> Iterator[Preference]:
    for some in group.preferences.values():
        yield from some


def _sides(one: Preference) -> tuple[str, str]:
    return one.chosen_id, one.rejected_id


def _clause(source: Source, one: Preference) -> str:
    return one.principle_id or f"all of {source.document(one.constitution)}"


def _filled(source: Source, counted: Mapping[str, _Tracing | _Tally]) -> tuple[PreferenceSet, ...]:
    """The sets, once each is known to have pairs."""
    for made in source.sets:
        one = counted[made.id]
        if not (one.whole if isinstance(one, _Tracing) else one).pairs:
            raise InputError(f"set {made.name!r} has no pairs; its counts: {made.counts}")
    if not source.sets:
        raise InputError(f"job {source.job.id!r} has no set; its pipeline needs a stage 'prefer'")
    return source.sets


def _traced(symptom: str, made: PreferenceSet, one: _Tracing) -> Trace:
    def ordered(tallies: Mapping[str, _Tally]) -> tuple[Share, ...]:
        shares = (tally.share(name, one.base) for name, tally in tallies.items())
        return tuple(sorted(shares, key=lambda share: (-share.taught, share.name)))

    return Trace(
        symptom=symptom, set=made.name, base=one.base, whole=one.whole.share("whole set", one.base),
        clauses=ordered(one.clauses), judges=ordered(one.judges),
        taught=tuple(told for *_, told in one.taught),
    )  # fmt: skip


def _base(tally: _Tally) -> float:
    return (tally.chosen + tally.rejected) / (2 * tally.pairs) if tally.pairs else 0.0
