"""The pointwise judge: how well one response follows the constitution, from 1 to 10.

Owns the question about one sample, the expected score and its scale. Leaves fences and templates to
``fences``, text grammar to ``verdicts`` and pairs to ``pairwise``.

The score is the expectation over the whole scale, not its most probable point, which ties too often
(Lee et al. 2023, arXiv 2309.00267, direct RLAIF).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from rlaif.errors import CallError
from rlaif.judging import verdicts
from rlaif.judging.base import Context, silence, verdict_temperature
from rlaif.judging.fences import Template, boundary, conversation, load_template, neutralise
from rlaif.providers.base import Caller, ModelSpec, Reply, Request
from rlaif.records import JudgmentStatus, LabelType, Prompt, Record, Sample, SamplingParams, Score

SLOTS = frozenset({"constitution", "prompt", "response"})
"""Placeholders of a pointwise template."""
LOW, HIGH = 1, 10
"""Ends of the scale."""


class ScorerConfig(Record):
    """A pointwise judge, as written in a config file."""

    kind: Literal["pointwise"] = "pointwise"
    """Names the judge."""
    model: str
    """Model spec."""
    verdict: Literal["labels", "text"] = "labels"
    """Expected score over label probabilities, or the number on a last line of text."""
    template: str | None = None
    """Shipped template or path; left out, the one that fits model and verdict."""
    max_tokens: int = Field(default=512, ge=1)
    """Most tokens of a text verdict."""
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    """Of a text verdict; see ``JudgeConfig.temperature``."""
    min_mass: float = Field(default=0.0, ge=0.0, le=1.0)
    """Label mass below which a reply is off the menu; see ``JudgeConfig.min_mass``."""


@dataclass(frozen=True, slots=True)
class Rating:
    """What one reply says about one sample."""

    status: JudgmentStatus
    """``ok``, or why there is no score."""
    expected: float | None = None
    """Expected score under the normalised distribution."""
    distribution: tuple[float, ...] = ()
    """Normalised probability of each whole score."""
    mass: float | None = None
    """Probability the labels captured before normalising."""
    reason: str = ""
    """One clause when not ``ok``."""


def unit_score(expected: float) -> float:
    """Map a score from 1..10 to -1..1: ``2 (s - 1) / 9 - 1``."""
    return 2.0 * (expected - LOW) / (HIGH - LOW) - 1.0


def default_template(model: str, verdict: str) -> str:
    """Name the shipped template for a scorer.

    Where whole label strings are scored token by token (local models), each label carries the quote
    mark that ends it: otherwise ``1`` would also collect the probability of ``10``.
    """
    prefixed = verdict == "labels" and ModelSpec.parse(model).provider == "local"
    return f"pointwise_{verdict}{'_prefix' if prefixed else ''}"


@dataclass(frozen=True, slots=True)
class PointwiseScorer:
    """A scorer ready to ask."""

    config: ScorerConfig
    template: Template

    @classmethod
    def build(cls, config: ScorerConfig) -> PointwiseScorer:
        """Load the template a config names.

        Raises:
            InputError: an unknown model spec or template, or a template that does not fit the verdict.
        """
        name = config.template or default_template(config.model, config.verdict)
        labels = HIGH - LOW + 1 if config.verdict == "labels" else 0
        return cls(config, load_template(name, SLOTS, labels))

    @property
    def label_type(self) -> LabelType:
        """How scores are read."""
        return "logprob" if self.config.verdict == "labels" else "text"

    def request(self, prompt: Prompt, response: str, context: Context) -> Request:
        """Fill the template; what many calls share stands first."""
        token = boundary(prompt.id, context.seed)
        messages = self.template.fill(
            {
                "constitution": context.text,
                "boundary": token,
                "prompt": conversation(prompt, token),
                "response": neutralise(response, token),
            }
        )
        labels = self.template.labels
        cold = verdict_temperature(self.config.model, self.config.temperature)
        knobs = (1.0, 1) if labels else (cold, self.config.max_tokens)
        return Request(
            model=ModelSpec.parse(self.config.model).model,
            messages=messages,
            params=SamplingParams(temperature=knobs[0], max_tokens=knobs[1]),
            labels=labels,
        )

    def read(self, request: Request, reply: Reply) -> Rating:
        """Read a reply; the same reply always reads the same."""
        if (silent := silence(reply)) is not None:
            return Rating(silent[0], reason=silent[1])
        if request.labels:
            return _expect(request.labels, reply.label_probs, self.config.min_mass)
        said = verdicts.read_score(reply.text, reply.stop_reason, LOW, HIGH)
        if said.status != "ok":
            return Rating(said.status, reason=said.reason)
        point = int(said.value)
        distribution = tuple(float(score == point) for score in range(LOW, HIGH + 1))
        return Rating("ok", float(point), distribution)


async def score_sample(
    caller: Caller, scorer: PointwiseScorer, prompt: Prompt, sample: Sample, context: Context
) -> Score:
    """Score one sample; a call that was given up becomes a score with status ``transport_failed``.

    Raises:
        BudgetError: the cap leaves no room.
        CallError: a fatal one.
    """
    request = scorer.request(prompt, sample.response, context)
    try:
        answer = await caller.call(request)
    except CallError as error:
        if error.fatal:
            raise
        rating, key = Rating("transport_failed", reason=" ".join(str(error).split())), ""
    else:
        rating, key = scorer.read(request, answer.reply), answer.key
    return _score(scorer, sample, context, rating, key)


def _score(scorer: PointwiseScorer, sample: Sample, context: Context, rating: Rating, key: str) -> Score:
    return Score.make(
        prompt_id=sample.prompt_id,
        sample_id=sample.id,
        axis=context.axis,
        judge=scorer.config.model,
        constitution=context.constitution,
        template=scorer.template.digest,
        label_type=scorer.label_type,
        status=rating.status,
        low=LOW,
        high=HIGH,
        expected=rating.expected,
        distribution=rating.distribution,
        mass=rating.mass,
        reason=rating.reason,
        request_key=key,
    )


def _expect(labels: tuple[str, ...], found: Mapping[str, float] | None, min_mass: float) -> Rating:
    """Normalise over the scale and take the expectation; an unlisted score counts nothing."""
    if found is None:
        return Rating("unparsable", reason="the reply holds no label probabilities")
    raw = [found.get(label, 0.0) for label in labels]
    mass = sum(raw)
    if not mass > 0.0 or mass < min_mass:
        return Rating("off_menu", mass=mass, reason=f"label mass {mass:.3g} is below {min_mass:.3g}")
    distribution = tuple(one / mass for one in raw)
    expected = sum(score * p for score, p in zip(range(LOW, HIGH + 1), distribution, strict=True))
    return Rating("ok", expected, distribution, mass)
