"""The pairwise judge: which of two responses follows the constitution better.

Owns the question about a pair and the reading of its answer. Leaves orders, failed calls and records
to ``base``, text grammar to ``verdicts``, and averaging over orders to ``preferences``.

The defaults are measured choices: label probabilities rather than text (a mean over the distribution
beats its mode; Wang et al. 2025, arXiv 2503.03064), both orders (Lee et al. 2023, arXiv 2309.00267,
section 2), no reasoning before the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, JsonValue

from rlaif.judging import verdicts
from rlaif.judging.base import Context, Pair, Reading, silence, verdict_temperature
from rlaif.judging.fences import Template, boundary, conversation, load_template, neutralise
from rlaif.providers.base import ModelSpec, Reply, Request
from rlaif.records import LabelType, Record, SamplingParams, Verdict

SLOTS = frozenset({"constitution", "prompt", "first", "second"})
"""Placeholders of a pairwise template."""

_SCHEMA: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": ["A", "B", "tie"]}},
    "required": ["verdict"],
    "additionalProperties": False,
}
_SAID: dict[str, tuple[Verdict, float]] = {
    "first": ("first", 1.0),
    "second": ("second", 0.0),
    "tie": ("tie", 0.5),
}


class JudgeConfig(Record):
    """A pairwise judge, as written in a pipeline file."""

    kind: Literal["pairwise"] = "pairwise"
    """Names the judge."""
    model: str
    """Model spec, best of another family than the policy, e.g. ``openai:gpt-4.1-mini``."""
    verdict: Literal["labels", "text", "json"] = "labels"
    """Label probabilities; or a last line of text; or structured output, where the model offers it."""
    orders: Literal["both", "one"] = "both"
    """Show each pair in both orders, or in one drawn by digest; a set made with one says so."""
    template: str | None = None
    """Shipped template or path; left out, the one that fits the verdict."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens of a text or JSON verdict."""
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    """Of a text or JSON verdict; left out, 0, or 1 for ``anthropic:`` models, which take none. Reasoning
    models that refuse 0 need 1."""
    min_mass: float = Field(default=0.0, ge=0.0, le=1.0)
    """Label mass below which a reply is off the menu. 0.5 suits the large models behind APIs; small
    local models are often far below it and still informative, so every mass is accepted and stored."""


@dataclass(frozen=True, slots=True)
class PairwiseJudge:
    """A judge ready to ask; see ``base.Judge``."""

    config: JudgeConfig
    template: Template

    @classmethod
    def build(cls, config: JudgeConfig) -> PairwiseJudge:
        """Load the template a config names.

        Raises:
            InputError: an unknown model spec or template, or a template that does not fit the verdict.
        """
        ModelSpec.parse(config.model)
        name = config.template or f"pairwise_{config.verdict}"
        labels = 2 if config.verdict == "labels" else 0
        return cls(config, load_template(name, SLOTS, labels))

    @property
    def model(self) -> str:
        """Model spec."""
        return self.config.model

    @property
    def orders(self) -> Literal["both", "one"]:
        """In how many orders each pair is shown."""
        return self.config.orders

    @property
    def label_type(self) -> LabelType:
        """How verdicts are read."""
        return "logprob" if self.config.verdict == "labels" else "text"

    def request(self, pair: Pair, context: Context) -> Request:
        """Fill the template; what many calls share stands first."""
        token = boundary(pair.prompt.id, context.seed)
        messages = self.template.fill(
            {
                "constitution": context.text,
                "boundary": token,
                "prompt": conversation(pair.prompt, token),
                "first": neutralise(pair.first.response, token),
                "second": neutralise(pair.second.response, token),
            }
        )
        return Request(
            model=ModelSpec.parse(self.model).model,
            messages=messages,
            params=self._params(),
            labels=self.template.labels,
            schema=_SCHEMA if self.config.verdict == "json" else None,
        )

    def _params(self) -> SamplingParams:
        if self.config.verdict == "labels":
            # At temperature 1 a server that scales its logits returns the model's own distribution.
            return SamplingParams(temperature=1.0, max_tokens=1)
        temperature = verdict_temperature(self.model, self.config.temperature)
        return SamplingParams(temperature=temperature, max_tokens=self.config.max_tokens)

    def read(self, request: Request, reply: Reply) -> Reading:
        """Read a reply; the same reply always reads the same."""
        if (silent := silence(reply)) is not None:
            return Reading(silent[0], reason=silent[1])
        if request.labels:
            return _read_labels(request.labels, reply.label_probs, self.config.min_mass)
        read = verdicts.read_json_verdict if request.schema is not None else verdicts.read_verdict
        return _reading(read(reply.text, reply.stop_reason))


def _read_labels(labels: tuple[str, ...], found: Mapping[str, float] | None, min_mass: float) -> Reading:
    if found is None:
        return Reading("unparsable", reason="the reply holds no label probabilities")
    p_a, p_b = (found.get(label, 0.0) for label in labels)
    mass = p_a + p_b
    if not mass > 0.0:
        return Reading("off_menu", mass=0.0, reason=f"no probability on {labels[0]!r} or {labels[1]!r}")
    if mass < min_mass:
        return Reading("off_menu", mass=mass, reason=f"label mass {mass:.3g} is below {min_mass:.3g}")
    # An unlisted label may hold all that is not listed: only a majority is beyond doubt.
    if min(p_a, p_b) == 0.0 and mass <= 0.5:
        return Reading("off_menu", mass=mass, reason=f"one label unlisted, the other has only {mass:.3g}")
    p_first = p_a / mass
    verdict: Verdict = "tie" if p_a == p_b else "first" if p_a > p_b else "second"
    return Reading("ok", verdict, p_first, mass)


def _reading(said: verdicts.Said) -> Reading:
    if said.status != "ok":
        return Reading(said.status, reason=said.reason)
    verdict, p_first = _SAID[said.value]
    return Reading("ok", verdict, p_first)
