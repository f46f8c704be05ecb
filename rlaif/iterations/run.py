"""The rounds themselves: draw, choose, train, measure, and again from what came out.

Owns the order of things and the chain from each policy to its parent, which is checked by content at every
link. Leaves what each step does to the modules beside it.

Nothing that has been done is done again: rows of finished rounds are read, a job finds its calls in the
journal, a training run goes on from its newest checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rlaif.checkpoints import Lineage, identity, read_lineage
from rlaif.errors import BudgetError, InputError, Interrupted, JobError
from rlaif.iterations.config import Loaded
from rlaif.iterations.folder import Folder
from rlaif.iterations.jobs import FREE, Jobs, Money
from rlaif.iterations.making import make, spoiled, with_earlier
from rlaif.iterations.measuring import measure
from rlaif.iterations.notices import notices
from rlaif.iterations.opinions import Scoring
from rlaif.iterations.records import Made, Outcome, Policy, Row
from rlaif.jobs import Listener
from rlaif.training import methods
from rlaif.training.controls import STILL_RATE
from rlaif.training.methods import AnyConfig
from rlaif.training.reporting import Watch
from rlaif.training.scoring import Score


def iterate(
    loaded: Loaded,
    *,
    resume: bool = False,
    money: Money = FREE,
    score: Score | None = None,
    gold: Score | None = None,
    listener: Listener | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Run the rounds of an iteration, or go on with them.

    Call it where no event loop runs.

    Args:
        loaded: what to do.
        resume: go on in an output folder that is there.
        money: what all calls may cost; a budget is needed where any costs something.
        score: who chooses, where the file names neither judge nor reward.
        gold: a score nothing is chosen by, for the table.
        listener: hears how jobs go on.
        watch: told every metric of training.

    Raises:
        InputError: something asked for cannot be used, or the folder holds something else.
        BudgetError: the cap was reached; everything bought is kept.
        Interrupted: a signal stopped it.
        JobError: too many calls failed, a round made no pair, or a loss stayed not a number.
        StoreError: another process uses the folder.
    """
    return _Rounds(loaded, resume, money, (score, gold), listener or _Quiet(), watch).run()


