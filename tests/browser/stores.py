"""The stores every page is looked at with: empty, demo, worked, hostile, large.

Each function fills a new output folder; the servers of ``conftest`` then serve it.
"""

import asyncio
import itertools
import json
import math
import random
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from rlaif.pipeline import Options, bundled, load_pipeline
from rlaif.pipeline import run as run_pipeline
from rlaif.records import (
    Document,
    Fact,
    HumanLabel,
    Job,
    JobEvent,
    Judgment,
    Message,
    Preference,
    PreferenceSet,
    Prompt,
    Sample,
    SamplingParams,
    StoredScorecard,
    TaskState,
)
from rlaif.review.agreement import agree
from rlaif.review.labels import keep, new_label
from rlaif.settings import Settings
from rlaif.store import Workspace
from tests.browser.payloads import PAYLOADS
from tests.pipeline.files import write
from tests.service import measured, trained

LARGE_PAIRS = 100_000
AT = "2026-05-01T12:00:00.000+00:00"


class Silent:
    """Hears of progress and says nothing."""

    def stage(self, name: str, total: int) -> None:
        pass

    def task(self, ok: bool) -> None:
        pass


def empty(folder: Path) -> None:
    """Nothing: the service makes what it needs."""


def demo(folder: Path) -> None:
    """A job of the mock provider, run from prompts to report."""
    pipeline = load_pipeline(write(folder.parent / f"{folder.name}-pipeline", prompts=24))
    asyncio.run(
        run_pipeline(pipeline, Options(folder=folder, allow_unpriced=True), Settings.load(), Silent())
    )


def worked(folder: Path, model: str = "mock:text", size: str = "toy") -> None:
    """The quick start's questions, and all that people do with a job: labels, a second opinion, training."""
    told = {"kitchen": "helpfulness", "second-opinion": "helpfulness_zh"}
    asyncio.run(_worked(folder, [_asked(folder, name, model, which) for name, which in told.items()]))
    training = folder / "training"
    for name, start, seed in (("dpo", 0.69, 1), ("dpo-low-rate", 0.72, 2)):
        trained.run(training / name, _learning(start, seed), steps=120)
    trained.ppo(training / "ppo")
    trained.rounds(training / "rounds")
    trained.sweep(training / "best-of-n", size)


def _asked(folder: Path, name: str, model: str, constitution: str) -> Path:
    """A pipeline over the quick start's questions: the same samples, judged under one or another text."""
    path = write(folder.parent / f"{folder.name}-{name}", policy=model, judge=model)
    told = path.read_text().replace("name: small", f"name: {name}")
    path.write_text(told.replace("/helpfulness.yaml", f"/{constitution}.yaml"))
    asked = bundled("quickstart.yaml").parent / "prompts" / "quickstart.jsonl"
    (path.parent / "prompts.jsonl").write_text(asked.read_text())
    return path


async def _worked(folder: Path, paths: Sequence[Path]) -> None:
    options = Options(folder=folder, allow_unpriced=True)
    for path in paths:
        await run_pipeline(load_pipeline(path), options, Settings.load(), Silent())
    workspace = Workspace.open(folder)
    try:
        judged = [one for one in workspace.store.read(PreferenceSet) if one.axis == "helpfulness"]
        first = workspace.store.read(Preference, '"set" = ?', [judged[0].id])
        pairs = list(islice(first, 24))
        await keep(workspace, [label for at, pair in enumerate(pairs) for label in _said(pair, at)])
        for one in judged:
            await agree(workspace, one.id)
        cards = [
            measured.scorecard("compatible:lab/large", slices=3),
            measured.scorecard("compatible:lab/small", "position", slices=3),
        ]
        known = {"constitution": judged[0].constitution}
        told = [StoredScorecard.make(**{**one.model_dump(exclude={"id"}), **known}) for one in cards]
        await workspace.commit(told, job_id="made")
    finally:
        await workspace.close()


def _said(pair: Preference, at: int) -> Iterator[HumanLabel]:
    """Two people about a pair: the first sides with the judge two times in three, the second labels half."""
    sides = "first" if at % 3 else "second", "tie" if at % 8 == 0 else "first"
    for person, verdict in zip(("reviewer-1", "reviewer-2")[: 1 + at % 2], sides, strict=False):
        more = {"blind": at % 4 == 0, "at": f"2026-05-01T12:{at:02d}:00.000000+00:00"}
        yield new_label(pair, person, verdict, first=pair.chosen_id, source="page", **more)


