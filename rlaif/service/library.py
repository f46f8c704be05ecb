"""The constitutions of a service: those of the project, those saved here, those sets were judged by.

Owns names, versions and saving: a text becomes a version by its content, and no version is ever changed.
Leaves what makes a text sound to ``constitution`` and showing it to ``api.constitutions`` and the pages.

A saved version is a document with the role ``constitution``: its id is a digest of name and text (``cv_``),
while judgments refer to what judges were shown of it (``cn_``), which comments and cases leave unchanged.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from rlaif.complaints import complaints, dotted
from rlaif.constitution import Amendment, Constitution, load_constitution
from rlaif.constitution.check import Finding, Report, check
from rlaif.errors import InputError
from rlaif.records import Document, PreferenceSet, Record, digest
from rlaif.service.context import Service
from rlaif.service.problems import Fault, Problem
from rlaif.service.project import project_folder
from rlaif.wholefile import put
from rlaif.yamlfile import MAX_BYTES, read_yaml

NAME: Final = r"^[a-z][a-z0-9_-]{0,59}$"
"""What a constitution may be called; it is the ``id`` in its text."""
LONGEST: Final = MAX_BYTES
"""Most characters of a text; a file has at most as many bytes."""
_SAVED: Final = "cv_"
_DRAFT: Final = "_draft.yaml"  # no name begins so: a draft never stands in for a file it extends


class Version(Record):
    """One version of a constitution."""

    id: str
    """Digest of name and text; of one that only sets know, the digest of what judges were shown."""
    name: str
    """The constitution's name."""
    digest: str
    """Digest of what judges are shown of it: what labels refer to."""
    title: str
    """Its title."""
    axis: str
    """The dimension it judges."""
    principles: int
    """How many principles it has."""
    cases: int
    """How many cases it has."""
    origin: Literal["bundled", "saved", "judged"]
    """Came with the project; was saved here; or is known only from the sets judged by it."""
    number: int
    """Counts a name's versions from 1, the oldest."""
    sets: int
    """Preference sets whose labels follow from it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A text, or what is left of one, before it is counted."""

    id: str
    name: str
    text: str
    constitution: Constitution
    origin: Literal["bundled", "saved", "judged"]


def names(service: Service) -> list[str]:
    """Every constitution there is, by name."""
    return sorted(_all(service))


def versions(service: Service, name: str) -> list[Version]:
    """All versions of a constitution, the newest first; none where there is no such name."""
    held = _all(service).get(name, [])
    used = _used(service)
    return [_version(one, number, used) for number, one in reversed(list(enumerate(held, 1)))]


def latest(service: Service) -> list[Version]:
    """The newest version of every constitution, by name."""
    used = _used(service)
    return [_version(held[-1], len(held), used) for _, held in sorted(_all(service).items())]


def find(service: Service, name: str) -> Constitution:
    """Return a constitution.

    Args:
        service: whose library.
        name: a name, for its newest version; or the id or digest of a version.

    Raises:
        InputError: there is none; the message names those there are.
    """
    return _one(service, name).constitution


def text_of(service: Service, name: str) -> str:
    """Return the text of a version, as ``find`` finds it; of one known only from sets, what judges saw."""
    return _one(service, name).text


def path_of(service: Service, name: str) -> Path:
    """Return a file that holds a version on its own: what it extends is written out in it.

    Raises:
        InputError: there is no such constitution.
        OSError: the file cannot be written.
    """
    one = _one(service, name)
    path = service.folder / "constitutions" / f"{one.id}.yaml"
    if not path.is_file():
        text = _written_out(one.constitution) if _extends(one.text) else one.text
        put(path, text)
    return path


