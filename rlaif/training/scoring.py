"""What drawn responses are worth: by a reward model, by two behind a gate, or by whatever is called.

Owns the step from rollouts to scores, and that nothing is scored twice. Leaves KL and penalties to
``advantages``. A judge comes in as a callable: training knows none.
"""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections.abc import Callable, Container, Sequence
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field

from rlaif.checkpoints import Checkpoint, load_scorer
from rlaif.errors import InputError
from rlaif.records import Record, digest
from rlaif.training.config import DataConfig
from rlaif.training.data import read_prompts
from rlaif.training.encoding import Text
from rlaif.training.gate import passed
from rlaif.training.models import Scorer
from rlaif.training.packing import Group, Ids, pack, parts
from rlaif.training.processes import ALONE, Processes
from rlaif.training.rollouts import Rollout

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

Score = Callable[[Sequence[Text], Sequence[str]], Sequence[float | None]]
"""Prompts and as many responses to one number each; None where there is no saying, never a low number."""


class RewardModel(Record):
    """One reward model; its scores are shifted and scaled as it was stored to have them."""

    kind: Literal["model"]
    """Names the kind."""
    model: str
    """A folder that ``method: reward`` wrote, or another model with one label."""


class Gate(Record):
    """Two reward models, of which safety speaks where it matters (Llama 2, sec. 3.2.3)."""

    kind: Literal["gate"]
    """Names the kind."""
    safety: str
    """The model of safety."""
    helpfulness: str
    """The model of helpfulness."""
    safety_prompts: DataConfig | None = None
    """Prompts where safety alone counts; elsewhere it counts where it finds a response unsafe."""


RewardSource = Annotated[RewardModel | Gate, Field(discriminator="kind")]


class Rater(Protocol):
    """Gives every response of some groups a number."""

    digest: str
    """What tells its numbers from those of another."""

    def __call__(
        self, prompts: Sequence[Text], texts: Sequence[str], groups: Sequence[Group]
    ) -> list[float | None]:
        """Return a number for each response.

        Args:
            prompts: one a response.
            texts: the responses.
            groups: the same as token ids, every prompt once.
        """
        ...


def rater(
    config: RewardModel | Gate | None,
    score: Score | None,
    tokenizer: PreTrainedTokenizerBase,
    part_tokens: int,
) -> Rater:
    """Make what the configuration names, or take what is called.

    Raises:
        InputError: neither or both are given, or a model reads other tokens than the policy.
    """
    if (config is None) == (score is None):
        raise InputError(
            f"found {'no reward' if score is None else 'a reward and a score function'}; name one: reward:"
            " {kind: model, model: FOLDER} in the file, or train(config, score=...) from Python",
            field="reward",
        )
    if score is not None:
        return Called(score)
    if isinstance(config, RewardModel):
        return Modelled(load_scorer(config.model, trained=True), tokenizer, part_tokens)
    assert config is not None
    models = [
        Modelled(load_scorer(one, trained=True), tokenizer, part_tokens, raw=True)
        for one in (config.safety, config.helpfulness)
    ]
    tagged = read_prompts(config.safety_prompts, tokenizer) if config.safety_prompts else None
    known = frozenset(one.group.prompt for one in (*tagged.train, *tagged.test)) if tagged else frozenset()
    return Gated(models[0], models[1], known)


class Called:
    """Numbers of a callable.

    Args:
        score: known by its attribute ``digest``, or else by its name.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        name = getattr(score, "__qualname__", type(score).__qualname__)
        self.digest = str(getattr(score, "digest", f"{score.__module__}:{name}"))

    def __call__(
        self, prompts: Sequence[Text], texts: Sequence[str], groups: Sequence[Group]
    ) -> list[float | None]:
        """Do as ``Rater``.

        Raises:
            InputError: it returned something else.
        """
        found = list(self._score(prompts, texts))
        odd = [
            one for one in found if not (one is None or (isinstance(one, int | float) and math.isfinite(one)))
        ]
        if odd or len(found) != len(texts):
            raise InputError(
                f"{self.digest!r} returned {len(found)} scores for {len(texts)} responses"
                + (f", {odd[0]!r} among them" if odd else "")
                + "; allowed: a finite number each, or None where there is no saying"
            )
        return [None if one is None else float(one) for one in found]


class Modelled:
    """Scores of a reward model that reads the policy's own tokens.

    Args:
        checkpoint: the reward model.
        tokenizer: the policy's.
        part_tokens: most tokens of one pass.
        raw: leave scores as the head gives them.

    Raises:
        InputError: it reads other tokens.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PreTrainedTokenizerBase,
        part_tokens: int,
        *,
        raw: bool = False,
    ) -> None:
        if checkpoint.tokenizer.get_vocab() != tokenizer.get_vocab():
            raise InputError(
                "the reward model has another tokenizer than the policy; train one from the same family",
                path=checkpoint.folder,
            )
        self.digest = checkpoint.digest
        self._scorer, self._part_tokens, self._raw = Scorer(checkpoint.model), part_tokens, raw

    def __call__(
        self, prompts: Sequence[Text], texts: Sequence[str], groups: Sequence[Group]
    ) -> list[float | None]:
        """Do as ``Rater``."""
        return list(self.scores(groups).tolist())

    def scores(self, groups: Sequence[Group]) -> Tensor:
        """Return the score of every response, ``(R,)``."""
        import torch

        found = []
        with torch.no_grad(), self._scorer.passes():
            for part in parts(groups, self._part_tokens):
                packed = pack(groups[at] for at in part).to(self._scorer.model.device)
                found.append(self._scorer.scores(packed))
        scores = torch.cat(found)
        return scores if self._raw else self._scorer.normalised(scores)


