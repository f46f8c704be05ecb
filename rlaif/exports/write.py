"""Writes one export: one pass over the prompts, then the card, then the manifest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlaif.exports.card import card
from rlaif.exports.folder import Shards, replaced, sealed
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
from rlaif.exports.rows import MarginScale, Table, target
from rlaif.exports.source import Source, groups
from rlaif.records import Split

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
        InputError: an unknown target, two tables of one name, or a folder with other files in it.
        StoreError: the records do not fit together.
    """
    chosen = target(to)
    tables = chosen.tables(source, margin)
    with replaced(out) as folder:
        shards = {
            (table.name, split): Shards(folder, table, split, jsonl=chosen.jsonl)
            for table in tables
            for split in _SPLITS
        }
        sources = _fill(source, tables, shards)
        files = [file for one in shards.values() for file in one.close()]
        _check(source, tables, shards)
        manifest = _describe(source, to, tables, shards, sources)
        readme = folder / "README.md"
        readme.write_text(card(manifest, language=language), encoding="utf-8")
        files.append(sealed(readme, folder, rows=None))
        return _seal(manifest, files, folder)


def _fill(
    source: Source, tables: Sequence[Table], shards: Mapping[tuple[str, Split], Shards]
) -> Counter[tuple[str, str | None]]:
    sources: Counter[tuple[str, str | None]] = Counter()
    for group in groups(source):
        sources[group.prompt.source, group.prompt.licence] += 1
        for table in tables:
            shards[table.name, group.prompt.split].extend(table.rows(group))
    return sources


def _check(source: Source, tables: Sequence[Table], shards: Mapping[tuple[str, Split], Shards]) -> None:
    pairs = {table.name for table in tables if table.kind == "preference"}
    for one in source.sets:
        if one.axis in pairs:
            check_census(one, sum(shards[one.axis, split].rows for split in _SPLITS))


def _describe(
    source: Source,
    to: str,
    tables: Sequence[Table],
    shards: Mapping[tuple[str, Split], Shards],
    sources: Counter[tuple[str, str | None]],
) -> Manifest:
    job = source.job
    return Manifest(
        job=job.id,
        name=job.name,
        pipeline=job.pipeline,
        prompts=job.prompts,
        seed=job.seed,
        target=to,
        configs={
            table.name: Config(
                kind=table.kind, rows={split: shards[table.name, split].rows for split in _SPLITS}
            )
            for table in tables
        },
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
