"""Drawing responses: rows join and leave a running batch at any step.

Owns the rows, the ends of a response and each row's random numbers. Leaves keys and values to
``memory`` and the draw itself to ``choosing``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rlaif.generation.choosing import choose
from rlaif.generation.forward import Forward
from rlaif.generation.memory import Memory
from rlaif.records import SamplingParams

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Draw one response after a prompt."""

    prompt: tuple[int, ...]
    """Token ids the model reads, at least one."""
    params: SamplingParams = SamplingParams()
    """Knobs of the draw; equal seeds give equal responses, in any batch."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One drawn response."""

    text: str
    """Decoded, without special tokens and without the stop string that ended it."""
    tokens: tuple[int, ...]
    """As drawn, the one that ended it included."""
    logprobs: tuple[float, ...]
    """Of each token at the request's temperature, before any nucleus."""
    stop_reason: Literal["stop", "max_tokens"]
    """``stop`` at an end-of-response token or a stop string."""


@dataclass(slots=True, eq=False)
class Row:
    """A response being drawn."""

    key: int
    request: SampleRequest
    stream: random.Random = field(init=False)
    next: int = field(init=False)
    """The token the next step reads."""
    read: int = field(init=False)
    """Tokens whose keys and values are in the batch."""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream = random.Random(self.request.params.seed)  # noqa: S311
        self.next = self.request.prompt[-1]
        self.read = len(self.request.prompt) - 1

    def take(self, token: int, logprob: float) -> None:
        """Append a drawn token."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        self.next = token
        self.read += 1


class Endings:
    """When a response is over, and what its text is then.

    Args:
        ends: tokens that end a response.
        decode: token ids to text.
        context: most positions the model can read.
    """

    def __init__(self, ends: frozenset[int], decode: Callable[[Sequence[int]], str], context: int) -> None:
        self._ends, self._decode, self._context = ends, decode, context

    def settle(self, row: Row) -> Drawn | None:
        """Return the response if the row's last token ended it."""
        params = row.request.params
        if row.tokens[-1] in self._ends:
            return self._drawn(row, row.tokens[:-1], "stop")
        if params.stop and self._spelled(row, params.stop):
            return self._drawn(row, row.tokens, "stop")
        if len(row.tokens) >= params.max_tokens or row.read >= self._context:
            return self._drawn(row, row.tokens, "max_tokens")
        return None

    def _spelled(self, row: Row, stops: Sequence[str]) -> bool:
        # A character takes at most four byte tokens: the tail that long holds any stop string.
        tail = self._decode(row.tokens[-4 * max(map(len, stops)) - 4 :])
        return any(stop in tail for stop in stops)

    def _drawn(self, row: Row, said: Sequence[int], reason: Literal["stop", "max_tokens"]) -> Drawn:
        text = self._decode(said)
        cuts = [at for stop in row.request.params.stop if (at := text.find(stop)) >= 0]
        return Drawn(text[: min(cuts, default=None)], tuple(row.tokens), tuple(row.logprobs), reason)


class Batch:
    """The rows being drawn, always in the first places of the memory."""

    def __init__(self, forward: Forward, endings: Endings) -> None:
        self._forward, self._endings = forward, endings
        self._memory = Memory()
        self.rows: list[Row] = []

    def join(self, row: Row, kv: Sequence[Tensor]) -> None:
        """Add a row after its prompt but the last token was computed.

        Args:
            row: the row.
            kv: of the prompt's runs in order, ``(layers, 2, heads, tokens, width)`` each.
        """
        self.rows.append(row)
        self._reserve()
        self._memory.write(len(self.rows) - 1, kv)

    def step(self) -> list[tuple[int, Drawn]]:
        """Draw one token for every row; return the responses that ended, with their rows' keys."""
        tokens, logprobs = self._draw()
        for row, token, logprob in zip(self.rows, tokens, logprobs, strict=True):
            row.take(token, logprob)
        ended = []
        for place in reversed(range(len(self.rows))):
            row = self.rows[place]
            drawn = self._endings.settle(row)
            if drawn is not None:
                ended.append((row.key, drawn))
                self._leave(place)
        return ended[::-1]

    def clear(self) -> None:
        """Drop every row and the memory."""
        self.rows.clear()
        self._memory = Memory()

    def _draw(self) -> tuple[list[int], list[float]]:
        import torch

        to = self._forward.device
        params = [row.request.params for row in self.rows]
        uniform = torch.tensor([row.stream.random() for row in self.rows], dtype=torch.float64)
        temperature = torch.tensor([one.temperature for one in params])
        top_p = torch.tensor([one.top_p for one in params])
        tokens, logprobs = choose(self._logits(), temperature.to(to), top_p.to(to), uniform.to(to))
        return tokens.tolist(), logprobs.tolist()

    def _logits(self) -> Tensor:
        import torch

        self._reserve()
        to = self._forward.device
        ids = torch.tensor([[row.next] for row in self.rows], device=to)
        positions = torch.tensor([[row.read] for row in self.rows], device=to)
        visible = int(positions.max()) + 1
        mask = torch.arange(visible, device=to) <= positions  # (B, visible)
        self._memory.aim(positions[:, 0], visible)
        keep = torch.zeros(1, dtype=torch.long, device=to)
        return self._forward(ids, positions, mask[:, None, None], self._memory, keep)[:, 0]

    def _reserve(self) -> None:
        self._memory.reserve(len(self.rows), max(row.read for row in self.rows) + 1)

    def _leave(self, place: int) -> None:
        """Close the gap with the last row."""
        last = len(self.rows) - 1
        if place != last:
            self._memory.move(last, place, self.rows[last].read)
            self.rows[place] = self.rows[last]
        del self.rows[last]
