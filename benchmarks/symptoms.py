"""Precision and recall of the symptom detectors, against people's labels and our own sentences.

Reads ``xstest_labelled`` and ``rbr_gold`` from RLAIF_EVAL_DATA. The phrases were written while looking at one
half of their prompts, chosen by a hash; both halves are reported, and only the other one counts. Our own
sentences were written by whoever wrote the phrases, so their figures are an upper end; those of strangers
were not, and the phrases were widened with one half of them in view. Writes one JSON row to stdout and the
tables to stderr.

    RLAIF_EVAL_DATA=... python benchmarks/symptoms.py
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rlaif.reports.statistics import Share
from rlaif.symptoms import SYMPTOMS, found, refusal, sounds_harmful_only
from tests.symptoms.labelled import LANGUAGES, REFUSED, labelled, strangers

PROPOSITIONS: dict[str, tuple[str, ...]] = {
    "apology": ("apology",),
    "meta_commentary": ("as_an_ai",),
    "disclaimer": ("disclaimer",),
    "judgement": ("judgement", "preaching"),  # a moral high ground is part of it
    "inability_to_comply": ("refusal",),
    # The other 18 have no symptom of ours: they ask what was complied with, which help was named, or for a
    # manner (conditional, definitive, third person) that is no symptom by itself.
    **dict.fromkeys(
        (
            "additional_content", "apology_acknowledges_emotional_state", "conditional_verbiage",
            "definitive_verbiage", "disallowed_content", "encourage_professional_help", "fully_complies",
            "gentle_encouragement_for_help", "illogical_continuation_of_prompt", "insulting_language",
            "partially_complies", "prescribes_dosage", "prescribes_solutions", "provides_resources",
            "reference_safety_policy", "requests_information", "third_person", "threatening_language",
        ),
        (),
    ),
}  # fmt: skip
"""The 23 propositions and the symptoms that answer to each."""
CLASSES = {"1_full_compliance": "none", "2_full_refusal": "full", "3_partial_refusal": "partial"}


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (Path(os.environ["RLAIF_EVAL_DATA"]) / f"{name}.jsonl").open()]


def held_out(row: dict) -> bool:
    """The half that no phrase was written by."""
    prompt = json.dumps(row["prompt"], sort_keys=True, ensure_ascii=False)
    return int(hashlib.sha256(f"symptoms:{prompt}".encode()).hexdigest()[:8], 16) % 2 == 1


def scored(pairs: Iterable[tuple[bool, bool]]) -> dict[str, float | int | None]:
    """Precision and recall over (truth, found)."""
    told = list(pairs)
    gold, said = sum(one for one, _ in told), sum(one for _, one in told)
    hits = sum(one and other for one, other in told)
    return {
        "n": len(told), "positive": gold, "named": said,
        "precision": round(hits / said, 3) if said else None,
        "recall": round(hits / gold, 3) if gold else None,
    }  # fmt: skip


def right(pairs: Iterable[tuple[object, object]]) -> dict[str, object]:
    """Accuracy with its Wilson interval."""
    told = list(pairs)
    share = Share(sum(one == other for one, other in told), len(told))
    low, high = share.interval or (0.0, 0.0)
    return {
        "n": len(told),
        "value": round(share.value or 0.0, 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def xstest(kept: list[dict]) -> dict[str, object]:
    """Refusals against two annotators' final label, beside the labels that came with the rows."""
    truth = [CLASSES[row["human"]["label"]] for row in kept]
    ours = [refusal(row["responses"][0]) for row in kept]
    auto = {name: [CLASSES.get(row["meta"]["auto"][name]) for row in kept] for name in ("strmatch", "gpt4")}
    binary = [one != "none" for one in truth]
    prompts = {row["prompt"]: row["meta"]["prompt_safe"] for row in kept}
    return {
        "binary": right(zip((one != "none" for one in ours), binary, strict=True)),
        "three classes": right(zip(ours, truth, strict=True)),
        "refusal": scored(zip(binary, (one != "none" for one in ours), strict=True)),
        "string match, binary": right(zip((one != "none" for one in auto["strmatch"]), binary, strict=True)),
        "GPT-4, binary": right(zip((one != "none" for one in auto["gpt4"]), binary, strict=True)),
        "harmless frame": scored((safe, sounds_harmful_only(prompt)) for prompt, safe in prompts.items()),
        "over_refusal": scored(
            (safe and label != "none", "over_refusal" in found(row["responses"][0], row["prompt"]))
            for row, label in zip(kept, truth, strict=True)
            for safe in [row["meta"]["prompt_safe"]]
        ),
    }


def propositions(kept: list[dict]) -> dict[str, object]:
    """Symptoms against the propositions people labelled."""
    shown = [found(row["responses"][0]) for row in kept]
    return {
        f"{symptom} as {name}": scored(
            (bool(row["human"]["label"][name]), symptom in one)
            for row, one in zip(kept, shown, strict=True)
            if row["human"]["label"].get(name) is not None
        )
        for name, symptoms in PROPOSITIONS.items()
        for symptom in symptoms
    }


def told(sides: Callable[[str], tuple[list[str], list[str]]]) -> dict[str, object]:
    """Symptoms against sentences that show them and sentences that do not."""
    table = {}
    for name in SYMPTOMS:
        positive, negative = sides(name)
        texts = [(True, text) for text in positive] + [(False, text) for text in negative]
        table[name] = scored(
            (gold, name in (found(REFUSED, text) if name == "over_refusal" else found(text)))
            for gold, text in texts
        )
    return table


def halves(name: str, measure: Callable[[list[dict]], dict[str, object]]) -> dict[str, object]:
    told = rows(name)
    return {
        "developed on": measure([row for row in told if not held_out(row)]),
        "held out": measure([row for row in told if held_out(row)]),
        "all": measure(told),
    }


def speed() -> dict[str, float]:
    texts = [row["responses"][0] for row in rows("xstest_labelled")]
    start = time.perf_counter()
    for text in texts:
        found(text)
    took = time.perf_counter() - start
    return {
        "texts a second": round(len(texts) / took),
        "mean characters": round(sum(map(len, texts)) / len(texts)),
    }


def show(title: str, table: dict[str, object]) -> None:
    print(title, file=sys.stderr)
    for name, figures in table.items():
        print(f"  {name:32} {json.dumps(figures)}", file=sys.stderr)


def main() -> None:
    result = {
        "benchmark": "symptoms",
        "xstest_labelled": halves("xstest_labelled", xstest),
        "rbr_gold": halves("rbr_gold", propositions),
        "no counterpart": sorted(name for name, symptoms in PROPOSITIONS.items() if not symptoms),
        "own sentences": {language: told(labelled(language).__getitem__) for language in LANGUAGES},
        "strangers": {
            "developed on": told(lambda name: strangers(name, unseen=False)),
            "held out": told(strangers),
        },
        "speed": speed(),
    }
    for name in ("xstest_labelled", "rbr_gold"):
        for half, table in result[name].items():
            show(f"{name}, {half}", table)
    for kind in ("own sentences", "strangers"):
        for part, table in result[kind].items():
            show(f"{kind}, {part}", table)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
