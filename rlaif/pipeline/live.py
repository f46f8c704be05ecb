"""A job while it runs, as its owner sees it: what to turn and what to read.

Owns the handle ``run_in`` fills in. Leaves stopping to the runner, the cap to the budget and counting calls
to the clients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rlaif.errors import RlaifError
from rlaif.jobs import Runner
from rlaif.pipeline.config import JudgeStage, Loaded, PreferStage, SampleStage
from rlaif.pipeline.models import Models
from rlaif.pipeline.revise import ReviseStage
from rlaif.providers.budget import Budget
from rlaif.records import Fact, Judgment, Score, TaskState


@dataclass(frozen=True, slots=True)
class Planned:
    """One stage of a pipeline before it runs."""

    stage: str
    """Its name, as its tasks carry it."""
    tasks: int
    """Most tasks it can have: pairs that turn out identical need none."""
    asks: bool
    """Whether its tasks call models."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Where a job stands at one moment. Money in USD."""

    sent: int = 0
    """Attempts sent in this run."""
    cached: int = 0
    """Calls answered from the journal in this run."""
    retries: int = 0
    """Attempts that followed a failed one."""
    rate_limited: int = 0
    """Attempts refused for coming too fast."""
    faults: dict[str, int] = field(default_factory=dict)
    """Failed attempts by reason."""
    in_flight: int = 0
    """Attempts out now, to all models together."""
    limit: int = 0
    """Attempts that may be out now, to all models together."""
    spent: float = 0.0
    """Settled over all runs of the job."""
    reserved: float = 0.0
    """Held for attempts in flight."""
    cap: float | None = None
    """Most the job may cost."""


@dataclass(slots=True)
class Live:
    """The handle of one running job. Before the job is under way a stop is kept for it, and figures are 0."""

    at: int = -1
    """Which stage of the pipeline runs; -1 before the first."""
    ended: int = 0
    """Tasks that ended in this run."""
    invalid: Counter[str] = field(default_factory=Counter)
    """Answers of judges that hold no verdict, by status, in this run."""
    failures: Counter[str] = field(default_factory=Counter)
    """Failed tasks of this run by reason."""
    _runner: Runner | None = None
    _budget: Budget | None = None
    _models: Models | None = None
    _stop: RlaifError | None = None

    @property
    def under_way(self) -> bool:
        """Whether the job runs its stages, and so records by itself how it ends."""
        return self._runner is not None

    def begin(self, runner: Runner, budget: Budget, models: Models) -> None:
        """Take hold of a job that is about to run its stages."""
        self._runner, self._budget, self._models = runner, budget, models
        if self._stop is not None:
            runner.stop(self._stop)

    def told(self, state: TaskState, records: Sequence[Fact]) -> None:
        """Count what one task came to."""
        self.ended += 1
        if state.state == "failed":
            self.failures[state.reason] += 1
        for one in records:
            if isinstance(one, Judgment | Score) and one.status != "ok":
                self.invalid[one.status] += 1

    def stop(self, reason: RlaifError | None = None) -> None:
        """Send nothing more; the job ends once what is in flight has ended, at most ten seconds from now,
        and at once when it is told a second time.

        Args:
            reason: what the job ends with; when None, that a signal came.
        """
        self._stop = reason
        if self._runner is not None:
            self._runner.stop(reason)

    def change_cap(self, cap: float) -> None:
        """Let the job cost so many USD in all.

        Raises:
            InputError: the cap is no amount, or less than what is spent and held already.
        """
        if self._budget is not None:
            self._budget.change(cap)

    def figures(self) -> Figures:
        """Read where the job stands."""
        if self._budget is None or self._models is None:
            return Figures()
        every = [client.stats for client in self._models.clients.values()]
        return Figures(
            sent=sum(one.sent for one in every),
            cached=sum(one.cached for one in every),
            retries=sum(one.retries for one in every),
            rate_limited=sum(one.rate_limited for one in every),
            faults=dict(sum((one.faults for one in every), Counter())),
            in_flight=sum(one.in_flight for one in every),
            limit=sum(one.limit for one in every),
            spent=self._budget.spent,
            reserved=self._budget.reserved,
            cap=self._budget.cap,
        )


def planned(loaded: Loaded, prompts: int) -> list[Planned]:
    """Name the stages of a pipeline over so many prompts, and the most tasks each can have."""
    stages = loaded.pipeline.stages
    drawn = sum(policy.k for one in stages if isinstance(one, SampleStage) for policy in one.policies)
    found: list[Planned] = []
    for stage, mode, constitution in zip(stages, loaded.modes, loaded.constitutions, strict=True):
        axis = "" if constitution is None else constitution.axis
        match stage:
            case SampleStage():
                found.append(Planned("sample", prompts * drawn, asks=True))
            case ReviseStage():
                found.append(Planned(f"revise {axis}", prompts * drawn, asks=True))
            case JudgeStage():
                assert mode is not None  # the loader made one for every judge stage
                each = sum(one.tasks(drawn) for one in mode.askers)
                found.append(Planned(f"judge {axis}", prompts * each, asks=True))
            case PreferStage():
                found.append(Planned(f"prefer {stage.axis}", 1, asks=False))
            case _:
                found.append(Planned(stage.kind, 1, asks=False))
    return found
