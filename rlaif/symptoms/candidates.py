"""Which of many phrases a text can hold at all, told by short runs of its characters.

Owns the index. A phrase cannot match where all its literals are missing, and a literal is missing where any
run of its characters is; so each literal is put under the run that fewest literals share, and a text is asked
for its runs once. Leaves matching to ``phrases``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)

LENGTHS: Final = (4, 2, 1)
"""Characters of a run; the shorter ones are for literals that have no longer one, as in Chinese."""


class Candidates(Generic[T]):
    """An index of things by the literals of which a text must hold one.

    Args:
        literals: of each thing.
    """

    def __init__(self, literals: Mapping[T, Sequence[str]]) -> None:
        told = {one: _telling(one) for some in literals.values() for one in some}
        shared = Counter(run for runs in told.values() for run in runs)
        self._placed: dict[str, list[tuple[str, T]]] = {}
        for thing, some in literals.items():
            for one in some:
                rarest = min(told[one], key=lambda run: (shared[run], run))
                self._placed.setdefault(rarest, []).append((one, thing))

    def of(self, text: str) -> Iterator[tuple[str, T]]:
        """Yield each literal that the text holds, with a thing that may be where it stands."""
        for run in self._placed.keys() & _runs(text):
            yield from (one for one in self._placed[run] if one[0] in text)


def _telling(literal: str) -> frozenset[str]:
    return next(runs for size in LENGTHS if (runs := _cut(literal, size)))


@lru_cache(4)
def _runs(text: str) -> frozenset[str]:
    return frozenset().union(*(_cut(text, size) for size in LENGTHS))


def _cut(text: str, size: int) -> frozenset[str]:
    return frozenset(text[at : at + size] for at in range(len(text) - size + 1))
