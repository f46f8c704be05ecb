import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.errors import InputError
from rlaif.records import RECORDS, Fact, Preference, Prompt, Ranking, Sample
from rlaif.store.tables import NAMES, check_storable, decode, encode, table, tables
from tests.store.facts import facts, job, prompt


@pytest.mark.parametrize("model", RECORDS, ids=lambda model: model.__name__)
def test_every_kind_survives_arrow(model: type[Fact]) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.lists(facts(model), max_size=5))
    def survives(records: list[Fact]) -> None:
        columns = encode(model, records).combine_chunks()
        back = [one for batch in columns.to_batches() for one in decode(model, batch)]
        assert back == records
        assert [bits(one) for one in back] == [bits(one) for one in records]

    survives()


def bits(value: object) -> object:
    """The value with each float as its eight bytes: 0.0 == -0.0, but not here."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, tuple | list):
        return [bits(one) for one in value]
    if isinstance(value, dict):
        return {key: bits(one) for key, one in value.items()}
    return bits(value.model_dump()) if isinstance(value, Fact) else value


def test_every_kind_has_a_table_of_its_own() -> None:
    assert set(NAMES) == set(RECORDS)
    assert len({one.name for one in tables()}) == len(RECORDS)


def test_columns_follow_the_fields() -> None:
    assert [(one.name, one.sql, one.json) for one in table(Preference).columns] == [
        ("id", "VARCHAR", False), ("set", "VARCHAR", False), ("prompt_id", "VARCHAR", False),
        ("axis", "VARCHAR", False), ("split", "VARCHAR", False), ("chosen_id", "VARCHAR", False),
        ("rejected_id", "VARCHAR", False), ("p", "DOUBLE", False), ("margin", "VARCHAR", False),
        ("p_chosen_first", "DOUBLE", False), ("p_chosen_second", "DOUBLE", False), ("mass", "DOUBLE", False),
        ("judge", "VARCHAR", False), ("constitution", "VARCHAR", False), ("principle_id", "VARCHAR", False),
        ("judgment_ids", "VARCHAR[]", False), ("agreement", "DOUBLE", False),
    ]  # fmt: skip
    assert [(one.name, one.sql) for one in table(Sample).columns if one.json] == [("params", "VARCHAR")]
    assert [one.name for one in table(Prompt).columns if one.json] == ["messages", "meta"]


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_a_number_too_large_is_refused_by_name(seed: int) -> None:
    with pytest.raises(InputError, match=rf"jobs.seed of 'j-1' is {seed}; whole numbers from"):
        check_storable([prompt("fine"), job(seed=seed)])


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63)])
def test_the_largest_numbers_are_taken(seed: int) -> None:
    check_storable([job(seed=seed)])


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_not_is_refused(strength: float) -> None:
    ranking = Ranking(
        id="rk_1", set="st_1", prompt_id="pr_1", axis="a", method="borda", sample_ids=("x", "y"),
        strengths=(0.5, strength), errors=(),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"rankings.strengths of 'rk_"):
        check_storable([ranking])