async def save(service: Service, name: str, text: str, base: str | None = None) -> Document:
    """Keep a text as the newest version of a constitution; equal texts are one version.

    Args:
        service: where.
        name: the constitution's; a new one is made by a new name.
        text: the whole file.
        base: id of the version the text was written from; None where nobody looked at one.

    Raises:
        Problem: 422 where the name or the text is refused, with lines; 409 where another version was saved
            meanwhile.
    """
    text = unified(text)
    report = lint(text)
    faults = [fault(one) for one in report.findings if one.severity == "error"]
    if not faults and report.id != name:
        line = _line_of_id(text)
        said = f"the text calls itself {report.id!r} and is to be saved as {name!r}; make the two the same"
        faults = [Fault(field="text.id", message=said, line=line)]
    if not re.fullmatch(NAME, name):
        said = f"found {name!r}; a name has lower-case letters, digits, '_' and '-', at most 60 in all"
        faults.insert(0, Fault(field="name", message=said))
    if faults:
        where = "" if faults[0].line is None else f"line {faults[0].line}: "
        raise Problem(422, f"not saved: {where}{faults[0].message}", faults)
    made = Document(id=_id(name, text), role="constitution", name=name, text=text)
    await _keep(service, made, base)
    return made


def lint(text: str) -> Report:
    """Check a text as ``rlaif constitution check`` checks a file."""
    text = unified(text)
    return _linted(text, _bases(text))


@lru_cache(maxsize=64)
def _linted(text: str, _bases: object) -> Report:
    with _file(text) as path:
        refused = _foreign(path, text)
        if refused is not None:
            return Report(path, None, None, None, (refused,))
        report = check(path)
        each = _each(path) if report.id is None else []
        return replace(report, findings=tuple(each)) if each else report


def fault(finding: Finding) -> Fault:
    """A finding as it is sent: what is wrong in a file that the text extends has no line of the text."""
    if finding.path.name != _DRAFT:
        said = f"{finding.path.name}, which it extends, line {finding.line}: {finding.message}"
        return Fault(field="text", message=said)
    return Fault(field=finding.field or "text", message=finding.message, line=finding.line)


def read(text: str) -> Constitution:
    """Read the constitution a text holds.

    Raises:
        Problem: 422, naming the first line at fault.
    """
    text = unified(text)
    try:
        return _read(text)
    except InputError as error:
        where = "" if error.line is None else f"line {error.line}: "
        one = Fault(field=error.field or "text", message=error.message, line=error.line)
        raise Problem(422, f"the constitution cannot be used: {where}{error.message}", [one]) from None


def unified(text: str) -> str:
    """A text with the line ends of files; forms send those of the network."""
    return text.replace("\r\n", "\n")


# Inside: what there is


def _all(service: Service) -> dict[str, list[_Held]]:
    """Every version by name, oldest first: bundled ones, what sets were judged by, then what was saved."""
    found: dict[str, dict[str, _Held]] = {}
    for name, path in _bundled().items():
        text = path.read_text("utf-8")
        held = _Held(_id(name, text), name, text, _read(text), "bundled")
        found[name] = {held.id: held}
    documents = list(service.workspace.store.read(Document, "role = 'constitution'", order="rowid"))
    saved = [_saved(one) for one in documents if one.id.startswith(_SAVED)]
    known = {one.constitution.digest for one in saved} | {
        one.constitution.digest for held in found.values() for one in held.values()
    }
    used = _used(service)
    judged = [_judged(one) for one in documents if one.id in used and one.id not in known]
    for one in (*(one for one in judged if one is not None), *saved):
        found.setdefault(one.name, {}).setdefault(one.id, one)
    return {name: list(held.values()) for name, held in found.items()}


def _one(service: Service, name: str) -> _Held:
    found = _all(service)
    if name in found:
        return found[name][-1]
    for one in (one for held in found.values() for one in reversed(held)):
        if name in (one.id, one.constitution.digest):
            return one
    for document in service.workspace.store.read(Document, "id = ? AND role = 'constitution'", [name]):
        judged = _judged(document)
        if judged is not None:
            return judged
    raise InputError(f"there is no constitution {name!r}; allowed: {', '.join(sorted(found))}")


def _version(one: _Held, number: int, used: Mapping[str, int]) -> Version:
    said = one.constitution
    return Version(
        id=one.id, name=one.name, digest=said.digest, title=said.title, axis=said.axis, number=number,
        principles=len(said.principles), cases=len(said.cases), origin=one.origin,
        sets=used.get(said.digest, 0),
    )  # fmt: skip


def _used(service: Service) -> Counter[str]:
    """Sets by the digest of the constitution they were judged by."""
    return Counter(one.constitution for one in service.workspace.store.read(PreferenceSet))


def _saved(document: Document) -> _Held:
    return _Held(document.id, document.name, document.text, _read(document.text), "saved")


