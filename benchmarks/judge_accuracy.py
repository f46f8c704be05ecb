"""How often a small local judge agrees with people, in one order and with both orders averaged.

Reads labelled pairs from RLAIF_EVAL_DATA, judges the first so many of each set in both orders by label
probabilities, and writes one JSON row a set to stdout: share of single-order calls that
pick the first slot, share of pairs with the same pick in both orders, mean label mass, accuracy of one
order and of the average (ties count half) with 95 % Wilson intervals, and the accuracy of always
preferring the longer response on the same pairs.

    RLAIF_EVAL_DATA=... python benchmarks/judge_accuracy.py [--pairs N] [--sets A,B] [--model SPEC]
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import rlaif
from rlaif.constitution import Constitution
from rlaif.judging import JudgeConfig
from rlaif.records import Message, Prompt
from rlaif.reports.statistics import Share

ROOT = Path(__file__).parent.parent
AXES = {"hh_harmless_test": "safety"}


def labelled(name: str, count: int) -> list[dict]:
    """The first rows with two different texts and a preference."""
    rows = []
    for line in (Path(os.environ["RLAIF_EVAL_DATA"]) / f"{name}.jsonl").open():
        row = json.loads(line)
        texts = row["responses"]
        usable = len(texts) == 2 and all(isinstance(one, str) and one.strip() for one in texts)
        if usable and texts[0].strip() != texts[1].strip() and row["human"].get("preferred") in (0, 1):
            rows.append(row)
        if len(rows) == count:
            break
    return rows


def prompt_of(row: dict) -> Prompt:
    """A conversation in the roles the package knows."""
    turns = row["prompt"] if isinstance(row["prompt"], list) else [{"role": "user", "content": row["prompt"]}]
    roles = {"developer": "system"}
    return Prompt.make(
        tuple(Message(role=roles.get(one["role"], one["role"]), content=one["content"]) for one in turns)
    )


def share(hits: list[float]) -> dict[str, object]:
    """A mean of credits with its interval; half credits round the count, which the interval needs whole."""
    low, high = Share(round(sum(hits)), len(hits)).interval or (None, None)
    return {"value": round(sum(hits) / len(hits), 3), "low": round(low, 3), "high": round(high, 3)}


def measure(
    name: str, rows: list[dict], constitution: Constitution, config: JudgeConfig
) -> dict[str, object]:
    """Judge the rows and compare with people."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "judged"
        found = rlaif.judge(
            [prompt_of(row) for row in rows],
            [row["responses"] for row in rows],
            constitution=constitution,
            model=config,
            store=store,
        )
        (calls,) = rlaif.sql(
            "SELECT count(*) AS n, avg((verdict = 'first')::INT) AS first, avg(mass) AS mass FROM judgments",
            store=store,
        ).to_pylist()
        orders = rlaif.sql(
            "SELECT j.first_id, j.p_first, s.response FROM judgments j JOIN samples s ON s.id = j.first_id",
            store=store,
        ).to_pylist()
    human = {one.row: rows[one.row]["human"]["preferred"] for one in found}
    credit = [0.5 if one.p in (None, 0.5) else float((one.p > 0.5) == (human[one.row] == 0)) for one in found]
    wins = {row["responses"][row["human"]["preferred"]] for row in rows}
    single = [float((one["p_first"] > 0.5) == (one["response"] in wins)) for one in orders]
    longer = [
        float(len(r["responses"][r["human"]["preferred"]]) > len(r["responses"][1 - r["human"]["preferred"]]))
        for r in rows
    ]
    return {
        "benchmark": "judge_accuracy", "set": name, "model": config.model, "template": config.template,
        "constitution": constitution.id, "pairs": len(found), "calls": calls["n"],
        "first_slot": round(calls["first"], 3), "mass": round(calls["mass"], 3),
        "consistent": share([float(bool(one.consistent)) for one in found]),
        "one_order": share(single), "averaged": share(credit), "longest": share(longer),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--sets", default="pandalm_test,hh_harmless_test")
    parser.add_argument("--model", default="local:smollm2-135m-instruct")
    parser.add_argument("--template", help="shipped judge template, or a path; default: the judge's own")
    given = parser.parse_args()
    if "RLAIF_EVAL_DATA" not in os.environ:
        print(json.dumps({"benchmark": "judge_accuracy", "skipped": "RLAIF_EVAL_DATA is not set"}))
        return
    for name in given.sets.split(","):
        axis = AXES.get(name, "helpfulness")
        constitution = rlaif.load_constitution(ROOT / "constitutions" / f"{axis}.yaml")
        config = JudgeConfig(model=given.model, template=given.template)
        print(json.dumps(measure(name, labelled(name, given.pairs), constitution, config)), flush=True)


if __name__ == "__main__":
    main()
