"""Two self-rewarding rounds of SmolLM2-135M, and whether the judge in it becomes a better one.

The prompts ask for a sentence with three nouns. M1 imitates sentences (the best of four draws) and
judgements: the judge's own question about other draws, answered by a script that counts what gold counts,
since a model this small writes none that could be kept. M2 and M3 learn by DPO from what the round before
drew and judged itself. No prompt is in two of the parts. Gold, world GW1 of ``ppo_gold.py``, looks on.

One JSON row: for each policy what the rounds measure (proxy, gold, KL, length, symptoms, pairs, ties), and
its skill as a judge: the share of held-out pairs in gold's order, and of replies that can be read, for M0 as
well. Run again with the same ``--output`` it goes on where it was.

    python benchmarks/self_rewarding.py [--output DIR] [--rounds N] [--prompts N] [--eft N] [--seed N]
"""

import argparse
import json
import os
import re
import time
from pathlib import Path
from typing import Any

from ppo_gold import MODEL, gold, rows

from tests.training.worlds import Cover, asking, named

COVER = Path(__file__).parent / "cover"
TOKENS = 48
"""Most tokens of a sentence."""
JUDGE = {"kind": "additive", "draws": 3, "max_tokens": 48, "template": str(COVER / "judge.txt")}
IFT, EFT, SKILL = 1000, 2000, 3000
"""Numbers of the first prompt of each part; rounds begin at 0."""


def drawn(first: int, number: int, folder: Path) -> list[tuple[str, list[str]]]:
    """Prompts with four different sentences of the bundled model to each."""
    from rlaif.checkpoints import load
    from rlaif.generation import Engine
    from rlaif.training.config import DataConfig
    from rlaif.training.data import read_prompts
    from rlaif.training.rollouts import Draw, draw

    path = folder / f"prompts-{first}.jsonl"
    path.write_text(rows(first, number))
    checkpoint = load(MODEL)
    data = read_prompts(DataConfig(path=str(path), test_share=0.0), checkpoint.tokenizer)
    found = draw(Engine(checkpoint), data.train, Draw(samples=4, max_tokens=TOKENS), f"part {first}")
    told = ((one.asked.text[-1].content, {text.strip() for text in one.texts} - {""}) for one in found)
    return [(prompt, sorted(texts)) for prompt, texts in told]


def judgement(prompt: str, text: str) -> tuple[str, int]:
    """What a judge that counts would write, and the points it gives."""
    words = re.findall(r"[a-z']+", text.lower())
    listed = [one for one in re.findall(r"[a-z]+", prompt.split("words", 1)[1]) if one in named(prompt)]
    repeats = Cover(0.0, 1.0, 0.0).gold([], text) < 0
    points = sum(one in words for one in listed) + (not repeats) + (len(words) <= 40)
    lines = [f"{one}: {'used' if one in words else 'missing'}" for one in listed]
    return "\n".join([*lines, f"repeats: {'yes' if repeats else 'no'}", f"Score: {points}"]), points


def taught(told: argparse.Namespace, folder: Path) -> Path:
    """Write what M1 imitates: the best sentences, and judgements of others."""
    from rlaif.authoring.items import given_pair
    from rlaif.constitution import load_constitution
    from rlaif.judging import Context, build
    from rlaif.judging.additive import AdditiveConfig
    from rlaif.records import Message

    path, score = folder / "taught.jsonl", gold(told.seed)
    if path.is_file():
        return path
    mode = build(AdditiveConfig.model_validate({**JUDGE, "model": f"local:{MODEL}"}))
    context, made = Context.of(load_constitution(COVER / "constitution.yaml"), told.seed), []
    for prompt, texts in drawn(IFT, told.ift, folder):
        turns = (Message(role="user", content=prompt),)
        best = max(zip(score([turns] * len(texts), texts), texts, strict=True))[1]
        made.append({"prompt": [turns[0].model_dump(mode="json")], "completion": best})
    for prompt, texts in drawn(EFT, told.eft, folder):
        for text in texts:
            pair = given_pair((Message(role="user", content=prompt),), (text, "-"))
            asked = mode.request(pair.prompt, pair.first, context, 0).messages
            question = [one.model_dump(mode="json") for one in asked]
            made.append({"prompt": question, "completion": judgement(prompt, text)[0]})
    path.write_text("".join(json.dumps(one) + "\n" for one in made))
    return path


