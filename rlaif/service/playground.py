"""One prompt and two responses before a judge, under a text in hand and under the version it came from.

Owns what the playground asks, what that costs at most, and the verdicts side by side: of the whole text and
of each principle on its own. Leaves asking to ``authoring.desk`` and the texts to ``library``.

Nothing is sent before the price has been shown: a run names the key of the quote it was told, and an asker
who changed anything since gets a new quote instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from rlaif.authoring import Bill, Desk, parse_judge
from rlaif.authoring.desk import Judged, seen_from_first
from rlaif.authoring.items import given_pair
from rlaif.authoring.versions import verdict
from rlaif.constitution import Constitution, Principle, judge_text
from rlaif.errors import InputError
from rlaif.judging import AnyJudge, Context, Mode, Pair, build
from rlaif.judging.base import together
from rlaif.pipeline.models import prices
from rlaif.providers.prices import Price, worst_case
from rlaif.records import Message, PreferenceSet, Record, StoredScorecard, Usage, digest, unpairable
from rlaif.service import library
from rlaif.service.allowed import allowed_models, refuse_models
from rlaif.service.context import Service
from rlaif.service.problems import Fault, Problem
from rlaif.settings import Settings

MOST: Final = 200_000
"""Characters of a prompt or a response."""
_MARKS: Final = 1_500  # bytes allowed for fences and a chat template's own marks, a call
_BYTES_A_TOKEN: Final = 4  # rule of thumb for the estimate; the price is for one token a byte
_KNOWN: Final = {"OPENAI_API_KEY": "openai:gpt-4.1-mini", "ANTHROPIC_API_KEY": "anthropic:claude-haiku-4-5"}
_PATHS: Final = frozenset({"template", "weights", "scorecard"})  # settings of judges that may name a file

Text = Annotated[str, Field(min_length=1, max_length=MOST)]


class Question(Record):
    """What is put before the judge."""

    judge: str = Field(max_length=2_000)
    """Model spec, and settings as ``KEY=VALUE``, e.g. ``openai:gpt-4.1-mini verdict=text``."""
    prompt: Text
    """One user turn."""
    first: Text
    """A response."""
    second: Text
    """Another one."""
    text: str = Field(max_length=library.LONGEST)
    """The constitution, as it is being written."""
    base: str | None = None
    """Version to compare with; none when left out."""
    principles: bool = True
    """Also judge by each principle on its own."""


class Quote(Record):
    """What an answer takes, at most; nothing has been sent."""

    key: str
    """Names the question at this price; a run repeats it."""
    calls: int
    """Calls, fewer where some were bought before."""
    tokens: int
    """Tokens read and drawn, an estimate."""
    usd: float
    """Most it can cost, which is also the cap it runs under."""
    models: tuple[str, ...]
    """Who is asked."""


class Said(Record):
    """What the judge said about the pair under one text."""

    verdict: str
    """``first``, ``second`` or ``tie``; or why there is no verdict."""
    p: float | None
    """Probability that the first response is better, both orders averaged."""
    p_shown_first: float | None
    """The same from the call that showed the first response first."""
    p_shown_second: float | None
    """The same from the call that showed it second."""
    reason: str
    """Why a call gave no verdict; empty when all did."""


class Line(Record):
    """One row of the table: the whole constitution, or one principle on its own."""

    principle: str | None
    """Its id; None for the whole."""
    words: str
    """The principle's text; empty for the whole."""
    before: Said | None
    """Under the version compared with; None where that has no such principle, or there is none."""
    after: Said | None
    """Under the text in hand; None where that has no such principle."""

    @property
    def turned(self) -> bool:
        """Whether the verdict is another one."""
        return None not in (self.before, self.after) and self.before.verdict != self.after.verdict  # type: ignore[union-attr]


class Answer(Record):
    """What the playground found."""

    quote: Quote
    """What was shown before."""
    lines: tuple[Line, ...]
    """The whole first, then every principle."""
    calls: int
    """Calls asked for."""
    reused: int
    """Of these, answered from the journal."""
    spent: float
    """USD of the calls that were bought."""