def _learning(start: float, seed: int, updates: int = 120) -> list[dict[str, Any]]:
    """Numbers of a DPO run: they settle, and they scatter."""
    draw = random.Random(seed)
    lines: list[dict[str, Any]] = []
    for step in range(1, updates + 1):
        gain = 1 - math.exp(-3 * step / updates)
        line = {
            "loss": start - 0.28 * gain + draw.gauss(0, 0.02),
            "margin": 1.1 * gain + draw.gauss(0, 0.08),
            "accuracy": 0.5 + 0.24 * gain + draw.gauss(0, 0.04),
            "lr": 1e-5 * min(1, step / 12) * (1 - step / (updates + 1)),
        }
        lines.append({"step": step, **{name: round(value, 8) for name, value in line.items()}})
        if step % 20 == 0:
            held = {"eval/loss": start - 0.17 * gain, "eval/accuracy": 0.5 + 0.16 * gain}
            lines.append({"step": step, **held})
    return lines


def hostile(folder: Path) -> None:
    """Records and runs whose every free text is a payload."""
    asyncio.run(_commit(folder, _hostile()))
    plain = (one.replace("/", " ") for one in PAYLOADS if one.isprintable() and 1 < len(one) < 80)
    named = list(dict.fromkeys(plain))[1::2]  # a page and its curves for each: half of them will do
    for number, name in enumerate(named):
        line = {"step": 1, "loss": 0.5, PAYLOADS[number]: 1.0, f"eval/{name}": 0.0}
        told = {"method": name, "parent": PAYLOADS[number], "data": {"path": name, "table": name}, name: name}
        trained.run(folder / "training" / name, [line, {**line, "step": 2}], **told)


def large(folder: Path) -> None:
    """Many pairs, and little else."""
    asyncio.run(_commit(folder, _large()))


async def _commit(folder: Path, records: Iterator[Fact]) -> None:
    workspace = Workspace.open(folder)
    try:
        while group := list(islice(records, 20_000)):
            await workspace.commit(group, job_id="made")
    finally:
        await workspace.close()


def _hostile() -> Iterator[Fact]:
    principles = [{"id": f"p{number}", "text": text, "name": text} for number, text in enumerate(PAYLOADS, 1)]
    text = json.dumps({"id": "hostile", "axis": "helpfulness", "principles": principles})
    yield Document(id="constitution_hostile", role="constitution", name=PAYLOADS[0], text=text)
    yield Document(id="template_hostile", role="template", name=PAYLOADS[1], text=PAYLOADS[8])
    yield Document(
        id="pipeline_hostile", role="pipeline", name=PAYLOADS[7], text='{"path": "<b>", "overrides": []}'
    )
    for number, payload in enumerate(PAYLOADS):
        job_id = f"hostile-{number:010x}"
        yield Job(id=job_id, name=payload, pipeline="pipeline_hostile", prompts="p", seed=number)
        for state in ("running", "failed"):
            yield JobEvent.make(job_id=job_id, state=state, at=AT, note=payload)
    made = PreferenceSet.make(
        axis="helpfulness", name=PAYLOADS[0], job_id=f"hostile-{0:010x}", inputs="i", judge=PAYLOADS[7],
        constitution="constitution_hostile", template="template_hostile", both_orders=True,
        counts={"preferred": len(PAYLOADS)}, pairs=len(PAYLOADS),
    )  # fmt: skip
    yield made
    for number, payload in enumerate(PAYLOADS):
        yield from _hostile_pair(number, payload, made)
    measured_one = measured.scorecard("judge", "position")
    cells = dict(zip(PAYLOADS[:12], itertools.cycle(measured_one.cells.values()), strict=False))
    for payload in PAYLOADS[:4]:
        told = measured_one.model_dump(exclude={"id", "cells", "judge", "mode", "constitution"})
        yield StoredScorecard.make(
            judge=payload, mode=payload, constitution="constitution_hostile", cells=cells, **told
        )


