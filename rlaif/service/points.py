"""How far a policy went and what that did to its scores: one point a round, an update or a sweep's policy.

Owns the step from what rounds, runs and sweeps leave on disk to points, the peak among them and where to
stop. Leaves drawing to the page. Distance is the square root of the KL divergence from the first policy in
nats, in which scores of an optimised policy are close to a parabola (Gao, Schulman and Hilton 2023, arXiv
2210.10760).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from rlaif.errors import InputError
from rlaif.iterations.records import Opinion, Row
from rlaif.lab import curve as lab
from rlaif.lab.fits import Fit
from rlaif.records import Record
from rlaif.service.runs import CURVE, POINTS_FOLDER, is_sweep, lines

MOST: Final = 120
"""Points of a course; neighbouring updates are averaged into one beyond that."""
FEW: Final = 3
"""Points with a gold score from which a peak can be told; evaluations that take the place of updates."""
HELD: Final = "eval/"
"""Before a number that was measured on held-out prompts."""


class Score(Record):
    """One opinion at one point."""

    mean: float
    """Mean over responses, or over prompts."""
    error: float | None
    """Its standard error; None where it is not known."""


class Point(Record):
    """One policy on the way."""

    name: str
    """What people call it: ``round 2``, ``step 40``, ``n = 16``."""
    step: int
    """Round, update, or place in the sweep."""
    kl: float
    """Nats a response away from the first policy; estimates may be a little below 0."""
    distance: float
    """Square root of it, 0 where it is not above 0."""
    proxy: Score | None
    """What is optimised."""
    gold: Score | None
    """What nothing learns from."""
    second: Score | None
    """A judge that chose nothing."""
    tokens: float | None
    """Length of a response."""
    symptoms: dict[str, float]
    """Share of responses that show each symptom; of runs of four tokens for ``repeated_4``."""


class Course(Record):
    """All points of a run, and what they say."""

    kind: str
    """``rounds``; ``updates``, or ``evaluations`` on held-out prompts; ``policies`` of a sweep, whose scores
    are gains over its start."""
    points: tuple[Point, ...]
    """By step."""
    judged_by: str | None
    """What the peak was told by: ``gold`` or ``second``; None where there is neither."""
    peak: int | None
    """Step with the greatest such score."""
    stop: int | None
    """First step within a standard error of the peak: going on from there buys nothing that can be seen."""
    falls: bool
    """Whether the score is lower at the end than at the peak by more than two standard errors."""
    fits: tuple[Fit, ...] = ()
    """The laws a sweep fitted to gold, or to what stands in its place."""
    notices: tuple[str, ...] = ()
    """What a sweep says one has to beware of."""


def points(folder: Path) -> Course | None:
    """Read the points of a run, an iteration or a sweep; None where no score stands beside a divergence.

    Raises:
        InputError: a row or a point is not what it should be.
    """
    if is_sweep(folder):
        return _of_sweep(folder)
    rows = _rows(folder)
    kind, found = ("rounds", [_of_row(one) for one in rows]) if rows else _of_lines(lines(folder))
    return _told(kind, found) if any(one.proxy or one.gold for one in found) else None


def _told(kind: str, found: Sequence[Point]) -> Course:
    judge = next((one for one in ("gold", "second") if _count(found, one) >= FEW), None)
    if judge is None:
        return Course(kind=kind, points=tuple(found), judged_by=None, peak=None, stop=None, falls=False)
    known = [(one, score) for one in found if (score := getattr(one, judge)) is not None]
    best, top = max(known, key=lambda pair: pair[1].mean)
    slack = top.error or 0.0
    stop = next(one for one, score in known if score.mean >= top.mean - slack)
    last = known[-1][1]
    fell = top.mean - last.mean > 2.0 * math.hypot(slack, last.error or 0.0)
    return Course(
        kind=kind, points=tuple(found), judged_by=judge, peak=best.step, stop=stop.step,
        falls=fell and last is not top,
    )  # fmt: skip


def _count(found: Sequence[Point], judge: str) -> int:
    return sum(getattr(one, judge) is not None for one in found)


# Rounds


def _rows(folder: Path) -> list[Row]:
    found: list[Row] = []
    while (path := folder / f"round-{len(found)}" / "row.json").is_file():
        try:
            found.append(Row.model_validate_json(path.read_bytes()))
        except ValueError:
            raise InputError("not the row of a round; remove it and go on with --resume", path=path) from None
    return found


def _of_row(row: Row) -> Point:
    figures = row.figures
    return Point(
        name=f"round {row.round}", step=row.round, kl=figures.kl, distance=math.sqrt(max(figures.kl, 0.0)),
        proxy=_score(figures.proxy), gold=_score(figures.gold), second=_score(figures.second),
        tokens=figures.tokens, symptoms=figures.symptoms,
    )  # fmt: skip


def _score(opinion: Opinion | None) -> Score | None:
    if opinion is None or opinion.mean is None:
        return None
    return Score(mean=opinion.mean, error=opinion.error)


# Updates


def _of_lines(numbers: Sequence[Mapping[str, Any]]) -> tuple[str, list[Point]]:
    """Kind and points of a run: its evaluations where it has some, else its updates, neighbours averaged."""
    held = [line for one in numbers if _scored(line := _held_out(one))]
    known = held if len(held) >= FEW else [one for one in numbers if _scored(one)]
    size = max(1, math.ceil(len(known) / MOST))
    found = [_averaged(known[at : at + size]) for at in range(0, len(known), size)]
    return "evaluations" if known is held else "updates", found


def _held_out(line: Mapping[str, Any]) -> dict[str, Any]:
    """What an evaluation measured, by its plain names."""
    measured = {name.removeprefix(HELD): value for name, value in line.items() if name.startswith(HELD)}
    return {"step": line["step"], **measured}


def _scored(line: Mapping[str, Any]) -> bool:
    return line.get("kl") is not None and _any(line, "score", "proxy", "gold")


def _any(line: Mapping[str, Any], *names: str) -> bool:
    return any(line.get(name) is not None for name in names)


def _averaged(group: Sequence[Mapping[str, Any]]) -> Point:
    kl = _mean(group, "kl") or 0.0
    step = group[-1]["step"]
    return Point(
        name=f"step {step}", step=step, kl=kl, distance=math.sqrt(max(kl, 0.0)),
        proxy=_spread(group, "score" if _any(group[0], "score") else "proxy"),
        gold=_spread(group, "gold"), second=_spread(group, "second"),
        tokens=_mean(group, "length") if _any(group[0], "length") else _mean(group, "tokens"),
        symptoms=dict(_signs(group)),
    )  # fmt: skip


def _signs(group: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Symptoms that were looked for, and those every run of PPO measures of its texts."""
    for name in sorted({name for one in group for name in one if name.startswith("symptom/")}):
        yield name.removeprefix("symptom/"), _mean(group, name) or 0.0
    if (cut := _mean(group, "cut")) is not None:
        yield "cut", cut
    if (distinct := _mean(group, "distinct_4")) is not None:
        yield "repeated_4", 1.0 - distinct