def _judged(document: Document) -> _Held | None:
    """What judges were shown, as a version; None where an earlier release kept it in another form."""
    shown = _shown(document)
    if shown is None:
        return None
    return _Held(document.id, document.name, _written_out(shown), shown, "judged")


@lru_cache(maxsize=256)
def _shown(document: Document) -> Constitution | None:
    try:
        return Constitution.shown_in(document)
    except ValueError:
        return None


def _bundled() -> dict[str, Path]:
    folder = project_folder("constitutions")
    found = [] if folder is None else sorted(folder.glob("*.yaml"))
    return {path.stem: path for path in found if re.fullmatch(NAME, path.stem)}


# Inside: texts


async def _keep(service: Service, made: Document, base: str | None) -> None:
    held = await service.look(lambda: versions(service, made.name))
    if made.id in {one.id for one in held}:
        return
    if base is not None and held and held[0].id != base:
        raise Problem(
            409,
            f"version {held[0].number} of {made.name!r} was saved meanwhile, and this text was written from"
            " another; look at what changed, then save once more",
        )
    await service.workspace.commit([made], job_id=made.id)
    await service.workspace.flush()


def _id(name: str, text: str) -> str:
    return digest(_SAVED[:-1], name, text)


def _read(text: str) -> Constitution:
    return _loaded(text, _bases(text))


@lru_cache(maxsize=256)
def _loaded(text: str, _bases: object) -> Constitution:
    with _file(text) as path:
        refused = _foreign(path, text)
        if refused is not None:
            raise InputError(refused.message, line=refused.line, field=refused.field)
        return load_constitution(path)


@contextmanager
def _file(text: str) -> Iterator[Path]:
    """A text as a file beside copies of the bundled ones, which are all that it may extend."""
    with tempfile.TemporaryDirectory(prefix="rlaif-") as folder:
        path = Path(folder) / _DRAFT
        path.write_bytes(text.encode("utf-8", "surrogatepass")[: MAX_BYTES + 1])
        if _extends(text):
            for name, bundled in _bundled().items():
                (Path(folder) / f"{name}.yaml").write_bytes(bundled.read_bytes())
        yield path


def _extends(text: str) -> bool:
    """Whether a text may extend another: the word is in it, or an escape that could spell it."""
    return "extends" in text or "\\" in text


def _bases(text: str) -> tuple[tuple[str, int], ...]:
    """What an extending text follows from besides itself: the bundled files as they are now."""
    if not _extends(text):
        return ()
    return tuple((name, path.stat().st_mtime_ns) for name, path in _bundled().items())


def _foreign(path: Path, text: str) -> Finding | None:
    """What is said of a text that extends another file than a bundled one: none other is ever opened."""
    if not _extends(text):
        return None
    try:
        file = read_yaml(path)
    except InputError:
        return None  # said by whoever reads it next
    wanted = file.data.get("extends")
    allowed = [f"{name}.yaml" for name in _bundled()]
    if wanted is None or wanted in allowed:
        return None
    said = f"found {wanted!r}; allowed: {', '.join(allowed)}"
    return Finding("error", "unusable", path, file.line(("extends",)), "extends", said)


def _each(path: Path) -> list[Finding]:
    """Everything that breaks the schema, each at its own line; a load stops at the first."""
    try:
        file = read_yaml(path)
    except InputError:
        return []
    adapter: TypeAdapter[object] = TypeAdapter(Amendment if "extends" in file.data else Constitution)
    try:
        adapter.validate_json(to_json(file.data), strict=True)
    except ValidationError as error:
        found = complaints(error, adapter, file.data, file.plain)
    else:
        return []
    found.sort(key=lambda one: (one.rank, file.line(one.loc)))
    return [
        Finding("error", "unusable", path, file.line(one.loc), dotted(one.loc) or None, one.message)
        for one in found
    ]


def _line_of_id(text: str) -> int | None:
    found = re.search(r"^id:", text, re.MULTILINE)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def _written_out(constitution: Constitution) -> str:
    """A constitution as YAML, with everything it inherited."""
    from ruamel.yaml import YAML

    writer = YAML()
    writer.width = 100
    out = io.StringIO()
    writer.dump(constitution.model_dump(mode="json", exclude_defaults=True), out)
    return out.getvalue()
