"""The verbs about people's labels: ``review export``, ``review import``, ``review agree``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rlaif.cli import console
from rlaif.cli.data import StoreOption
from rlaif.cli.make import Json

if TYPE_CHECKING:
    from rlaif.review import Agreement
    from rlaif.review.agreement import Figures
    from rlaif.review.exchange import Brought

app = typer.Typer(help="Pairs out to people, their labels back, and what they say of the judge.")

Program = Annotated[
    Literal["argilla", "label-studio"], typer.Option("--for", help="Whose records to write or read.")
]


@app.command("export")
def export_(
    out: Annotated[Path, typer.Option("--out", metavar="FILE.json", help="File to write.")],
    program: Program = "argilla",
    set_name: Annotated[
        str | None, typer.Option("--set", metavar="SET", help="Only pairs of this set: JOB/AXIS or its id.")
    ] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Only pairs nobody has labelled.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Most pairs.")] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Write pairs for annotators: texts and ids, sides drawn by digest, nothing of the judge."""
    from rlaif.pipeline import find_folder, opened
    from rlaif.review import Choice
    from rlaif.review.argilla import SETTINGS, records
    from rlaif.review.exchange import tasks
    from rlaif.review.label_studio import CONFIG, tasks_json

    choice = Choice(set=set_name, label="none" if unlabelled else None)

    async def write() -> int:
        async with opened(find_folder(store)) as workspace:
            found = tasks(workspace.store, choice, limit)
            return _written(out, records(found) if program == "argilla" else tasks_json(found))

    count = asyncio.run(write())
    if as_json:
        console.emit_json({"file": str(out), "pairs": count, "for": program})
        return
    console.emit(f"{out}  {count} pairs")
    if program == "label-studio":
        console.say("labelling interface of the project:")
        for line in CONFIG.splitlines():
            console.say(line)
    else:
        console.say(f"settings of the dataset: {json.dumps(SETTINGS)}")


def _written(out: Path, rows: Iterator[dict[str, Any]]) -> int:
    """Write a JSON list, whole or not at all; return how many rows."""
    partial = out.with_name(f".{out.name}.partial")
    count = 0
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write("[")
            for count, row in enumerate(rows, 1):
                file.write((",\n" if count > 1 else "\n") + json.dumps(row, ensure_ascii=False))
            file.write("\n]\n")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return count


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the program exported: .json or .jsonl.")],
    program: Program = "argilla",
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Keep annotators' answers as labels; what does not match a pair here is named, never guessed."""
    from rlaif.pipeline import find_folder, opened
    from rlaif.review import argilla, keep, label_studio
    from rlaif.review.exchange import matched

    async def bring() -> Brought:
        async with opened(find_folder(store)) as workspace:
            if program == "argilla":
                labels, brought = matched(workspace.store, argilla.answers(file), "argilla")
            else:
                labels, brought = matched(workspace.store, label_studio.answers(file), "label_studio")
            await keep(workspace, labels)
            return brought

    brought = asyncio.run(bring())
    if as_json:
        console.emit_json(brought)
        return
    console.emit(f"kept {brought.kept:,} labels of {len(brought.people)} people")
    for person, count in brought.people.items():
        console.emit(f"human:{person}  {count:,}")
    for count, what, names in (
        (brought.known, "already known", ()),
        (brought.unknown_count, "about pairs that are not here", brought.unknown),
        (brought.changed_count, "about pairs whose texts differ from ours", brought.changed),
        (brought.unread_count, "neither A, B nor tie", brought.unread),
    ):
        if count:
            console.say(f"left out, {what}: {count:,}{': ' if names else ''}{', '.join(names)}")


@app.command()
def agree(
    name: Annotated[str, typer.Argument(metavar="SET", help="JOB/AXIS, or the set's id.")],
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Measure a set's judge by people's labels, and keep the scorecard."""
    from rlaif.pipeline import find_folder, opened
    from rlaif.review import agree as measured

    async def read() -> Agreement:
        async with opened(find_folder(store)) as workspace:
            return await measured(workspace, name)

    found = asyncio.run(read())
    if as_json:
        console.emit_json(found)
        return
    console.emit(f"{found.set_name}: {found.judge} against people, scorecard {found.scorecard}")
    rows = (found.total, *found.slices, *found.people)
    head = ("of", "pairs", "prompts", "ties", "accuracy", "95 %", "kappa")
    console.table(head, [_row(one) for one in rows])
    if found.between_people is not None:
        console.emit(f"people among themselves: {found.between_people:.3f}")
    if found.undecided:
        console.emit(f"pairs without a majority among people: {found.undecided:,}")
    for note in found.notes:
        console.say(f"note: {note}")


def _row(one: Figures) -> tuple[object, ...]:
    ends = None if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
    accuracy, kappa = (None if value is None else f"{value:.3f}" for value in (one.accuracy, one.kappa))
    return one.name, one.pairs, one.prompts, one.ties, accuracy, ends, kappa
