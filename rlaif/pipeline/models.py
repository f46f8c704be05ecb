"""Opens each model a pipeline names once, priced and capped.

Owns the map from model spec to client within one job. Leaves calling to ``providers.client``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from rlaif.errors import UnpricedError
from rlaif.journal import Journal
from rlaif.providers.base import ModelSpec, Request
from rlaif.providers.budget import Budget
from rlaif.providers.client import Client, Limits
from rlaif.providers.prices import Price
from rlaif.providers.registry import open_provider, price_of
from rlaif.records import Message, SamplingParams
from rlaif.settings import Settings


def prices(specs: Iterable[str], settings: Settings, *, allow_unpriced: bool) -> dict[str, Price | None]:
    """Price every model before the first call.

    Raises:
        UnpricedError: a model has no known price and ``allow_unpriced`` is off.
    """
    found = {spec: price_of(ModelSpec.parse(spec), settings) for spec in sorted(set(specs))}
    unknown = [spec for spec, one in found.items() if one is None]
    if unknown and not allow_unpriced:
        raise UnpricedError(
            f"no price is known for {', '.join(map(repr, unknown))}; give one in rlaif.toml under"
            f' [prices."{unknown[0]}"] (input, output: USD per million tokens) or add --allow-unpriced'
        )
    return found


async def probe(specs: Iterable[str], settings: Settings) -> None:
    """Open and close the provider of every model: what it lacks is said before anything is made or sent.

    Raises:
        InputError: a key is not set, or there is no such server or model.
        MissingExtraError: a model runs in this process and what runs it is not installed.
    """
    question = (Message(role="user", content="?"),)
    for spec in sorted(set(specs)):
        parsed = ModelSpec.parse(spec)
        provider = open_provider(parsed, settings)
        try:
            provider.body(Request(parsed.model, question, SamplingParams()))
        finally:
            await provider.close()


class Models:
    """The clients of one job, opened when first asked for.

    Args:
        settings: keys, servers and user prices.
        journal: where calls are kept.
        job_id: the job calls are made for.
        budget: shared by all clients of the job.
        limits: concurrency, attempts, time-outs.
        prices: by model spec, from ``prices``.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        *,
        job_id: str,
        budget: Budget,
        limits: Limits,
        prices: dict[str, Price | None],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._job_id = job_id
        self._budget = budget
        self._limits = limits
        self._prices = prices
        self.clients: dict[str, Client] = {}

    def client(self, spec: str) -> Client:
        """Return the client of a model spec."""
        if spec not in self.clients:
            parsed = ModelSpec.parse(spec)
            self.clients[spec] = Client(
                open_provider(parsed, self._settings),
                self._journal,
                job_id=self._job_id,
                budget=self._budget,
                price=self._prices[spec],
                limits=self._bounds(parsed),
            )
        return self.clients[spec]

    def _bounds(self, spec: ModelSpec) -> Limits:
        """The pipeline's limits under the operator's; a model in this process has its own pace."""
        most = min(self._limits.max, self._settings.concurrency)
        bounds: dict[str, float] = {"max": most, "start": min(self._limits.start, most)}
        if spec.provider == "local":
            # It is fastest when it sees all that waits, and only an answer ends a wait.
            bounds |= {"start": most, "timeout": math.inf}
        return self._limits.model_copy(update=bounds)

    def stop(self) -> None:
        """Let no client send anything more."""
        for client in self.clients.values():
            client.stop()

    async def close(self) -> None:
        """Close every provider that was opened."""
        for client in self.clients.values():
            await client.close()
