"""Preference sets as datasets: what they hold, what may be wrong with them, and their exported files.

Owns where the service keeps exports, and which files of them may be sent: those a manifest names. Leaves
writing exports to ``rlaif.exports``.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rlaif import exports
from rlaif.exports import MANIFEST, Flagged, Manifest, MarginScale
from rlaif.exports.flagged import sentence
from rlaif.records import Document, PreferenceSet, Record, StoredScorecard
from rlaif.service.context import Service
from rlaif.service.problems import Problem

PIPELINE: Final = "pipeline"
"""Name of the export that a job's own export stage wrote."""
PIECE: Final = 2**20
"""Bytes read at a time."""


class Dataset(Record):
    """One preference set in a line."""

    id: str
    """Id of the set."""
    name: str
    """``JOB/axis``."""
    job_id: str
    """The job that made it."""
    axis: str
    """The dimension."""
    judge: str
    """Who judged."""
    constitution: str
    """Name of the constitution."""
    pairs: int
    """Preferences it holds."""
    considered: int
    """Pairs the judge was asked about."""
    counts: dict[str, int]
    """What became of those, by fate."""
    both_orders: bool
    """Whether the judge saw each pair in both orders."""
    audited: bool
    """Whether a scorecard of this judge under these very words is on file."""
    flagged: Flagged
    """Flags on preferred responses."""
    licences: tuple[str, ...]
    """Licences of its prompts; empty text for those that state none."""
    exports: tuple[str, ...]
    """Names of the exports that can be downloaded."""


class Part(Record):
    """Some of a set's pairs."""

    split: str
    """Side of the split."""
    margin: str
    """Strength."""
    pairs: int
    """How many."""
    orders_differ: int
    """Of these, those that one order on its own contradicts."""


class Origin(Record):
    """Prompts of one source under one licence."""

    source: str
    """Where they came from; empty when they do not say."""
    licence: str | None
    """Licence of the text; None when they do not say."""
    prompts: int
    """Prompts with pairs in the set."""
    pairs: int
    """Their pairs."""


class Whole(Record):
    """One preference set, in full."""

    dataset: Dataset
    """In a line."""
    balance: tuple[Part, ...]
    """Its pairs by split and strength."""
    origins: tuple[Origin, ...]
    """Where its prompts came from."""
    template: str
    """Name of the judge's template."""
    card: str | None
    """The dataset card of the newest export; None before there is one."""
    refusal: str | None
    """Why an export is refused until flags are accepted; None when it is not."""


class ExportFile(Record):
    """One file of an export."""

    name: str
    """To ask for it by: its path with ``~`` for each slash."""
    path: str
    """Its path in the export."""
    bytes: int
    """Its size."""
    sha256: str
    """Hex digest of its bytes; empty for the manifest itself, which cannot hold its own."""
    rows: int | None
    """Rows it holds; None for a text."""


class Export(Record):
    """One export of a set."""

    name: str
    """The trainer it was written for; ``pipeline`` for what the job itself wrote."""
    target: str
    """The trainer it was written for."""
    bytes: int
    """Size of all files."""
    files: tuple[ExportFile, ...]
    """Every file, the manifest last."""


def datasets(service: Service) -> list[Dataset]:
    """Every set, newest first; of those with one name, only the newest."""
    store = service.workspace.store
    newest: dict[str, PreferenceSet] = {}
    for one in store.read(PreferenceSet, order="rowid DESC"):
        newest.setdefault(one.name, one)
    return _lines(service, list(newest.values()))


def dataset(service: Service, id: str) -> Whole:
    """One set in full.

    Raises:
        Problem: 404 where there is none.
    """
    made = found(service, id)
    store = service.workspace.store
    [line] = _lines(service, [made])
    documents = {one.id: one.name for one in store.read(Document, "id = ?", [made.template])}
    return Whole(
        dataset=line,
        balance=tuple(Part(**row) for row in store.query("set_balance", set_id=id).to_pylist()),
        origins=tuple(Origin(**row) for row in store.query("set_sources", set_id=id).to_pylist()),
        template=documents.get(made.template, made.template),
        card=_card(service, made),
        refusal=sentence(made.name, line.flagged) if line.flagged.too_many else None,
    )


def found(service: Service, id: str) -> PreferenceSet:
    """The record of one set.

    Raises:
        Problem: 404 where there is none.
    """
    for one in service.workspace.store.read(PreferenceSet, "id = ?", [id]):
        return one
    raise Problem(404, f"there is no dataset {id!r}; those there are stand under /v1/datasets")


def write(service: Service, id: str, to: str, margin: MarginScale | None, *, accept_flags: bool) -> Export:
    """Export one set for a trainer, in place of an earlier export of it for the same.

    Raises:
        Problem: 404 where there is no such set, 409 where a newer one has taken its place.
        InputError: no such trainer, or the set does not fit it.
        JobError: too many preferred responses have a flag, and nobody accepted them.
    """
    made = found(service, id)
    source = exports.stored(service.workspace, f"{made.job_id}/{made.axis}")
    if source.sets[0].id != id:
        raise Problem(
            409, f"dataset {id!r} has been made anew as {source.sets[0].id!r}; export that one instead"
        )
    if not accept_flags:
        exports.refuse_flagged(service.workspace.store, source.sets, accept='"accept_flags": true')
    exports.export(source, _root(service, id) / to, to=to, margin=margin)
    return export(service, id, to)


