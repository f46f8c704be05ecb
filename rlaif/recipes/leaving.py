"""What steps leave for one another: references, the places they may stand at, and what fits there.

Owns ``@STEP`` and ``@STEP/TABLE``, and the sentence for a reference to the wrong kind of thing. Everything
here is known before anything runs. Leaves what a pipeline's tables are called to ``bodies``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from rlaif.complaints import Loc, closest
from rlaif.recipes.config import Step
from rlaif.recipes.kinds import LEARNT, MAKERS, ROWS, SAID, Kind

LOCAL: Final = "local:"
_REFERENCE: Final = re.compile(r"(?:local:)?@([^/]*)(?:/(.*))?")
_SCORER: Final[tuple[Kind, ...]] = ("scorer",)
_POLICY: Final[tuple[Kind, ...]] = ("policy",)
_RESPONSES: Final[tuple[Kind, ...]] = ("responses",)
_REWARD: Final[Mapping[str, tuple[Kind, ...]]] = {
    "reward.model": _SCORER,
    "reward.safety": _SCORER,
    "reward.helpfulness": _SCORER,
    "reward.safety_prompts.path": ROWS,
}
_PLACES: Final[Mapping[str, Mapping[str, tuple[Kind, ...]]]] = {
    "train": {**_REWARD, "model": _POLICY, "ptx.data.path": ("demonstrations",), "value.model": _SCORER},
    "iterate": {**_REWARD, "model": _POLICY, "prompts.path": ROWS, "begin.data.path": ("demonstrations",)},
    "pipeline": {"prompts.path": ROWS},
    "draw": {
        "prompts": ROWS, "policies.*": _POLICY, "score.model": _SCORER, "score.safety": _SCORER,
        "score.helpfulness": _SCORER, "score.safety_prompts.path": ROWS,
    },
    "measure": {
        "prompts": ROWS, "policies.*": _POLICY, "gold.model": _SCORER, "proxy.model": _SCORER,
        "proxy.safety": _SCORER, "proxy.helpfulness": _SCORER, "proxy.safety_prompts.path": ROWS,
    },
    "compare": {"of.*": ("figures",)},
    "flag": {"*.against.model": _SCORER},
}  # fmt: skip
_TAKEN: Final[Mapping[str, tuple[Kind, ...]]] = {
    "written": ROWS, "unsafe": ROWS, "instruct": ROWS, "split": ROWS,
    "demonstrations": ("responses", "demonstrations"), "judgements": ("responses", "demonstrations"),
    "best_of_n": _RESPONSES, "select": _RESPONSES, "pairs": _RESPONSES, "label": _RESPONSES,
    "relabel": _RESPONSES,
    "score": ("responses", "demonstrations"), "flip": ("pairs",), "mix": ROWS,
    "identical_revisions": ("demonstrations",), "scores": _RESPONSES, "labels": ("pairs",),
    "gap": ("figures",),
}  # fmt: skip
"""What rows steps and conditions are made from, by their kind."""
_MADE: Final[Mapping[str, Kind]] = {
    "written": "demonstrations", "judgements": "demonstrations", "demonstrations": "demonstrations",
    "best_of_n": "demonstrations",
    "select": "demonstrations", "relabel": "demonstrations", "pairs": "pairs", "ranked": "pairs",
    "flip": "pairs", "label": "unpaired", "instruct": "prompts", "unsafe": "prompts", "score": "responses",
}  # fmt: skip
"""What rows steps make, by their kind, where that does not depend on what they are made from."""

Tables = Mapping[str, Kind]
"""What a step leaves, by table; the one without a name is the step's own."""


@dataclass(frozen=True, slots=True)
class Reference:
    """``@STEP`` or ``@STEP/TABLE``, where it stands in the body of a step."""

    step: str
    table: str
    loc: Loc
    """Place within the step."""

    @property
    def text(self) -> str:
        """As it is written."""
        return _at(self.step, self.table)

    @classmethod
    def read(cls, value: object, loc: Loc = ()) -> Reference | None:
        """Read a value that may be a reference."""
        found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        return None if found is None else cls(found[1], found[2] or "", loc)


def references(step: Step) -> Iterator[Reference]:
    """Yield every reference of a step, with its place."""
    dumped = step.model_dump(mode="json", include={step.work, "reward"})
    for loc, value in leaves(dumped):
        found = Reference.read(value, loc)
        if found is not None:
            yield found


