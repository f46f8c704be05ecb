"""The constitutions' pages: all of them, and one with its editor, its versions and its playground.

Owns what the pages show and the one form the editor is: without scripts each button sends it and the whole
page comes back, with scripts only the part that changed. Leaves versions to ``library`` and the playground's
questions to ``playground``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import Field

from rlaif.errors import RlaifError
from rlaif.records import Record
from rlaif.service import library, playground
from rlaif.service.api.constitutions import Checked, Compared, checked, hunks, whole
from rlaif.service.context import Service
from rlaif.service.library import NAME
from rlaif.service.playground import Answer, Question, Quote
from rlaif.service.problems import Fault, Problem, problem_of
from rlaif.service.routes import Call, Route
from rlaif.service.web.render import page, part

HERE: Final = "/constitutions"
_PATTERN: Final = r"[a-z][a-z0-9_\-]{0,59}"  # ``NAME`` as browsers read patterns: the hyphen escaped
_EMPTY: Final = """\
schema_version: 1
id: {name}
axis: {name}
title: {name}
description: What it is for, in a sentence or two.
licence: Apache-2.0
principles:
  - id: first
    text: Prefer the response that ...
    critique_request: Say where the response fails to ...
    revision_request: Rewrite the response so that it ...
rubric:
  low: 1
  high: 5
  anchors:
    - {{level: 1, text: The response does nothing of this.}}
    - {{level: 5, text: The response does all of this.}}
cases: []
"""


class Begin(Record):
    """The form that begins a constitution."""

    name: str = Field(default="", max_length=200)
    """Its name."""
    start: str = Field(default="", max_length=60, pattern=r"^[a-z0-9_-]*$")
    """What it begins as a copy of; empty for a bare form."""


class Asked(Record):
    """What an address of the editor says beside the name."""

    version: str = Field(default="", max_length=80)
    """Version to open; the newest when left out."""
    against: str = Field(default="", max_length=80)
    """Version to show the changes from."""
    start: str = Field(default="", max_length=80)
    """Constitution a new one begins as."""
    case: str = Field(default="", max_length=60)
    """Case to put into the playground."""
    saved: str = Field(default="", max_length=1)
    """Says so after a version was saved."""


class Form(Record):
    """The editor's form, as any of its buttons sends it."""

    text: str = Field(default="", max_length=library.LONGEST)
    """The text in hand."""
    base: str = Field(default="", max_length=80)
    """Version it was opened from."""
    against: str = Field(default="", max_length=80)
    """Version to compare with."""
    judge: str = Field(default="", max_length=2_000)
    """Who decides in the playground."""
    prompt: str = Field(default="", max_length=playground.MOST)
    """What was asked."""
    first: str = Field(default="", max_length=playground.MOST)
    """A response."""
    second: str = Field(default="", max_length=playground.MOST)
    """Another one."""
    principles: bool = False
    """Also judge by each principle on its own."""
    key: str = Field(default="", max_length=80)
    """The quote that was shown."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What became of a button."""

    checked: Checked | None = None
    compared: Compared | None = None
    quote: Quote | None = None
    answer: Answer | None = None
    problem: Problem | None = None
    """Why nothing came of it."""
    where: str = ""
    """Which part the problem belongs to: ``save``, ``diff`` or ``trial``."""


def view_constitutions(service: Service) -> dict[str, object]:
    """What the list shows."""
    return {"versions": library.latest(service), "pattern": _PATTERN}


def view_constitution(service: Service, name: str, asked: Asked | None = None) -> dict[str, object]:
    """What the editor shows of a version.

    Raises:
        Problem: 404 where there is no such constitution, and none is begun.
    """
    asked = asked or Asked()
    found = library.versions(service, name)
    if not found:
        return _begun(service, name, asked)
    opened = whole(service, asked.version or found[0].id)
    form = _filled(service, opened.version.id, opened.text, asked)
    compared = _changes(service, asked.against, form.text) if asked.against else None
    return editor(service, name, form, Shown(compared=compared), bool(asked.saved))


