"""The pages of one job as files that open from disk: no server, no script, no other origin.

Owns the table of pages that stand in a bundle, their file names and the rewriting of links. Leaves what a
page shows to its room's ``view_*`` function and how it looks to its template: both are the service's own. In
a file nothing answers, so forms and scripts are left out, and a link to what is not there is plain text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rlaif.errors import InputError
from rlaif.records import PreferenceSet, StoredScorecard
from rlaif.review import pair
from rlaif.service import library, runs
from rlaif.service.context import Service
from rlaif.service.web.constitutions import view_constitution, view_constitutions
from rlaif.service.web.datasets import view_dataset, view_datasets
from rlaif.service.web.jobs import view_job, view_jobs
from rlaif.service.web.overoptimisation import view_overoptimisation
from rlaif.service.web.preferences import PairView, view_pair, view_preferences
from rlaif.service.web.render import render
from rlaif.service.web.scorecards import view_scorecard, view_scorecards
from rlaif.service.web.static import files
from rlaif.service.web.training import view_run, view_training

View = tuple[str, Mapping[str, object]]
"""Address of a page in the service, and what it shows."""
POLICY: Final = "script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'"
LISTS: Final = 8
"""Pages of the list of pairs that a bundle holds, and with them the pairs themselves."""
LONGEST_NAME: Final = 100
"""Characters of a file's name; what is longer ends in a digest."""


@dataclass(frozen=True, slots=True)
class Page:
    """One kind of page of a bundle."""

    template: str
    """File under ``templates``."""
    here: str
    """Address of the menu's entry."""
    views: Callable[[Service, str], Iterable[View]]
    """From the service and the job to every page of this kind, the first of them the menu's."""


def _jobs(service: Service, _job_id: str) -> Iterator[View]:
    yield "/", view_jobs(service)


def _job(service: Service, job_id: str) -> Iterator[View]:
    shown = view_job(service, job_id)
    assert shown is not None  # the caller has looked
    yield f"/jobs/{job_id}", shown


def _pairs(service: Service, job_id: str) -> Iterator[View]:
    """The pairs that stand on the pages of the list."""
    filtered = PairView(job=job_id)
    for _, shown in _lists(service, job_id):
        for line in shown["entries"]:
            whole = pair(service.workspace, line["entry"].id)
            yield (
                f"/preferences/{whole.preference.id}",
                {
                    **view_pair(whole, filtered, ""),
                    "end": None,
                },
            )


