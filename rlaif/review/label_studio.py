"""Pairs as Label Studio tasks, and the answers of its annotators.

Owns the JSON that Label Studio imports and exports: a list of tasks with ``data`` and ``annotations``, each
of those with ``completed_by`` and a ``result`` whose entry of type ``pairwise`` has ``value.selected``,
``left`` or ``right`` (https://labelstud.io/tags/pairwise). Its control knows no tie; a ``choices`` entry
``tie`` beside it is read as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rlaif.complaints import shown
from rlaif.records import Verdict
from rlaif.review.exchange import Answer, Task
from rlaif.rowfile import read_rows

CONFIG: Final = """<View>
  <Text name="prompt" value="$prompt"/>
  <Pairwise name="better" toName="response_a,response_b"/>
  <Text name="response_a" value="$response_a"/>
  <Text name="response_b" value="$response_b"/>
  <Choices name="tie" toName="prompt" choice="multiple"><Choice value="tie"/></Choices>
</View>
"""
"""Labelling interface of the project these tasks go into."""
_SIDES: Final[Mapping[str, Verdict]] = {"left": "first", "right": "second"}


def tasks_json(tasks: Iterable[Task]) -> Iterator[dict[str, Any]]:
    """Yield one task a pair; nothing of the judge stands in it."""
    for one in tasks:
        yield {
            "data": {
                "prompt": one.prompt,
                "response_a": one.a,
                "response_b": one.b,
                "preference_id": one.preference,
                "set": one.set,
                "axis": one.axis,
                "sample_a": one.a_id,
                "sample_b": one.b_id,
            },
            "annotations": [],
        }


def answers(path: Path) -> Iterator[Answer]:
    """Yield every person's answer in a file of tasks; skipped tasks have none.

    Args:
        path: ``.json`` (Label Studio's export) or ``.jsonl``.

    Raises:
        InputError: the file cannot be read, or a row is no task.
    """
    for row in read_rows(path):
        if row.fault:
            raise row.error(row.fault)
        task = row.value
        if not isinstance(task, Mapping) or not isinstance(task.get("data"), Mapping):
            raise row.error(f"found {shown(task)}; a Label Studio task has 'data'")
        yield from _answers(task, f"task {row.index + 1}")


def _answers(task: Mapping[str, Any], where: str) -> Iterator[Answer]:
    data = task["data"]
    id = data.get("preference_id")
    prompt, a, b = (data.get(name) for name in ("prompt", "response_a", "response_b"))
    given = task.get("annotations") or []
    for number, one in enumerate(given if isinstance(given, list) else [], 1):
        if not isinstance(one, Mapping) or one.get("was_cancelled"):
            continue
        yield Answer(
            where=f"{where}, annotation {number}",
            preference=None if id is None else str(id),
            a_id=data.get("sample_a"),
            texts=(_text(prompt), _text(a), _text(b)),
            person=_person(one.get("completed_by")),
            verdict=verdict(one.get("result")),
            at=_text(one.get("updated_at")) or _text(one.get("created_at")),
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _person(by: object) -> str:
    """An annotator by mail address where the export has it, else by number."""
    if isinstance(by, Mapping):
        return str(by.get("email") or by.get("username") or by.get("id"))
    return str(by)


def verdict(result: object) -> Verdict | None:
    """Read one annotation's result; None without one clear choice."""
    found: set[Verdict] = set()
    for one in result if isinstance(result, list) else []:
        value = one.get("value") if isinstance(one, Mapping) else None
        if not isinstance(value, Mapping):
            continue
        if one.get("type") == "pairwise" and value.get("selected") in _SIDES:
            found.add(_SIDES[value["selected"]])
        elif one.get("type") == "choices" and value.get("choices") == ["tie"]:
            return "tie"
    return found.pop() if len(found) == 1 else None
