"""The model providers the operator has set up: priced? key at hand? reachable?

Owns these answers. Addresses come from the operator's settings alone; a check opens a connection there and
sends nothing, so that no key leaves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final, Literal
from urllib.parse import urlsplit

from rlaif.records import Record
from rlaif.settings import Settings

PATIENCE: Final = 3.0
"""Seconds a server has to take a connection."""


class Endpoint(Record):
    """One provider of models."""

    name: str
    """Beginning of its models' names, e.g. ``openai`` or ``compatible:lab``."""
    host: str | None = None
    """Host and port asked; null for models that run here."""
    key: Literal["set", "missing", "not needed"]
    """Whether the key it needs is in the service's environment; the key itself is never shown."""
    variable: str | None = None
    """Environment variable the key is read from."""
    priced: Literal["table", "operator", "free", "unknown"]
    """Where its prices come from; models of an ``unknown`` price are refused."""
    usable: bool
    """Whether a job may ask it."""
    note: str = ""
    """What keeps it from being used, and what to do."""
    reachable: bool | None = None
    """Whether a connection could be opened; null when that was not tried."""
    milliseconds: float | None = None
    """Time to open it."""


def endpoints(settings: Settings) -> tuple[Endpoint, ...]:
    """Every provider the settings know, without asking any."""
    known = [
        _hosted("openai", settings.openai_url, "OPENAI_API_KEY", settings, "table"),
        _hosted("anthropic", settings.anthropic_url, "ANTHROPIC_API_KEY", settings, "table"),
    ]
    for name, server in sorted(settings.compatible.items()):
        priced: Literal["operator", "unknown"] = "unknown" if server.price is None else "operator"
        known.append(_hosted(f"compatible:{name}", server.base_url, server.api_key_env, settings, priced))
    missing = [one for one in ("torch", "transformers", "safetensors") if find_spec(one) is None]
    note = f"{missing[0]!r} is not installed; run: pip install 'rlaif[local]'" if missing else ""
    local = Endpoint(name="local", key="not needed", priced="free", usable=not missing, note=note)
    return (local, *known)


async def reached(known: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """The same, with whether each server takes a connection now."""
    return tuple(await asyncio.gather(*map(_reached, known)))


def _hosted(
    name: str,
    address: str,
    variable: str | None,
    settings: Settings,
    priced: Literal["table", "operator", "unknown"],
) -> Endpoint:
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    at_hand = variable is None or variable in settings.keys
    return Endpoint(
        name=name,
        host=f"{parts.hostname}:{port}",
        key="not needed" if variable is None else "set" if at_hand else "missing",
        variable=variable,
        priced=priced,
        usable=at_hand,
        note="" if at_hand else f"run: export {variable}=... and start the service again",
    )


async def _reached(one: Endpoint) -> Endpoint:
    if one.host is None:
        return one
    host, _, port = one.host.rpartition(":")
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(host, int(port))
    except OSError as error:  # a timeout is one
        reason = error.strerror or "no connection within 3 seconds"
        return one.model_copy(update={"reachable": False, "note": one.note or f"not reached: {reason}"})
    writer.close()
    took = (time.perf_counter() - began) * 1000
    return one.model_copy(update={"reachable": True, "milliseconds": round(took, 1)})
