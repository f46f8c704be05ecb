"""What a job would ask for and cost; nothing is sent and nothing is kept.

Owns the shape of a quote. Leaves counting to ``pipeline``.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from rlaif.pipeline import Line
from rlaif.records import Record
from rlaif.service import folders
from rlaif.service.routes import Call, Route
from rlaif.service.submitting import MOST_BYTES, JobRequest, prepare


class QuoteLine(Record):
    """One stage's calls to one model."""

    stage: str
    """The stage."""
    model: str
    """Model spec."""
    calls: int
    """Calls, exact unless ``at_most``."""
    input_tokens: int
    """Tokens read, an estimate."""
    output_tokens: int
    """Tokens drawn, at most."""
    usd: float
    """USD at most, with the estimated input."""
    at_most: bool
    """Whether answers decide how many calls are made."""


class Quote(Record):
    """What a job would ask for."""

    object: Literal["quote"] = "quote"
    """What this is."""
    job: str
    """Id the job would have."""
    prompts: int
    """Distinct prompts."""
    calls: int
    """Calls of all stages."""
    input_tokens: int
    """Tokens read, an estimate."""
    output_tokens: int
    """Tokens drawn, at most."""
    usd: float
    """USD at most, with the estimated input; what is in the journal already costs nothing again."""
    lines: tuple[QuoteLine, ...]
    """Stage by stage."""


async def quote(call: Call) -> Quote:
    """Count a job's calls and price them."""
    made = await asyncio.to_thread(prepare, call.service, call.body(JobRequest))
    await asyncio.to_thread(folders.discard, made.folder)
    return Quote(
        job=made.job_id,
        prompts=len(made.prompts.prompts),
        calls=sum(one.calls for one in made.lines),
        input_tokens=sum(one.input_tokens for one in made.lines),
        output_tokens=sum(one.output_tokens for one in made.lines),
        usd=made.usd,
        lines=tuple(map(_line, made.lines)),
    )


def _line(line: Line) -> QuoteLine:
    return QuoteLine(
        stage=line.stage,
        model=line.model,
        calls=line.calls,
        input_tokens=line.input_tokens,
        output_tokens=line.output_tokens,
        usd=line.usd or 0.0,
        at_most=line.at_most,
    )


ROUTES: Final = (
    Route(
        method="POST", path="/v1/quotes", scope="read", handler=quote, body=JobRequest, reply=Quote,
        upload=MOST_BYTES, summary="Calls, tokens and dollars of a job; sends nothing",
    ),
)  # fmt: skip