def _spread(group: Sequence[Mapping[str, Any]], name: str) -> Score | None:
    """Mean of neighbours with its standard error: as logged for one, from their spread for several."""
    values = [float(one[name]) for one in group if one.get(name) is not None]
    if not values:
        return None
    mean = sum(values) / len(values)
    if len(values) == 1:
        logged = group[0].get(f"{name}/error", group[0].get(f"{name}_error"))
        return Score(mean=mean, error=None if logged is None else float(logged))
    variance = sum((one - mean) ** 2 for one in values) / (len(values) - 1)
    return Score(mean=mean, error=math.sqrt(variance / len(values)))


def _mean(group: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(one[name]) for one in group if one.get(name) is not None]
    return sum(values) / len(values) if values else None


# Sweeps


def _of_sweep(folder: Path) -> Course | None:
    """What a sweep says of itself, or the points it has finished, as gains: prompts' own worth is out."""
    curve = _curve(folder)
    held = _finished(folder) if curve is None else curve.points
    if len(held) < 2 or held[0].setting is not None:
        return None
    gold = "gold" if curve is None or held[0].judged or curve.about.get("held_out") == "gold" else "second"
    found = [_of_policy(at, one, held[0], gold) for at, one in enumerate(held)]
    if curve is None:
        return _told("policies", found)
    used = next(one.step for one in found if one.name == curve.choice.point)
    return Course(
        kind="policies", points=tuple(found), judged_by="second" if curve.choice.by == "judged" else gold,
        peak=used, stop=used, falls=curve.choice.over_last.clear, fits=curve.fits, notices=curve.notices,
    )  # fmt: skip


def _of_policy(at: int, one: lab.Point, start: lab.Point, gold: str) -> Point:
    """A policy's gains; what stands in the place of gold is called ``gold`` or ``second``."""
    judged = None if one.judged is None else _gain(one, start, "judged")
    scores = {"gold": None, "second": judged, gold: _gain(one, start, "gold")}
    return Point(
        name=one.name, step=at, kl=one.kl, distance=one.d, proxy=_gain(one, start, "proxy"),
        tokens=one.length, symptoms=one.symptoms, **scores,
    )  # fmt: skip


def _gain(one: lab.Point, start: lab.Point, by: str) -> Score:
    gain = one.gain(start, by=by)
    return Score(mean=gain.mean, error=gain.error)


def _curve(folder: Path) -> lab.Curve | None:
    path = folder / CURVE
    return _read_curve(path, path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=16)
def _read_curve(path: Path, _changed_ns: int) -> lab.Curve:
    """The curve as JSON: ``lab.duckdb`` beside it says the same, and has one owner at a time."""
    try:
        return lab.Curve.model_validate_json(path.read_bytes())
    except ValueError:
        raise InputError("not the curve of a sweep; make it again with --resume", path=path) from None


def _finished(folder: Path) -> list[lab.Point]:
    """Points of a sweep that goes on: the start, then by distance from it."""
    try:
        read = [
            lab.Point.model_validate_json(path.read_bytes())
            for path in (folder / POINTS_FOLDER).glob("*.json")
        ]
    except ValueError:
        raise InputError("a file there is no point of a sweep", path=folder / POINTS_FOLDER) from None
    return sorted(read, key=lambda one: (one.setting is not None, one.d, one.name))
