"""What the engine did: jobs, their states, their tasks, and the texts all records refer to."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from rlaif.records.base import Fact, digest


class Document(Fact):
    """A text that records refer to by digest: a constitution, a judge template, a pipeline."""

    kind: ClassVar = "do"
    id: str
    """The digest records refer to."""
    role: Literal["constitution", "template", "pipeline"]
    """What the text is."""
    name: str
    """Its short name, e.g. the constitution's id."""
    text: str
    """The whole text, as used."""


class Job(Fact):
    """One resolved pipeline over one prompt file; the same inputs give the same id."""

    kind: ClassVar = "jb"
    id: str
    """``NAME-`` and ten hex digits over the resolved pipeline, its files' and the prompts' digests."""
    name: str
    """The pipeline's name."""
    pipeline: str
    """Id of the pipeline document."""
    prompts: str
    """Digest over the ids of the prompts used."""
    seed: int
    """Seed of everything drawn."""
    test_share: float = 0.1
    """Share of prompts on the test side of the split."""


class JobEvent(Fact):
    """One change of a job's state, appended and never edited."""

    kind: ClassVar = "ev"
    id: str
    """Digest of the other fields."""
    job_id: str
    """The job."""
    state: Literal["queued", "running", "paused", "completed", "failed", "interrupted", "budget", "cancelled"]
    """The state entered."""
    at: str
    """UTC time, ISO 8601."""
    note: str = ""
    """One clause for a person."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build an event with its content id."""
        return cls.model_validate({"id": digest(cls.kind, fields), **fields})


class TaskState(Fact):
    """How one task of a job ended; a later ``done`` stands over an earlier ``failed``."""

    kind: ClassVar = "tk"
    id: str
    """Digest of the other fields."""
    job_id: str
    """The job."""
    task_id: str
    """Digest of the stage and the task's inputs."""
    stage: str
    """The stage's name."""
    state: Literal["done", "failed"]
    """How it ended."""
    reason: str = ""
    """Why it failed; empty when done."""
    outputs: tuple[str, ...] = ()
    """Ids of the records it produced, in the order produced."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a task state with its content id."""
        return cls.model_validate({"id": digest(cls.kind, fields), **fields})
