"""Content digests: equal content gives equal ids, whatever the form it comes in."""

import hashlib
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.records import Message, Preference, Prompt, SamplingParams, canonical, digest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def shuffled(value: object) -> object:
    """The same content with every mapping's keys in reverse order and lists as tuples."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return tuple(shuffled(one) for one in value) if isinstance(value, list) else value


@given(VALUES)
def test_the_canonical_form_does_not_depend_on_key_order_or_sequence_type(value: object) -> None:
    assert canonical(shuffled(value)) == canonical(value)


def test_the_canonical_form_by_hand() -> None:
    assert canonical({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'.encode()
    assert canonical(MappingProxyType({"b": 1, "a": (True,)})) == b'{"a":[true],"b":1}'
    expected = hashlib.sha256(b'["x",1]').hexdigest()[:24]
    assert digest("pr", "x", 1) == f"pr_{expected}"


def test_records_digest_by_their_fields() -> None:
    assert canonical(SamplingParams(seed=3)) == (
        b'{"max_tokens":512,"seed":3,"stop":[],"temperature":1.0,"top_p":1.0}'
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), {"a": {1, 2}}])
def test_what_has_no_canonical_form_is_refused(bad: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical(bad)


def test_a_prompt_is_its_messages() -> None:
    turns = (Message(role="user", content="Hello?"),)
    one = Prompt.make(turns, source="a.jsonl", meta={"row": 1})
    other = Prompt.make(turns, source="b.csv", licence="MIT")
    assert one.id == other.id
    assert one.id != Prompt.make((Message(role="user", content="Hello!"),)).id


def test_consistent_needs_both_orders() -> None:
    pair: dict[str, object] = {
        "set": "st_1", "prompt_id": "pr_1", "axis": "helpfulness", "split": "train", "chosen_id": "sa_1",
        "rejected_id": "sa_2", "p": 0.6, "margin": "slight", "mass": None, "judge": "mock:text",
        "constitution": "c", "judgment_ids": ("ju_1",),
    }  # fmt: skip
    for first, second, expected in ((0.7, 0.6, True), (0.9, 0.4, False), (0.7, None, None)):
        made = Preference.make(**pair, p_chosen_first=first, p_chosen_second=second)
        assert made.consistent is expected
