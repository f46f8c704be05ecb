"""The records everything else passes around: frozen, validated, identified by content.

Owns the shapes and their ids. Leaves storage to ``store``, wire formats to ``providers`` and
every decision about labels to ``judging``, ``ranking`` and ``preferences``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "test"]
StopReason = Literal["stop", "max_tokens", "content_filter", "error"]
Verdict = Literal["first", "second", "tie"]
JudgmentStatus = Literal["ok", "refused", "unparsable", "off_menu", "truncated", "transport_failed"]
LabelType = Literal["logprob", "text"]
Margin = Literal["negligible", "slight", "better", "significant"]
Axis = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
"""Name of one dimension of judgement, e.g. ``helpfulness`` or ``safety``."""


def canonical(value: object) -> bytes:
    """Serialise JSON-like data to the one byte string that digests are taken over.

    Keys are sorted, separators are minimal, text is UTF-8 and unescaped.
    """
    return _ENCODER.encode(value).encode()


def _plain(value: object) -> object:
    """What the JSON encoder does not know: records and mappings of other types."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


_ENCODER = json.JSONEncoder(
    default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def digest(kind: str, *parts: object) -> str:
    """Return ``kind`` + ``_`` + 24 hex digits of SHA-256 over the canonical parts."""
    return f"{kind}_{hashlib.sha256(canonical(parts)).hexdigest()[:24]}"


class Record(BaseModel):
    """Base of all records: immutable, unknown fields refused, field docs from docstrings."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


class Fact(Record):
    """Base of the records that are journalled and stored, each identified by its content."""

    kind: ClassVar[str]
    """Two letters that begin the id."""
    id: str
    """Content digest."""


class Message(Record):
    """One turn of a conversation."""

    role: Role
    """Who speaks."""
    content: str
    """What was said, verbatim."""


class SamplingParams(Record):
    """Knobs of one draw from a model."""

    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    """Softmax temperature; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens to draw."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the draw, passed to providers that take one."""
    stop: tuple[str, ...] = ()
    """Strings that end the response."""


class Usage(Record):
    """Tokens one call was billed for."""

    input_tokens: int = Field(default=0, ge=0)
    """Tokens read, cached ones included."""
    output_tokens: int = Field(default=0, ge=0)
    """Tokens drawn."""
    cached_tokens: int = Field(default=0, ge=0)
    """Input tokens the provider served from its cache."""


class Prompt(Fact):
    """A conversation that ends where a response belongs."""

    kind: ClassVar = "pr"
    id: str
    """Digest of the messages."""
    messages: tuple[Message, ...] = Field(min_length=1)
    """The conversation so far; the last turn is the user's."""
    split: Split = "train"
    """Side of the train/test split, a function of the id alone."""
    source: str = ""
    """Where it came from, e.g. a file name or the row's own ``source``."""
    licence: str | None = None
    """Licence of the text, where known."""
    meta: dict[str, JsonValue] = Field(default_factory=dict)
    """Whatever else the row held, kept for exports."""

    @classmethod
    def make(cls, messages: tuple[Message, ...], **fields: object) -> Self:
        """Build a prompt with its content id; ``fields`` are the remaining attributes."""
        turns = [[one.role, one.content] for one in messages]
        return cls.model_validate({"id": digest(cls.kind, turns), "messages": messages, **fields})

    @property
    def text(self) -> str:
        """The last user turn."""
        return self.messages[-1].content


class Sample(Fact):
    """One drawn response."""

    kind: ClassVar = "sa"
    id: str
    """Digest of prompt, model, knobs, index and response."""
    prompt_id: str
    """The prompt answered."""
    model: str
    """Model spec it was drawn from, e.g. ``local:smollm2-135m-instruct``."""
    params: SamplingParams
    """Knobs of the draw."""
    index: int = Field(ge=0)
    """Which of the k draws under the same model and knobs."""
    response: str
    """The text, verbatim; may be empty, and then it takes part in no pair."""
    stop_reason: StopReason
    """Why drawing ended."""
    output_tokens: int = Field(default=0, ge=0)
    """Length in the model's own tokens."""
    request_key: str
    """The call that drew it."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a sample with its content id."""
        named = ("prompt_id", "model", "params", "index", "response")
        return cls.model_validate({"id": digest(cls.kind, *(fields[n] for n in named)), **fields})


def unpairable(a: Sample, b: Sample) -> Literal["empty", "identical"] | None:
    """Why two samples are never compared, or None when they may be.

    White space at either end does not tell two responses apart.
    """
    one, other = a.response.strip(), b.response.strip()
    if not one or not other:
        return "empty"
    return "identical" if one == other else None


class Judgment(Fact):
    """What one judge call said about one ordered pair of samples."""

    kind: ClassVar = "ju"
    id: str
    """Digest of the question asked and the call that answered it."""
    prompt_id: str
    """The prompt both samples answer."""
    axis: Axis
    """The dimension judged."""
    judge: str
    """Model spec of the judge."""
    constitution: str
    """Digest of the constitution text shown."""
    template: str
    """Digest of the prompt template filled."""
    principle_id: str | None = None
    """The principle shown, when one is drawn per comparison; None when all are."""
    first_id: str
    """Sample in the first slot."""
    second_id: str
    """Sample in the second slot."""
    label_type: LabelType
    """How the verdict was read: label probabilities or text."""
    status: JudgmentStatus
    """``ok``, or why there is no verdict."""
    verdict: Verdict | None
    """The winning slot; None exactly when the status is not ``ok``."""
    p_first: float | None = Field(default=None, ge=0.0, le=1.0)
    """Probability that the first slot wins, normalised over the labels; a tie counts half."""
    mass: float | None = Field(default=None, ge=0.0)
    """Probability the labels captured before normalising; None for text verdicts."""
    reason: str = ""
    """One clause on a failed call; empty when ``ok``."""
    request_key: str
    """The call."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a judgment with its content id."""
        named = ("axis", "judge", "constitution", "template", "first_id", "second_id", "request_key")
        return cls.model_validate({"id": digest(cls.kind, *(fields[n] for n in named)), **fields})


class Score(Fact):
    """What a judge said about one sample on its own (pointwise)."""

    kind: ClassVar = "sc"
    id: str
    """Digest of the question asked and the call that answered it."""
    prompt_id: str
    """The prompt answered."""
    sample_id: str
    """The sample scored."""
    axis: Axis
    """The dimension judged."""
    judge: str
    """Model spec of the judge."""
    constitution: str
    """Digest of the constitution text shown."""
    template: str
    """Digest of the prompt template filled."""
    label_type: LabelType
    """How the score was read."""
    status: JudgmentStatus
    """``ok``, or why there is no score."""
    low: int
    """Lowest score of the scale."""
    high: int
    """Highest score of the scale."""
    expected: float | None
    """Expected score under the normalised distribution; None when not ``ok``."""
    distribution: tuple[float, ...] = ()
    """Normalised probability of each whole score from ``low`` to ``high``."""
    mass: float | None = Field(default=None, ge=0.0)
    """Probability the score strings captured before normalising."""
    reason: str = ""
    """One clause on a failed call."""
    request_key: str
    """The call."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a score with its content id."""
        named = ("axis", "judge", "constitution", "template", "sample_id", "request_key")
        return cls.model_validate({"id": digest(cls.kind, *(fields[n] for n in named)), **fields})


class Ranking(Fact):
    """The order of one prompt's samples on one axis, with strengths."""

    kind: ClassVar = "rk"
    id: str
    """Digest of set, prompt, method and the strengths."""
    set: str
    """Id of the preference set it belongs to."""
    prompt_id: str
    """The prompt."""
    axis: Axis
    """The dimension."""
    method: Literal["bradley_terry", "borda"]
    """How strengths were found."""
    sample_ids: tuple[str, ...]
    """Samples, strongest first; equal strengths in id order."""
    strengths: tuple[float, ...]
    """Log-strength (Bradley-Terry, mean 0) or mean win share (Borda), aligned with the samples."""
    errors: tuple[float, ...]
    """Standard errors of the strengths, aligned; empty where the method has none."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a ranking with its content id."""
        named = ("set", "prompt_id", "method", "sample_ids", "strengths")
        return cls.model_validate({"id": digest(cls.kind, *(fields[n] for n in named)), **fields})


class Preference(Fact):
    """One hard pair: chosen beats rejected by a decided, order-averaged judgement."""

    kind: ClassVar = "pf"
    id: str
    """Digest of set, pair and the judgments behind it."""
    set: str
    """Id of the preference set it belongs to."""
    prompt_id: str
    """The prompt both answer."""
    axis: Axis
    """The dimension."""
    split: Split
    """The prompt's side of the split."""
    chosen_id: str
    """The preferred sample."""
    rejected_id: str
    """The other one."""
    p: float = Field(gt=0.5, le=1.0)
    """Order-averaged probability that chosen beats rejected."""
    margin: Margin
    """Four levels of strength (Llama 2, Table 27)."""
    p_chosen_first: float | None
    """Probability for chosen when it stood in the first slot; None if that order was not judged."""
    p_chosen_second: float | None
    """Probability for chosen when it stood in the second slot; None if that order was not judged."""
    mass: float | None
    """Smaller captured label mass of the calls; None for text verdicts."""
    judge: str
    """Model spec of the judge."""
    constitution: str
    """Digest of the constitution."""
    principle_id: str | None = None
    """The principle, when one was drawn for the comparison."""
    judgment_ids: tuple[str, ...]
    """The judgments it follows from."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a preference with its content id."""
        named = ("set", "chosen_id", "rejected_id", "judgment_ids")
        return cls.model_validate({"id": digest(cls.kind, *(fields[n] for n in named)), **fields})

    @property
    def consistent(self) -> bool | None:
        """Whether both orders, each on its own, preferred chosen; None for a single order."""
        if self.p_chosen_first is None or self.p_chosen_second is None:
            return None
        return self.p_chosen_first > 0.5 and self.p_chosen_second > 0.5


class Completion(Fact):
    """One unpaired label (KTO): a sample that is desirable or not."""

    kind: ClassVar = "co"
    id: str
    """Digest of set, sample and label."""
    set: str
    """Id of the preference set it was split from."""
    prompt_id: str
    """The prompt."""
    axis: Axis
    """The dimension."""
    split: Split
    """The prompt's side of the split."""
    sample_id: str
    """The sample."""
    label: bool
    """Desirable or not."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a completion with its content id."""
        named = ("set", "sample_id", "label")
        return cls.model_validate({"id": digest(cls.kind, *(fields[n] for n in named)), **fields})


class PreferenceSet(Fact):
    """What became of every pair that was judged for one set: the failure census."""

    kind: ClassVar = "st"
    id: str
    """Digest of the name and what the set follows from."""
    name: str
    """``JOB/axis``."""
    job_id: str
    """The job that made it."""
    inputs: str
    """Digest over the pairing policy and the judgments used: new judgments make a new set."""
    axis: Axis
    """The dimension."""
    judge: str
    """Model spec of the judge."""
    constitution: str
    """Digest of the constitution."""
    template: str
    """Digest of the judge's template."""
    both_orders: bool
    """False marks a set whose judge saw each pair in one order only."""
    audited: bool = False
    """True when a scorecard exists for this judge, constitution and template."""
    counts: dict[str, int]
    """Pairs by fate; the values add up to ``pairs``: ``preferred``, ``tie``, ``conflict``,
    ``weak_margin``, ``not_selected``, ``identical``, ``empty`` and one entry per failure status."""
    pairs: int = Field(ge=0)
    """All pairs considered."""

    @classmethod
    def make(cls, **fields: object) -> Self:
        """Build a set record with its content id."""
        return cls.model_validate({"id": digest(cls.kind, fields["name"], fields["inputs"]), **fields})


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
    state: Literal["running", "completed", "failed", "interrupted", "budget"]
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


RECORDS: tuple[type[Fact], ...] = (
    Document, Job, Prompt, Sample, Judgment, Score, Ranking, Preference, Completion,
    PreferenceSet, TaskState, JobEvent,
)  # fmt: skip
"""Every record kind that is journalled and stored, in dependency order."""
