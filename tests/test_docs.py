"""What the README and the guides tell a reader to write is executed, or checked by the code that reads it.

A fenced block is told apart by its language; ``run`` after it means that it is executed in a small
project of mock models, anything else is parsed and looked up. Interface sketches under ``docs/design``
are no instructions and are left out.
"""

import ast
import contextlib
import importlib.util
import io
import json
import re
import shlex
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.exceptions import TyperException

import rlaif
from rlaif.cli import app, main
from rlaif.constitution import load_constitution
from rlaif.pipeline import load_pipeline
from rlaif.recipes import load_recipe
from rlaif.records import Preference
from rlaif.settings import Settings
from rlaif.store import select

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if "design" not in path.parts and path.name != "CHANGELOG.md"
)
OTHERS_COMMANDS = {"export", "make", "pip"}
MODEL = re.compile(r'"?(?:local|openai|anthropic|compatible):[^\s",}]+"?')


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    info: tuple[str, ...]
    """Language and markers."""
    text: str

    @property
    def language(self) -> str:
        return self.info[0] if self.info else "none"

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_blocks() -> list[Block]:
    found = []
    for page in PAGES:
        opened: tuple[int, tuple[str, ...]] | None = None
        held: list[str] = []
        for number, line in enumerate(page.read_text().splitlines(), 1):
            if line.startswith("```") and opened is None:
                opened, held = (number, tuple(line[3:].split())), []
            elif line == "```" and opened is not None:
                found.append(Block(page, *opened, "\n".join(held) + "\n"))
                opened = None
            else:
                held.append(line)
        assert opened is None, f"{page}: the block opened at line {opened} is not closed"
    return found


BLOCKS = read_blocks()


def blocks(*languages: str, run: bool | None = None) -> pytest.MarkDecorator:
    """Parametrise by the blocks of some languages."""
    chosen = [one for one in BLOCKS if one.language in languages and run in (None, "run" in one.info)]
    assert chosen, f"no page has a block of {languages}"
    return pytest.mark.parametrize("block", chosen, ids=str)


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    kinds = {"yaml", "toml", "sql", "sh", "python", "jsonl", "none"}
    assert [str(one) for one in BLOCKS if one.language not in kinds] == []
    assert sum(one.language != "none" for one in BLOCKS) >= 25


