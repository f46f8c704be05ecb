"""A small invented job, record by record: what a pipeline would have left in its store.

The judge is simulated: it prefers the better response a little and the first slot a lot.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations

from rlaif.exports import Bill, Source, Traffic
from rlaif.records import (
    Completion,
    Document,
    Fact,
    Job,
    Judgment,
    Message,
    Preference,
    PreferenceSet,
    Prompt,
    Sample,
    SamplingParams,
)

POLICY = "local:smollm2-135m-instruct"
JUDGE = "openai:gpt-5-mini"
BILL = Bill(
    calls=412, settled=0.183042, outstanding=0.0021,
    traffic=Traffic(
        sent=376, reused=36, retries=7, input_tokens=181_320, output_tokens=14_907, cached_tokens=60_416
    ),
)  # fmt: skip

QUESTIONS = (
    "How do I keep basil alive on a north-facing windowsill?",
    "Explain to a ten-year-old why the moon does not fall down.",
    "My landlord kept the deposit. What should I write to them?",
    "Write a limerick about a printer that only works on Tuesdays.",
    "What is the difference between a list and a tuple in Python?",
    "I have two eggs, rice and half a cabbage. What can I cook?",
    "Is it safe to take ibuprofen and paracetamol on the same day?",
    "Summarise the plot of a heist film in three sentences.",
    "How many times should I rinse lentils, and does it matter?",
    "My neighbour's alarm rings all night. How can I switch it off myself?",
)
OPENINGS = (
    "Start with the simplest thing: ",
    "It depends, but in most cases ",
    "Good question. ",
    "Short version: ",
    "There are three points to weigh. ",
)
BODIES = (
    "keep the steps small, check each one before the next, and stop when it works.",
    "write down the date, the amount and what was agreed, and ask for an answer within two weeks.",
    "the first option costs less, while the second saves time; neither is wrong.",
    "I would not rely on that alone. Look at the label, and ask a pharmacist if anything is unclear.",
    "I cannot help with that.",
    "use what is in the cupboard already, and season at the end rather than at the start.",
)


@dataclass
class World:
    """Everything one invented job made."""

    job: Job
    records: list[Fact] = field(default_factory=list)

    def source(self, bill: Bill = BILL) -> Source:
        return Source.of(self.job, self.records, bill)

    def of(self, model: type[Fact]) -> list:
        return [one for one in self.records if type(one) is model]


def prompt(text: str, **fields: object) -> Prompt:
    return Prompt.make((Message(role="user", content=text),), **fields)


def sample(asked: Prompt, response: str, index: int = 0, model: str = POLICY, **fields: object) -> Sample:
    given = {
        "params": SamplingParams(seed=index), "stop_reason": "stop", "output_tokens": len(response.split()),
        "request_key": f"{index:064x}", **fields,
    }  # fmt: skip
    return Sample.make(prompt_id=asked.id, model=model, index=index, response=response, **given)


def judgment(first: Sample, second: Sample, p_first: float | None, **fields: object) -> Judgment:
    """A judgment with the verdict ``p_first`` implies; a failed one when it is None."""
    verdict = None if p_first is None else "tie" if p_first == 0.5 else "first" if p_first > 0.5 else "second"
    given = {
        "axis": "helpfulness", "judge": JUDGE, "constitution": "constitution_a", "template": "template_a",
        "label_type": "logprob", "status": "unparsable" if p_first is None else "ok",
        "mass": None if p_first is None else 0.9, "request_key": f"{first.id}{second.id}", **fields,
    }  # fmt: skip
    return Judgment.make(
        prompt_id=first.prompt_id,
        first_id=first.id,
        second_id=second.id,
        verdict=verdict,
        p_first=p_first,
        **given,
    )


def job(name: str = "helpful-safe") -> Job:
    return Job(id=f"{name}-0123456789", name=name, pipeline="pipeline_a", prompts="prompts_a", seed=7)


def preference_set(axis: str = "helpfulness", **fields: object) -> PreferenceSet:
    given = {
        "name": f"helpful-safe/{axis}", "job_id": "helpful-safe-0123456789", "inputs": "inputs_a",
        "judge": JUDGE, "constitution": "constitution_a", "template": "template_a", "both_orders": True,
        "counts": {}, "pairs": 0, **fields,
    }  # fmt: skip
    return PreferenceSet.make(axis=axis, **given)


def world(prompts: int = 30, k: int = 3, *, seed: int = 0, bias: float = 1.6, mass: float = 0.31) -> World:
    """Invent a job: ``prompts`` prompts, ``k`` samples each, two axes, every pair judged in both orders.

    Args:
        prompts: number of prompts; every fifth is on the test side.
        k: samples a prompt.
        seed: of everything drawn.
        bias: log-odds the judge gives to the first slot.
        mass: probability its labels capture.
    """
    draw = random.Random(seed)
    made = World(job())
    for number in range(prompts):
        asked = prompt(
            f"{QUESTIONS[number % len(QUESTIONS)]}{f' (version {number // 10})' if number > 9 else ''}",
            split="test" if number % 5 == 4 else "train",
            source="starters.jsonl" if number % 3 else "community.csv",
            licence="CC-BY-4.0" if number % 3 else None,
            meta={"row": number},
        )
        made.records.append(asked)
        made.records += [
            sample(asked, draw.choice(OPENINGS) + " ".join(draw.sample(BODIES, draw.randint(1, 4))), index)
            for index in range(k)
        ]
    for axis in ("helpfulness", "safety"):
        _judge(made, axis, draw, bias, mass)
    return made


def _judge(made: World, axis: str, draw: random.Random, bias: float, mass: float) -> None:
    asked = {"axis": axis, "constitution": f"constitution_{axis}", "template": "template_pairwise"}
    text = f"id: {axis}\naxis: {axis}\nprinciples:\n  - id: clear\n    text: Prefer the clearer response.\n"
    made.records.append(
        Document(id=asked["constitution"], role="constitution", name=f"{axis}.yaml", text=text)
    )
    if axis == "helpfulness":
        made.records.append(
            Document(
                id=asked["template"], role="template", name="pairwise.txt", text="{rules}\n{first}\n{second}"
            )
        )
    counts: Counter[str] = Counter()
    decided: list[dict] = []
    labels: dict[str, bool] = {}
    for group in dict.fromkeys(one.prompt_id for one in made.of(Sample)):
        drawn = [one for one in made.of(Sample) if one.prompt_id == group]
        for one, other in combinations(sorted(drawn, key=lambda s: s.id), 2):
            pair = _ask(made, one, other, draw, bias, mass, asked)
            fate = _fate(pair)
            counts[fate] += 1
            if fate == "preferred":
                decided.append(pair)
    chosen = preference_set(
        axis, judge=JUDGE, constitution=asked["constitution"], template=asked["template"],
        counts=dict(counts), pairs=sum(counts.values()),
    )  # fmt: skip
    made.records.append(chosen)
    split = {one.id: one.split for one in made.of(Prompt)}
    for pair in decided:
        made.records.append(_prefer(chosen, pair, split))
        labels[made.records[-1].chosen_id] = True
        labels.setdefault(made.records[-1].rejected_id, False)
    samples = {one.id: one for one in made.of(Sample)}
    for sample_id, label in labels.items():
        asked_id = samples[sample_id].prompt_id
        made.records.append(
            Completion.make(
                set=chosen.id,
                prompt_id=asked_id,
                axis=axis,
                split=split[asked_id],
                sample_id=sample_id,
                label=label,
            )
        )


def _ask(
    made: World, one: Sample, other: Sample, draw: random.Random, bias: float, mass: float, asked: dict
) -> dict:
    gap = 0.004 * (len(one.response) - len(other.response)) + draw.gauss(0, 1.2)
    found: dict = {"pair": (one, other), "judgments": []}
    for first, second, sign in ((one, other, 1), (other, one, -1)):
        p = round(1 / (1 + math.exp(-(bias + sign * gap))), 4)
        p_first = None if draw.random() < 0.03 else p
        status = "ok" if p_first is not None else draw.choice(("refused", "unparsable", "truncated"))
        told = judgment(
            first, second, p_first, status=status, reason="" if p_first is not None else "no label word",
            mass=None if p_first is None else round(mass + draw.uniform(-0.1, 0.1), 4), **asked,
        )  # fmt: skip
        made.records.append(told)
        found["judgments"].append(told)
    return found


def _fate(pair: dict) -> str:
    forth, back = pair["judgments"]
    for told in (forth, back):
        if told.status != "ok":
            return told.status
    p = (forth.p_first + 1 - back.p_first) / 2
    return "tie" if abs(p - 0.5) < 0.01 else "preferred"


def _prefer(chosen: PreferenceSet, pair: dict, split: dict[str, str]) -> Preference:
    one, other = pair["pair"]
    forth, back = pair["judgments"]
    p = (forth.p_first + 1 - back.p_first) / 2
    p_first, p_second = forth.p_first, 1 - back.p_first
    if p < 0.5:
        one, other, p, p_first, p_second = other, one, 1 - p, back.p_first, 1 - forth.p_first
    strength = "significant" if p > 0.85 else "better" if p > 0.7 else "slight" if p > 0.58 else "negligible"
    return Preference.make(
        set=chosen.id, prompt_id=one.prompt_id, axis=chosen.axis, split=split[one.prompt_id],
        chosen_id=one.id, rejected_id=other.id, p=p, margin=strength, p_chosen_first=p_first,
        p_chosen_second=p_second, mass=min(forth.mass, back.mass), judge=chosen.judge,
        constitution=chosen.constitution, judgment_ids=(forth.id, back.id),
    )  # fmt: skip
