"""Constitutions: what a judge is asked to look for, written by people in one YAML file an axis.

Owns the file's schema, the lint every load applies, the content digest that judgments refer to, the
text a judge is shown and the draw of one principle per comparison. Leaves the reading of YAML to
``yamlfile``, the judge's question to ``judging`` and the running of cases to whoever has a judge.

Texts of a constitution hold no placeholders: nothing fills ``{name}`` in them, so the loader refuses
one rather than show it to a judge.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated

import pydantic_core
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from rlaif.complaints import Loc, closest, dotted, shown
from rlaif.errors import InputError
from rlaif.records import Axis, Document, Message, Record, Verdict, canonical, digest
from rlaif.yamlfile import SchemaVersion, YamlFile, read_yaml, validate

_PLACEHOLDER = re.compile(r"\{\w*\}|\{\{|\{%")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if not line:
        raise ValueError("the text is empty; write it, or remove the entry")
    return line


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty; write it, or remove the entry")
    return text


Sentence = Annotated[str, AfterValidator(_one_line)]
"""Text whose line breaks carry no meaning: runs of white space become one space."""
Verbatim = Annotated[str, AfterValidator(_not_blank)]
"""Text kept as it is written."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,59}$")]
"""A short id: lower-case letters, digits, ``_`` and ``-``."""


class Example(Record):
    """One worked critique and revision, shown before a model is asked for its own."""

    prompt: Verbatim
    """What was asked."""
    response: Verbatim
    """A response that falls short of the principle."""
    critique: Verbatim
    """What is wrong with it."""
    revision: Verbatim
    """The response put right."""


class Principle(Record):
    """One thing that makes a response better on this axis."""

    id: Name
    """Short id, stored with every label the principle decided."""
    text: Sentence
    """What to prefer, in one sentence; shown to judges."""
    critique_request: Sentence
    """Asks a model to criticise its own response by this principle."""
    revision_request: Sentence
    """Asks it to rewrite the response accordingly."""
    weight: float = Field(default=1.0, gt=0.0, le=1e6, allow_inf_nan=False)
    """How often it is drawn, relative to the others."""
    examples: tuple[Example, ...] = ()
    """Worked critiques and revisions."""


class Anchor(Record):
    """What one level of the scale means."""

    level: int
    """A whole score."""
    text: Sentence
    """What a response at this level is like."""


class Rubric(Record):
    """The scale of pointwise scores."""

    low: int = Field(ge=0, le=99)
    """Lowest score."""
    high: int = Field(ge=1, le=100)
    """Highest score."""
    anchors: tuple[Anchor, ...] = Field(min_length=2)
    """Levels in rising order; the first is ``low``, the last is ``high``."""

    @model_validator(mode="after")
    def _ordered(self) -> Rubric:
        levels = [one.level for one in self.anchors]
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; low must be smaller")
        if levels != sorted(set(levels)) or levels[0] != self.low or levels[-1] != self.high:
            raise ValueError(f"anchors stand at {levels}; they must rise from {self.low} to {self.high}")
        return self


class Case(Record):
    """A comparison whose outcome the author is sure of: a unit test of judge and constitution."""

    id: Name
    """Short id, named when the case fails."""
    prompt: Verbatim | Annotated[tuple[Message, ...], Field(min_length=1)]
    """One user turn, or a conversation that ends in one."""
    responses: tuple[Verbatim, Verbatim]
    """The two responses, in the order shown."""
    expect: Verdict
    """What the judge must say."""
    principle: Name | None = None
    """The principle the case is about."""
    note: Sentence | None = None
    """Why the author is sure."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt as a conversation."""
        if isinstance(self.prompt, str):
            return (Message(role="user", content=self.prompt),)
        return self.prompt


