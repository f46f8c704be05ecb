"""A folder with two judges measured against people, and pairs that both of them judged."""

from __future__ import annotations

import math
import random

from rlaif.audits import Observation, score
from rlaif.audits.planted import observe, world
from rlaif.records import Fact, HumanLabel, Prompt, Sample, StoredScorecard
from tests import factory

CONSTITUTION = "cn_1"
TEMPLATE = "tm_1"
JUDGES = ("openai:first", "openai:second")


def scorecard(judge: str, fault: str = "clean", pairs: int = 120, slices: int = 1) -> StoredScorecard:
    """A judge with one planted fault, scored."""
    seen = [
        Observation.model_validate({**dict(one), "judge": judge, "slice": f"part {at % slices}"})
        for at, one in enumerate(observe(world(pairs, 3), fault, 3))  # type: ignore[arg-type]
    ]
    card = score(seen, resamples=100)
    cells = [*card.cells.values(), *card.totals.values()]
    return StoredScorecard.make(
        judge=judge, mode=cells[0].mode, setting=None, constitution=CONSTITUTION, template=TEMPLATE,
        data=card.totals[f"{judge}|{cells[0].mode}|TOTAL"].data, seed=card.seed, resamples=card.resamples,
        cells={one.slice: one.row() for one in cells},
    )  # fmt: skip


def judged_pair(number: int, p: tuple[float, float], human: str | None = None) -> list[Fact]:
    """One pair: the response of the smaller id wins with these probabilities, in both orders alike.

    Args:
        number: tells pairs apart.
        p: by the first and the second judge.
        human: who wins for people, ``first`` being the response of the smaller id.
    """
    asked = factory.prompt(f"question {number}?")
    first, second = sorted(
        (factory.sample(asked, f"{side} {number}") for side in "xy"), key=lambda one: one.id
    )
    facts: list[Fact] = [asked, first, second]
    for judge, share in zip(JUDGES, p, strict=True):
        given = {"judge": judge, "constitution": CONSTITUTION, "template": TEMPLATE}
        facts.append(factory.judgment(first, second, share, **given))
        facts.append(factory.judgment(second, first, 1 - share, **given))
    if human is not None:
        facts.append(label(asked, second, first, {"first": "second", "second": "first"}[human]))
    return facts


def label(asked: Prompt, first: Sample, second: Sample, verdict: str | None, at: int = 1) -> HumanLabel:
    return HumanLabel.make(
        person="p", prompt_id=asked.id, axis="helpfulness", first_id=first.id, second_id=second.id,
        verdict=verdict, source="api", at=f"2026-01-01T00:00:{at:02d}+00:00",
    )  # fmt: skip


def folder_facts(pairs: int = 60) -> list[Fact]:
    """Two scorecards and some judged pairs, a third of them labelled."""
    draw = random.Random(1)
    facts: list[Fact] = [scorecard(JUDGES[0], slices=3), scorecard(JUDGES[1], "position", slices=3)]
    for at in range(pairs):
        truth = draw.gauss(0, 1)
        p = tuple(round(1 / (1 + math.exp(-(truth + draw.gauss(0, 1)))), 4) for _ in JUDGES)
        human = ("first" if truth > 0 else "second") if at % 3 == 0 else None
        facts += judged_pair(at, p, human)  # type: ignore[arg-type]
    return facts