class Gated:
    """Scores of two reward models behind Llama 2's gate, before they are whitened; see ``gate``.

    Args:
        safety: raw scores of safety.
        helpfulness: raw scores of helpfulness.
        tagged: prompts where safety alone counts.
    """

    def __init__(self, safety: Modelled, helpfulness: Modelled, tagged: frozenset[Ids]) -> None:
        self._safety, self._helpfulness, self._tagged = safety, helpfulness, tagged
        self.digest = digest("gt", safety.digest, helpfulness.digest, sorted(tagged))

    def __call__(
        self, prompts: Sequence[Text], texts: Sequence[str], groups: Sequence[Group]
    ) -> list[float | None]:
        """Do as ``Rater``."""
        safety, helpfulness = self._safety.scores(groups), self._helpfulness.scores(groups)
        marks = [one.prompt in self._tagged for one in groups for _ in one.responses]
        return list(passed(safety, helpfulness, safety.new_tensor(marks).bool()).tolist())


class Scores:
    """Scores of rollouts, each response to a prompt scored once in the life of a run.

    What was scored is appended to a file, a line a batch, so that a run which goes on finds the very numbers
    it had, and a judge is not asked (nor paid) again.

    Args:
        rate: gives the numbers.
        path: of the file; its end may be cut by a kill, and that batch is scored again.
        processes: each scores its share of what every one of them shows; the first writes the file.
    """

    def __init__(self, rate: Rater, path: Path, processes: Processes = ALONE) -> None:
        self._rate, self._path, self._processes = rate, path, processes
        self._known: dict[str, float | None] = {}
        whole = path.read_text().split("\n")[:-1] if path.is_file() else []
        for line in whole:
            self._known.update(json.loads(line))
        processes.wait()  # nobody reads any more
        if whole and processes.first:
            path.write_text("".join(f"{line}\n" for line in whole))  # or the next would continue a cut one

    def __call__(self, rollouts: Sequence[Rollout]) -> list[float | None]:
        """Return every response's score; None where there is no saying.

        Raises:
            InputError: the scorer cannot be used.
        """
        keys = [[self._key(one.group.prompt, ids) for ids in one.group.responses] for one in rollouts]
        new: dict[str, None] = {}
        asked: list[tuple[list[str], Rollout]] = []
        for one, some in zip(rollouts, keys, strict=True):
            wanted = [self._is_new(key, new, some[:at]) for at, key in enumerate(some)]
            if any(wanted):
                fresh = list(compress(some, wanted))
                new |= dict.fromkeys(fresh)
                asked.append((fresh, one.only(wanted)))
        if asked:
            self._learn(asked)
        return [self._known[key] for some in keys for key in some]

    def _is_new(self, key: str, *before: Container[str]) -> bool:
        return key not in self._known and not any(key in some for some in before)

    def _key(self, prompt: Ids, response: Ids) -> str:
        made = hashlib.sha256(self._rate.digest.encode())
        for ids in (prompt, response):
            made.update(array("q", (len(ids), *ids)).tobytes())
        return made.hexdigest()

    def _learn(self, asked: Sequence[tuple[list[str], Rollout]]) -> None:
        """Have each process score its share, and tell all of them."""
        mine = [one for _, one in self._processes.mine(asked)]
        numbers = iter(self._rated(mine))
        shares = [[next(numbers) for _ in one.texts] for one in mine]
        found = self._processes.gathered(shares)
        pairs = zip(asked, found, strict=True)
        learnt = {key: number for (keys, _), some in pairs for key, number in zip(keys, some, strict=True)}
        if self._processes.first:
            with self._path.open("a") as file:
                file.write(json.dumps(learnt) + "\n")
        self._known |= learnt

    def _rated(self, rollouts: Sequence[Rollout]) -> list[float | None]:
        if not rollouts:
            return []
        prompts = [one.asked.text for one in rollouts for _ in one.texts]
        texts = [text for one in rollouts for text in one.texts]
        return self._rate(prompts, texts, [one.group for one in rollouts])