def export_names(service: Service, made: PreferenceSet) -> tuple[str, ...]:
    """Exports of a set that are whole, the job's own first."""
    own = [PIPELINE] if _manifest(service, made, PIPELINE) else []
    root = _root(service, made.id)
    names = sorted(one.name for one in root.iterdir() if one.name in exports.TARGETS) if root.is_dir() else []
    return (*own, *(name for name in names if _manifest(service, made, name)))


def export(service: Service, id: str, name: str | None = None) -> Export:
    """One export with its files.

    Args:
        service: whose folder.
        id: id of the set.
        name: which export; the first there is when None.

    Raises:
        Problem: 404 where there is none.
    """
    made = found(service, id)
    names = export_names(service, made)
    chosen = name or next(iter(names), "")
    manifest = _manifest(service, made, chosen) if chosen in names else None
    if manifest is None:
        known = ", ".join(names) or f"none yet; make one with: POST /v1/datasets/{id}/exports"
        raise Problem(404, f"there is no export {chosen!r} of {made.name!r}; exports: {known}")
    return _export(chosen, manifest, _folder(service, made, chosen))


def file(service: Service, id: str, wanted: str, name: str | None = None) -> tuple[Path, ExportFile]:
    """One file of an export; no name but those of the manifest leads anywhere.

    Raises:
        Problem: 404 where there is none.
    """
    chosen = export(service, id, name)
    for one in chosen.files:
        if one.name == wanted:
            return _folder(service, found(service, id), chosen.name) / one.path, one
    raise Problem(404, f"there is no file {wanted!r}; its files stand under /v1/datasets/{id}/files")


def archive(folder: Path, chosen: Export, top: str) -> Iterator[bytes]:
    """Yield a tar archive of an export, made as it is sent.

    Args:
        folder: where its files lie.
        chosen: the export.
        top: name of the folder it unpacks to.
    """
    for one in chosen.files:
        head = tarfile.TarInfo(f"{top}/{one.path}")
        head.size, head.mode = one.bytes, 0o644
        yield head.tobuf(tarfile.PAX_FORMAT)
        with (folder / one.path).open("rb") as content:
            while piece := content.read(PIECE):
                yield piece
        if rest := -one.bytes % tarfile.BLOCKSIZE:
            yield bytes(rest)  # never nothing: an empty piece ends a stream
    yield bytes(2 * tarfile.BLOCKSIZE)


def folder_of(service: Service, id: str, name: str) -> Path:
    """Where an export that `export` named lies."""
    return _folder(service, found(service, id), name)


# Inside


def _lines(service: Service, sets: list[PreferenceSet]) -> list[Dataset]:
    store = service.workspace.store
    flags = exports.flagged(store, [one.id for one in sets])
    names = {one.id: one.name for one in store.read(Document, "role = 'constitution'")}
    cards = {(one.judge, one.constitution, one.template) for one in store.read(StoredScorecard)}
    licences: dict[str, list[str]] = {}
    for row in store.query("set_licences", sets=[one.id for one in sets]).to_pylist():
        licences.setdefault(row["set"], []).append(row["licence"] or "")
    return [
        Dataset(
            id=one.id, name=one.name, job_id=one.job_id, axis=one.axis, judge=one.judge,
            constitution=names.get(one.constitution, one.constitution),
            pairs=flags[one.id].pairs, considered=one.pairs, counts=dict(sorted(one.counts.items())),
            both_orders=one.both_orders,
            audited=one.audited or (one.judge, one.constitution, one.template) in cards,
            flagged=flags[one.id], licences=tuple(licences.get(one.id, ())),
            exports=export_names(service, one),
        )
        for one in sets
    ]  # fmt: skip


def _card(service: Service, made: PreferenceSet) -> str | None:
    names = export_names(service, made)
    return None if not names else (_folder(service, made, names[-1]) / "README.md").read_text("utf-8")


def _root(service: Service, id: str) -> Path:
    return service.folder / "exports" / "sets" / id


def _folder(service: Service, made: PreferenceSet, name: str) -> Path:
    """Where an export lies; ``name`` is one of the trainers, or ``pipeline``."""
    if name == PIPELINE:
        return service.folder / "exports" / made.job_id
    return _root(service, made.id) / name


def _manifest(service: Service, made: PreferenceSet, name: str) -> Manifest | None:
    """The manifest of an export; None where there is none, or where it is of an older set."""
    path = _folder(service, made, name) / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return manifest if made.id in {one.id for one in manifest.sets} else None


def _export(name: str, manifest: Manifest, folder: Path) -> Export:
    files = [
        ExportFile(
            name=one.path.replace("/", "~"), path=one.path, bytes=one.bytes, sha256=one.sha256, rows=one.rows
        )
        for one in manifest.files
    ]
    size = (folder / MANIFEST).stat().st_size
    files.append(ExportFile(name=MANIFEST, path=MANIFEST, bytes=size, sha256="", rows=None))
    return Export(
        name=name, target=manifest.target, bytes=sum(one.bytes for one in files), files=tuple(files)
    )
