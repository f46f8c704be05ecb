"""Prompts: from rows of a file to records, once each, on a side of the split that never changes.

Owns which columns a row needs, what a conversation must look like, and the split. Leaves file formats
to ``rowfile`` and drawing responses to ``sampling``.

A row has ``prompt`` (text, or a list of ``{role, content}`` turns) or else ``messages`` (such a
list). The role ``developer`` is read as ``system``. Text is kept as written except that it is put into
Unicode normal form C, so that equal-looking prompts are one prompt; everything else about the row
(its ``id`` included) goes to the record's ``meta``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from rlaif.complaints import shown
from rlaif.errors import InputError
from rlaif.records import Message, Prompt, Role, Split, digest
from rlaif.rowfile import Row, read_rows

MAX_CHARS = 200_000
"""Most characters in one conversation."""
MAX_META = 64 * 1024
"""Most bytes of other columns, as JSON, kept with a prompt."""
_NAMED_SKIPS = 20
_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
}  # fmt: skip


@dataclass
class PromptReport:
    """What became of a file's rows: ``rows = prompts + duplicates + skipped``."""

    rows: int = 0
    """Rows read."""
    prompts: int = 0
    """Distinct prompts."""
    test: int = 0
    """Prompts on the test side."""
    duplicates: int = 0
    """Rows whose conversation had been read before; the first one stays."""
    skipped: int = 0
    """Rows that could not be used."""
    reasons: list[str] = field(default_factory=list)
    """Place and reason of the first 20 rows skipped."""
    meta_dropped: int = 0
    """Prompts whose other columns were over 64 KiB; only the row's ``id`` was kept."""


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The prompts of one file."""

    prompts: list[Prompt]
    """In the file's order, without duplicates."""
    digest: str
    """Content id over the prompts' ids, whatever their order."""
    report: PromptReport
    """What was read, repeated and skipped."""


def read_prompts(
    path: str | Path, *, limit: int | None = None, test_share: float = 0.1, skip_bad_rows: bool = False
) -> PromptFile:
    """Read the prompts of a file.

    Args:
        path: a file or folder that ``rowfile.read_rows`` reads.
        limit: stop after so many distinct prompts.
        test_share: share of prompts on the test side; see ``split_of``.
        skip_bad_rows: count and report rows that cannot be used instead of stopping at the first.

    Raises:
        InputError: with file, line (or row) and field; or there is no prompt in the file.
    """
    report = PromptReport()
    prompts: dict[str, Prompt] = {}
    for row in read_rows(path):
        if limit is not None and len(prompts) >= limit:
            break
        report.rows += 1
        try:
            prompt = _prompt(row, test_share, report)
        except InputError as error:
            if not skip_bad_rows:
                raise
            _skip(report, error)
            continue
        if prompts.setdefault(prompt.id, prompt) is not prompt:
            report.duplicates += 1
    if not prompts:
        raise _none(Path(path), report)
    report.prompts = len(prompts)
    report.test = sum(one.split == "test" for one in prompts.values())
    return PromptFile(list(prompts.values()), digest("ps", sorted(prompts)), report)


def split_of(prompt_id: str, test_share: float) -> Split:
    """Return the side of the split a prompt is on: a function of its id and the share alone.

    The id's first 52 bits, read as a fraction, are compared with the share. So a prompt is on the same
    side in every file, and a larger share only moves prompts from train to test.
    """
    fraction = int(prompt_id.rpartition("_")[2][:13], 16) / 16**13
    return "test" if fraction < test_share else "train"


def _skip(report: PromptReport, error: InputError) -> None:
    report.skipped += 1
    if len(report.reasons) < _NAMED_SKIPS:
        report.reasons.append(str(error))


def _none(path: Path, report: PromptReport) -> InputError:
    if report.skipped:
        why = f"none of the {report.rows} rows can be used; the first: {report.reasons[0]}"
        return InputError(why, path=path, field="prompt")
    return InputError("there are no rows in it; each row needs 'prompt' or 'messages'", path=path, line=1)


