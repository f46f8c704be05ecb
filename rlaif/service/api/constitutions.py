"""Constitutions over HTTP: read, check, save as a new version, compare, and run their cases.

Owns the routes under ``/v1/constitutions`` and the models they speak. Leaves versions to ``library`` and the
asking to ``authoring``.
"""

from __future__ import annotations

import difflib
from typing import Final, Literal

from pydantic import Field

from rlaif.authoring import run_cases
from rlaif.constitution.check import Report
from rlaif.records import Record
from rlaif.service import library, playground
from rlaif.service.context import Service
from rlaif.service.library import Version
from rlaif.service.problems import Problem
from rlaif.service.routes import Call, Route

CONTEXT: Final = 3
"""Lines around a change that are shown with it."""


class Constitutions(Record):
    """The newest version of every constitution."""

    data: tuple[Version, ...]
    """By name."""


class Whole(Record):
    """One version of a constitution, and which others there are."""

    version: Version
    """The version asked for."""
    text: str
    """Its file; of a version known only from sets, what judges were shown."""
    versions: tuple[Version, ...]
    """All versions of this name, the newest first."""


class Draft(Record):
    """A text to check."""

    text: str = Field(max_length=library.LONGEST)
    """The whole file."""


class Remark(Record):
    """One thing an author should look at."""

    severity: Literal["error", "warning"]
    """Errors keep the text from being used."""
    rule: str
    """Which rule found it."""
    line: int | None
    """1-based line; None where no line is to blame."""
    field: str
    """Dotted name of the field."""
    message: str
    """What was found, and what to do."""


class Checked(Record):
    """What a check of a text found."""

    usable: bool
    """Whether it can be judged by."""
    id: str | None
    """What the text calls itself."""
    digest: str | None
    """Version of what judges would be shown."""
    level: str | None
    """How hard it is to read, by a stated measure."""
    remarks: tuple[Remark, ...]
    """Errors, then warnings."""


class Saving(Record):
    """A text to keep as a new version."""

    name: str = Field(max_length=60)
    """The constitution's name: the ``id`` in the text."""
    text: str = Field(max_length=library.LONGEST)
    """The whole file."""
    base: str | None = Field(default=None, max_length=80)
    """Id of the version it was written from; another one saved since is a conflict."""


class Trial(Record):
    """Who is to decide the cases."""

    judge: str = Field(max_length=2_000)
    """Model spec, and settings as ``KEY=VALUE``."""
    budget: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """Most USD; needed when the judge costs anything."""


class Case(Record):
    """How one case came out."""

    id: str
    """The case."""
    principle: str | None
    """The principle it is about."""
    outcome: Literal["passed", "failed", "broken"]
    """``broken`` has no verdict."""
    expect: str
    """What the judge must say."""
    got: str
    """What it said, or why it said nothing."""
    p: float | None
    """Probability of the first response, both orders averaged."""
    p_shown_first: float | None
    """The same, from the call that showed it first."""
    p_shown_second: float | None
    """The same, from the call that showed it second."""


class Tested(Record):
    """How the cases came out."""

    digest: str
    """The version judged by."""
    judge: str
    """Who judged."""
    passed: int
    """Cases decided as the author says."""
    failed: int
    """Cases decided otherwise."""
    broken: int
    """Cases without a verdict."""
    cases: tuple[Case, ...]
    """One a case, in the file's order."""
    calls: int
    """Calls asked for."""
    reused: int
    """Of these, answered from the journal."""
    spent: float
    """USD of the calls that were bought."""


class Between(Record):
    """Two versions."""

    before: str | None = Field(default=None, alias="from", max_length=80)
    """Id of the older one; the one before ``to`` when left out."""
    after: str | None = Field(default=None, alias="to", max_length=80)
    """Id of the newer one; the newest when left out."""


class Changed(Record):
    """One line of a comparison."""

    sign: Literal[" ", "-", "+"]
    """Kept, only in the older version, or only in the newer one."""
    before: int | None
    """Its number in the older version."""
    after: int | None
    """Its number in the newer version."""
    text: str
    """The line."""


class Compared(Record):
    """What changed between two versions."""

    before: str
    """Id of the older one."""
    after: str
    """Id of the newer one."""
    same_for_judges: bool
    """Whether judges are shown the same: only comments, titles or cases differ."""
    hunks: tuple[tuple[Changed, ...], ...]
    """Changes with the lines around them."""


async def listed(call: Call) -> Constitutions:
    """List the newest versions."""
    return Constitutions(data=tuple(await call.service.look(lambda: library.latest(call.service))))


async def one(call: Call) -> Whole:
    """Show one version."""
    return await call.service.look(lambda: whole(call.service, call.path["name"]))


async def lint(call: Call) -> Checked:
    """Check a text."""
    text = call.body(Draft).text
    return checked(await call.service.look(lambda: library.lint(text)))


async def save(call: Call) -> Whole:
    """Keep a text as the newest version."""
    given = call.body(Saving)
    made = await library.save(call.service, given.name, given.text, given.base)
    return await call.service.look(lambda: whole(call.service, made.id))


