"""Money from tokens: typed by hand, and against the price table's own calculator."""

from types import SimpleNamespace

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.providers.base import ModelSpec
from rlaif.providers.prices import Price, Rate, cost, price, worst_case
from rlaif.records import Usage

BANDED = Price((Rate(0, 3.0, 15.0, 0.3), Rate(200_000, 6.0, 22.5, 0.6)), "by hand")
MODELS = (
    "openai:gpt-5-mini",
    "openai:gpt-4o-mini",
    "anthropic:claude-sonnet-4-5",
    "anthropic:claude-haiku-4-5",
)

tokens = st.integers(0, 1_000_000)


@st.composite
def usages(draw: st.DrawFn, most: int = 1_000_000) -> Usage:
    read = draw(st.integers(0, most))
    return Usage(
        input_tokens=read,
        output_tokens=draw(st.integers(0, most)),
        cached_tokens=draw(st.integers(0, read)),
    )


@pytest.mark.parametrize(
    ("read", "drawn", "cached", "dollars"),
    [
        (0, 0, 0, 0.0),
        (1, 0, 0, 0.000003),
        (1000, 500, 0, 0.0105),  # 0.003 + 0.0075
        (1000, 500, 1000, 0.0078),  # 0.0003 + 0.0075
        (200_000, 0, 0, 0.6),
        (200_001, 0, 0, 1.200006),  # all tokens at the higher rate
        (1_000_000, 1_000_000, 0, 28.5),
    ],
)
def test_cost_by_hand(read: int, drawn: int, cached: int, dollars: float) -> None:
    assert cost(BANDED, Usage(input_tokens=read, output_tokens=drawn, cached_tokens=cached)) == dollars


@settings(max_examples=300, deadline=None)
@given(spec=st.sampled_from(MODELS), usage=usages())
def test_cost_agrees_with_the_tables_own_calculator(spec: str, usage: Usage) -> None:
    model = ModelSpec.parse(spec)
    found = price(model, {})
    assert found is not None
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cached_tokens,
        ),
        model.model,
        provider_id=model.provider,
    )
    assert cost(found, usage) == float(theirs.total_price)


def test_the_source_names_the_tables_version() -> None:
    found = price(ModelSpec.parse("openai:gpt-5-mini"), {})
    assert found is not None
    assert found.source == f"genai-prices {genai_prices.__version__}"


@pytest.mark.parametrize(
    "spec", ["openai:no-such-model-9", "compatible:box/llama", "openai:text-embedding-3-small"]
)
def test_an_unknown_price_is_none(spec: str) -> None:
    assert price(ModelSpec.parse(spec), {}) is None


@pytest.mark.parametrize("spec", ["local:smollm2-135m-instruct", "mock:text"])
def test_models_that_run_here_cost_nothing(spec: str) -> None:
    found = price(ModelSpec.parse(spec), {})
    assert found is not None
    assert cost(found, Usage(input_tokens=10**6, output_tokens=10**6)) == 0.0


def test_a_price_of_ones_own_stands_over_the_table() -> None:
    own = {"openai:gpt-5-mini": SimpleNamespace(input=1.0, output=4.0)}
    found = price(ModelSpec.parse("openai:gpt-5-mini"), own)
    assert found is not None
    assert (found.input, found.output, found.cached, found.source) == (1.0, 4.0, 1.0, "rlaif.toml")
    assert cost(found, Usage(input_tokens=10, output_tokens=5, cached_tokens=4)) == 0.00003
    assert price(ModelSpec.parse("openai:gpt-4o-mini"), own) != found


rates = st.builds(
    Rate,
    above=st.integers(0, 300_000),
    input=st.floats(0, 100),
    output=st.floats(0, 100),
    cached=st.floats(0, 100),
)


@settings(max_examples=500, deadline=None)
@given(bands=st.lists(rates, min_size=1, max_size=4), ceiling=usages(), data=st.data())
def test_nothing_under_the_ceiling_costs_more_than_the_worst_case(
    bands: list[Rate], ceiling: Usage, data: st.DataObject
) -> None:
    made = Price(tuple(sorted(bands, key=lambda rate: rate.above)), "drawn")
    read = data.draw(st.integers(0, ceiling.input_tokens))
    usage = Usage(
        input_tokens=read,
        output_tokens=data.draw(st.integers(0, ceiling.output_tokens)),
        cached_tokens=data.draw(st.integers(0, read)),
    )
    assert cost(made, usage) <= worst_case(made, ceiling)


def test_worst_case_is_reached_by_the_ceiling_itself() -> None:
    assert worst_case(BANDED, Usage(input_tokens=1000, output_tokens=500)) == 0.0105
    assert worst_case(BANDED, Usage(input_tokens=200_001)) == 1.200006


def test_a_cheaper_second_band_does_not_lower_the_worst_case() -> None:
    falling = Price((Rate(0, 5.0, 0.0, 5.0), Rate(100, 1.0, 0.0, 1.0)), "by hand")
    assert worst_case(falling, Usage(input_tokens=120)) == 0.0006  # 120 at 5, though 120 cost 0.00012
