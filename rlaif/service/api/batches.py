"""Files of the OpenAI Batch API as they are: one request a line, handed in as one job.

Owns what of such a file is taken: draws from one model under one set of knobs, which is what a job that only
samples is. Leaves running to ``jobs``; results come in the form of that API's output files.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from rlaif.complaints import shown
from rlaif.pipeline.config import SampleStage
from rlaif.records import Message, Record, SamplingParams
from rlaif.sampling import Policy
from rlaif.service import bodies
from rlaif.service.api.jobs import BatchJob, submitted
from rlaif.service.problems import Fault, Problem
from rlaif.service.routes import Call, Route
from rlaif.service.submitting import MOST_BYTES, JobRequest, PipelineRequest

LINES: Final = "application/jsonl"
ENDPOINT: Final = "/v1/chat/completions"
"""Where the lines of a file go; no other endpoint of that API is taken."""


class Draw(BaseModel):
    """The body of one line: a chat completion, as far as a job can draw one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    messages: tuple[Message, ...] = Field(min_length=1)
    n: int = Field(default=1, ge=1, le=1024)
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: str | tuple[str, ...] = ()

    @property
    def policy(self) -> Policy:
        """Who draws, and how."""
        most = self.max_completion_tokens or self.max_tokens or 512
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop
        knobs = SamplingParams(temperature=self.temperature, top_p=self.top_p, max_tokens=most, stop=stop)
        return Policy(model=self.model, params=knobs, k=self.n)


def _taken(url: str) -> str:
    """Refuse any other endpoint, saying what to do instead."""
    if url != ENDPOINT:
        raise ValueError(
            f"found {shown(url)}; a file's lines go to {ENDPOINT} and nowhere else. Responses are compared by"
            " POST /v1/judgments, and by judge stages of POST /v1/jobs"
        )
    return url


class Line(BaseModel):
    """One line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    custom_id: Annotated[str, Field(min_length=1, max_length=300)]
    method: Literal["POST"]
    url: Annotated[str, AfterValidator(_taken)]
    body: Draw


class BatchQuery(Record):
    """How to run a file."""

    name: str = Field(default="batch", pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")
    """Name of the job."""
    budget: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """Most USD the job may cost; needed when the model costs anything."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of everything drawn."""


async def batch(call: Call) -> BatchJob:
    """Take a file in as a job that samples.

    The body is the file itself, as JSON lines of ``custom_id``, ``method`` (``POST``), ``url`` and ``body``.
    The one endpoint taken as ``url`` is ``/v1/chat/completions``: a file of ``/v1/responses``,
    ``/v1/completions``, ``/v1/embeddings`` or ``/v1/moderations`` is refused with 422, naming the line. All
    lines ask the same model under the same knobs.
    """
    if call.request.content_type not in (LINES, "application/x-ndjson"):
        raise Problem(415, f"found a body of type {call.request.content_type!r}; send {LINES}")
    query, rows = call.query(BatchQuery), {}
    policy: Policy | None = None
    number = 0
    async for text in bodies.lines(call.request, MOST_BYTES):
        number += 1
        line = _line(text, number)
        policy = policy or line.body.policy
        if line.body.policy != policy:
            raise _fault(number, "body", "its model or knobs are not those of line 1; send a file for each")
        if line.custom_id in rows:
            raise _fault(number, "custom_id", f"{line.custom_id!r} stands twice; each line needs its own")
        rows[line.custom_id] = _row(line)
    if policy is None:
        raise Problem(422, "body: there are no lines in it; send one request a line")
    stage = SampleStage(kind="sample", policies=(policy,))
    pipeline = PipelineRequest(name=query.name, seed=query.seed, stages=(stage,))
    request = JobRequest(pipeline=pipeline, prompts=tuple(rows.values()), budget=query.budget)
    return await submitted(call, request)


def _line(text: bytes, number: int) -> Line:
    try:
        return Line.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        said = f"{first['msg']}; a line has custom_id, method POST, url {ENDPOINT} and body"
        if first["type"] == "value_error":  # ours, which says what to do
            said = str(first["ctx"]["error"])
        raise _fault(number, ".".join(map(str, first["loc"])), said) from None


def _row(line: Line) -> dict[str, JsonValue]:
    turns: list[JsonValue] = [turn.model_dump(mode="json") for turn in line.body.messages]
    return {"custom_id": line.custom_id, "messages": turns}


def _fault(number: int, field: str, said: str) -> Problem:
    where = f"body.{number}" + (f".{field}" if field else "")
    return Problem(422, f"{where}: {said}", [Fault(field=where, message=said, line=number)])


ROUTES: Final = (
    Route(
        method="POST", path="/v1/batches", scope="run", handler=batch, query=BatchQuery, reply=BatchJob,
        upload=MOST_BYTES,
        summary="Hand in a file of the OpenAI Batch API, for /v1/chat/completions alone: draws of one model",
    ),
)  # fmt: skip
