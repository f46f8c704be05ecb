"""Preference data from written constitutions and AI judges, and the training that uses it.

Owns the names of the package's Python face, each loaded when it is first asked for, so that
``import rlaif`` costs nothing. Everything else is reached by its module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlaif.audits import Scorecard
    from rlaif.client import Client
    from rlaif.constitution import Constitution, load_constitution
    from rlaif.errors import BudgetError, InputError, JobError, RlaifError
    from rlaif.exports import Manifest
    from rlaif.judging import JudgeConfig
    from rlaif.pipeline import Outcome
    from rlaif.prompts import read_prompts
    from rlaif.records import Judgment, Message, Preference, Prompt, Sample
    from rlaif.verbs import (
        Judged,
        audit,
        export,
        judge,
        judge_async,
        list_jobs,
        load_set,
        quote,
        run,
        run_async,
        show,
        sql,
    )

__version__ = "0.1.0"

__all__ = [
    "BudgetError",
    "Client",
    "Constitution",
    "InputError",
    "JobError",
    "JudgeConfig",
    "Judged",
    "Judgment",
    "Manifest",
    "Message",
    "Outcome",
    "Preference",
    "Prompt",
    "RlaifError",
    "Sample",
    "Scorecard",
    "audit",
    "export",
    "judge",
    "judge_async",
    "list_jobs",
    "load_constitution",
    "load_set",
    "quote",
    "read_prompts",
    "run",
    "run_async",
    "show",
    "sql",
]

_HOMES = {
    "audits": ("Scorecard",),
    "client": ("Client",),
    "constitution": ("Constitution", "load_constitution"),
    "errors": ("BudgetError", "InputError", "JobError", "RlaifError"),
    "exports": ("Manifest",),
    "judging": ("JudgeConfig",),
    "pipeline": ("Outcome",),
    "prompts": ("read_prompts",),
    "records": ("Judgment", "Message", "Preference", "Prompt", "Sample"),
    "verbs": (
        "Judged", "audit", "export", "judge", "judge_async", "list_jobs", "load_set", "quote", "run",
        "run_async", "show", "sql",
    ),
}  # fmt: skip
_HOME = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