class Constitution(Record):
    """The principles, rubric and cases of one axis."""

    schema_version: SchemaVersion
    """Version of this file format."""
    id: Name
    """Short name of the constitution."""
    axis: Axis
    """The dimension it judges."""
    title: Sentence
    """Name for people."""
    description: Sentence
    """What it is for, in a sentence or two."""
    licence: Sentence
    """Licence of the text."""
    language: str = Field(default="en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    """Language of the text, as a BCP 47 tag."""
    principles: tuple[Principle, ...] = Field(min_length=1)
    """What to prefer; the order is the order shown."""
    rubric: Rubric
    """The scale of pointwise scores."""
    cases: tuple[Case, ...] = ()
    """Comparisons that a judge must get right."""

    @cached_property
    def digest(self) -> str:
        """Content id of what judges are shown and draw from: id, axis, principles and rubric.

        Comments, key order, line wrapping, titles and cases leave it unchanged.
        """
        return digest("cn", self._shown)

    def document(self) -> Document:
        """Return the record that keeps the words a judgment's ``constitution`` digest stands for."""
        text = pydantic_core.to_json(pydantic_core.from_json(canonical(self._shown)), indent=2).decode()
        return Document(id=self.digest, role="constitution", name=self.id, text=text)

    @property
    def _shown(self) -> dict[str, object]:
        return self.model_dump(mode="json", include={"id", "axis", "principles", "rubric"})


def load_constitution(path: str | Path) -> Constitution:
    """Read, validate and lint one constitution file.

    Raises:
        InputError: with file, line and field: the file is not YAML of the accepted subset, does not
            fit the schema, or fails the lint (repeated ids or texts, unknown principles, placeholders,
            cases that cannot be decided).
    """
    file = read_yaml(path)
    constitution = validate(Constitution, file)
    for loc, message in _lint(constitution):
        raise _complaint(file, loc, message)
    return constitution


def draw_principle(constitution: Constitution, key: str, seed: int) -> Principle:
    """Draw the principle for one comparison, by weight and by nothing but its arguments.

    Each principle runs an exponential race with a hash for randomness (Efraimidis and Spirakis 2006):
    the smallest ``-ln(u) / weight`` wins. Re-wording, reordering, adding or removing a principle so
    leaves every draw that does not touch it as it was.

    Args:
        constitution: what to draw from.
        key: names the comparison, e.g. the digest of its two samples.
        seed: the pipeline's seed.
    """

    def finish(principle: Principle) -> float:
        return -math.log(_uniform(constitution.id, principle.id, key, seed)) / principle.weight

    return min(constitution.principles, key=finish)


def judge_text(constitution: Constitution) -> str:
    """Return what a judge is shown of a constitution: its principles as a numbered list."""
    return "\n".join(f"{number}. {one.text}" for number, one in enumerate(constitution.principles, 1))


def _uniform(*parts: object) -> float:
    """Hash to a number strictly between 0 and 1, with 53 random bits."""
    bits = int.from_bytes(hashlib.sha256(canonical(parts)).digest()[:8]) >> 11
    return (bits + 0.5) / 2**53


def _complaint(file: YamlFile, loc: Loc, message: str) -> InputError:
    return InputError(message, path=file.path, line=file.line(loc), field=dotted(loc))


def _lint(constitution: Constitution) -> Iterator[tuple[Loc, str]]:
    """Yield what the schema cannot say, as place and sentence, in the file's order."""
    principles = constitution.principles
    yield from _repeats("principles", "id", [one.id for one in principles])
    yield from _repeats("principles", "text", [one.text.casefold() for one in principles])
    yield from _placeholders(constitution)
    yield from _repeats("cases", "id", [one.id for one in constitution.cases])
    ids = [one.id for one in principles]
    for index, case in enumerate(constitution.cases):
        yield from _lint_case(case, ("cases", index), ids)


def _repeats(group: str, field: str, values: Sequence[str]) -> Iterator[tuple[Loc, str]]:
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        if value in first:
            yield (
                (group, index, field),
                f"found {shown(value)}, a duplicate of {group}.{first[value]}.{field}; change one",
            )
        first.setdefault(value, index)


def _placeholders(constitution: Constitution) -> Iterator[tuple[Loc, str]]:
    texts: list[tuple[Loc, str]] = [
        (("principles", index, field), getattr(principle, field))
        for index, principle in enumerate(constitution.principles)
        for field in ("text", "critique_request", "revision_request")
    ]
    texts += [
        (("rubric", "anchors", index, "text"), anchor.text)
        for index, anchor in enumerate(constitution.rubric.anchors)
    ]
    for loc, text in texts:
        if found := _PLACEHOLDER.search(text):
            yield loc, f"found {found[0]!r}; nothing fills placeholders here, so write the words out"


def _lint_case(case: Case, loc: Loc, principles: Sequence[str]) -> Iterator[tuple[Loc, str]]:
    if case.principle is not None and case.principle not in principles:
        hint = closest(case.principle, principles) or f"; allowed: {', '.join(principles)}"
        yield (*loc, "principle"), f"no principle is called {case.principle!r}{hint}"
    if case.messages[-1].role != "user":
        yield (
            (*loc, "prompt"),
            "the conversation does not end in a user turn; end it where a response belongs",
        )
    if case.responses[0] == case.responses[1] and case.expect != "tie":
        yield (*loc, "expect"), f"found {case.expect!r} for two equal responses; allowed: 'tie'"