def _lists(service: Service, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first pages of the list of the job's pairs."""
    filtered, address, after = PairView(job=job_id), "/preferences", None
    for _ in range(LISTS):
        shown: dict[str, Any] = view_preferences(service, filtered, after)
        yield address, shown
        address = shown["next"]
        if not address:
            return
        after = shown["page"].after


def _datasets(service: Service, _job_id: str) -> Iterator[View]:
    yield "/datasets", view_datasets(service)


def _dataset(service: Service, job_id: str) -> Iterator[View]:
    for one in service.workspace.store.read(PreferenceSet, "job_id = ?", [job_id], order="rowid"):
        yield f"/datasets/{one.id}", {**view_dataset(service, one.id), "problem": ""}


def _constitutions(service: Service, _job_id: str) -> Iterator[View]:
    yield "/constitutions", view_constitutions(service)


def _constitution(service: Service, _job_id: str) -> Iterator[View]:
    for name in library.names(service):
        yield f"/constitutions/{quote(name)}", view_constitution(service, name)


def _scorecards(service: Service, _job_id: str) -> Iterator[View]:
    yield "/scorecards", view_scorecards(service)


def _scorecard(service: Service, _job_id: str) -> Iterator[View]:
    for one in service.workspace.store.read(StoredScorecard):
        yield f"/scorecards/{one.id}", view_scorecard(service, one.id)


def _training(service: Service, _job_id: str) -> Iterator[View]:
    yield "/training", view_training(service)


def _runs(service: Service, _job_id: str) -> Iterator[View]:
    for name in runs.found(service):
        yield f"/training/{quote(name)}", view_run(service, name)


def _overoptimisation(service: Service, _job_id: str) -> Iterator[View]:
    yield "/overoptimisation", view_overoptimisation(service)


PAGES: Final = (
    Page("jobs.html", "/", _jobs),
    Page("job.html", "/", _job),
    Page("preferences.html", "/preferences", _lists),
    Page("preference.html", "/preferences", _pairs),
    Page("constitutions.html", "/constitutions", _constitutions),
    Page("constitution.html", "/constitutions", _constitution),
    Page("scorecards.html", "/scorecards", _scorecards),
    Page("scorecard.html", "/scorecards", _scorecard),
    Page("datasets.html", "/datasets", _datasets),
    Page("dataset.html", "/datasets", _dataset),
    Page("training.html", "/training", _training),
    Page("training_run.html", "/training", _runs),
    Page("overoptimisation.html", "/overoptimisation", _overoptimisation),
)
"""Every kind of page; a room joins in by one row."""


def write_bundle(service: Service, job_id: str, folder: Path) -> list[Path]:
    """Write the pages of one job, ``index.html`` first; return what was written.

    Args:
        service: the folder's parts, read once (``engine.recall``); nothing is run.
        job_id: the job.
        folder: made where there is none.

    Raises:
        InputError: there is no such job, or the folder holds something already.
        OSError: the disk is full or refuses writes.
    """
    if service.engine.entry(job_id) is None:
        known = ", ".join(repr(one.job_id) for one in service.engine.entries[:5]) or "none"
        raise InputError(f"there is no job {job_id!r} in {str(service.folder)!r}; jobs there: {known}")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{str(folder)!r} holds something already; name a new folder with -o")
    views = {address: (page, data) for page in PAGES for address, data in page.views(service, job_id)}
    names = {address: file_name(address) for address in views}
    written: list[Path] = []
    assets: set[str] = set()
    for address, (page, data) in views.items():
        made = _Rewriter(names)
        made.feed(render(page.template, data, here=page.here, menu=names))
        made.close()
        assets |= made.assets
        written.append(_write(folder / names[address], made.text.encode()))
    written += [_write(folder / "static" / name, files()[name][0]) for name in sorted(assets)]
    return written


def file_name(address: str) -> str:
    """Name of the file that holds the page of an address: flat, so that every link is a plain name."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", address).strip("-.")
    if len(plain) > LONGEST_NAME or plain != address.strip("/").replace("/", "-"):
        plain = (
            f"{plain[:LONGEST_NAME].strip('-.') or 'page'}-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        )
    return f"{plain}.html" if address != "/" else "index.html"


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


_DROPPED: Final = frozenset({"script", "button", "select", "textarea"})
_GONE: Final = frozenset({"form", "input"})  # the tag goes, what stands inside a form that only looks stays
_LIVE_ONLY: Final = ("csrf", "htmx-config")


@dataclass
class _Rewriter(HTMLParser):
    """Copies a page, turning addresses into file names and leaving out what needs a server."""

    names: Mapping[str, str]
    assets: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self._parts: list[str] = []
        self._inside: list[str] = []  # names of the elements left out that are open here

    @property
    def text(self) -> str:
        """The page."""
        return "".join(self._parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Copy an element's beginning."""
        given = dict(attrs)
        dropped = tag in _DROPPED or (tag == "form" and given.get("method") == "post")
        if self._inside or dropped:
            self._inside += [tag] if dropped else []
        elif tag not in _GONE and not (tag == "meta" and given.get("name") in _LIVE_ONLY):
            self._parts.append(self._tag(tag, attrs))
            if tag == "head":
                self._parts.append(f'\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">')

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Copy an element that closes itself."""
        if not self._inside and tag not in _DROPPED | _GONE:
            self._parts.append(self._tag(tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        """Copy an element's end."""
        if self._inside:
            if tag == self._inside[-1]:
                self._inside.pop()
        elif tag not in _GONE:
            self._parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Copy text."""
        self._copy(data)

    def handle_entityref(self, name: str) -> None:
        """Copy a named character."""
        self._copy(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """Copy a numbered character."""
        self._copy(f"&#{name};")

    def handle_decl(self, decl: str) -> None:
        """Copy the doctype."""
        self._copy(f"<!{decl}>")

    def _copy(self, text: str) -> None:
        if not self._inside:
            self._parts.append(text)

    def _tag(self, tag: str, attrs: list[tuple[str, str | None]]) -> str:
        """The tag as it stands in the page, unless an address or an instruction to a script is in it."""
        kept = [(name, self._target(value) if name in ("href", "src") else value) for name, value in attrs]
        kept = [
            (name, value)
            for name, value in kept
            if not name.startswith("hx-") and (name, value) != ("href", "")
        ]
        if kept == attrs:
            return self.get_starttag_text() or ""
        written = "".join(
            f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in kept
        )
        return f"<{tag}{written}>"

    def _target(self, address: str | None) -> str:
        """Where a link leads from a file; empty for nowhere."""
        if not address or not address.startswith("/"):
            return address or ""
        page, _, part = address.partition("#")
        plain = page.partition("?")[0]
        if plain.startswith("/static/"):
            name = plain.rpartition("/")[2]
            self.assets.add(name)
            return f"static/{name}"
        found = self.names.get(page) or self.names.get(plain, "")
        return f"{found}#{part}" if found and part else found
