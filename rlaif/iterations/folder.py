"""The output folder of an iteration: what was asked, the prompts, and a folder a round.

Owns the layout, the refusal to go on with something else than was begun, and whole-or-nothing writes.
Leaves what is inside ``data``, ``evaluation`` and ``policy`` to the packages that make them.

    config.json            what was asked, constitutions and prompts by content
    prompts/train.jsonl    what rounds draw from;  prompts/test.jsonl  what policies are measured on
    start/                 the first policy, where it is trained
    round-N/data/          calls, store, export and report of the round's data
    round-N/policy/        the training run; the policy itself is in final/
    round-N/evaluation/    calls and store of what the policy was measured by
    round-N/row.json       the round's row, written when all of it is done
    metrics.jsonl          the numbers of all rows
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue, ValidationError

from rlaif.complaints import shown
from rlaif.errors import InputError
from rlaif.iterations.config import Loaded
from rlaif.iterations.records import Row
from rlaif.prompts import PromptFile, read_prompts
from rlaif.records import Prompt
from rlaif.training.reporting import METRICS
from rlaif.wholefile import put

_FREE: Final = frozenset({"rounds", "limits"})
"""What may change when going on."""


class Folder:
    """One output folder, taken for an iteration.

    Args:
        loaded: what is asked.
        resume: an iteration that is there may be gone on with.

    Raises:
        InputError: another one is there, or the prompts cannot be used.
    """

    def __init__(self, loaded: Loaded, *, resume: bool) -> None:
        self.root = loaded.output
        config = loaded.config.prompts
        read = read_prompts(
            loaded.prompts,
            limit=config.limit,
            test_share=config.test_share,
            skip_bad_rows=config.skip_bad_rows,
        )
        sides = {side: [one for one in read.prompts if one.split == side] for side in ("train", "test")}
        for side, prompts in sides.items():
            if not prompts:
                raise InputError(
                    f"none of {len(read.prompts)} prompts is on the {side} side (test_share"
                    f" {config.test_share:g}); rounds draw from the one side and are measured on the other:"
                    " give more prompts or another test_share",
                    path=loaded.prompts, field="prompts.test_share",
                )  # fmt: skip
        self._claim(_told(loaded, read), resume)
        for side, prompts in sides.items():
            write(self.prompts(side), (_row(one) for one in prompts))

    def prompts(self, side: str) -> Path:
        """The file of one side's prompts; absolute."""
        return (self.root / "prompts" / f"{side}.jsonl").resolve()

    def round(self, number: int) -> Path:
        """The folder of a round."""
        return self.root / f"round-{number}"

    def rows(self) -> list[Row]:
        """Return the rows of all rounds that are done.

        Raises:
            InputError: one of them cannot be read.
        """
        found: list[Row] = []
        while (path := self.round(len(found)) / "row.json").is_file():
            try:
                found.append(Row.model_validate_json(path.read_bytes()))
            except ValidationError as error:
                raise InputError(
                    f"not the row of a round ({error.error_count()} faults); remove it and the round is gone"
                    " through again with --resume",
                    path=path,
                ) from None
        return found

    def add(self, rows: Sequence[Row]) -> None:
        """Write the last of all rows so far, and the numbers of all."""
        # The numbers first: a round without its row is gone through again, and writes them anew.
        write(self.root / METRICS, ({"step": row.round, **dict(row.numbers())} for row in rows))
        put(self.round(rows[-1].round) / "row.json", rows[-1].model_dump_json(indent=1) + "\n")

    def _claim(self, told: Mapping[str, JsonValue], resume: bool) -> None:
        path = self.root / "config.json"
        if not path.is_file():
            if self.root.is_dir() and any(self.root.iterdir()):
                raise InputError("this folder holds something else; name another output", path=self.root)
            put(path, json.dumps(told, indent=1) + "\n")
            return
        if not resume:
            raise InputError(
                "this folder holds an iteration already; add --resume to go on with it, or name another"
                " output",
                path=self.root,
            )
        before = json.loads(path.read_bytes())
        changed = [
            f"{key} ({shown(before.get(key))} before, {shown(told.get(key))} now)"
            for key in sorted((told.keys() | before.keys()) - _FREE)
            if before.get(key) != told.get(key)
        ]
        if changed:
            raise InputError(
                f"what is there was asked otherwise: {', '.join(changed)}; put these back, or name another"
                " output",
                path=path,
            )


def write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as JSONL, whole or not at all."""
    put(path, "".join(f"{json.dumps(row)}\n" for row in rows))


def turns(prompt: Prompt) -> list[JsonValue]:
    """Return a prompt as a column holds it."""
    return [one.model_dump(mode="json") for one in prompt.messages]


def _row(prompt: Prompt) -> dict[str, JsonValue]:
    return {**prompt.meta, "prompt": turns(prompt), "source": prompt.source, "licence": prompt.licence}


def _told(loaded: Loaded, prompts: PromptFile) -> dict[str, JsonValue]:
    """What decides the results; files by content."""
    told: dict[str, JsonValue] = loaded.config.model_dump(mode="json")
    told |= {"prompts": prompts.digest, "output": None}
    told |= {f"{name}.constitution": loaded.constitution(one).digest for name, one in loaded.judges.items()}
    return told