def editor(service: Service, name: str, form: Form, said: Shown, saved: bool = False) -> dict[str, object]:
    """Everything the editor's page shows."""
    text = library.unified(form.text)
    findings = said.checked or checked(library.lint(text))
    found = library.versions(service, name)
    return {
        "name": name,
        "form": form,
        "text": text,
        "said": said,
        "saved": saved,
        "checked": findings,
        "gutter": gutter(text, findings),
        "versions": found,
        "opened": next((one for one in found if one.id == form.base), None),
        "cases": _cases(text),
        "judges": playground.choices(service),
    }


def gutter(text: str, findings: Checked) -> list[tuple[str, int, str]]:
    """The line numbers: plain ones in runs, and each line somebody should look at by itself.

    Returns:
        Text of numbers, and for a marked line its number and severity; 0 and nothing for a run.
    """
    marks: dict[int, str] = {}
    for one in findings.remarks:
        if one.line is not None and marks.get(one.line) != "error":
            marks[one.line] = one.severity
    lines = text.count("\n") + 1
    found: list[tuple[str, int, str]] = []
    at = 1
    for line in [*sorted(marks), lines + 1]:
        if line > lines + 1:
            continue
        if line > at:
            found.append(("".join(f"{number}\n" for number in range(at, line)), 0, ""))
        if line <= lines:
            found.append((f"{line}\n", line, marks[line]))
        at = line + 1
    return found


# Handlers


async def listed(call: Call) -> web.StreamResponse:
    """Show all of them; or, with a name, go to the editor of a new one."""
    asked = call.query(Begin)
    if asked.name:
        raise web.HTTPSeeOther(_beginning(asked))
    data = await call.service.look(lambda: view_constitutions(call.service))
    return page("constitutions.html", data, here=HERE)


async def opened(call: Call) -> web.StreamResponse:
    """Show one in the editor."""
    name, asked = call.path["name"], call.query(Asked)
    data = await call.service.look(lambda: view_constitution(call.service, name, asked))
    return page("constitution.html", data, here=HERE)


async def check(call: Call) -> web.StreamResponse:
    """Check the text in hand."""
    form = call.body(Form)
    return await _told(call, "constitution_lint.html", form, Shown())


async def diff(call: Call) -> web.StreamResponse:
    """Show what changed since a version."""
    form = call.body(Form)
    try:
        found = await call.service.look(lambda: _changes(call.service, form.against or form.base, form.text))
        said = Shown(compared=found)
    except Problem as problem:
        said = Shown(problem=problem, where="diff")
    return await _told(call, "constitution_diff.html", form, said)


async def save(call: Call) -> web.StreamResponse:
    """Keep the text in hand as a new version."""
    form, name = call.body(Form), call.path["name"]
    try:
        made = await library.save(call.service, name, form.text, form.base or None)
    except Problem as problem:
        return await _told(call, "constitution.html", form, Shown(problem=problem, where="save"))
    raise web.HTTPSeeOther(f"{HERE}/{name}?version={made.id}&saved=1")


async def price(call: Call) -> web.StreamResponse:
    """Show what the question costs at most."""
    form = call.body(Form)
    said = await call.service.look(lambda: _quoted(call.service, form))
    return await _told(call, "constitution_trial.html", form, said)


async def ask(call: Call) -> web.StreamResponse:
    """Put the question, at the price that was shown."""
    form, service = call.body(Form), call.service
    said = await service.look(lambda: _quoted(service, form))
    if said.quote is not None:
        try:
            said = Shown(answer=await playground.answer(service, _question(form), form.key))
        except Problem as problem:
            said = Shown(quote=said.quote, problem=problem, where="trial")
        except RlaifError as error:
            said = Shown(quote=said.quote, problem=problem_of(error), where="trial")
    return await _told(call, "constitution_trial.html", form, said)


async def _told(call: Call, template: str, form: Form, said: Shown) -> web.StreamResponse:
    """The part that changed; or, for a reader without scripts, the whole page."""
    data = await call.service.look(lambda: editor(call.service, call.path["name"], form, said))
    if call.request.headers.get("HX-Request") == "true":
        return part(template, {**data, "alone": True})
    status = 200 if said.problem is None else said.problem.status
    return page("constitution.html", data, here=HERE, status=status)


