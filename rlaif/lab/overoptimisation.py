"""How far to optimise: sweep, measure, choose, and write it down.

Owns the run of a sweep from its file to its curve. Leaves points to ``choosing``, ``asking`` and
``teaching``, what they say together to ``curve``, and the folder to ``files``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from rlaif.errors import BudgetError
from rlaif.lab.asking import Bench, measured, pools, prompts_of, write_prompts
from rlaif.lab.choosing import chosen_features, draws_for, pooled, shifted_features, spoken
from rlaif.lab.config import BestOfN, Bonus, Control, Kl, Proxy, Sweeping
from rlaif.lab.curve import CLEAR, Curve, Point, drawn_up
from rlaif.lab.files import Folder
from rlaif.lab.preferring import Judged, Matched, preferred
from rlaif.lab.scoring import gold_of, proxy_of
from rlaif.lab.teaching import data_for, taught
from rlaif.lab.worlds import World
from rlaif.settings import Settings
from rlaif.training.reporting import Watch
from rlaif.training.rollouts import Draw
from rlaif.training.scoring import RewardModel

Told = Callable[[Point], None]
"""Called with every point that is finished."""


def overoptimise(
    sweeping: Sweeping, *, resume: bool = False, watch: Watch | None = None, told: Told | None = None
) -> Curve:
    """Run a sweep, or go on with it, and write its curve.

    Args:
        sweeping: what to optimise, where, and how far.
        resume: points that are finished are not made again.
        watch: told every metric of every training run.
        told: told every point.

    Raises:
        InputError: the folder holds another sweep or one of another model, or a model cannot be used.
        BudgetError: the judge's calls would cost more than the budget, which is one for all points.
        JobError: a training run failed.
        StoreError: the disk is full or refuses writes.
    """
    folder = Folder(sweeping, resume=resume)
    start, others = _points(sweeping, folder, watch, told or (lambda _: None))
    curve = drawn_up(sweeping.name, _about(sweeping), start, others)
    if sweeping.control != "none":
        curve = curve.model_copy(update={"notices": (control(sweeping.control, curve), *curve.notices)})
    folder.write(curve)
    return curve


def control(kind: Control, curve: Curve) -> str:
    """Say whether a control came out as it has to: by gold, at the point farthest from the start.

    Args:
        kind: what was done to the proxy; with a proxy that is worth something, ``flip`` lowers gold, and
            neither of the others moves it.
        curve: what came of it.
    """
    last = max(curve.points, key=lambda one: one.d)
    moved = last.gain(curve.start)
    far = CLEAR * (moved.error or 0.0)
    behaves = moved.mean < -far if kind == "flip" else abs(moved.mean) <= far
    return (
        f"control {kind}: gold has to {'fall' if kind == 'flip' else 'stay'}, and at {last.name} it is"
        f" {moved.mean:+.3g} (standard error {moved.error or 0.0:.2g}) over the start:"
        f" {'as it should' if behaves else 'NOT as it should'}"
    )


def _points(sweeping: Sweeping, folder: Folder, watch: Watch | None, told: Told) -> tuple[Point, list[Point]]:
    best_of_n = isinstance(sweeping.sweep, BestOfN)
    if sweeping.world == "features":
        return chosen_features(sweeping) if best_of_n else shifted_features(sweeping)
    world = World.drawn(sweeping.world, sweeping.seed)
    if sweeping.model is None:
        return pooled(spoken(sweeping, world, draws_for(sweeping)), _whole(sweeping))
    size = sweeping.drawn
    held_out, teaching = prompts_of(world, size.prompts, size.teaching)
    bench = _bench(sweeping, world, write_prompts(folder.root / "held_out.jsonl", held_out))
    if best_of_n:
        found = pools(bench, folder.root / f"pool-{bench.how.samples}.jsonl")
        return pooled(found, _whole(sweeping))
    return _trained(sweeping, bench, folder, teaching, (watch, told))


def _trained(
    sweeping: Sweeping,
    bench: Bench,
    folder: Folder,
    teaching: list[str],
    listeners: tuple[Watch | None, Told],
) -> tuple[Point, list[Point]]:
    """Train and measure a policy for each value, those that are finished aside."""
    watch, told = listeners
    if bench.judge is not None:
        bench.judge([])  # what is wrong with it is to be said before hours of training
    data = data_for(sweeping, bench, teaching, folder.root)

    def point(name: str, value: float | None) -> Point:
        done = folder.point(name)
        if done is None:
            model = bench.start
            if value is not None:
                model = taught(sweeping, bench, value, data, folder.run(name), watch).folder
            done = measured(bench, name, value, model)
            folder.keep(done)
        told(done)
        return done

    what = "beta" if isinstance(sweeping.sweep, Kl) else "step"
    start = point("start", None)
    # In order, because of the points of one run each goes on from the one before.
    values = sweeping.sweep.values if what == "beta" else sorted(sweeping.sweep.values)
    return start, [point(f"{what} = {value:g}", float(value)) for value in values]


def _bench(sweeping: Sweeping, world: World, prompts: Path) -> Bench:
    assert sweeping.model is not None
    trains = not isinstance(sweeping.sweep, BestOfN)
    by = sweeping.held_out
    samples = sweeping.drawn.samples if trains else draws_for(sweeping)
    return Bench(
        start=sweeping.model, prompts=prompts, how=Draw(samples=samples, max_tokens=sweeping.max_tokens),
        seed=sweeping.seed, proxy=proxy_of(sweeping, world),
        held_out=by if isinstance(by, RewardModel) else gold_of(sweeping, world),
        said=prompts.parent / "responses" if trains else None,
        judge=_asking(by, prompts.parent / "judged") if isinstance(by, Judged) else None,
    )  # fmt: skip


def _asking(judged: Judged, store: Path) -> Callable[[Sequence[Matched]], Sequence[float | None]]:
    """A judge as a bench asks it; its budget is one for all points, for the folder's journal counts them."""

    def ask(matches: Sequence[Matched]) -> Sequence[float | None]:
        try:
            return asyncio.run(preferred(judged, matches, store, Settings.load())).p
        except BudgetError as error:
            raise BudgetError(f"{error}, and --resume") from None

    return ask


def _about(sweeping: Sweeping) -> dict[str, str | int | float | None]:
    return {
        "sweep": sweeping.sweep.kind, "world": sweeping.world, "proxy": _named(sweeping.proxy),
        "control": sweeping.control, "seed": sweeping.seed, "size": sweeping.size,
        "model": sweeping.model or "a table",
        "held_out": _second(sweeping),
    }  # fmt: skip


def _second(sweeping: Sweeping) -> str:
    by = sweeping.held_out
    if by is None:
        return "gold"
    return by.name if isinstance(by, Judged) else by.model


def _named(proxy: Proxy) -> str:
    if isinstance(proxy, Bonus):
        return f"gold and {proxy.size:g} for {proxy.symptom}"
    if isinstance(proxy, RewardModel):
        return proxy.model
    return "gold" if proxy.kind == "gold" else "its own flawed measure"


def _whole(sweeping: Sweeping) -> list[int]:
    return [int(one) for one in sweeping.sweep.values]
