"""YAML of the accepted subset: values, lines, validation sentences and overrides."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from rlaif.errors import InputError
from rlaif.yamlfile import MAX_DEPTH, SchemaVersion, YamlFile, apply_overrides, read_yaml, validate


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Draw(Strict):
    kind: Literal["draw"]
    k: int = Field(default=2, ge=1)
    model: str = ""


class Judge(Strict):
    kind: Literal["judge"]
    judge: str
    """Model spec of the judge."""
    mode: Literal["pairs", "lists"] = "pairs"
    orders: tuple[str, ...] = ()


class Plan(Strict):
    schema_version: SchemaVersion
    name: str
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    where: Path = Path()
    seeds: tuple[int, ...] = ()
    fast: bool = False
    stages: tuple[Annotated[Draw | Judge, Field(discriminator="kind")], ...] = ()
    last: Judge | None = None
    prices: dict[str, float] = {}
    text: str | tuple[Draw, ...] = ""

    @field_validator("name")
    @classmethod
    def _short(cls, name: str) -> str:
        if len(name) > 20:
            raise ValueError("a name has at most 20 letters; shorten it")
        return name


HEAD = "schema_version: 1\nname: plan\n"


def parsed(tmp_path: Path, text: str) -> YamlFile:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    return read_yaml(path)


def complaint(tmp_path: Path, text: str, *overrides: str) -> InputError:
    file = parsed(tmp_path, text)
    data = apply_overrides(file.data, overrides) if overrides else None
    with pytest.raises(InputError) as caught:
        validate(Plan, file, data)
    assert caught.value.path == tmp_path / "plan.yaml"
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("no", "no"), ("yes", "yes"), ("on", "on"), ("Off", "Off"), ("y", "y"),
        ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("", None), ("Null", None), ("none", "none"),
        ("0", 0), ("-17", -17), ("+3", 3), ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"),
        ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)),
        ("1.10", 1.1), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-2.5E-1", -0.25), ("1.2.3", "1.2.3"),
        ("2024-01-01", "2024-01-01"), ("12:30:45", "12:30:45"), ("0b1", "0b1"), ("<<", "<<"),
        ("'1'", "1"), ('"true"', "true"), ("'null'", "null"), ("é😀", "é😀"), ('"a\\tb"', "a\tb"),
        ("[]", []), ("{}", {}), ("[1, a, [~]]", [1, "a", [None]]), ("{x: 1, y: [2]}", {"x": 1, "y": [2]}),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(tmp_path: Path, text: str, value: object) -> None:
    found = parsed(tmp_path, f"key: {text}\n").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_block_texts(tmp_path: Path) -> None:
    file = parsed(tmp_path, "a: |\n  one\n   two\n\n  three\nb: >-\n  one\n  two\n\n  three\nc: x\n  y\n")
    assert file.data == {"a": "one\n two\n\nthree\n", "b": "one two\nthree", "c": "x y"}


def test_lines(tmp_path: Path) -> None:
    text = (
        "# a comment\na: 1\nb:\n  - x\n  -\n    - y\n"
        "  - c: 1\n    d: |\n      text\n      text\n    e: [f,\n      g]\n"
    )
    file = parsed(tmp_path, text)
    expected = {
        (): 1, ("a",): 2, ("b",): 3, ("b", 0): 4, ("b", 1): 6, ("b", 1, 0): 6, ("b", 2): 7, ("b", 2, "c"): 7,
        ("b", 2, "d"): 8, ("b", 2, "e"): 11, ("b", 2, "e", 0): 11, ("b", 2, "e", 1): 12,
    }  # fmt: skip
    assert dict(file.lines) == expected
    assert file.line(("b", 2, "missing", 5)) == 7, (
        "a place that is not there has the line of what is around it"
    )
    assert file.line(("nowhere",)) == 1


def test_windows_line_ends_count_once(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"a: 1\r\nb: 2\r\n\r\nc: x\r\n")
    file = read_yaml(path)
    assert file.data == {"a": 1, "b": 2, "c": "x"}
    assert file.line(("c",)) == 4


# JSON is a subset of YAML, so json is an independent reader of the same text.
SAFE_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Cn")), max_size=20
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | SAFE_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SAFE_TEXT, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(SAFE_TEXT, PLAIN, max_size=5))
def test_json_texts_read_as_json_does(tmp_path: Path, data: dict[str, Any]) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False)
    assert parsed(tmp_path, text).data == json.loads(text)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("a1:-[]{}&*!|>'\"%#? \n,\t\\<~@\x00é"), max_size=60))
def test_any_text_is_read_or_refused_in_words(tmp_path: Path, text: str) -> None:
    try:
        file = parsed(tmp_path, text)
    except InputError as error:
        assert error.line  # noqa: PT017 (either outcome is right)
    else:
        assert isinstance(file.data, dict)


def test_twenty_levels_are_fine(tmp_path: Path) -> None:
    text = "\n".join(" " * level + "a:" for level in range(MAX_DEPTH)) + " 1\n"
    inner: Any = parsed(tmp_path, text).data
    for _ in range(20):
        inner = inner["a"]
    assert inner == 1


def test_the_largest_files_are_read_soon(tmp_path: Path) -> None:
    start = time.perf_counter()
    file = parsed(tmp_path, "a: [" + "1," * 60_000 + "]\n")
    assert len(file.data["a"]) == 60_000  # type: ignore[arg-type]
    assert time.perf_counter() - start < 10


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="not a file"):
        read_yaml(tmp_path)


def test_a_good_file_validates(tmp_path: Path) -> None:
    text = HEAD + (
        "temperature: 1\nwhere: a/b\nseeds: [1, 2]\nfast: true\nlast:\nprices: {x: 0.5}\n"
        "stages:\n  - {kind: draw, k: 3}\n  - {kind: judge, judge: 'm', orders: [ab, ba]}\n"
    )
    plan = validate(Plan, parsed(tmp_path, text))
    assert plan.where == Path("a/b")
    assert plan.stages == (Draw(kind="draw", k=3), Judge(kind="judge", judge="m", orders=("ab", "ba")))
    assert plan.temperature == 1.0
    assert plan.last is None


def test_a_type_adapter_will_do(tmp_path: Path) -> None:
    file = parsed(tmp_path, "a: 1\nb: x\n")
    with pytest.raises(InputError) as caught:
        validate(TypeAdapter(dict[str, int]), file)
    assert (caught.value.line, caught.value.field) == (2, "b")


@pytest.mark.parametrize(
    ("text", "line", "field", "says"),
    [
        ("schema_version: 1\nname: 1.10\n", 2, "name", 'found 1.10 where text belongs; quote it: "1.10"'),
        ("schema_version: 1\nname: 007\n", 2, "name", 'quote it: "007"'),
        ("schema_version: 1\nname: yes\nfast: yes\n", 3, "fast", "found 'yes'; allowed: true or false"),
        ("schema_version: 1\nname:\n", 2, "name", "found nothing"),
        ("schema_version: 1\nname: {a: b}\n", 2, "name", "put text that holds ': ' in quotes"),
        ("schema_version: 2\nname: a\n", 1, "schema_version", "found 2; allowed: 1"),
        ("schema_version: true\nname: a\n", 1, "schema_version", "allowed: 1 (found true)"),
        ("name: a\n", 1, "schema_version", "the required key 'schema_version' is missing"),
        (HEAD + "nmae: b\n", 3, "nmae", "unknown key 'nmae'; did you mean 'name'?"),
        (HEAD + "zzzz: b\n", 3, "zzzz", "allowed: schema_version, name, temperature, where"),
        (HEAD + "temperature: 3\n", 3, "temperature", "found 3; it should be less than or equal to 2"),
        (HEAD + "temperature: '1'\n", 3, "temperature", "found '1'; allowed: a number"),
        (HEAD + "temperature: 1e3\n", 3, "temperature", "found 1000.0"),
        (HEAD + "seeds: 5\n", 3, "seeds", "found 5; allowed: a list"),
        (HEAD + "seeds:\n  - 1\n  - 2.5\n", 5, "seeds.1", "found 2.5; allowed: a whole number"),
        (HEAD + "prices:\n  a: 1\n  b: x\n", 5, "prices.b", "found 'x'; allowed: a number"),
        (HEAD + "stages: {kind: draw}\n", 3, "stages", "found a mapping of 1 keys; allowed: a list"),
        (HEAD + "stages:\n  - kind: drow\n", 4, "stages.0.kind", "'draw' or 'judge'; did you mean 'draw'?"),
        (HEAD + "stages:\n  - kind: [draw]\n", 4, "stages.0.kind", "allowed: 'draw' or 'judge'"),
        (HEAD + "stages:\n  - k: 2\n", 4, "stages.0.kind", "'kind' is missing; allowed: 'draw' or 'judge'"),
        (HEAD + "stages:\n  - draw\n", 4, "stages.0", "found 'draw'; allowed: a mapping"),
        (HEAD + "stages:\n  - kind: draw\n    k: 0\n", 5, "stages.0.k", "greater than or equal to 1"),
        (HEAD + "stages:\n  - kind: draw\n    kk: 1\n", 5, "stages.0.kk", "did you mean 'k'?"),
        (HEAD + "stages:\n  - kind: judge\n", 4, "stages.0.judge", "(Model spec of the judge)"),
        (HEAD + "stages:\n  - kind: judge\n    judge: 5\n", 5, "stages.0.judge", "found 5 where text"),
        (HEAD + "stages:\n- kind: judge\n  judge: m\n  mode: pair\n", 6, "stages.0.mode", "mean 'pairs'?"),
        (HEAD + "last:\n  kind: judge\n  jugde: m\n", 5, "last.jugde", "did you mean 'judge'?"),
        (HEAD + "text:\n  - kind: draw\n    k: x\n", 5, "text.0.k", "found 'x'; allowed: a whole number"),
        ("schema_version: 1\nname: abcdefghijklmnopqrstuvw\n", 2, "name", "at most 20 letters; shorten it"),
    ],
)  # fmt: skip
def test_sentences(tmp_path: Path, text: str, line: int, field: str, says: str) -> None:
    error = complaint(tmp_path, text)
    assert (error.line, error.field) == (line, field)
    assert says in error.message


def test_a_tag_and_a_field_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """Pydantic's place is stages.0.judge.judge: a union's label and then the field."""
    error = complaint(tmp_path, HEAD + "stages:\n  - judge: [1]\n    kind: judge\n")
    assert (error.line, error.field) == (4, "stages.0.judge")


def test_further_errors_follow_in_one_message(tmp_path: Path) -> None:
    error = complaint(tmp_path, "schema_version: 1\nnmae: a\nfast: 1\nseeds: 2\ntemperature: x\n")
    assert (error.line, error.field) == (2, "nmae")
    assert "; also line 3: fast: found 1; allowed: true or false" in error.message
    assert "; also line 4: seeds: " in error.message
    assert error.message.endswith("; and 2 more")


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    error = complaint(tmp_path, HEAD + "fast: " + "x" * 5000 + "\n")
    assert len(str(error)) < 400


def test_overrides() -> None:
    data = {"a": {"b": 1}, "list": [{"k": 1}, {"k": 2}], "name": "x", "empty": None}
    overrides = [
        "a.b=3",
        "list.1.k=4",
        "a.new.deep=[1, two]",
        "name=NO",
        "text='5'",
        "empty.x=~",
        "blank=",
        "e=a=b",
    ]
    assert apply_overrides(data, overrides) == {  # type: ignore[arg-type]
        "a": {"b": 3, "new": {"deep": [1, "two"]}}, "list": [{"k": 1}, {"k": 4}], "name": "NO", "text": "5",
        "empty": {"x": None}, "blank": "", "e": "a=b",
    }  # fmt: skip
    assert data == {"a": {"b": 1}, "list": [{"k": 1}, {"k": 2}], "name": "x", "empty": None}, (
        "a copy was changed"
    )


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("a", "not of the form dotted.key=value"),
        ("=3", "not of the form"),
        ("a..b=3", "not of the form"),
        ("name.x=3", "'name' is 'x', so it has no 'x' to override"),
        ("list.2=3", "allowed: 0 to 1"),
        ("list.-1=3", "allowed: 0 to 1"),
        ("list.k=3", "found 'k' where the number of a list entry belongs"),
        ("none.0.x=3", "the list is empty"),
        ("a.b=[1", "not YAML"),
        ("a.b=&x 1", "anchor"),
        ("a.b=!!python/name:os.system", "tag"),
        ("a.b=\x00", "NUL"),
    ],
)
def test_broken_overrides(override: str, says: str) -> None:
    data = {"a": {"b": 1}, "list": [1, 2], "name": "x", "none": []}
    with pytest.raises(InputError) as caught:
        apply_overrides(data, [override])  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert caught.value.line is None


def test_an_override_is_blamed_rather_than_a_line(tmp_path: Path) -> None:
    error = complaint(tmp_path, HEAD + "temperature: 1\n", "temperature=9")
    assert error.line is None
    assert error.field == "temperature"
    assert "set by an override" in error.message
    error = complaint(tmp_path, HEAD, "nmae=9")
    assert "did you mean 'name'" in error.message
    assert "set by an override" in error.message


def test_an_override_elsewhere_leaves_the_line(tmp_path: Path) -> None:
    error = complaint(tmp_path, HEAD + "temperature: 9\n", "fast=true")
    assert error.line == 3
    assert "override" not in error.message
