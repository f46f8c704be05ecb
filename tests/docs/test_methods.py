"""The guide to the methods: each file, command and test it names is there; both languages say the same."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from rlaif.iterations import load_iteration
from rlaif.lab.config import load_sweep
from rlaif.pipeline import load_pipeline
from rlaif.recipes import is_recipe, load_recipe
from rlaif.training.methods import load_config

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/methods"
TABLE = ROOT / "docs/methods.md"
ENGLISH, CHINESE = (sorted((GUIDE / language).glob("*.md")) for language in ("en", "zh"))
METHODS = [f"M{number}" for number in range(1, 21)]
TEST = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
COMMAND = re.compile(r"^rlaif .*$", re.MULTILINE)
FILE = re.compile(r"\b(?:pipelines|constitutions)/[\w/]+\.yaml\b")
FORMULA = re.compile(r"^\$\$\n.*?\n\$\$$", re.MULTILINE | re.DOTALL)
HEADINGS = (
    ["The formula", "The file", "The figure to expect", "What goes wrong"],
    ["公式", "运行", "预期结果", "常见错误"],
)


def body(page: Path) -> str:
    return page.read_text()


def shell(text: str) -> str:
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@cache
def named_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(
        one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def numbered(pages: list[Path]) -> list[Path]:
    return [page for page in pages if page.name[0].isdigit()]


def test_there_is_a_page_a_method_an_index_and_the_corrections() -> None:
    assert [f"M{int(page.name[:2])}" for page in numbered(ENGLISH)] == METHODS
    assert {"README.md", "corrections.md"} <= {page.name for page in ENGLISH}


def test_every_page_has_its_twin() -> None:
    assert [page.name for page in ENGLISH] == [page.name for page in CHINESE]
    for page in ENGLISH:
        assert f"[中文](../zh/{page.name})" in body(page)
        assert f"[English](../en/{page.name})" in body(GUIDE / "zh" / page.name)


@pytest.mark.parametrize("page", [*ENGLISH, *CHINESE], ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_every_test_it_names_is_there(page: Path) -> None:
    found = TEST.findall(body(page))
    assert found or page.name == "README.md"
    for path, name in found:
        assert (ROOT / path).is_file(), path
        assert not name or name in named_in(path), name


@pytest.mark.parametrize(
    "page", numbered([*ENGLISH, *CHINESE]), ids=lambda page: f"{page.parent.name}-{page.stem}"
)
def test_it_has_its_parts_in_order(page: Path) -> None:
    text = body(page)
    due = HEADINGS[page.parent.name == "zh"]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == due
    assert FORMULA.search(text.split(f"## {due[0]}")[1].split(f"## {due[1]}")[0])
    assert COMMAND.search(shell(text))
    idea = text.split("README.md)\n\n")[1].split(f"\n\n## {due[0]}")[0]
    assert 2 <= len(idea.splitlines()) <= 7  # a Chinese line holds twice as much


@pytest.mark.parametrize("page", numbered(ENGLISH), ids=lambda page: page.stem)
def test_both_languages_have_one_formula_one_file_and_one_set_of_tests(page: Path) -> None:
    mine, its = body(page), body(GUIDE / "zh" / page.name)
    spoken = re.compile(r"\\text\{[^}]*\}|\\;")  # words inside formulas are translated
    plain = re.compile(r"\(.*?\)|[^\x00-\x7f]")
    both = [[plain.sub("", spoken.sub("", one)) for one in FORMULA.findall(text)] for text in (mine, its)]
    assert len(both[0]) == len(both[1])
    if page.stem != "20-broken-example" and "text{" not in mine:
        assert both[0] == both[1]
    commands = [
        [re.sub(r"_zh\.yaml", ".yaml", one) for one in COMMAND.findall(shell(text))] for text in (mine, its)
    ]
    assert commands[0] == commands[1]
    assert set(TEST.findall(mine)) == set(TEST.findall(its))
    assert set(re.findall(r"arxiv\.org/abs/[\d.]+", mine)) == set(re.findall(r"arxiv\.org/abs/[\d.]+", its))


def said_in(page: Path) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in COMMAND.findall(shell(body(page)))]


COMMANDS = sorted({tuple(one) for page in [*ENGLISH, *CHINESE, TABLE] for one in said_in(page)})


def loads(words: tuple[str, ...]) -> None:
    """Read the file a command names by the command's own reader, overrides and all."""
    match words[1:]:
        case ["run", path, *more]:
            load = load_recipe if is_recipe(ROOT / path) else load_pipeline
            load(ROOT / path, values(more))
        case ["train", path, *more]:
            load_config(ROOT / path, values(more))
        case ["iterate", path, *more]:
            load_iteration(ROOT / path, values(more))
        case ["lab", "overopt", path, *more]:
            load_sweep(ROOT / path, values(more))
        case ["lab", "compare", path, *more]:
            load_recipe(ROOT / path, values(more))
        case ["audit", *_] | ["check", *_] | ["demo"] | ["lab", "trace", *_] | ["constitution", *_]:
            for path in FILE.findall(" ".join(words)):
                assert (ROOT / path).is_file()
        case _:
            pytest.fail(f"{words} is no command this test knows")


def values(more: list[str]) -> list[str]:
    return [one for one in more if "=" in one and not one.startswith("--")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_reads_its_file(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    loads(words)


def rows() -> list[list[str]]:
    found = re.findall(r"^\| (M\d+) (.*)\|$", body(TABLE).split("## ")[1], re.MULTILINE)
    return [[one, *(cell.strip() for cell in rest.split("|"))] for one, rest in found]


def test_the_table_has_twenty_rows_with_every_cell() -> None:
    assert [one[0] for one in rows()] == METHODS
    width = {len(one) for one in rows()}
    assert len(width) == 1
    for one in rows():
        assert all(cell for cell in one[1:]), one


def test_every_row_names_a_file_and_a_page_and_says_when() -> None:
    for one in rows():
        line = " | ".join(one)
        named = [path for path in FILE.findall(line) if (ROOT / path).is_file()]
        assert named or one[0] in {"M20"}, one[0]
        assert f"methods/en/{int(one[0][1:]):02}-" in line
        assert re.search(r"\b2026-\d\d-\d\d\b", line)
        assert re.search(r"\b[0-9a-f]{7}\b", line) or "not run" in line


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_named_in_what_is_exact_and_of_toys(method: str) -> None:
    part = re.search(rf"^\*\*{method}\b.*?(?=^\*\*M|\Z)", body(TABLE), re.MULTILINE | re.DOTALL)
    assert part, method
    found = TEST.findall(part[0])
    assert found
    for path, name in found:
        assert (ROOT / path).is_file(), path
        assert name, path
        assert name in named_in(path), name
