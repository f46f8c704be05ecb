"""Folders as training runs and iterations leave them, without training anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlaif.iterations.records import Figures, Opinion, Policy, Row
from rlaif.lab.config import Sweeping
from rlaif.lab.overoptimisation import overoptimise

GOLD = (0.10, 0.30, 0.42, 0.40, 0.22, 0.05)
PROXY = (0.1, 0.4, 0.7, 1.0, 1.3, 1.5)
KL = (0.0, 1.0, 4.0, 9.0, 16.0, 25.0)


def run(
    folder: Path,
    lines: Sequence[Mapping[str, Any]],
    method: str = "dpo",
    *,
    finished: bool = True,
    **told: Any,
) -> Path:
    """Write one run."""
    folder.mkdir(parents=True)
    config = {
        "method": method, "model": "smollm2-135m-instruct", "output": str(folder), "steps": len(lines),
        "data": {"path": "outputs/quickstart/exports/latest", "table": "helpfulness"},
        "parent": "smollm2-135m-instruct", "parent_digest": "0" * 64, "data_digest": "1" * 64, **told,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if finished:
        (folder / "final").mkdir()
        lineage = {"method": method, "parent": "smollm2-135m-instruct", "steps": len(lines)}
        (folder / "final" / "lineage.json").write_text(json.dumps(lineage))
    return folder


def dpo(folder: Path, updates: int = 40, *, lift: float = 0.0, **more: Any) -> Path:
    """A run whose loss falls evenly, evaluated twice."""
    lines: list[dict[str, Any]] = [{"step": 0, "data/rows": 100.0, "data/used": 97.0}]
    for step in range(1, updates + 1):
        share = step / updates
        lines.append(
            {"step": step, "loss": 0.69 - 0.3 * share + lift, "margin": 0.8 * share, "accuracy": 0.5}
        )
        if step in (updates // 2, updates):
            lines.append({"step": step, "eval/loss": 0.69 - 0.1 * share, "eval/accuracy": 0.5 + 0.2 * share})
    return run(folder, lines, **more)


def ppo(folder: Path, updates: int = 60, **more: Any) -> Path:
    """A policy whose score rises while its gold rises and falls: a parabola in the distance."""
    lines = []
    for step in range(1, updates + 1):
        distance = 5 * step / updates
        gold = 0.6 * distance - 0.12 * distance**2
        lines.append({"step": step, "score": 0.5 * distance, "gold": gold, "kl": distance**2, "length": 30.0})
    return run(folder, lines, "ppo", **more)


def opinion(mean: float, error: float = 0.02) -> Opinion:
    return Opinion(mean=mean, error=error, prompts=50, unreadable=0.0)


def row(number: int, gold: float | None, proxy: float, kl: float, **symptoms: float) -> Row:
    figures = Figures(
        responses=100, proxy=opinion(proxy), second=None, gold=None if gold is None else opinion(gold), kl=kl,
        kl_k3=kl, tokens=40.0 + number, cut=0.0, symptoms=symptoms,
    )  # fmt: skip
    policy = Policy(name=f"policy-{number}", digest=f"{number}" * 8)
    return Row(
        round=number, policy=policy, parent=None, made=None, data_digest=None, figures=figures, spent=0.0,
        notices=(),
    )  # fmt: skip


def rounds(folder: Path, gold: Sequence[float | None] = GOLD, asked: int | None = None) -> Path:
    """An iteration: one row a round, and the numbers of all."""
    folder.mkdir(parents=True)
    (folder / "prompts").mkdir()
    told = {
        "rounds": len(gold) - 1 if asked is None else asked,
        "model": "smollm2-135m-instruct",
        "judge": {},
    }
    (folder / "config.json").write_text(json.dumps(told))
    rows = [row(at, one, PROXY[at], KL[at], hedging=0.05 * at) for at, one in enumerate(gold)]
    lines = ({"step": one.round, **dict(one.numbers())} for one in rows)
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for one in rows:
        (folder / f"round-{one.round}").mkdir()
        (folder / f"round-{one.round}" / "row.json").write_text(one.model_dump_json())
    return folder


def sweep(folder: Path, size: str = "toy") -> Path:
    """A sweep of the laboratory over a table: best of n by a proxy that cannot see where gold bends."""
    asked = {
        "schema_version": 1, "name": "best_of_n", "output": str(folder), "size": size, "world": "features",
        "proxy": {"kind": "world", "comparisons": 5000},
        "sweep": {"kind": "best_of_n", "values": [2**power for power in range(1, 13)]},
    }  # fmt: skip
    overoptimise(Sweeping.model_validate(asked))
    return folder
