"""Every broken file is refused in words, with its place, and soon."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from rlaif.constitution import load_constitution
from rlaif.errors import InputError
from rlaif.prompts import read_prompts
from rlaif.yamlfile import read_yaml
from tests.bad_input.broken_prompts import Broken, broken_prompt_files, scrambled
from tests.bad_input.broken_yaml import (
    BrokenYaml,
    broken_syntax,
    changed,
    fields,
    scrambled_yaml,
    without,
    written,
)

PROMPTS = broken_prompt_files()
SYNTAX = broken_syntax()
SECONDS = 5.0

GOOD = """\
schema_version: 1
id: tidy
axis: tidiness
title: Tidiness
description: Prefers tidy text.
licence: Apache-2.0
principles:
  - id: spelling
    text: Is spelt correctly.
    critique_request: Name the spelling mistakes.
    revision_request: Correct them.
    weight: 2.0
    examples:
      - prompt: Greet me.
        response: Helo.
        critique: Hello is misspelt.
        revision: Hello.
  - id: layout
    text: Is laid out well.
    critique_request: Say what is hard to read.
    revision_request: Lay it out again.
rubric:
  low: 1
  high: 10
  anchors:
    - level: 1
      text: Untidy.
    - level: 10
      text: Tidy.
cases:
  - id: greeting
    prompt: Greet me.
    responses: [Hello., Helo.]
    expect: first
    principle: spelling
    note: One is misspelt.
  - id: talk
    prompt:
      - role: user
        content: Greet me.
    responses: [Hello., Hi.]
    expect: tie
"""
OPTIONAL = {"language", "cases", "weight", "examples", "note", "principle"}


def refusal(path: Path, read: Any) -> InputError:
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        read(path)
    assert time.perf_counter() - start < SECONDS
    assert path.name in str(caught.value)
    return caught.value


def outcome(path: Path, read: Any) -> InputError | None:
    """The refusal, or None for a file that turned out to be usable; anything else is a failure."""
    try:
        read(path)
    except InputError as error:
        return error
    return None


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(PROMPTS) >= 200
    assert len(SYNTAX) >= 70
    assert len({one.name for one in PROMPTS}) == len(PROMPTS)


@pytest.mark.parametrize("broken", PROMPTS, ids=lambda one: one.name)
def test_broken_prompt_file(broken: Broken, tmp_path: Path) -> None:
    path = tmp_path / broken.name
    broken.write(path)
    error = refusal(path, read_prompts)
    assert error.line == broken.line
    if broken.field is not None:
        assert error.field == broken.field
    elif path.exists() and path.suffix in (".jsonl", ".json", ".csv", ".parquet"):
        assert error.line or error.field


def test_scrambled_prompt_files(tmp_path: Path) -> None:
    refused = 0
    for seed in range(300):
        name, content = scrambled(seed)
        path = tmp_path / name
        path.write_bytes(content)
        error = outcome(path, read_prompts)
        refused += error is not None
        assert error is None or (name in str(error) and (error.line or error.field))
    assert 100 < refused < 300


@pytest.mark.parametrize("broken", SYNTAX, ids=lambda one: one.name)
def test_broken_yaml(broken: BrokenYaml, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(broken.content)
    error = refusal(path, read_yaml)
    assert broken.says in str(error)
    assert error.line == broken.line


def test_scrambled_constitutions(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    refused = 0
    for seed in range(400):
        path.write_bytes(scrambled_yaml(seed, GOOD.encode()))
        error = outcome(path, load_constitution)
        refused += error is not None
        assert error is None or ("file.yaml" in str(error) and error.line)
    assert refused > 300


DATA: Any = YAML(typ="safe", pure=True).load(GOOD)
PLACES = list(fields(DATA))


def test_the_sample_is_good_before_it_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(written(DATA)[0])
    assert load_constitution(path).id == "tidy"
    assert len(PLACES) + len(KEYS) + len(NEEDED) >= 100


@pytest.mark.parametrize("loc", PLACES, ids=lambda loc: ".".join(map(str, loc)))
def test_a_value_of_the_wrong_kind(loc: tuple[str | int, ...], tmp_path: Path) -> None:
    """No field takes true, so each in turn must be named with its line."""
    path = tmp_path / "file.yaml"
    text, places = written(changed(DATA, loc, True))
    path.write_text(text)
    error = refusal(path, load_constitution)
    assert error.field == ".".join(map(str, loc))
    assert error.line == places[loc]
    assert "true" in str(error)


KEYS = [loc for loc in PLACES if isinstance(loc[-1], str)]


@pytest.mark.parametrize("loc", KEYS, ids=lambda loc: ".".join(map(str, loc)))
def test_a_misspelt_key(loc: tuple[str | int, ...], tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    wrong = f"{loc[-1]}x"
    text, places = written(without(DATA, loc, instead=wrong))
    path.write_text(text)
    error = refusal(path, load_constitution)
    assert error.field == ".".join(map(str, (*loc[:-1], wrong)))
    assert error.line == places[(*loc[:-1], wrong)]
    assert f"did you mean '{loc[-1]}'" in str(error)


NEEDED = [loc for loc in KEYS if loc[-1] not in OPTIONAL]


@pytest.mark.parametrize("loc", NEEDED, ids=lambda loc: ".".join(map(str, loc)))
def test_a_missing_key(loc: tuple[str | int, ...], tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(written(without(DATA, loc))[0])
    error = refusal(path, load_constitution)
    assert error.field == ".".join(map(str, loc))
    assert error.line
    assert f"'{loc[-1]}' is missing" in str(error)
