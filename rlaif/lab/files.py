"""The folder of a sweep: what was asked, every finished point, and the curve in five forms.

Owns the layout and the refusal to go on with something else than was begun. Leaves the page to ``page`` and
DuckDB to ``store``.

    config.json            what was asked, and the digests of the models that were named
    points/NAME.json       a finished point; it is not made again
    points/NAME/           the training run behind it, where there is one
    responses/NAME.jsonl   what a point said, where a model was asked
    judged/                the calls of a held-out judge
    pool-DRAWS.jsonl       what best of n chose from, where a model was asked
    curve.json points.csv  the curve
    lab.duckdb             the same as tables: points, fits, choice, lineage of checkpoints
    curve.html             the same as a page
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue, ValidationError

from rlaif.checkpoints import identity
from rlaif.errors import InputError
from rlaif.lab.config import Sweeping
from rlaif.lab.curve import Choice, Curve, Point
from rlaif.lab.fits import Fit, Peak
from rlaif.lab.page import render
from rlaif.store import write_sheets
from rlaif.symptoms import SYMPTOMS
from rlaif.training.lineage import found_in, sheet
from rlaif.training.scoring import RewardModel
from rlaif.wholefile import put

Cell = str | float | int | None
Row = dict[str, Cell]
_BEFORE: Final = frozenset({"config.json", "held_out.jsonl", "judged"})
"""What a sweep leaves that was refused before its first point: another may take its place."""
_DIGESTS: Final = "digests"
"""Where the folder keeps what tells the content of models apart."""


class Folder:
    """The output folder of one sweep.

    Args:
        sweeping: what is asked.
        resume: a sweep that is there may be gone on with.

    Raises:
        InputError: another one is there, or one of models that have changed since; or there is no such model.
    """

    def __init__(self, sweeping: Sweeping, *, resume: bool) -> None:
        self.root = sweeping.folder
        told = sweeping.model_dump(mode="json", exclude={"output"})
        told["sweep.kind"] = sweeping.sweep.kind
        told[_DIGESTS] = {place: identity(name) for place, name in _models(sweeping).items()}
        self._told = told
        path = self.root / "config.json"
        begun = self.root.is_dir() and {one.name for one in self.root.iterdir()} - _BEFORE
        if path.is_file() and begun:
            _check(path, told, resume)
            _same_models(path, told)
        elif begun:
            raise InputError("this folder holds something else; name another output", path=self.root)
        put(path, json.dumps(told, indent=1) + "\n")

    def run(self, name: str) -> Path:
        """Folder of the training run of a point."""
        return self.root / "points" / filed(name)

    def point(self, name: str) -> Point | None:
        """Return a finished point; None where it is still to be made.

        Raises:
            InputError: what is there is no point.
        """
        path = self.root / "points" / f"{filed(name)}.json"
        if not path.is_file():
            return None
        try:
            return Point.model_validate_json(path.read_bytes())
        except ValidationError:
            raise InputError(
                "this is no point of a sweep; remove it, and it is made again with --resume", path=path
            ) from None

    def keep(self, point: Point) -> None:
        """Write a finished point."""
        put(self.root / "points" / f"{filed(point.name)}.json", point.model_dump_json(indent=1) + "\n")

    def write(self, curve: Curve) -> None:
        """Write the curve in all its forms.

        Raises:
            StoreError: the disk is full or refuses writes.
        """
        rows: list[Row] = [dict(_row(curve, one)) for one in curve.points]
        put(self.root / "curve.json", curve.model_dump_json(indent=1) + "\n")
        put(self.root / "points.csv", _csv(rows))
        sheets = {"points": rows, "fits": list(map(_fit, curve.fits)), "choice": [_choice(curve.choice)]}
        sheets["lineage"] = sheet(found_in(self.root, self._told))
        write_sheets(self.root / "lab.duckdb", {name: some for name, some in sheets.items() if some})
        put(self.root / "curve.html", render(curve))


def _models(sweeping: Sweeping) -> dict[str, str]:
    """Name the models whose weights a point depends on, by where they stand in the file."""
    found = {} if sweeping.model is None else {"model": sweeping.model}
    scores = {"proxy.model": sweeping.proxy, "held_out.model": sweeping.held_out}
    return found | {place: one.model for place, one in scores.items() if isinstance(one, RewardModel)}


def _check(path: Path, told: dict[str, JsonValue], resume: bool) -> None:
    if not resume:
        raise InputError(
            "this folder holds a sweep already; add --resume to go on with it, or name another output",
            path=path.parent,
        )
    before, now = _lasting(json.loads(path.read_bytes())), _lasting(told)
    changed = [
        f"{key} ({before.get(key)!r} before, {now.get(key)!r} now)"
        for key in sorted(now.keys() | before.keys())
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise InputError(
            f"what is there was asked otherwise: {', '.join(changed)}; put these back, or name another"
            " output",
            path=path,
        )


def _same_models(path: Path, told: Mapping[str, JsonValue]) -> None:
    """Refuse to mix points of two models that stood at the same place; a folder without digests has none."""
    before, now = json.loads(path.read_bytes()).get(_DIGESTS, {}), told[_DIGESTS]
    assert isinstance(now, dict)  # it was made here
    changed = [
        f"{place} (digest {before[place][:12]} before, {str(one)[:12]} now)"
        for place, one in now.items()
        if before.get(place, one) != one
    ]
    if changed:
        raise InputError(
            f"the weights of what is named have changed since this sweep began: {', '.join(changed)}; put the"
            " model back, or name another output",
            path=path,
        )


def _lasting(told: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Drop what may change under a sweep: points do not depend on other values, nor on what may be spent."""
    kept = {key: one for key, one in told.items() if key not in ("sweep", _DIGESTS)}
    judge = kept.get("held_out")
    if isinstance(judge, dict):
        kept["held_out"] = {key: one for key, one in judge.items() if key != "budget"}
    return kept