async def test(call: Call) -> Tested:
    """Run the cases of a version."""
    given, service = call.body(Trial), call.service
    version = await service.look(lambda: whole(service, call.path["name"]))
    constitution = await service.look(lambda: library.find(service, version.version.id))
    judge = playground.judge_of(service, given.judge)
    async with service.desks.open(judge, given.budget) as desk:
        done = await run_cases(desk, constitution)
    names = Case.model_fields
    return Tested(
        digest=done.digest, judge=done.judge,
        passed=done.count("passed"), failed=done.count("failed"), broken=done.count("broken"),
        cases=tuple(Case.model_validate({name: getattr(one, name) for name in names}) for one in done.cases),
        calls=done.bill.calls, reused=done.bill.reused, spent=done.bill.spent,
    )  # fmt: skip


async def diff(call: Call) -> Compared:
    """Compare two versions."""
    asked = call.query(Between)
    return await call.service.look(
        lambda: compared(call.service, call.path["name"], asked.before, asked.after)
    )


def whole(service: Service, name: str) -> Whole:
    """One version, by name, id or digest.

    Raises:
        Problem: 404 where there is none.
    """
    for version in (one for known in library.names(service) for one in library.versions(service, known)):
        if name in (version.name, version.id, version.digest):
            found = library.versions(service, version.name)
            text = library.text_of(service, version.id)
            return Whole(version=version, text=text, versions=tuple(found))
    raise Problem(404, f"there is no constitution {name!r}; those there are stand under /v1/constitutions")


def checked(report: Report) -> Checked:
    """A report as it is sent."""
    said = [(one, library.fault(one)) for one in report.findings]
    level = report.level
    return Checked(
        usable=not report.errors and report.id is not None,
        id=report.id,
        digest=report.digest,
        level=None if level is None else f"{level.measure} {level.value:g}, at most {level.limit:g} advised",
        remarks=tuple(
            Remark(
                severity=one.severity, rule=one.rule, line=fault.line, field=fault.field,
                message=fault.message,
            )
            for one, fault in said
        ),
    )  # fmt: skip


def compared(service: Service, name: str, before: str | None, after: str | None) -> Compared:
    """Compare two versions of a name; the newest and the one before it where none are named.

    Raises:
        Problem: 404 where one of them is not there.
    """
    found = whole(service, name).versions
    newer = found[0] if after is None else whole(service, after).version
    older = _before(service, newer, before)
    texts = [library.text_of(service, one.id) for one in (older, newer)]
    return Compared(
        before=older.id,
        after=newer.id,
        same_for_judges=older.digest == newer.digest,
        hunks=hunks(*texts),
    )


def _before(service: Service, newer: Version, named: str | None) -> Version:
    if named is not None:
        return whole(service, named).version
    older = [one for one in library.versions(service, newer.name) if one.number < newer.number]
    return older[0] if older else newer


def hunks(before: str, after: str) -> tuple[tuple[Changed, ...], ...]:
    """Lines that differ between two texts, with those around them."""
    old, new = before.splitlines(), after.splitlines()
    groups = difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(CONTEXT)
    return tuple(tuple(line for code in group for line in _lines(code, old, new)) for group in groups)


def _lines(code: tuple[str, int, int, int, int], old: list[str], new: list[str]) -> list[Changed]:
    kind, a, a_end, b, b_end = code
    if kind == "equal":
        rows = zip(range(a, a_end), range(b, b_end), strict=True)
        return [Changed(sign=" ", before=i + 1, after=j + 1, text=old[i]) for i, j in rows]
    gone = [Changed(sign="-", before=at + 1, after=None, text=old[at]) for at in range(a, a_end)]
    come = [Changed(sign="+", before=None, after=at + 1, text=new[at]) for at in range(b, b_end)]
    return [*gone, *come]


_AT: Final = "/v1/constitutions"

ROUTES: Final = (
    Route(
        method="GET", path=_AT, scope="read", handler=listed, reply=Constitutions,
        summary="Every constitution's newest version",
    ),
    Route(
        method="POST", path=_AT, scope="run", handler=save, body=Saving, reply=Whole, status=201,
        upload=2**20, summary="Save a text as a new version",
    ),
    Route(
        method="POST", path=f"{_AT}/lint", scope="read", handler=lint, body=Draft, reply=Checked,
        upload=2**20, summary="Check a text; nothing is kept",
    ),
    Route(
        method="GET", path=f"{_AT}/{{name}}", scope="read", handler=one, reply=Whole,
        summary="One constitution, by name, version or digest",
    ),
    Route(
        method="POST", path=f"{_AT}/{{name}}/test", scope="run", handler=test, body=Trial, reply=Tested,
        upload=2**16, summary="Put its cases before a judge",
    ),
    Route(
        method="GET", path=f"{_AT}/{{name}}/diff", scope="read", handler=diff, query=Between, reply=Compared,
        summary="What changed between two versions",
    ),
)  # fmt: skip
