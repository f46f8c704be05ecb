"""What every method's configuration has in common.

Owns the fields of data, optimiser and run, and what must agree between them. Leaves a method's own
fields to its module and the reading of YAML to ``methods``.
"""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from rlaif.checkpoints import Lora
from rlaif.records import Record
from rlaif.training.schedule import Shape

ReportTo = Literal["none", "trackio", "wandb", "tensorboard"]
Precision = Literal["float32", "bfloat16"]


class DataConfig(Record):
    """What to train on."""

    path: str
    """An export folder, a table of one, a JSONL or Parquet file, or a folder of such files."""
    table: str | None = None
    """Table of an export folder, e.g. ``helpfulness`` or ``helpfulness-sft``."""
    test_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of prompts held out, where the files name no test split; a function of the prompt alone."""
    max_length: int = Field(default=2048, ge=2)
    """Most tokens of a prompt with one response; longer rows are left out and counted, never cut."""
    limit: int | None = Field(default=None, ge=1)
    """Read only the first so many rows."""


class RunConfig(Record):
    """A training run; methods add their own fields."""

    model: str = "smollm2-135m-instruct"
    """Where to begin: a bundled name, a folder, or OWNER/NAME on the hub."""
    data: DataConfig
    """What to train on."""
    output: str
    """Folder of the run, relative to where the command runs."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of new weights, the order of data and everything drawn."""
    epochs: int = Field(default=1, ge=1)
    """Times every prompt is seen."""
    steps: int | None = Field(default=None, ge=1)
    """Updates to make, whatever ``epochs`` says."""
    batch: int = Field(default=64, ge=1)
    """Prompts of one update, each with all its responses."""
    part_tokens: int = Field(default=2048, ge=1)
    """Most tokens of one pass; an update is as many passes as it takes. At 135M parameters in float32,
    1,000 tokens hold about 1.5 GiB until their gradient is taken; a GPU with room is faster with more."""
    lr: float = Field(default=1e-5, gt=0.0)
    """Peak learning rate."""
    schedule: Shape = "cosine"
    """Shape of the learning rate after warm-up; a cosine ends at a tenth of the peak."""
    warmup: float = Field(default=0.03, ge=0.0, lt=1.0)
    """Share of all updates in which the rate climbs to its peak."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's two moments."""
    epsilon: float = Field(default=1e-8, gt=0.0)
    """AdamW's epsilon."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW's decoupled decay, of matrices only."""
    clip: float = Field(default=1.0, gt=0.0)
    """Most the norm of a gradient may be."""
    dtype: Precision = "float32"
    """What layers multiply in; weights, heads, losses and moments are float32 either way."""
    gradient_checkpointing: bool = False
    """Compute activations again for the gradient: less memory, about a third slower."""
    lora: Lora | None = None
    """Train low-rank adapters instead of all weights; they are folded in at the end."""
    sharded: bool = False
    """Split every layer with its gradient and moments over the processes (FSDP) where there are several: each
    needs less memory, and they talk more."""
    save_every: int | None = Field(default=None, ge=1)
    """Updates between checkpoints to resume from; none when left out."""
    eval_every: int | None = Field(default=None, ge=1)
    """Updates between evaluations; only at the end when left out."""
    report_to: ReportTo = "none"
    """Where metrics go besides ``metrics.jsonl``."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ValueError(f"betas lie between 0 and 1, found {list(self.betas)}")
        if self.sharded and self.lora is not None:
            raise ValueError("sharded splits layers that train, and lora trains none of them; leave one out")
        return self

    def total(self, groups: int) -> int:
        """Updates of a run with one update a batch."""
        return self.steps or math.ceil(groups / self.batch) * self.epochs


FREE = frozenset({"part_tokens", "gradient_checkpointing", "sharded", "save_every", "report_to"})
"""Fields a resumed run may change: they move results by rounding at most."""
