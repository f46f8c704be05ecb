"""What a call costs: rates, the cost of a reply, and the most an attempt can cost.

Owns the arithmetic of money from tokens and the look-up of rates. The bundled table is the one inside the
installed ``genai-prices`` package, read offline; a price of the user's own stands over it. Leaves token
counts and their bounds to ``tokens``, and caps to ``budget``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from rlaif.providers.base import ModelSpec
from rlaif.records import Usage

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ModelPrice, TieredPrices

_PICO: Final = 10**12  # amounts are whole pico-dollars inside, so sums and comparisons are exact
_TABLE: Final = frozenset({"openai", "anthropic"})  # providers the bundled table is asked about
_FREE: Final = frozenset({"local", "mock"})


class Quote(Protocol):
    """A price of the user's own, USD per million tokens."""

    @property
    def input(self) -> float:
        """Rate of input tokens."""
        ...

    @property
    def output(self) -> float:
        """Rate of output tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Rate:
    """Rates, USD per million tokens, of calls with more than ``above`` input tokens."""

    above: int
    """Input tokens from which on, exclusive, every token of the call is charged at this rate."""
    input: float
    """Uncached input."""
    output: float
    """Output."""
    cached: float
    """Input read from the provider's cache."""

    def pico(self, usage: Usage) -> int:
        """Cost of a call in pico-dollars; a million tokens' dollar is a token's million pico-dollars."""
        fresh = usage.input_tokens - usage.cached_tokens
        return (
            fresh * round(self.input * 1e6)
            + usage.cached_tokens * round(self.cached * 1e6)
            + usage.output_tokens * round(self.output * 1e6)
        )


@dataclass(frozen=True, slots=True)
class Price:
    """The rates of one model: a base, and higher bands some providers charge long inputs at."""

    rates: tuple[Rate, ...]
    """By ascending ``above``; the first is the base and holds from 0."""
    source: str
    """Where the rates come from, with its version; stored with what was bought."""

    @classmethod
    def flat(cls, input: float, output: float, source: str) -> Price:
        """Make a price without bands and without a rebate on cached input."""
        return cls((Rate(0, input, output, input),), source)

    @property
    def input(self) -> float:
        """Base rate of input, USD per million tokens."""
        return self.rates[0].input

    @property
    def output(self) -> float:
        """Base rate of output, USD per million tokens."""
        return self.rates[0].output

    @property
    def cached(self) -> float:
        """Base rate of cached input, USD per million tokens."""
        return self.rates[0].cached


def price(spec: ModelSpec, overrides: Mapping[str, Quote]) -> Price | None:
    """Look up the price of a model as of now.

    Args:
        spec: the model.
        overrides: prices by model spec that stand over the bundled table.

    Returns:
        The price; 0 for models that run here; None when none is known.
    """
    own = overrides.get(str(spec))
    if own is not None:
        return Price.flat(own.input, own.output, "rlaif.toml")
    if spec.provider in _FREE:
        return Price.flat(0.0, 0.0, "runs here")
    return _from_table(spec) if spec.provider in _TABLE else None


def cost(price: Price, usage: Usage) -> float:
    """What a call with this usage costs, USD.

    A band's rate holds for all tokens of a call once its input is long enough, as providers bill.
    """
    rate = price.rates[0]
    for band in price.rates[1:]:
        if usage.input_tokens > band.above:
            rate = band
    return rate.pico(usage) / _PICO


def worst_case(price: Price, ceiling: Usage) -> float:
    """The most a call can cost, USD, when no count exceeds that of ``ceiling``.

    Never below `cost` of any usage under the ceiling: every band the input may reach counts, and no
    token is taken to be cached unless cached ones are dearer.
    """
    tokens, drawn = ceiling.input_tokens, ceiling.output_tokens
    reachable = (rate for at, rate in enumerate(price.rates) if at == 0 or tokens > rate.above)
    return (
        max(
            tokens * max(round(rate.input * 1e6), round(rate.cached * 1e6)) + drawn * round(rate.output * 1e6)
            for rate in reachable
        )
        / _PICO
    )


def _from_table(spec: ModelSpec) -> Price | None:
    import genai_prices  # 0.15 s to import, and only paid models need it

    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(input_tokens=1, output_tokens=1), spec.model, provider_id=spec.provider
        )
    except LookupError:
        return None
    rates = _bands(found.model_price)
    source = f"genai-prices {genai_prices.__version__}"
    return None if rates is None else Price(rates, source)


def _bands(listed: ModelPrice) -> tuple[Rate, ...] | None:
    """Rates of a table entry; None for a model that is not priced by input and output tokens."""
    read, drawn = listed.input_mtok, listed.output_mtok
    if read is None or drawn is None:
        return None
    cached = read if listed.cache_read_mtok is None else listed.cache_read_mtok
    starts = sorted({0, *_starts(read), *_starts(drawn), *_starts(cached)})
    return tuple(Rate(start, _at(read, start), _at(drawn, start), _at(cached, start)) for start in starts)


def _starts(listed: Decimal | TieredPrices) -> list[int]:
    tiers = getattr(listed, "tiers", [])
    return [tier.start for tier in tiers]


def _at(listed: Decimal | TieredPrices, start: int) -> float:
    """The rate of calls with just over ``start`` input tokens (0: the base)."""
    rate: Any = getattr(listed, "base", listed)
    for tier in getattr(listed, "tiers", []):
        if 0 < tier.start <= start:
            rate = tier.price
    return float(rate)
