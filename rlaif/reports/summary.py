"""The figures of a report as plain JSON.

Owns the names a script may rely on. Leaves the definitions to ``statistics``.
"""

from __future__ import annotations

from dataclasses import asdict

from rlaif.reports.figures import Figures, SetFigures
from rlaif.reports.notices import notices
from rlaif.reports.statistics import AxisTally, Share


def describe(figures: Figures) -> dict[str, object]:
    """Return the figures as JSON-like data, with the same keys for every job."""
    job = figures.source.job
    return {
        "job": {"id": job.id, "name": job.name, "seed": job.seed},
        "prompts": _splits(figures.prompts),
        "samples": figures.samples,
        "models": {name: asdict(one) for name, one in sorted(figures.models.items())},
        "sets": {one.made.axis: _set(one) for one in figures.sets},
        "agreement": {f"{one}|{other}": _axes(tally) for (one, other), tally in figures.agreement.items()},
        "spend": asdict(figures.source.bill),
        "sources": [
            {"source": source, "licence": licence, "prompts": count}
            for source, licence, count in figures.provenance
        ],
        "notices": [asdict(one) for one in notices(figures)],
    }


def _set(one: SetFigures) -> dict[str, object]:
    made, order, lengths = one.made, one.order, one.lengths
    return {
        "id": made.id,
        "name": made.name,
        "judge": made.judge,
        "constitution": made.constitution,
        "template": made.template,
        "both_orders": made.both_orders,
        "audited": made.audited,
        "rows": _splits(one.splits),
        "labels": {"desirable": one.labels[True], "undesirable": one.labels[False]},
        "prompts": one.prompts,
        "pairs": made.pairs,
        "counts": dict(sorted(made.counts.items())),
        "order": {
            "calls": order.calls,
            "failures": dict(sorted(order.failures.items())),
            "first_pick": _share(order.first_pick),
            "called_tie": order.called_tie,
            "both": order.both,
            "consistent": order.consistent,
            "conflict": order.conflict,
            "tied": order.tied,
            "rescued": order.rescued,
            "consistency": _share(order.consistency),
            "hard_ties": _share(order.hard_ties),
            "mean_mass": order.mean_mass,
        },
        "lengths": {
            "longest_wins": _share(lengths.longest_wins),
            "equal": lengths.equal,
            "mean_chosen": lengths.mean_chosen,
            "mean_rejected": lengths.mean_rejected,
        },
        "own_samples": one.own,
    }


def _share(share: Share) -> dict[str, object]:
    interval = None if share.interval is None else list(share.interval)
    return {"count": share.count, "total": share.total, "value": share.value, "ci95": interval}


def _axes(tally: AxisTally) -> dict[str, object]:
    return {**asdict(tally), "agreement": _share(tally.agreement)}


def _splits(counted: dict[str, int]) -> dict[str, int]:
    return {"train": counted.get("train", 0), "test": counted.get("test", 0)}
