"""How far a policy went and what that did to its scores: one point a round, or an update.

Owns the step from what rounds and runs leave on disk to points, the peak among them and where to stop. Leaves
drawing to the page. Distance is the square root of the KL divergence from the first policy in nats, in which
scores of an optimised policy are close to a parabola (Gao, Schulman and Hilton 2023, arXiv 2210.10760).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rlaif.errors import InputError
from rlaif.iterations.records import Opinion, Row
from rlaif.records import Record
from rlaif.service.runs import lines

MOST: Final = 120
"""Points of a course; neighbouring updates are averaged into one beyond that."""
FEW: Final = 3
"""Points with a gold score from which a peak can be told."""


class Score(Record):
    """One opinion at one point."""

    mean: float
    """Mean over responses, or over prompts."""
    error: float | None
    """Its standard error; None where it is not known."""


class Point(Record):
    """One policy on the way."""

    step: int
    """Round, or update."""
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
    """Share of responses that show each symptom."""


class Course(Record):
    """All points of a run, and what they say."""

    kind: str
    """``rounds`` or ``updates``."""
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


def points(folder: Path) -> Course | None:
    """Read the points of a run or an iteration; None where it logs no score beside a divergence."""
    rows = _rows(folder)
    found = [_of_row(one) for one in rows] if rows else _of_lines(lines(folder))
    if not any(one.proxy or one.gold for one in found):
        return None
    return _told("rounds" if rows else "updates", found)


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
        step=row.round, kl=figures.kl, distance=math.sqrt(max(figures.kl, 0.0)),
        proxy=_score(figures.proxy), gold=_score(figures.gold), second=_score(figures.second),
        tokens=figures.tokens, symptoms=figures.symptoms,
    )  # fmt: skip


def _score(opinion: Opinion | None) -> Score | None:
    if opinion is None or opinion.mean is None:
        return None
    return Score(mean=opinion.mean, error=opinion.error)


# Updates


def _of_lines(numbers: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Points of a run that logs ``kl`` and a score, neighbours averaged where there are many."""
    known = [one for one in numbers if one.get("kl") is not None and _any(one, "score", "proxy", "gold")]
    size = max(1, math.ceil(len(known) / MOST))
    return [_averaged(known[at : at + size]) for at in range(0, len(known), size)]


def _any(line: Mapping[str, Any], *names: str) -> bool:
    return any(line.get(name) is not None for name in names)


def _averaged(group: Sequence[Mapping[str, Any]]) -> Point:
    kl = _mean(group, "kl") or 0.0
    symptoms = {name for one in group for name in one if name.startswith("symptom/")}
    return Point(
        step=group[-1]["step"], kl=kl, distance=math.sqrt(max(kl, 0.0)),
        proxy=_spread(group, "score" if _any(group[0], "score") else "proxy"),
        gold=_spread(group, "gold"), second=_spread(group, "second"),
        tokens=_mean(group, "length") if _any(group[0], "length") else _mean(group, "tokens"),
        symptoms={name.removeprefix("symptom/"): _mean(group, name) or 0.0 for name in sorted(symptoms)},
    )  # fmt: skip


def _spread(group: Sequence[Mapping[str, Any]], name: str) -> Score | None:
    """Mean of neighbours with its standard error: as logged for one, from their spread for several."""
    values = [float(one[name]) for one in group if one.get(name) is not None]
    if not values:
        return None
    mean = sum(values) / len(values)
    if len(values) == 1:
        logged = group[0].get(f"{name}/error")
        return Score(mean=mean, error=None if logged is None else float(logged))
    variance = sum((one - mean) ** 2 for one in values) / (len(values) - 1)
    return Score(mean=mean, error=math.sqrt(variance / len(values)))


def _mean(group: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(one[name]) for one in group if one.get(name) is not None]
    return sum(values) / len(values) if values else None