# A project of mock models


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The guide's own pipeline, with mock models, run to its end; and its job."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "constitutions", folder / "constitutions")
    shutil.copytree(ROOT / "pipelines", folder / "pipelines")
    (guide,) = (one for one in BLOCKS if one.page.name == "batch-jobs.md" and one.language == "yaml")
    (folder / "my.yaml").write_text(MODEL.sub('"mock:text"', guide.text))
    rows = [{"prompt": f"What is {number} and {number}?", "licence": "mit"} for number in range(24)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with contextlib.chdir(folder):
        outcome = rlaif.run("my.yaml")
    return folder, outcome.job_id


@pytest.fixture
def project(finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A copy of it to work in, as the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(finished[0], folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RLAIF_CONFIG", raising=False)
    return folder, finished[1]


# YAML and TOML


@blocks("yaml")
def test_yaml_loads_through_the_real_loader(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(block.text)
    shutil.copytree(ROOT / "constitutions", tmp_path / "constitutions")
    if re.search(r"^stages:", block.text, re.MULTILINE):
        assert load_pipeline(path).pipeline.stages
    elif re.search(r"^steps:", block.text, re.MULTILINE):
        assert load_recipe(path).recipe.steps
    else:
        assert load_constitution(path).principles


@blocks("toml")
def test_toml_is_a_settings_file(block: Block, tmp_path: Path) -> None:
    (tmp_path / "rlaif.toml").write_text(block.text)
    assert Settings.load({}, tmp_path) != Settings.load({}, tmp_path / "empty")


@blocks("jsonl")
def test_rows_are_json(block: Block) -> None:
    assert all(json.loads(line) for line in block.text.splitlines())


# Shell


def commands(block: Block) -> list[list[str]]:
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_blocks_without_a_language_are_commands_or_folders() -> None:
    for one in BLOCKS:
        if one.language == "none":
            first = one.text.split()[0]
            assert first in {"rlaif", "make"} or first.endswith("/"), str(one)


SHELL = [
    (str(block), words)
    for block in BLOCKS
    if block.language == "sh" or (block.language == "none" and not block.text.split()[0].endswith("/"))
    for words in commands(block)
]


@pytest.mark.parametrize(("where", "words"), SHELL, ids=[f"{at} {' '.join(words)}" for at, words in SHELL])
def test_commands_exist_with_their_options(where: str, words: list[str]) -> None:
    match words:
        case ["rlaif", *arguments]:
            parse(arguments)
        case ["make", *targets]:
            assert set(targets) <= set(
                re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            )
        case ["pip", "install", package]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert package.removeprefix("rlaif[").removesuffix("]") in extras
        case ["export", assignment]:
            assert assignment.partition("=")[0] in {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
        case _:
            pytest.fail(f"{where}: {words[0]!r} is no command this test knows")


def parse(arguments: list[str]) -> None:
    """Take a command line apart as the command would, and run nothing."""
    command = typer.main.get_command(app)
    context = command.make_context("rlaif", [], resilient_parsing=True)
    while isinstance(command, typer.core.TyperGroup):
        name, *arguments = arguments
        found = command.get_command(context, name)
        assert found is not None, f"there is no verb {name!r}"
        command = found
    command.make_context(name, list(arguments))


@pytest.mark.parametrize(
    "arguments",
    [["resume"], ["run", "x.yaml", "--dry"], ["dance"], ["db", "sql"], ["export", "small"]],
)
def test_a_wrong_command_line_would_be_found(arguments: list[str]) -> None:
    with pytest.raises((AssertionError, TyperException)):
        parse(arguments)


@blocks("sh", run=True)
def test_commands_run(block: Block, project: tuple[Path, str]) -> None:
    folder, job_id = project
    put_files(block, folder)
    due = 1 if "exit-1" in block.info else 0
    pair = select(folder / "outputs/my", "SELECT id FROM preferences ORDER BY id LIMIT 1")
    for words in commands(block):
        assert words[0] == "rlaif"
        arguments = [
            one.replace("JOB", job_id).replace("PAIR", pair.column("id")[0].as_py()) for one in words[1:]
        ]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            assert exit_code(arguments) == due, arguments
        assert said.getvalue().strip(), arguments
        if "--json" in arguments:
            json.loads(said.getvalue())


def put_files(block: Block, folder: Path) -> None:
    """Write the files that a block's page tells its reader to save: blocks marked ``file=NAME``."""
    for one in BLOCKS:
        for marker in one.info:
            if one.page == block.page and marker.startswith("file="):
                (folder / marker.removeprefix("file=")).write_text(one.text)


def exit_code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


# SQL


@blocks("sql")
def test_sql_answers(block: Block, finished: tuple[Path, str]) -> None:
    found = select(finished[0] / "outputs/my", block.text)
    assert found.column_names
    assert found.num_rows or "empty" in block.info


# Python


@blocks("python")
def test_python_compiles_and_imports_what_there_is(block: Block) -> None:
    for node in ast.walk(compile(block.text, str(block), "exec", ast.PyCF_ONLY_AST)):
        if isinstance(node, ast.Import):
            for one in node.names:
                assert importlib.util.find_spec(one.name), one.name
        elif isinstance(node, ast.ImportFrom):
            assert importlib.util.find_spec(str(node.module)), node.module
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "rlaif"
        ):
            assert node.attr in rlaif.__all__


@blocks("python", run=True)
def test_python_runs(block: Block, project: tuple[Path, str]) -> None:
    scope: dict[str, object] = {"__name__": "block"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block.text, str(block), "exec"), scope)
    if "strong" in scope:  # the guide's look through DuckDB agrees with the one through pandas
        ((counted,),) = scope["strong"].fetchall()  # type: ignore[attr-defined]
        assert counted == (scope["pairs"]["p"] > 0.75).sum()  # type: ignore[index]


# Links


def anchor(heading: str) -> str:
    """A heading's anchor, as hosts of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, fragment = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if fragment:
            assert fragment in {
                anchor(one) for one in re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            }


# The reference


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date() -> None:
    pages = generator().pages()
    folder = ROOT / "docs/reference"
    assert {path.name for path in folder.iterdir()} == set(pages)
    stale = [name for name, text in pages.items() if (folder / name).read_text() != text]
    assert stale == [], "run: python docs/generate.py"


def test_every_field_of_the_reference_is_explained() -> None:
    module = generator()
    for models in (module.PIPELINE, module.CONSTITUTION, module.SETTINGS, module.MANIFEST):
        for _, model in models:
            assert model.__doc__, model
            for name, field in model.model_fields.items():
                assert field.description, f"{model.__name__}.{name}"


def test_a_field_is_described_by_its_docstring() -> None:
    (row,) = (line for line in generator().pages()["records.md"].splitlines() if line.startswith("| `p` | "))
    assert row == (
        "| `p` | number, > 0.5, ≤ 1 | required | " + str(Preference.model_fields["p"].description) + " |"
    )