def choices(service: Service) -> list[str]:
    """Judges to offer: those at hand, those whose key is set, and those that judged before."""
    store, settings = service.workspace.store, service.settings
    offered = [one for one in allowed_models(settings) if not one.endswith("MODEL")]
    offered += [spec for variable, spec in _KNOWN.items() if variable in settings.keys]
    before = [
        *(one.judge for one in store.read(StoredScorecard)),
        *(one.judge for one in store.read(PreferenceSet)),
    ]
    return list(dict.fromkeys([*offered, *(one for one in before if _offered(settings, one))]))


def judge_of(service: Service, text: str) -> AnyJudge:
    """Read the judge a caller named.

    Raises:
        Problem: 422, where it is none, or one that callers may not ask.
    """
    try:
        judge = parse_judge(text)
        for setting, value in _settings(judge.model_dump(mode="json")):
            if setting in _PATHS and isinstance(value, str) and not value.isidentifier():
                raise InputError(f"{setting} is {value!r}; over HTTP only what is shipped can be named")
        specs = build(judge).models
    except InputError as error:
        raise _wrong(f"{error.field}: {error.message}" if error.field else error.message) from None
    refuse_models(service.settings, specs, "judge")
    return judge


def quote(service: Service, question: Question) -> Quote:
    """Count and price the calls of a question.

    Raises:
        Problem: 422, where judge, texts or constitution cannot be used.
    """
    return _Trial.of(service, question).quote()


async def answer(service: Service, question: Question, key: str) -> Answer:
    """Put a question before the judge, under the cap that was quoted.

    Args:
        service: whose library and settings.
        question: what to ask.
        key: of the quote its asker was shown.

    Raises:
        Problem: 409 where the quote is not that of this question; 422 as ``quote``.
        CallError: no call to this model can succeed.
    """
    trial = await service.look(lambda: _Trial.of(service, question))
    told = trial.quote()
    if key != told.key:
        raise Problem(409, "the question has changed since its price was shown; look at the new price first")
    async with service.desks.open(trial.judge, told.usd) as desk:
        said, bill = await _judged(desk, trial)
    lines = tuple(_line(trial, name, said) for name in trial.rows)
    return Answer(quote=told, lines=lines, calls=bill.calls, reused=bill.reused, spent=bill.spent)


# Inside: what is asked

_Key = tuple[str, object]


