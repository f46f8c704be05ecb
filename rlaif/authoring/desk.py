"""Where pairs are put before one judge under any number of constitutions, and what that costs is counted.

Owns the way from pairs to comparisons outside a job: clients, chunks, the records kept, the bill. What
decides whether a call is bought is the question alone, so an edit that leaves a question as it was
leaves its reply bought. Leaves asking to ``judging``, buying to the client and averaging to the mode.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_json

from rlaif.complaints import complaints
from rlaif.constitution import Constitution
from rlaif.errors import InputError
from rlaif.judging import Answer, Answers, AnyJudge, Asker, Context, Mode, Pair, build
from rlaif.pipeline import opened
from rlaif.pipeline.models import Models, prices
from rlaif.preferences import Comparison, Pairing
from rlaif.providers.base import Caller, Request
from rlaif.providers.budget import Budget
from rlaif.providers.client import Answer as Bought
from rlaif.providers.client import Client
from rlaif.providers.limits import Limits
from rlaif.providers.prices import Price, cost
from rlaif.records import Fact, digest, unpairable
from rlaif.settings import Settings
from rlaif.store import Workspace
from rlaif.yamlfile import apply_overrides

JUDGED: Final = Path("outputs/judged")
"""Folder of calls made outside jobs; what any of them bought serves all."""
CHUNK: Final = 256
"""Groups asked about, then committed, at a time."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be spent and where calls are kept."""

    budget: float | None = None
    """Most USD; needed when the judge costs anything."""
    allow_unpriced: bool = False
    """Call models whose price is unknown; no cap can hold then."""
    store: Path = JUDGED
    """Output folder whose journal keeps the calls."""
    knob: str = "--budget USD"
    """How the caller sets a budget, for messages."""
    agreed: bool = False
    """Whether somebody agreed to spend without one."""
    lasting: bool = False
    """Whether the budget is one for all that this judge is ever asked in the folder: it then begins from what
    earlier calls have cost, or may have cost where a process was cut off."""


