"""Writes one export: one pass over the prompts, then the command, the card and the manifest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from rlaif.errors import InputError
from rlaif.exports.card import card
from rlaif.exports.folder import Shards, replaced, sealed
from rlaif.exports.lengths import LIMITS, Ruler
from rlaif.exports.manifest import (
    MANIFEST,
    Config,
    File,
    Manifest,
    Provenance,
    Spend,
    check_census,
    set_entry,
)
from rlaif.exports.rows import Table
from rlaif.exports.source import Group, Source, groups
from rlaif.exports.targets import Part, filled, target
from rlaif.records import MarginScale, Split

_SPLITS: tuple[Split, ...] = ("train", "test")


def export(
    source: Source,
    out: Path,
    *,
    to: str = "trl",
    margin: MarginScale | None = None,
    language: Sequence[str] = (),
) -> Manifest:
    """Write a job's preference sets to a folder, replacing an export that is there.

    Equal records give equal bytes. The folder appears whole or not at all.

    Args:
        source: the records.
        out: the folder.
        to: a name in ``TARGETS``.
        margin: also write a ``margin`` column on this scale; TRL's reward trainer then subtracts it.
        language: ISO 639 codes for the card.

    Raises:
        InputError: an unknown target or one that these sets do not fit, two tables of one name, or a
            folder with other files in it.
        StoreError: the records do not fit together.
    """
    chosen = target(to)
    tables = _checked(chosen.tables(source, margin), source, to)
    with replaced(out) as folder:
        written = [_Written(folder, table, jsonl=chosen.jsonl) for table in tables]
        sources, measure = _fill(source, written)
        files = [file for one in written for file in one.close()]
        _check(source, written)
        notes = chosen.notes([part for one in written if (part := one.part(jsonl=chosen.jsonl)).train])
        manifest = _describe(source, to, written, sources, measure)
        texts = {
            "README.md": card(manifest, about=filled(chosen.about), notes=notes, language=language),
            **notes,
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
            files.append(sealed(folder / name, folder, rows=None))
        return _seal(manifest, files, folder)


class _Written:
    """One table on its way to disk, and what its rows amount to."""

    def __init__(self, folder: Path, table: Table, *, jsonl: bool) -> None:
        self.table = table
        self._shards = {split: Shards(folder, table, split, jsonl=jsonl) for split in _SPLITS}
        self._over: Counter[int] = Counter()
        self._folded = 0
        self._absent: Counter[str] = Counter()

    def add(self, group: Group, ruler: Ruler) -> None:
        """Write the rows of one prompt."""
        split = group.prompt.split
        rows = list(self.table.rows(group))
        for row in rows:
            self._over.update(ruler.over(row))
            self._folded += self.table.folds(row)
        self._absent.update(self.table.absent(group))
        self._shards[split].extend(self.table.shape(row, split) for row in rows)

    def close(self) -> Iterator[File]:
        """Write what is pending and yield the files."""
        for shards in self._shards.values():
            yield from shards.close()

    @property
    def config(self) -> Config:
        """What the manifest says of the table."""
        return Config(
            kind=self.table.kind,
            rows={split: shards.rows for split, shards in self._shards.items()},
            over={limit: self._over[limit] for limit in LIMITS},
            folded=self._folded,
            absent=dict(sorted(self._absent.items())),
        )

    def part(self, *, jsonl: bool) -> Part:
        """What a command says of it."""
        kept = {
            split: tuple(
                one.path for one in shards.files if one.path.endswith(".jsonl") == jsonl and one.rows
            )
            for split, shards in self._shards.items()
        }
        columns = tuple(self.table.schema.names)
        return Part(self.table.name, self.table.kind, columns, kept["train"], kept["test"])


def _checked(tables: Sequence[Table], source: Source, to: str) -> Sequence[Table]:
    if not tables:
        raise InputError(
            f"{to!r} takes preference sets and job {source.job.id!r} made none; add a judge and a prefer"
            " stage to its pipeline and run it again",
            field="to",
        )
    for name, times in Counter(table.name for table in tables).items():
        if times > 1:
            raise InputError(
                f"{times} tables would be named {name!r}, from sets"
                f" {', '.join(repr(one.name) for one in source.sets)}; export them one at a time"
            )
    return tables


def _fill(source: Source, written: Sequence[_Written]) -> tuple[Counter[tuple[str, str | None]], str]:
    """Write every row; return the prompts by source and licence, and how rows were measured."""
    sources: Counter[tuple[str, str | None]] = Counter()
    found = groups(source)
    head = _until_drawn(found)
    model = next((one.model for one in head[-1].samples.values()), None) if head else None
    ruler = Ruler(model)
    for group in chain(head, found):
        sources[group.prompt.source, group.prompt.licence] += 1
        for one in written:
            one.add(group, ruler)
    return sources, ruler.measure


def _until_drawn(found: Iterator[Group]) -> list[Group]:
    """Take groups up to the first with a response: its model's tokens are the measure."""
    head = []
    for group in found:
        head.append(group)
        if group.samples:
            break
    return head


def _check(source: Source, written: Sequence[_Written]) -> None:
    sets = {one.id: one for one in source.sets}
    for one in written:
        if one.table.census is not None:
            check_census(sets[one.table.census], sum(one.config.rows.values()))


def _describe(
    source: Source,
    to: str,
    written: Sequence[_Written],
    sources: Counter[tuple[str, str | None]],
    measure: str,
) -> Manifest:
    job = source.job
    return Manifest(
        job=job.id,
        name=job.name,
        pipeline=job.pipeline,
        prompts=job.prompts,
        seed=job.seed,
        target=to,
        configs={one.table.name: one.config for one in written},
        measure=measure,
        sets=tuple(set_entry(source, one) for one in source.sets),
        sources=tuple(
            Provenance(source=name, licence=licence, prompts=count)
            for (name, licence), count in sorted(
                sources.items(), key=lambda one: (one[0][0], one[0][1] or "")
            )
        ),
        spend=Spend.of(source.bill),
        files=(),
    )


def _seal(manifest: Manifest, files: Sequence[File], folder: Path) -> Manifest:
    whole = manifest.model_copy(update={"files": tuple(sorted(files, key=lambda one: one.path))})
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(whole.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return whole