def _hostile_pair(number: int, payload: str, made: PreferenceSet) -> Iterator[Fact]:
    other = PAYLOADS[(number + 7) % len(PAYLOADS)]
    asked = Prompt.make(
        (Message(role="user", content=f"{payload} {number}"),), source=payload, licence=payload
    )
    yield asked
    one, two = (
        Sample.make(
            prompt_id=asked.id, model=payload, params=SamplingParams(), index=index, response=text,
            stop_reason="stop", output_tokens=3, request_key=f"{number * 2 + index:064x}",
        )
        for index, text in enumerate((payload, other))
    )  # fmt: skip
    yield from (one, two)
    judged = [
        Judgment.make(
            prompt_id=asked.id, axis="helpfulness", judge=payload, constitution="constitution_hostile",
            template="template_hostile", first_id=first.id, second_id=second.id, label_type="text",
            status="ok", verdict=verdict, p_first=p, reason=payload, request_key=f"{first.id}{second.id}",
        )
        for first, second, verdict, p in ((one, two, "first", 0.8), (two, one, "second", 0.3))
    ]  # fmt: skip
    yield from judged
    yield Preference.make(
        set=made.id, prompt_id=asked.id, axis="helpfulness", split="train", chosen_id=one.id,
        rejected_id=two.id, p=0.75, margin="better", p_chosen_first=0.8, p_chosen_second=0.7, mass=0.9,
        judge=payload, constitution="constitution_hostile", principle_id=f"p{number % len(PAYLOADS) + 1}",
        judgment_ids=tuple(each.id for each in judged),
    )  # fmt: skip
    yield TaskState.make(
        job_id=f"hostile-{0:010x}", task_id=f"task_{number}", stage=payload, state="failed", reason=payload
    )


def _large() -> Iterator[Fact]:
    """Prompts with four samples each, so six pairs; ids count instead of being digests, for speed."""
    job_id = "large-0123456789"
    yield Document(id="constitution_large", role="constitution", name="large", text=_CONSTITUTION)
    yield Job(id=job_id, name="large", pipeline="pipeline_large", prompts="p", seed=1)
    for state in ("running", "completed"):
        yield JobEvent.make(job_id=job_id, state=state, at=AT)
    made = PreferenceSet.make(
        axis="helpfulness", name="large/helpfulness", job_id=job_id, inputs="i", judge="mock:text",
        constitution="constitution_large", template="template_large", both_orders=True,
        counts={"preferred": LARGE_PAIRS}, pairs=LARGE_PAIRS,
    )  # fmt: skip
    yield made
    yield from _pairs(made)


_CONSTITUTION = json.dumps(
    {
        "id": "large",
        "axis": "helpfulness",
        "principles": [{"id": "clear", "text": "Prefer the clearer response."}],
    }
)
_MARGINS = ("negligible", "slight", "better", "significant")


def _pairs(made: PreferenceSet) -> Iterator[Fact]:
    params = SamplingParams(max_tokens=64)
    count = 0
    for number in range(LARGE_PAIRS):
        asked = f"pr_{number:024x}"
        turn = Message.model_construct(role="user", content=f"Question {number}: what would you do, and why?")
        yield Prompt.model_construct(
            id=asked, messages=(turn,), split="test" if number % 10 == 0 else "train",
            source="made", licence=None, meta={},
        )  # fmt: skip
        drawn = [f"sa_{number * 4 + index:024x}" for index in range(4)]
        for index, id in enumerate(drawn):
            yield Sample.model_construct(
                id=id, prompt_id=asked, model="mock:text", params=params, index=index, stop_reason="stop",
                response=f"Response {index} to question {number}. " * (1 + (number + index) % 5),
                output_tokens=8, request_key=f"{number * 4 + index:064x}",
            )  # fmt: skip
        for chosen, rejected in combinations(drawn, 2):
            if count == LARGE_PAIRS:
                return
            yield from _pair(made, asked, chosen, rejected, count)
            count += 1


def _pair(made: PreferenceSet, asked: str, chosen: str, rejected: str, count: int) -> Iterator[Fact]:
    p = 0.51 + (count % 49) / 100
    shared = {
        "prompt_id": asked, "axis": "helpfulness", "judge": "mock:text", "constitution": "constitution_large",
    }  # fmt: skip
    judged = []
    for order, (first, second, p_first) in enumerate(((chosen, rejected, p), (rejected, chosen, 1 - p))):
        id = f"ju_{count * 2 + order:024x}"
        judged.append(id)
        yield Judgment.model_construct(
            id=id, template="template_large", principle_id=None, first_id=first, second_id=second,
            label_type="logprob", status="ok", verdict="first" if p_first > 0.5 else "second",
            p_first=p_first, mass=0.9, reason="", request_key=f"{count * 2 + order:064x}", p_raw=None,
            support_keys=(), **shared,
        )  # fmt: skip
    yield Preference.model_construct(
        id=f"pf_{count:024x}", set=made.id, split="train", chosen_id=chosen, rejected_id=rejected, p=p,
        margin=_MARGINS[count % 4], p_chosen_first=p, p_chosen_second=p, mass=0.9, principle_id=None,
        judgment_ids=tuple(judged), **shared,
    )  # fmt: skip
