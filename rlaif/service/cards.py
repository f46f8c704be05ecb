"""Scorecards as they are kept, read back; and two of them side by side, down to the pairs they disagree on.

Owns the step from a stored scorecard to cells, the comparison of two, and the paired difference on the pairs
of this folder that both judges decided. Leaves the figures to ``audits`` and their layout to ``reports``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from rlaif.audits import Cell
from rlaif.audits.bootstrap import Paired, paired_difference
from rlaif.audits.results import Interval
from rlaif.records import HumanLabel, Record, StoredScorecard
from rlaif.service.context import Service

TOTAL: Final = "TOTAL"
SHOWN: Final = 100
"""Disagreements that are listed."""
_SURE: Final = 1e-9  # an average this near a half is no decision


class Row(Record):
    """One scorecard in a line."""

    id: str
    """The scorecard's."""
    judge: str
    """Who judged."""
    mode: str
    """How it was asked."""
    constitution: str | None
    """Digest of the constitution; None where it is not known."""
    name: str
    """Name of the constitution, where this folder knows it; else its digest."""
    pairs: int
    """Pairs on which people chose a side."""
    accuracy: float | None
    """Share sided with people, ties half."""
    interval: Interval | None
    """Its 95 % interval."""
    best_floor: str
    """The strongest of the floors, which take no judge."""
    floor: float | None
    """What it reaches."""
    beats_floors: bool
    """Whether the interval is above every floor."""
    first_pick: float | None
    """Share of decided calls that chose the first slot; a half is right."""
    length_gap: float | None
    """Accuracy where people chose the longer response less accuracy where they chose the shorter."""
    invalid: float | None
    """Share of calls without a verdict."""
    dollars_per_1000: float | None
    """US dollars for 1,000 labels."""
    flags: tuple[str, ...]
    """Findings somebody should act on."""


class Measure(Record):
    """One number of two scorecards."""

    name: str
    """What it is."""
    a: float | None
    """The first card's."""
    b: float | None
    """The second's."""
    share: bool
    """Whether it is a share between 0 and 1."""


class Disagreement(Record):
    """One pair of this folder that the judges decide differently."""

    prompt: str
    """The prompt's last turn."""
    axis: str
    """The dimension."""
    first: str
    """Id of one response."""
    second: str
    """Id of the other."""
    a: float
    """Probability of the first response by the first card's judge, averaged."""
    b: float
    """The same by the second's."""
    preference: str | None
    """A preference that came of it, to look at."""
    human: float | None
    """Share of people who prefer the first response, ties half; None where nobody labelled it."""


class Both(Record):
    """What both judges said about pairs of this folder."""

    pairs: int
    """Pairs with a verdict of both."""
    agree: int
    """Of these, decided alike."""
    differ: int
    """Of these, decided for different sides."""
    labelled: int
    """Of all, those people labelled with a winner."""
    paired: Paired | None
    """Accuracy of both on the labelled ones and their difference, prompts resampled; None without any."""
    disagreements: tuple[Disagreement, ...]
    """Pairs decided for different sides, those most at odds first."""


def cards(service: Service) -> list[StoredScorecard]:
    """Every scorecard of the folder, the newest first."""
    return list(service.workspace.store.read(StoredScorecard, order="rowid"))[::-1]


def card(service: Service, id: str) -> StoredScorecard | None:
    """One scorecard; None where there is none so called."""
    return next(iter(service.workspace.store.read(StoredScorecard, "id = ?", [id])), None)


def cells(one: StoredScorecard) -> dict[str, Cell]:
    """The cells of a card by slice, ``TOTAL`` last; a total over a single slice says what the slice says."""
    found = {name: _cell(one.cells[name]) for name in sorted(one.cells) if name != TOTAL}
    if TOTAL in one.cells and len(found) != 1:
        found[TOTAL] = _cell(one.cells[TOTAL])
    return found


def total(one: StoredScorecard) -> Cell:
    """The cell over all slices."""
    return _cell(one.cells[TOTAL if TOTAL in one.cells else sorted(one.cells)[0]])


def row(one: StoredScorecard, names: Mapping[str, str]) -> Row:
    """A card in a line.

    Args:
        one: the card.
        names: constitutions' names by digest.
    """
    cell = total(one)
    floors = _floors(cell)
    digest = one.constitution
    return Row(
        id=one.id, judge=one.judge, mode=one.mode, constitution=digest,
        name="" if digest is None else names.get(digest, digest),
        pairs=cell.coverage.n, accuracy=cell.agreement.acc, interval=cell.agreement.acc_ci,
        best_floor=cell.ceiling.best_floor, floor=floors.get(cell.ceiling.best_floor),
        beats_floors=cell.ceiling.beats_floors, first_pick=cell.order.first_pick,
        length_gap=cell.length.length_gap, invalid=cell.coverage.fail,
        dollars_per_1000=cell.costs.dollars_per_1000,
        flags=tuple(dict.fromkeys(flag.name for flag in cell.flags)),
    )  # fmt: skip


def _floors(cell: Cell) -> dict[str, float | None]:
    ceiling = cell.ceiling
    return {
        "random": ceiling.random, "longest": ceiling.longest, "first": ceiling.first,
        "bag_of_words": ceiling.bag_of_words,
    }  # fmt: skip