def _prompt(row: Row, test_share: float, report: PromptReport) -> Prompt:
    if row.fault:
        raise row.error(row.fault)
    columns = row.value
    if not isinstance(columns, Mapping):
        raise row.error(f"found {shown(columns)}; a row is a mapping with 'prompt' or 'messages'")
    column = next((name for name in ("prompt", "messages") if columns.get(name) is not None), None)
    if column is None:
        names = shown(", ".join(str(name) for name in columns))
        raise row.error(f"found the columns {names}; a row needs a value in 'prompt' or 'messages'", "prompt")
    messages = _conversation(row, column, columns[column])
    made = Prompt.make(
        messages,
        source=_label(row, columns, "source") or row.path.name,
        licence=_label(row, columns, "licence") or _label(row, columns, "license"),
        meta=_meta(row, columns, column, report),
    )
    return made.model_copy(update={"split": split_of(made.id, test_share)})


def _conversation(row: Row, column: str, value: object) -> tuple[Message, ...]:
    if isinstance(value, str):
        turns = [Message(role="user", content=_text(row, column, value))]
    elif isinstance(value, list) and value:
        turns = [_turn(row, f"{column}.{index}", one) for index, one in enumerate(value)]
    else:
        raise row.error(f"found {shown(value)}; allowed: text or a list of turns", column)
    last = turns[-1]
    if last.role != "user":
        advice = (
            ": leave that turn out, since a response will stand there" if last.role == "assistant" else ""
        )
        raise row.error(
            f"the conversation ends in a turn of {last.role!r}; it must end in 'user'{advice}", column
        )
    if not last.content.strip():
        raise row.error(f"found {shown(last.content)}; the prompt is empty", column)
    size = sum(len(one.content) for one in turns)
    if size > MAX_CHARS:
        raise row.error(f"the conversation has {size} characters; at most {MAX_CHARS} are allowed", column)
    return tuple(turns)


def _turn(row: Row, place: str, value: object) -> Message:
    if not isinstance(value, Mapping):
        raise row.error(f"found {shown(value)}; a turn is a mapping of 'role' and 'content'", place)
    extra = [str(key) for key, held in value.items() if key not in ("role", "content") and held is not None]
    if extra or "role" not in value or "content" not in value:
        keys = shown(", ".join(str(key) for key in value))
        raise row.error(f"found the keys {keys}; a turn has 'role' and 'content' and nothing else", place)
    role, content = value["role"], value["content"]
    if not isinstance(role, str) or role not in _ROLES:
        allowed = ", ".join(_ROLES)
        raise row.error(f"found {shown(role)}; allowed: {allowed}", f"{place}.role")
    return Message(role=_ROLES[role], content=_text(row, f"{place}.content", content))


def _text(row: Row, place: str, value: object) -> str:
    if not isinstance(value, str):
        raise row.error(f"found {shown(value)}; allowed: text", place)
    if "\x00" in value:
        raise row.error("found a NUL character; remove it", place)
    if not value.isascii():
        if any("\ud800" <= one <= "\udfff" for one in value):
            raise row.error("found half of a surrogate pair, which is no character; remove it", place)
        value = unicodedata.normalize("NFC", value)
    return value


def _label(row: Row, columns: Mapping[str, object], name: str) -> str | None:
    value = columns.get(name)
    if value is None or isinstance(value, str):
        return value if value is None else _text(row, name, value).strip()
    raise row.error(f"found {shown(value)}; allowed: text", name)


def _meta(row: Row, columns: Mapping[str, object], column: str, report: PromptReport) -> dict[str, JsonValue]:
    """Every other column that has a value, as JSON: times and bytes become text, NaN becomes null."""
    used = (column, "source", "licence", "license")
    rest = {name: value for name, value in columns.items() if name not in used and value is not None}
    if not rest:
        return {}
    try:
        encoded = to_json(rest, inf_nan_mode="null", bytes_mode="base64")
        if len(encoded) > MAX_META:
            report.meta_dropped += 1
            encoded = to_json({name: value for name, value in rest.items() if name == "id"})
        kept: dict[str, JsonValue] = from_json(encoded)
    except ValueError as error:
        raise row.error(f"its other columns cannot be kept as JSON: {shown(str(error))}", "meta") from None
    return kept