# Inside


def _beginning(asked: Begin) -> str:
    """Address of an editor that nothing is saved of yet."""
    if not re.fullmatch(NAME, asked.name):
        said = f"found the name {asked.name!r}; use lower-case letters, digits, '_' and '-', a letter first"
        raise Problem(422, said, [Fault(field="query.name", message=said)])
    return f"{HERE}/{asked.name}?start={asked.start}"


def _begun(service: Service, name: str, asked: Asked) -> dict[str, object]:
    """An editor for a constitution that is not there yet."""
    if not re.fullmatch(NAME, name) or asked.version:
        raise Problem(404, f"there is no constitution {name!r}; those there are stand under {HERE}")
    text = _EMPTY.format(name=name)
    if asked.start in library.names(service):
        text = re.sub(r"(?m)^id:.*$", f"id: {name}", library.text_of(service, asked.start), count=1)
    return editor(service, name, _filled(service, "", text, asked), Shown())


def _filled(service: Service, base: str, text: str, asked: Asked) -> Form:
    """The form as it is before anybody touched it: the playground holds one of the cases."""
    cases = _cases(text)
    case: Mapping[str, str] = cases.get(asked.case) or next(iter(cases.values()), {})
    judge = next(iter(playground.choices(service)), "")
    return Form(text=text, base=base, against=asked.against, judge=judge, principles=True, **case)


def _cases(text: str) -> dict[str, dict[str, str]]:
    """Cases of one turn, as the playground takes them; none where the text cannot be read."""
    try:
        cases = library.read(text).cases
    except Problem:
        return {}
    return {
        one.id: {"prompt": one.prompt, "first": one.responses[0], "second": one.responses[1]}
        for one in cases
        if isinstance(one.prompt, str)
    }


def _changes(service: Service, version: str, text: str) -> Compared:
    older = whole(service, version)
    new = library.unified(text)
    report = library.lint(new)
    return Compared(
        before=older.version.id,
        after="",
        same_for_judges=report.digest == older.version.digest,
        hunks=hunks(older.text, new),
    )


def _question(form: Form) -> Question:
    return Question(
        judge=form.judge, prompt=form.prompt, first=form.first, second=form.second,
        text=form.text, base=form.base or None, principles=form.principles,
    )  # fmt: skip


def _quoted(service: Service, form: Form) -> Shown:
    missing = [name for name in ("prompt", "first", "second", "judge") if not getattr(form, name).strip()]
    if missing:
        named = {"first": "response A", "second": "response B"}
        lacking = ", ".join(named.get(one, f"the {one}") for one in missing)
        return Shown(problem=Problem(422, f"nothing to ask yet: fill in {lacking}"), where="trial")
    try:
        return Shown(quote=playground.quote(service, _question(form)))
    except Problem as problem:
        return Shown(problem=problem, where="trial")


ROUTES: Final = (
    Route(
        method="GET", path="/constitutions", scope="read", handler=listed,
        summary="Constitutions", query=Begin, page=True,
    ),
    Route(
        method="GET", path="/constitutions/{name}", scope="read", handler=opened,
        summary="One constitution", query=Asked, page=True,
    ),
    Route(
        method="POST", path="/constitutions/{name}/check", scope="read", handler=check,
        summary="Check the text in hand", body=Form, upload=2**21, page=True,
    ),
    Route(
        method="POST", path="/constitutions/{name}/diff", scope="read", handler=diff,
        summary="What changed since a version", body=Form, upload=2**21, page=True,
    ),
    Route(
        method="POST", path="/constitutions/{name}/price", scope="read", handler=price,
        summary="Price a question", body=Form, upload=2**21, page=True,
    ),
    Route(
        method="POST", path="/constitutions/{name}/ask", scope="run", handler=ask,
        summary="Ask it", body=Form, upload=2**21, page=True,
    ),
    Route(
        method="POST", path="/constitutions/{name}/save", scope="run", handler=save,
        summary="Save a new version", body=Form, upload=2**21, page=True,
    ),
)  # fmt: skip