@dataclass(frozen=True)
class _Trial:
    """A question with everything it names."""

    service: Service
    question: Question
    judge: AnyJudge
    mode: Mode
    pair: Pair
    after: Constitution
    before: Constitution | None

    @classmethod
    def of(cls, service: Service, question: Question) -> _Trial:
        """Read what a question names."""
        judge = judge_of(service, question.judge)
        after = library.read(question.text)
        before = _base(service, question.base)
        if before is not None and before.digest == after.digest:
            before = None
        pair = given_pair((Message(role="user", content=question.prompt),), (question.first, question.second))
        if (why := unpairable(pair.first, pair.second)) is not None:
            same = "the two responses are the same text" if why == "identical" else "a response is empty"
            raise Problem(422, f"{same}; give two that differ", [Fault(field="second", message=same)])
        return cls(service, question, judge, build(judge), pair, after, before)

    @property
    def rows(self) -> list[str | None]:
        """What the table has rows for: the whole, and every principle of either text."""
        if not self.question.principles:
            return [None]
        both = [one for one in (self.after, self.before) if one is not None]
        return [None, *dict.fromkeys(principle.id for one in both for principle in one.principles)]

    def part(self, constitution: Constitution | None, name: str | None) -> Constitution | None:
        """The constitution itself, or one principle of it alone; None where it has none so called."""
        if constitution is None or name is None:
            return constitution
        found = principle(constitution, name)
        if found is None:
            return None
        held = {field: getattr(constitution, field) for field in type(constitution).model_fields}
        return Constitution.model_validate({**held, "principles": (found,), "cases": ()})

    def parts(self) -> list[Constitution]:
        """Everything to judge by, each question once."""
        found = (self.part(one, name) for name in self.rows for one in (self.after, self.before))
        return list({shown(one): one for one in found if one is not None}.values())

    def quote(self) -> Quote:
        """Count and price all of it."""
        rates = self._rates()
        calls, tokens, usd = 0, 0, 0.0
        for part in self.parts():
            context = Context.of(part)
            for load in (load for asker in self.mode.askers for load in asker.loads(2, context)):
                read = self._read(context, load.shown) + load.quoted_tokens * _BYTES_A_TOKEN
                each = Usage(input_tokens=read, output_tokens=load.output_tokens)
                calls += load.calls
                tokens += load.calls * (read // _BYTES_A_TOKEN + load.output_tokens)
                usd += load.calls * worst_case(rates[load.model], each)
        asked = self.question.model_dump(mode="json", exclude={"text", "base"})
        compared = None if self.before is None else self.before.digest
        key = digest("qu", asked, self.after.digest, compared, calls, usd)
        return Quote(key=key, calls=calls, tokens=tokens, usd=usd, models=tuple(self.mode.models))

    def _rates(self) -> Mapping[str, Price]:
        found = prices(self.mode.models, self.service.settings, allow_unpriced=True)
        known = {spec: price for spec, price in found.items() if price is not None}
        if unknown := sorted(found.keys() - known.keys()):
            raise _wrong(
                f"no price is known for {unknown[0]!r}, so none can be shown; the operator gives one"
            )
        return known

    def _read(self, context: Context, responses: int) -> int:
        """Most bytes one call reads."""
        question = self.question
        longest = max(len(question.first.encode()), len(question.second.encode()))
        template = sum(len(one.text.encode()) for one in self.mode.documents)
        fixed = len(context.text.encode()) + len(question.prompt.encode()) + template + _MARKS
        return fixed + max(responses, 1) * longest


def principle(constitution: Constitution, name: str) -> Principle | None:
    """A principle by its id."""
    return next((one for one in constitution.principles if one.id == name), None)


def shown(constitution: Constitution) -> _Key:
    """What tells two constitutions apart for a judge."""
    return judge_text(constitution), constitution.rubric


async def _judged(desk: Desk, trial: _Trial) -> tuple[dict[_Key, Judged], Bill]:
    """Ask under every text at once: a model that runs here answers many questions at a time."""
    parts = trial.parts()
    said = await together(desk.judge(part, [trial.pair]) for part in parts)
    by = {shown(part): one for part, one in zip(parts, said, strict=True)}
    return by, sum((one.bill for one in said), start=Bill())


def _line(trial: _Trial, name: str | None, said: Mapping[_Key, Judged]) -> Line:
    after, before = (trial.part(one, name) for one in (trial.after, trial.before))
    named = [None if name is None or one is None else principle(one, name) for one in (after, before)]
    words = next((one.text for one in named if one is not None), "")
    return Line(
        principle=name,
        words=words,
        before=None if before is None else _said(said[shown(before)], trial.pair),
        after=None if after is None else _said(said[shown(after)], trial.pair),
    )


def _said(judged: Judged, pair: Pair) -> Said:
    (comparison,), (reason,) = judged.comparisons, judged.reasons
    assert comparison is not None  # equal and empty texts were refused
    one = seen_from_first(comparison, pair)
    p = one.outcome
    return Said(
        verdict=one.status if p is None else verdict(p), p=p, reason=reason,
        p_shown_first=one.p_ab, p_shown_second=one.p_ba,
    )  # fmt: skip


def _offered(settings: Settings, spec: str) -> bool:
    try:
        refuse_models(settings, [spec], "judge")
    except (Problem, InputError):  # the name of a panel is no model
        return False
    return True


def _base(service: Service, version: str | None) -> Constitution | None:
    if not version:
        return None
    try:
        return library.find(service, version)
    except InputError as error:
        raise Problem(422, error.message, [Fault(field="base", message=error.message)]) from None


def _settings(value: object) -> Sequence[tuple[str, object]]:
    """Every setting of a judge and its members, by name."""
    if isinstance(value, Mapping):
        return [pair for name, one in value.items() for pair in ((str(name), one), *_settings(one))]
    if isinstance(value, list | tuple):
        return [pair for one in value for pair in _settings(one)]
    return []


def _wrong(sentence: str) -> Problem:
    return Problem(422, f"judge: {sentence}", [Fault(field="judge", message=sentence)])
