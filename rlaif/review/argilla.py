"""Pairs as Argilla records, and the answers of its annotators.

Owns the shape that ``Dataset.records.to_json`` of the Argilla SDK 2.x writes and reads: a list of records
with ``id``, ``fields``, ``metadata``, ``suggestions``, ``responses``, ``vectors`` and ``status``. The dataset
asks one question, ``better``, of ranking type over ``response_a`` and ``response_b``; a label question with
the same options, or ``a``, ``b`` and ``tie``, is read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rlaif.complaints import shown
from rlaif.records import Verdict
from rlaif.review.exchange import Answer, Task
from rlaif.rowfile import read_rows

QUESTION: Final = "better"
SETTINGS: Final[Mapping[str, Any]] = {
    "guidelines": "Which response is better on the axis named beside it? Put both in one place for a tie.",
    "fields": [
        {"name": "prompt", "title": "Prompt", "required": True, "type": "text"},
        {"name": "response_a", "title": "A", "required": True, "type": "text"},
        {"name": "response_b", "title": "B", "required": True, "type": "text"},
    ],
    "questions": [
        {"name": QUESTION, "title": "Better first", "type": "ranking", "values": ["response_a", "response_b"]}
    ],
    "metadata": ["preference_id", "set", "axis", "sample_a", "sample_b"],
}
"""How to make the dataset these records go into; see docs/guides/human-review.md."""
_OPTIONS: Final[Mapping[str, Verdict]] = {
    "response_a": "first", "response_b": "second", "a": "first", "b": "second", "tie": "tie",
}  # fmt: skip


def records(tasks: Iterable[Task]) -> Iterator[dict[str, Any]]:
    """Yield one record a pair; nothing of the judge stands in it."""
    for one in tasks:
        yield {
            "id": one.preference,
            "fields": {"prompt": one.prompt, "response_a": one.a, "response_b": one.b},
            "metadata": {
                "preference_id": one.preference,
                "set": one.set,
                "axis": one.axis,
                "sample_a": one.a_id,
                "sample_b": one.b_id,
            },
            "suggestions": {},
            "responses": {},
            "vectors": {},
            "status": "pending",
        }


def answers(path: Path) -> Iterator[Answer]:
    """Yield every person's answer in a file of records.

    Args:
        path: ``.json`` (what the SDK writes) or ``.jsonl``.

    Raises:
        InputError: the file cannot be read, or a row is no record.
    """
    for row in read_rows(path):
        if row.fault:
            raise row.error(row.fault)
        value = row.value
        if not isinstance(value, Mapping) or not isinstance(value.get("fields"), Mapping):
            raise row.error(f"found {shown(value)}; an Argilla record has 'fields'")
        yield from _answers(value, f"record {row.index + 1}")


def _answers(record: Mapping[str, Any], where: str) -> Iterator[Answer]:
    fields, about = record["fields"], record.get("metadata") or {}
    if not isinstance(about, Mapping):
        about = {}
    id = about.get("preference_id") or record.get("id") or record.get("external_id")
    texts = tuple(fields.get(name) for name in ("prompt", "response_a", "response_b"))
    for number, (person, said) in enumerate(_responses(record.get("responses")), 1):
        yield Answer(
            where=f"{where}, answer {number}",
            preference=None if id is None else str(id),
            a_id=about.get("sample_a"),
            texts=tuple(one if isinstance(one, str) else None for one in texts),  # type: ignore[arg-type]
            person=person,
            verdict=verdict(said),
        )


def _responses(given: object) -> Iterator[tuple[str, object]]:
    """Person and value of every submitted response, in the SDK's shape and in the server's."""
    if isinstance(given, Mapping):  # by question: [{"value", "user_id"}]
        for name, some in given.items():
            if name in (QUESTION, "ranking", "label", "preference") and isinstance(some, list):
                yield from ((_person(one), one.get("value")) for one in some if isinstance(one, Mapping))
    elif isinstance(given, list):  # by person: {"values": {question: {"value"}}, "status", "user_id"}
        for one in given:
            if isinstance(one, Mapping) and one.get("status", "submitted") == "submitted":
                for value in (one.get("values") or {}).values():
                    yield _person(one), value.get("value") if isinstance(value, Mapping) else value


def _person(response: Mapping[str, Any]) -> str:
    return str(response.get("user_id") or "unnamed")


def verdict(said: object) -> Verdict | None:
    """Read an answer: a label, or a ranking with or without ranks; None where it is neither."""
    if isinstance(said, str):
        return _OPTIONS.get(said.lower())
    if not isinstance(said, Sequence) or len(said) != 2:
        return None
    ranks: dict[Verdict | None, int] = {}
    for place, one in enumerate(said, 1):
        name = one.get("value") if isinstance(one, Mapping) else one
        rank = one.get("rank") if isinstance(one, Mapping) else None
        ranks[_OPTIONS.get(str(name).lower())] = rank if isinstance(rank, int) else place
    if set(ranks) != {"first", "second"}:
        return None
    first, second = ranks["first"], ranks["second"]
    return "tie" if first == second else "first" if first < second else "second"