def same_pairs(a: Cell, b: Cell) -> bool:
    """Whether two cells were measured on the same pairs, as far as counts and floors can tell."""
    fields = ("n", "ties", "clusters")
    counts = all(getattr(a.coverage, name) == getattr(b.coverage, name) for name in fields)
    return counts and _floors(a) == _floors(b)


def measures(a: Cell, b: Cell) -> list[Measure]:
    """The numbers of two cells that people compare judges by."""
    return [
        Measure(name=name, a=_get(a, path), b=_get(b, path), share=share)
        for name, path, share in _MEASURES
        if _get(a, path) is not None or _get(b, path) is not None
    ]


_MEASURES: Final = (
    ("accuracy", "agreement.acc", True),
    ("kappa", "agreement.kappa", False),
    ("one call", "agreement.acc_single", True),
    ("orders agree", "order.consistency", True),
    ("first slot picked", "order.first_pick", True),
    ("length gap", "length.length_gap", True),
    ("calls without a verdict", "coverage.fail", True),
    ("Brier", "calibration.brier", False),
    ("calibration error", "calibration.ece", False),
    ("dollars for 1,000 labels", "costs.dollars_per_1000", False),
    ("labels an hour", "costs.labels_per_hour", False),
    ("median seconds", "costs.p50_seconds", False),
)


def _get(cell: Cell, path: str) -> float | None:
    section, _, field = path.partition(".")
    value = getattr(getattr(cell, section), field)
    return None if value is None else float(value)


def both(service: Service, a: StoredScorecard, b: StoredScorecard) -> Both:
    """Compare the verdicts of two cards' judges on the pairs of this folder that both judged."""
    found = service.workspace.store.query(
        "judged_by_both",
        judge_a=a.judge, constitution_a=a.constitution or "", template_a=a.template or "",
        judge_b=b.judge, constitution_b=b.constitution or "", template_b=b.template or "",
    )  # fmt: skip
    rows = [_Pair(**one) for one in found.to_pylist()]
    people = _people(service, rows)
    differ = [one for one in rows if _side(one.a) * _side(one.b) < 0]
    differ.sort(key=lambda one: -abs(one.a - one.b))
    return Both(
        pairs=len(rows),
        agree=sum(_side(one.a) == _side(one.b) for one in rows),
        differ=len(differ),
        labelled=sum(people.get(one.key, 0.5) != 0.5 for one in rows),
        paired=_paired(rows, people),
        disagreements=tuple(
            Disagreement(
                prompt=one.prompt, axis=one.axis, first=one.first_id, second=one.second_id, a=one.a, b=one.b,
                preference=one.preference, human=people.get(one.key),
            )
            for one in differ[:SHOWN]
        ),
    )  # fmt: skip


_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A pair both judged: probabilities of its first response."""

    prompt_id: str
    first_id: str
    second_id: str
    a: float
    b: float
    prompt: str
    axis: str
    preference: str | None

    @property
    def key(self) -> _Key:
        """The pair on its axis, whoever was shown first."""
        return self.axis, self.first_id, self.second_id


def _people(service: Service, rows: Sequence[_Pair]) -> dict[_Key, float]:
    """Share of people for the first response of each labelled pair; a person's latest label counts."""
    if not rows:
        return {}
    latest: dict[tuple[str, _Key], float | None] = {}
    for one in service.workspace.store.read(HumanLabel, order='"at", rowid'):
        first, second = sorted((one.first_id, one.second_id))
        said = {"first": 1.0, "second": 0.0, "tie": 0.5, None: None}[one.verdict]
        turned = said if said is None or first == one.first_id else 1.0 - said
        latest[one.person, (one.axis, first, second)] = turned
    votes: dict[_Key, list[float]] = {}
    for (_, key), said in latest.items():
        if said is not None:
            votes.setdefault(key, []).append(said)
    return {key: sum(some) / len(some) for key, some in votes.items()}


def _paired(rows: Sequence[_Pair], people: Mapping[_Key, float]) -> Paired | None:
    """Accuracy of both where people chose a side; undecided counts half."""
    known = [(one, _side(people.get(one.key, 0.5))) for one in rows]
    chosen = [(one, side) for one, side in known if side]
    if not chosen:
        return None
    first = [(1 + side * _side(one.a)) / 2 for one, side in chosen]
    second = [(1 + side * _side(one.b)) / 2 for one, side in chosen]
    return paired_difference(first, second, [one.prompt_id for one, _ in chosen])


def _side(p: float) -> int:
    """1 for the first response, -1 for the second, 0 for neither."""
    return 0 if abs(p - 0.5) < _SURE else 1 if p > 0.5 else -1


def _cell(kept: JsonValue) -> Cell:
    """Read a cell back from its JSON: the headline numbers at its top are copies and are left out."""
    whole = cast(dict[str, JsonValue], kept)
    fields = {name: value for name, value in whole.items() if name in Cell.model_fields}
    reasons = cast(dict[str, str], fields["undefined"])
    fields["undefined"] = {name: why for name, why in reasons.items() if fields.get(name, 0) is None}
    return Cell.model_validate(fields)
