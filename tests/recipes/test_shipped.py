"""The recipes that come with the project: all sizes are read; toys run, tiny or real."""

import html
import time
from pathlib import Path

import pytest

from rlaif.recipes import is_recipe, load_recipe, run_recipe
from tests.cli.terminal import Desk
from tests.recipes import speaking

ROOT = Path(__file__).parents[2]
SHIPPED = [path for path in sorted((ROOT / "pipelines").glob("*.yaml")) if is_recipe(path)]
named = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)


def test_there_are_some() -> None:
    assert {
        "instructgpt", "hh", "llama2", "webgpt_best_of_n", "rest", "hir", "constitutional_ai", "rlaif",
        "self_rewarding", "gpt4_comparisons", "dpo", "kto", "cpl", "helpful_safe",
    } <= {path.stem for path in SHIPPED}  # fmt: skip


@named
@pytest.mark.parametrize("size", ["toy", "small", "full"])
def test_all_sizes_are_sound(path: Path, size: str) -> None:
    loaded = load_recipe(path, [f"size={size}"])
    assert loaded.recipe.name == path.stem
    assert len(loaded.about.split("\n\n")) >= 2  # what the paper did, what differs here
    works = [step.work for step in loaded.recipe.steps]
    assert "measure" in works
    assert "flag" in works


@named
def test_a_toy_of_a_tiny_model_goes_from_end_to_end(desk: Desk, path: Path) -> None:
    speaking.saved(desk.folder / "speaking")
    loaded = load_recipe(path, ["values.model=speaking"])
    outcome = run_recipe(loaded)
    assert [one.name for one in outcome.steps] == [step.name for step in loaded.recipe.steps]
    page = html.unescape(Path(outcome.report).read_text())
    assert "to come" not in page
    assert " ".join(loaded.recipe.expect.split())[:40] in " ".join(page.split())
    before = {path: path.stat().st_mtime_ns for path in desk.folder.glob("outputs/*/*/step.json")}
    run_recipe(loaded)
    assert {path: path.stat().st_mtime_ns for path in before} == before


@named
@pytest.mark.long
@pytest.mark.model
def test_a_toy_of_the_real_model_takes_minutes(desk: Desk, path: Path) -> None:
    began = time.process_time()
    ended = desk.run("run", str(path))
    assert ended.code == 0, ended.err
    # Processor time of two cores for three minutes; the machine may have others to serve.
    assert time.process_time() - began <= 2 * 180
    again = desk.run("run", str(path))
    assert again.out == ended.out