def labelled(told: argparse.Namespace, folder: Path) -> Path:
    """Write held-out pairs: the best and the worst sentence of each prompt by gold."""
    from rlaif.records import Message

    path, score = folder / "labelled.jsonl", gold(told.seed)
    if path.is_file():
        return path
    lines = []
    for prompt, texts in drawn(SKILL, told.skill, folder):
        ranked = sorted(
            zip(score([(Message(role="user", content=prompt),)] * len(texts), texts), texts, strict=True)
        )
        (low, worst), (high, best) = ranked[0], ranked[-1]
        if high > low:
            at = len(lines) % 2
            human = {"preferred": at}
            pair = [worst, best] if at else [best, worst]
            known = {"id": f"{at}-{prompt}", "source": "cover", "dimension": "quality", "slice": "cover"}
            lines.append({**known, "prompt": prompt, "responses": pair, "human": human, "meta": {}})
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def skill(model: str, name: str, told: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Ask a policy to judge the held-out pairs.

    Returns:
        ``accuracy``, undecided pairs a half, with its interval over prompts; of replies: ``read``, the share
        with a score, and ``exact``, the share of these with the very points of the script.
    """
    import rlaif
    from rlaif.judging.additive import AdditiveConfig

    path, words, store = labelled(told, folder), COVER / "constitution.yaml", folder / f"skill-{name}"
    judge = AdditiveConfig.model_validate({**JUDGE, "model": f"local:{model}"})
    card = rlaif.audit(path, judge=judge, constitution=words, probes="none", store=store)
    [cell] = [one for one in card.cells.values() if one.slice == "cover"]
    asked = map(json.loads, path.read_text().splitlines())
    points = {text: judgement(one["prompt"], text)[1] for one in asked for text in one["responses"]}
    query = "SELECT response, expected FROM scores JOIN samples ON samples.id = sample_id"
    replies = rlaif.sql(query, store=store).to_pylist()
    read = [one for one in replies if one["expected"] is not None]
    interval = cell.agreement.acc_ci
    return {
        "pairs": cell.coverage.n, "accuracy": cell.agreement.acc, "interval": interval and list(interval),
        "replies": len(replies), "read": len(read) / len(replies),
        "exact": sum(one["expected"] == points[one["response"]] for one in read) / max(len(read), 1),
    }  # fmt: skip


def iteration(told: argparse.Namespace, folder: Path) -> Path:
    """Write the iteration file and its prompts."""
    lines = [json.dumps({"prompt": asking(number)}) for number in range(told.prompts)]
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    draws = {"temperature": 1.0, "max_tokens": TOKENS}
    train = {"epochs": 2, "dtype": "bfloat16", "data": {"test_share": 0.0}}
    sft = {**train, "data": {"test_share": 0.0, "path": str(taught(told, folder))}}
    asked = {
        "schema_version": 1, "name": "self_rewarding", "seed": told.seed, "output": str(folder / "rounds"),
        "rounds": told.rounds, "prompts": {"path": "prompts.jsonl", "test_share": 0.3},
        "begin": {**sft, "method": "sft", "batch": 16, "lr": 5e-5},
        "sample": {"k": 4, "params": draws},
        "judge": {"constitution": str(COVER / "constitution.yaml"), "judge": {**JUDGE, "model": "policy"}},
        "train": {**train, "method": "dpo", "batch": 8, "lr": 1e-5},
        "evaluation": {"k": 4, "params": draws},
    }  # fmt: skip
    path = folder / "iterate.yaml"
    path.write_text(json.dumps(asked))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("outputs/self_rewarding"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--prompts", type=int, default=80, help="prompts of the rounds, 3 in 10 to measure on"
    )
    parser.add_argument("--ift", type=int, default=40, help="prompts of the sentences M1 imitates")
    parser.add_argument("--eft", type=int, default=90, help="prompts of the judgements M1 imitates")
    parser.add_argument("--skill", type=int, default=60, help="prompts of the pairs that test judges")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    from rlaif.iterations import iterate, load_iteration

    folder, started = told.output.resolve(), time.process_time()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rlaif.toml").write_text('[local]\ndtype = "bfloat16"\n')
    os.environ["RLAIF_CONFIG"] = str(folder / "rlaif.toml")
    outcome = iterate(load_iteration(iteration(told, folder)), resume=True, gold=gold(told.seed))
    policies: list[dict[str, Any]] = [{"name": "M0", "judging": skill(MODEL, "M0", told, folder)}]
    for row in outcome.rows:
        name = f"M{row.round + 1}"
        judging = skill(row.policy.name, name, told, folder)
        policies.append({"name": name, **dict(row.numbers()), "notices": row.notices, "judging": judging})
    told.output = str(told.output)
    seconds = round(time.process_time() - started)
    print(json.dumps({"benchmark": "self_rewarding", **vars(told), "cpu_seconds": seconds, "rows": policies}))


if __name__ == "__main__":
    main()
