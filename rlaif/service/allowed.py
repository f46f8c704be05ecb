"""Which models a caller of the service may name.

Owns the list, which is the operator's alone: keys in the environment and ``rlaif.toml``. Nothing a caller
sends can name a host or a folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rlaif.checkpoints.bundled import BUNDLED
from rlaif.providers.base import ModelSpec
from rlaif.service.problems import Fault, Problem
from rlaif.settings import Settings

MOCKS: Final = ("mock:text", "mock:echo")


def allowed_models(settings: Settings) -> tuple[str, ...]:
    """Models callers may name; ``MODEL`` stands for any name the server knows."""
    found = [*(f"local:{name}" for name in BUNDLED), *settings.service.models]
    found += (f"compatible:{name}/MODEL" for name in sorted(settings.compatible))
    found += ("openai:MODEL", "anthropic:MODEL")
    return (*found, *(MOCKS if settings.service.mock else ()))


def refuse_models(settings: Settings, specs: Iterable[str], field: str) -> None:
    """Refuse a model that is not the operator's to offer.

    Args:
        settings: the operator's.
        specs: models a request names.
        field: the request's field, for the reply.

    Raises:
        Problem: 422, naming what is allowed.
    """
    for spec in sorted(set(specs)):
        if not _offered(settings, spec):
            said = f"{spec!r} is not offered here; allowed: {', '.join(allowed_models(settings))}"
            raise Problem(422, f"{field}: {said}", [Fault(field=field, message=said)])


def _offered(settings: Settings, spec: str) -> bool:
    listed = allowed_models(settings)
    if spec in listed:
        return True
    parsed = ModelSpec.parse(spec)
    if parsed.provider == "compatible":
        name, _, model = parsed.model.partition("/")
        return name in settings.compatible and bool(model)
    return parsed.provider in ("openai", "anthropic") and parsed.model.isprintable()