class _Rounds:
    """One iteration under way."""

    def __init__(
        self,
        loaded: Loaded,
        resume: bool,
        money: Money,
        called: tuple[Score | None, Score | None],
        listener: Listener,
        watch: Watch | None,
    ) -> None:
        self._config, self._watch = loaded.config, watch
        score, gold = called
        choosing = [self._config.judge, self._config.reward, score]
        if sum(one is not None for one in choosing) != 1:
            raise InputError(
                f"found {3 - choosing.count(None)} that choose between responses; name one: judge or reward"
                " in the file, or iterate(loaded, score=...) from Python",
                path=loaded.path, field="judge",
            )  # fmt: skip
        scored = self._config.judge is None
        self._scoring = Scoring(self._config.reward, score) if scored else None
        self._gold = Scoring(None, gold) if gold is not None else None
        self._base = Policy(name=self._config.model, digest=identity(self._config.model))
        self._jobs = Jobs(loaded, money, listener)
        self._folder = Folder(loaded, resume=resume)
        self._rows = self._folder.rows()
        self._jobs.spent = sum(row.spent for row in self._rows)
        self._again = f"rlaif iterate {' '.join((str(loaded.path), *loaded.overrides))} --resume"

    def run(self) -> Outcome:
        for row in self._rows:
            _same(row.policy)
        while len(self._rows) <= self._config.rounds:
            number = len(self._rows)
            try:
                row = self._round(number) if number else self._beginning()
            except (BudgetError, Interrupted, JobError) as error:
                raise type(error)(f"round {number}: {error}; then: {self._again}") from None
            self._rows.append(row)
            self._folder.add(self._rows)
        rows = self._rows[: self._config.rounds + 1]
        return Outcome(
            folder=str(self._folder.root), policy=rows[-1].policy.name, best=best(rows), rows=tuple(rows)
        )

    def _beginning(self) -> Row:
        """Measure the first policy, which is trained before where the file says so."""
        bought = self._jobs.bought
        lineage = parent = None
        policy = self._base
        if self._config.begin is not None:
            output = str(self._folder.root / "start")
            told = {"model": policy.name, "output": output, **self._rates()}
            config = self._config.begin.model_copy(update=told)
            parent = policy
            policy, lineage = self._trained(config, parent)
        return self._row(0, policy, bought, parent=parent, made=None, lineage=lineage)

    def _round(self, number: int) -> Row:
        """Draw from the last policy, train, and measure what came out."""
        bought, drawer = self._jobs.bought, self._rows[-1].policy
        made = asyncio.run(make(self._jobs, self._folder, number, drawer, self._scoring))
        before = [row.made for row in self._rows if row.made is not None]
        path = Path(made.path)
        if self._config.keep_earlier:
            path = with_earlier([*before, made], path.with_name("kept.jsonl"))
        path = spoiled(path, self._config)
        parent = drawer if self._config.train_from == "previous" else self._rows[0].policy
        train = self._config.train
        config = train.model_copy(
            update={
                "model": parent.name,
                "data": train.data.model_copy(update={"path": str(path), "table": None}),
                "output": str(self._folder.round(number) / "policy"),
                **self._rates(),
            }
        )
        policy, lineage = self._trained(config, parent)
        return self._row(number, policy, bought, parent=parent, made=made, lineage=lineage)

    def _rates(self) -> dict[str, float]:
        return {"lr": STILL_RATE} if self._config.control == "still" else {}

    def _trained(self, config: AnyConfig, parent: Policy) -> tuple[Policy, Lineage]:
        """Train, or go on training, and return what came out once its parent is shown to be the one meant."""
        folder = Path(config.output) / "final"
        if not (folder / "lineage.json").is_file():
            methods.train(config, resume=True, watch=self._watch)
        lineage = read_lineage(folder)
        if lineage is None or lineage.parent_digest != parent.digest:
            found = None if lineage is None else lineage.parent_digest[:12]
            raise InputError(
                f"this policy was trained from the checkpoint {found!r} and not from {parent.digest[:12]!r},"
                f" which is in {parent.name!r} now; remove the folder of this run and go on with:"
                f" {self._again}",
                path=Path(config.output),
            )
        return Policy(name=str(folder), digest=identity(str(folder))), lineage

    def _row(
        self,
        number: int,
        policy: Policy,
        bought: tuple[float, int],
        *,
        parent: Policy | None,
        made: Made | None,
        lineage: Lineage | None,
    ) -> Row:
        first = self._rows[0].policy if self._rows else policy
        scorings = (self._scoring, self._gold)
        figures = asyncio.run(measure(self._jobs, self._folder, number, (policy, first), scorings))
        return Row(
            round=number,
            policy=policy,
            parent=parent,
            made=made,
            data_digest=None if lineage is None else lineage.data_digest,
            figures=figures,
            spent=self._jobs.spent - bought[0],
            calls=self._jobs.calls - bought[1],
            notices=notices(self._rows[0].figures, figures) if self._rows else (),
        )


def best(rows: Sequence[Row]) -> int | None:
    """Return the round whose policy gold, or else the second judge, finds best, the earliest of equals."""
    for name in ("gold", "second"):
        known = {
            row.round: opinion.mean
            for row in rows
            if (opinion := row.figures.opinions.get(name)) is not None and opinion.mean is not None
        }
        if known:
            return max(known, key=lambda at: (known[at], -at))
    return None


def _same(policy: Policy) -> None:
    """Refuse to go on from a policy that is no longer the one it was."""
    found = identity(policy.name)
    if found != policy.digest:
        raise InputError(
            f"the checkpoint {policy.digest[:12]!r} has become {found[:12]!r} since its round was done;"
            " restore it, or remove this round and all later ones",
            path=Path(policy.name),
        )


class _Quiet:
    """A listener that says nothing."""

    def stage(self, name: str, total: int) -> None:
        """Hear of a stage."""

    def task(self, ok: bool) -> None:
        """Hear of a task."""
