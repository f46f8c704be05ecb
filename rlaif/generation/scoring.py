"""Log-probabilities of label strings after many prefixes, each shared token computed once.

Owns the order of work and what is read from the logits. Leaves attention to ``packing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlaif.errors import InputError
from rlaif.generation.forward import Forward
from rlaif.generation.packing import Pack, compute
from rlaif.generation.prefixes import Node, PrefixTree, Tail

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """How likely is each label as the continuation of a prefix."""

    prefix: tuple[int, ...]
    """Token ids the model reads, at least one."""
    labels: tuple[tuple[int, ...], ...]
    """Token ids of each label, at least one each."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One request in work: the claimed path, and the few tokens read for its labels alone."""

    request: ScoreRequest
    leaf: Node
    last: Tail
    """The prefix's last token: its logits weigh the first token of every label. Never shared, so
    that logits are at hand even where the whole prefix is in the tree already."""
    tails: tuple[Tail | None, ...]
    """For each label all its tokens but the last; None for a label of one token."""

    @classmethod
    def open(cls, request: ScoreRequest, tree: PrefixTree) -> _Job:
        leaf = tree.claim(request.prefix[:-1])
        last = Tail(request.prefix[-1:], leaf)
        tails = (Tail(label[:-1], last) if len(label) > 1 else None for label in request.labels)
        return cls(request, leaf, last, tuple(tails))

    def own(self) -> list[Node]:
        return [self.last, *(tail for tail in self.tails if tail is not None)]

    def read(self, logits: Mapping[Node, Tensor]) -> list[float]:
        """Add up each label's log-probabilities from the logits before each of its tokens."""
        first = logits[self.last].log_softmax(-1)[0]
        values = []
        for label, tail in zip(self.request.labels, self.tails, strict=True):
            value = first[label[0]]
            if tail is not None:
                later = logits[tail].log_softmax(-1)
                value = value + sum(row[token] for row, token in zip(later, label[1:], strict=True))
            values.append(float(value))
        return values


def weigh(
    requests: Sequence[ScoreRequest], forward: Forward, tree: PrefixTree, empty: Callable[[], Pack]
) -> Iterator[tuple[int, list[float]]]:
    """Compute the log-probability of each request's labels.

    Args:
        requests: checked ones, any number, in any order.
        forward: the model.
        tree: prefixes computed before; those of this call are added.
        empty: makes a pack.

    Yields:
        A request's index and its labels' log-probabilities in their order, pack by pack.
    """
    order = sorted(range(len(requests)), key=lambda i: requests[i].prefix)  # depth first
    jobs = {i: _Job.open(requests[i], tree) for i in order}
    claims = {i: job.leaf for i, job in jobs.items()}
    longest = empty().tokens
    work = ((i, (*tree.chunks(job.leaf, longest), *job.own())) for i, job in jobs.items())
    try:
        for i, logits in compute(work, forward, empty):
            tree.release(claims.pop(i))
            yield i, jobs[i].read(logits)
    finally:
        for leaf in claims.values():  # after a failure, or when the caller stops early
            tree.release(leaf)


def check(request: ScoreRequest, context: int) -> None:
    """Refuse a request that cannot be weighed.

    Raises:
        InputError: an empty prefix or label, or more tokens than ``context``.
    """
    if not request.prefix or not all(request.labels):
        raise InputError("a label can be weighed only after at least one token, and must have one itself")
    longest = len(request.prefix) + max(map(len, request.labels), default=0)
    if longest > context:
        raise InputError(
            f"{longest} tokens do not fit the model's context of {context}; shorten the prompt or responses"
        )