@dataclass(slots=True)
class Bill:
    """What judging some pairs asked for. Tokens and dollars count reused calls too: they are what the
    same judging costs where nothing is bought yet.
    """

    calls: int = 0
    """Calls asked for."""
    reused: int = 0
    """Calls answered from the journal: nothing was sent for them."""
    input_tokens: int = 0
    """Tokens read."""
    output_tokens: int = 0
    """Tokens drawn."""
    usd: float = 0.0
    """Their price; 0 for tokens of a model whose price is unknown."""
    spent: float = 0.0
    """USD of the calls that were bought now."""

    @property
    def bought(self) -> int:
        """Calls that were sent for."""
        return self.calls - self.reused

    @property
    def tokens(self) -> int:
        """Tokens read and drawn."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Bill) -> Bill:
        return Bill(*(getattr(self, name) + getattr(other, name) for name in Bill.__slots__))


@dataclass(frozen=True, slots=True)
class _Metered:
    """A client whose calls are counted on one bill."""

    client: Client
    price: Price | None
    bill: Bill

    async def call(self, request: Request) -> Bought:
        """Answer one request; see ``Caller``."""
        answer = await self.client.call(request)
        usage, bill = answer.reply.usage, self.bill
        usd = 0.0 if self.price is None else cost(self.price, usage)
        bill.calls += 1
        bill.reused += answer.cached
        bill.input_tokens += usage.input_tokens
        bill.output_tokens += usage.output_tokens
        bill.usd += usd
        bill.spent += 0.0 if answer.cached else usd
        return answer


@dataclass(frozen=True)
class Judged:
    """What a judge said about some pairs under one constitution."""

    comparisons: tuple[Comparison | None, ...]
    """One a pair, both orders averaged; None for equal or empty texts, which are never asked about."""
    reasons: tuple[str, ...]
    """One a pair: why a call gave no verdict; empty when all did."""
    bill: Bill
    """What that took."""


@dataclass
class Desk:
    """One judge, ready for pairs; made by ``open_desk``."""

    mode: Mode
    models: Models
    rates: dict[str, Price | None]
    workspace: Workspace
    job_id: str
    _kept: set[str] = field(default_factory=set)

    async def judge(self, constitution: Constitution, pairs: Sequence[Pair], seed: int = 0) -> Judged:
        """Judge pairs under one constitution.

        Args:
            constitution: what to judge by.
            pairs: what to judge; a pair that comes twice is asked about once.
            seed: seed of what the question draws, the pipeline's for the pairs of a set.

        Raises:
            InputError: the judge needs something the prompts do not have.
            BudgetError: the budget leaves no room for the next call; what was answered is kept.
            CallError: no call to this model can succeed, e.g. because of a wrong key.
        """
        context = Context.of(constitution, seed)
        self.mode.check({one.prompt.id: one.prompt for one in pairs}.values(), context)
        bill = Bill()
        await self._keep([constitution.document(), *self.mode.documents])
        await self._keep([fact for one in pairs for fact in (one.prompt, one.first, one.second)])
        answers = [await self._answers(asker, pairs, context, bill) for asker in self.mode.askers]
        found = self.mode.learned([answers]).compare(answers, Pairing())
        by_pair = {(one.prompt_id, one.a_id, one.b_id): one for one in found}
        failed = {one.id: one.reason for part in answers for one in part if one.reason}
        comparisons = tuple(by_pair.get(_key(one)) for one in pairs)
        return Judged(comparisons, tuple(_reason(one, failed) for one in comparisons), bill)

    async def _answers(
        self, asker: Asker, pairs: Sequence[Pair], context: Context, bill: Bill
    ) -> list[Answer]:
        groups = {
            tuple(sample.id for sample in group): (one.prompt, group)
            for one in pairs
            if unpairable(one.first, one.second) is None
            for group in asker.groups([one.first, one.second])
        }
        tasks = list(groups.values())
        found: list[Answer] = []
        for at in range(0, len(tasks), CHUNK):
            asked = (
                asker.ask(_Callers(self, bill), prompt, group, context)
                for prompt, group in tasks[at : at + CHUNK]
            )
            # All calls end before an error leaves: what was asked is paid for.
            found += await self._settled(await asyncio.gather(*asked, return_exceptions=True))
        return found

    async def _settled(self, ended: Sequence[Answers | BaseException]) -> list[Answer]:
        """Keep what was answered, and raise what went wrong."""
        made = [answer for one in ended if not isinstance(one, BaseException) for answer in one]
        await self._keep([one for one in made if one.status != "transport_failed"])
        for one in ended:
            if isinstance(one, BaseException):
                raise one
        return made

    async def _keep(self, records: Sequence[Fact]) -> None:
        """Commit what is not in the store yet: asking again leaves the journal as it is."""
        fresh = {one.id: one for one in records if one.id not in self._kept}
        self._kept.update(fresh)
        for model in {type(one) for one in fresh.values()}:
            for held in self.workspace.store.read(model, "id IN (SELECT unnest(?))", [list(fresh)]):
                del fresh[held.id]
        if fresh:
            await self.workspace.commit(list(fresh.values()), job_id=self.job_id)


@dataclass(frozen=True, slots=True)
class _Callers:
    """Gives the client of a model spec, counting on one bill."""

    desk: Desk
    bill: Bill

    def __call__(self, spec: str) -> Caller:
        return _Metered(self.desk.models.client(spec), self.desk.rates[spec], self.bill)


@asynccontextmanager
async def open_desk(judge: AnyJudge, terms: Terms) -> AsyncIterator[Desk]:
    """Open a judge and the folder its calls are kept in, for the length of a command.

    Raises:
        InputError: an unusable judge, or one that costs while there is no budget.
        UnpricedError: no price is known for a model.
        StoreError: another process uses the folder.
    """
    settings = Settings.load()
    _priced(build(judge), settings, terms)  # said before a folder is made
    async with opened(terms.store) as workspace, desk_in(workspace, settings, judge, terms) as desk:
        yield desk


@asynccontextmanager
async def desk_in(
    workspace: Workspace, settings: Settings, judge: AnyJudge, terms: Terms
) -> AsyncIterator[Desk]:
    """Open a judge whose calls are kept in a folder that is open already; ``terms.store`` counts nothing.

    Raises:
        InputError: an unusable judge, or one that costs while there is no budget.
        UnpricedError: no price is known for a model.
    """
    mode = build(judge)
    rates = _priced(mode, settings, terms)
    job_id = digest("desk", judge)
    before = workspace.journal.spend(job_id) if terms.lasting else None
    spent = 0.0 if before is None else before.settled + before.pending
    models = Models(
        settings,
        workspace.journal,
        job_id=job_id,
        budget=Budget(terms.budget, spent, resume=f"the same command with a higher {terms.knob}"),
        limits=Limits(),
        prices=rates,
    )
    try:
        yield Desk(mode, models, rates, workspace, job_id)
    finally:
        await models.close()


def parse_judge(text: str) -> AnyJudge:
    """Read a judge from one argument: a model spec, then settings as ``key=value``.

    Args:
        text: e.g. ``openai:gpt-4.1-mini`` or ``anthropic:claude-sonnet-4-5 verdict=text``; a spec with
            spaces is quoted as in a shell.

    Raises:
        InputError: no judge is described; the message names the setting.
    """
    try:
        spec, *settings = shlex.split(text) or [""]
    except ValueError as error:
        raise InputError(f"the judge {text!r} cannot be read: {error}; write SPEC [KEY=VALUE]...") from None
    data: dict[str, JsonValue] = apply_overrides({"kind": "pairwise", "model": spec}, settings)
    adapter: TypeAdapter[AnyJudge] = TypeAdapter(AnyJudge)
    try:
        return adapter.validate_json(to_json(data), strict=True)
    except ValidationError as error:
        first = min(complaints(error, adapter, data, {}), key=lambda one: one.rank)
        raise InputError(first.message, field=".".join(map(str, ("judge", *first.loc)))) from None


def _priced(mode: Mode, settings: Settings, terms: Terms) -> dict[str, Price | None]:
    """Price a judge's models, and refuse one that costs while there is no budget."""
    rates = prices(mode.models, settings, allow_unpriced=terms.allow_unpriced)
    for spec, price in rates.items():
        if terms.budget is None and not terms.agreed and price is not None and (price.input or price.output):
            raise InputError(
                f"{spec!r} costs ${price.input:g} and ${price.output:g} a million tokens; add {terms.knob},"
                " the most that may be spent"
            )
    return rates


def _reason(comparison: Comparison | None, failed: Mapping[str, str]) -> str:
    ids = () if comparison is None else comparison.judgment_ids
    return next((failed[one] for one in ids if one in failed), "")


def _key(pair: Pair) -> tuple[str, str, str]:
    a, b = sorted((pair.first.id, pair.second.id))
    return pair.prompt.id, a, b


def seen_from_first(comparison: Comparison, pair: Pair) -> Comparison:
    """Turn a comparison so that its ``a`` is the pair's first sample."""
    if comparison.a_id == pair.first.id:
        return comparison
    p, p_ab, p_ba = (
        None if one is None else 1.0 - one for one in (comparison.p, comparison.p_ba, comparison.p_ab)
    )
    return replace(comparison, a_id=comparison.b_id, b_id=comparison.a_id, p=p, p_ab=p_ab, p_ba=p_ba)
