"""The glossary of metrics holds every name that a trainer writes, and no other.

Those of rounds are checked in ``tests/iterations``.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlaif.training import methods
from rlaif.training.methods import CONFIG
from rlaif.training.ppo import PpoConfig, train
from tests import tiny
from tests.training import made

GUIDE = Path(__file__).parents[1] / "docs/guides/training-metrics.md"
COMMON = ("Every update", "The data")


def glossary() -> dict[str, set[str]]:
    """Names in the first column of each section's table."""
    found: dict[str, set[str]] = {}
    section = ""
    for line in GUIDE.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| `"):
            found.setdefault(section, set()).update(re.findall(r"`([^`]+)`", line.split(" | ")[0]))
    return found


def written(folder: Path) -> set[str]:
    """Names in a run's file, those of an evaluation without their prefix."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {name.removeprefix("eval/") for line in lines for name in line} - {"step"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.saved(tmp_path_factory.mktemp("tiny") / "model"))


def labelled(number: int) -> list[dict[str, Any]]:
    return [
        {"prompt": made.asked(f"question {at // 2}"), "completion": made.said(f"{at}"), "label": at % 2 == 0}
        for at in range(number)
    ]


def sourced(number: int) -> list[dict[str, Any]]:
    return [{**row, "source": "web"} for row in made.pairs(number, each=1)]


ROWS: dict[str, Callable[[int], Sequence[dict[str, Any]]]] = {
    "sft": made.demonstrations,
    "reward": sourced,
    "dpo": lambda number: made.pairs(number, each=1),
    "kto": labelled,
}


@pytest.mark.parametrize("method", ROWS)
def test_every_name_a_trainer_writes_is_explained(
    method: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLAIF_HOME", str(tmp_path / "home"))
    rows = made.write(tmp_path / "rows.jsonl", ROWS[method](24))
    config = CONFIG.validate_python(
        {"method": method, "model": model, "output": str(tmp_path / "out"), "steps": 2, "batch": 8,
         "eval_every": 1, "data": {"path": str(rows), "test_share": 0.3}}
    )  # fmt: skip
    methods.train(config)
    expected = {name.replace("SOURCE", "web") for name in explained(method)}
    assert written(tmp_path / "out") == expected


def explained(method: str) -> set[str]:
    known = glossary()
    return set[str]().union(*(known[one] for one in COMMON), known[f"`{method}`"])


@pytest.mark.parametrize("everything", [True, False])
def test_every_name_policy_training_writes_is_explained(everything: bool, model: str, tmp_path: Path) -> None:
    rows = made.write(tmp_path / "rows.jsonl", made.demonstrations(12))
    more = {"ptx": {"data": {"path": str(rows)}}} if everything else {}
    config = PpoConfig.model_validate(
        {"method": "ppo", "model": model, "output": str(tmp_path / "out"), "steps": 4, "batch": 4,
         "draw": {"samples": 2, "max_tokens": 6}, "eval_every": 4,
         "data": {"path": str(rows), "test_share": 0.3}, **more}
    )  # fmt: skip
    scores = {"gold": length} if everything else {}
    train(config, score=length, **scores)  # type: ignore[arg-type]
    optional = set() if everything else {"ptx_loss", "gold", "gold_error"}
    assert written(tmp_path / "out") == explained("ppo") - optional


def length(prompts: object, responses: Sequence[str]) -> list[float | None]:
    return [float(len(one)) for one in responses]


def test_names_of_the_glossary_are_in_one_section_each_or_mean_the_same() -> None:
    known = glossary()
    common = set[str]().union(*(known[one] for one in COMMON))
    methods = {name: some for name, some in known.items() if name.startswith("`")}
    assert set(methods) == {"`sft`", "`reward`", "`dpo`", "`kto`", "`ppo`"}
    for some in methods.values():
        assert not some & common