def leaves(value: JsonValue, loc: Loc = ()) -> Iterator[tuple[Loc, JsonValue]]:
    """Yield every value that is neither list nor mapping, with its place."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, (*loc, key))
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield from leaves(one, (*loc, at))
    else:
        yield loc, value


def wanted(step: Step, reference: Reference) -> tuple[Kind, ...]:
    """Return the kinds of things that may stand where a reference does; none where it may not stand."""
    work, *rest = reference.loc
    place = ".".join("*" if isinstance(one, int) else one for one in rest)
    if work == "reward":
        return _REWARD.get(f"reward.{place}", ())
    if step.train is not None and place == "data.path":
        return LEARNT.get(str(step.train.get("method")), ROWS)
    if step.rows is not None and rest[0] == "by":
        return ROWS if rest[-1] == "path" else _SCORER
    if step.rows is not None:
        return _TAKEN.get(step.rows.kind, ())
    if step.flag is not None and place == "*.of":
        (at, _) = rest
        return _TAKEN[step.flag[int(at)].kind]
    # In the bodies of pipelines and iterations a model is told from other text by its provider.
    judged = str(work) in ("pipeline", "iterate") and rest[-1] in ("model", "models")
    return _PLACES.get(str(work), {}).get(place, _POLICY if judged else ())


@dataclass(slots=True)
class Known:
    """What the steps so far leave."""

    steps: dict[str, Tables] = field(default_factory=dict)

    def kind(self, reference: Reference, kinds: tuple[Kind, ...]) -> Kind:
        """Return what a reference stands for.

        Raises:
            ValueError: there is no such thing yet, or it is of another kind than what may stand there.
        """
        tables = self._tables(reference)
        kind = tables.get(reference.table)
        if kind is None:
            there = ", ".join(repr(_at(reference.step, one)) for one in tables)
            raise ValueError(f"found {reference.text!r}; that step leaves {there or 'nothing to refer to'}")
        if kind not in kinds:
            raise ValueError(self._wrong(reference, kind, kinds))
        return kind

    def _tables(self, reference: Reference) -> Tables:
        if reference.step not in self.steps:
            names = list(self.steps)
            near = closest(reference.step, names) or f"; steps before this one: {', '.join(names) or 'none'}"
            raise ValueError(f"found {reference.text!r}, and no step before this one has that name{near}")
        return self.steps[reference.step]

    def _wrong(self, reference: Reference, kind: Kind, kinds: tuple[Kind, ...]) -> str:
        """Say what is there, what is needed, and who makes it."""
        if not kinds:
            return f"found {reference.text!r}, and nothing can be referred to here; write the value out"
        right = [
            _at(name, table)
            for name, tables in self.steps.items()
            for table, one in tables.items()
            if one in kinds
        ]
        belong = "belongs" if kinds[0] in ("policy", "scorer") else "belong"
        needs = " or ".join(SAID[one] for one in kinds)
        advice = (
            f"; {' or '.join(map(repr, right))} would do"
            if right
            else f"; add {MAKERS[kinds[0]]} before this one"
        )
        return f"found {reference.text!r}, which is {SAID[kind]}, where {needs} {belong}{advice}"


def _at(step: str, table: str) -> str:
    return f"@{step}/{table}" if table else f"@{step}"


def left_by(step: Step, known: Known) -> Tables:
    """Return what a step leaves, where its body says so without being read further."""
    if step.train is not None:
        return {"": "scorer" if step.train.get("method") == "reward" else "policy"}
    if step.iterate is not None:
        return {"": "policy"}
    if step.draw is not None:
        return {"": "responses"}
    if step.measure is not None:
        return {"": "figures"}
    if step.compare is not None:
        return {"": "table"}
    if step.flag is not None:
        return {"": "flags"}
    assert step.rows is not None
    kind = step.rows.kind
    if kind == "prompts":
        return {"train": "prompts", "test": "prompts"}
    if kind in _MADE:
        return {"": _MADE[kind]}
    kinds = {known.steps[one.step][one.table] for one in references(step) if one.loc[-1] == "of"}
    if len(kinds) != 1:
        listed = " and ".join(sorted(SAID[one] for one in kinds))
        raise ValueError(f"found {listed} in one mixture; all its sources are rows of one kind")
    [same] = kinds
    return {"first": same, "second": same} if kind == "split" else {"": same}
