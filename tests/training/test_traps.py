"""Each of the 35 traps has a test of its name, and a change that test must notice: ``make mutants``."""

import re
from pathlib import Path

import pytest

from tests.training.mutants import MUTANTS, ROOT, Mutant

HERE = Path(__file__).parent
TRAPS = range(1, 36)
NAMED = {
    int(number)
    for folder in (HERE, HERE.parent / "iterations")
    for path in folder.rglob("test_*.py")
    for number in re.findall(r"^(?:async )?def test_trap_(\d+)_", path.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_a_test_and_a_mutant(trap: int) -> None:
    assert trap in NAMED
    assert trap in {one.trap for one in MUTANTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_every_mutant_changes_one_place_and_names_a_test(mutant: Mutant) -> None:
    assert (ROOT / "rlaif" / mutant.file).read_text().count(mutant.old) == 1
    file, _, name = mutant.test.partition("::")
    assert re.match(r"test_trap_\d\d_", name)
    assert re.search(rf"^(async )?def {name}\(", (HERE / file).read_text(), re.MULTILINE)