def _row(curve: Curve, point: Point) -> Iterator[tuple[str, Cell]]:
    """Yield a point's cells under the names of their columns."""
    gold, gain, proxy = point.mean("gold"), point.gain(curve.start), point.mean("proxy")
    yield "run", curve.name
    yield from ((name, curve.about[name]) for name in ("sweep", "world", "proxy", "seed"))
    yield "point", point.name
    yield "setting", point.setting
    yield "beta", point.setting if curve.about["sweep"] == "kl" else None
    yield "kl", point.kl
    yield "kl_k3", point.kl_k3
    yield "d", point.d
    for name, one in (("proxy_score", proxy), ("gold", gold), ("gain", gain)):
        yield name, one.mean
        yield f"{name}_error", one.error
    judged = None if point.judged is None else point.mean("judged")
    yield "judged", None if judged is None else judged.mean
    yield "judged_error", None if judged is None else judged.error
    yield "length", point.length
    yield "prompts", gold.prompts
    yield "n", point.responses
    yield "checkpoint", point.checkpoint or ""
    yield from ((f"symptom_{name}", point.symptoms.get(name)) for name in SYMPTOMS)


def _fit(fit: Fit) -> Row:
    """A law's numbers and its peak's, in one row."""
    told: Row = fit.model_dump(exclude={"peak"})
    for name in Peak.model_fields:
        told[f"peak_{name}"] = None if fit.peak is None else getattr(fit.peak, name)
    return told


def _choice(choice: Choice) -> Row:
    told: Row = choice.model_dump(exclude={"over_start", "over_last"})
    told["checkpoint"] = choice.checkpoint or ""
    for name, one in (("over_start", choice.over_start), ("over_last", choice.over_last)):
        told |= {name: one.mean, f"{name}_error": one.error}
    return told


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def filed(name: str) -> str:
    """Return a point's name as a file has it, e.g. ``beta-0.05``."""
    return name.replace(" = ", "-")
