"""The last gate before training: sets whose preferred responses look as if they had won for the wrong reason.

Owns how many flags are too many and the refusal. Leaves raising flags to ``judging.flags`` and the limits of
a pipeline's own export stage to ``checks``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import Field

from rlaif.errors import JobError
from rlaif.records import PreferenceSet, Record
from rlaif.store import Store

MOST_FLAGGED: Final = 0.01
"""Largest share of pairs with a flagged preferred response that is exported without a word."""


class Flagged(Record):
    """Flags on the preferred responses of one set."""

    pairs: int = 0
    """Pairs of the set."""
    flagged: int = 0
    """Pairs whose preferred response has a flag."""
    names: dict[str, int] = Field(default_factory=dict)
    """Pairs by flag; a response may have several."""

    @property
    def share(self) -> float:
        """Share of pairs with a flagged preferred response."""
        return self.flagged / self.pairs if self.pairs else 0.0

    @property
    def too_many(self) -> bool:
        """Whether somebody has to accept them before an export."""
        return self.share > MOST_FLAGGED


def flagged(store: Store, sets: Sequence[str]) -> dict[str, Flagged]:
    """Count flags set by set.

    Args:
        store: where the sets are.
        sets: their ids.
    """
    counts: dict[str, dict[str | None, int]] = {id: {} for id in sets}
    for row in store.query("flagged_sets", sets=list(sets)).to_pylist():
        counts[row["set"]][row["name"]] = row["pairs"]
    return {id: _of(found) for id, found in counts.items()}


def _of(found: Mapping[str | None, int]) -> Flagged:
    names = {name: pairs for name, pairs in found.items() if name}
    return Flagged(pairs=found.get(None, 0), flagged=found.get("", 0), names=names)


def refuse_flagged(store: Store, sets: Iterable[PreferenceSet], *, accept: str) -> None:
    """Stop an export of sets with too many flags.

    Args:
        store: where the sets are.
        sets: what is to be exported.
        accept: how the caller says that the flags are accepted, e.g. ``--accept-flags``.

    Raises:
        JobError: with every such set, its flags and what to do.
    """
    made = list(sets)
    found = flagged(store, [one.id for one in made])
    said = [sentence(one.name, found[one.id]) for one in made if found[one.id].too_many]
    if said:
        raise JobError(
            f"{'; '.join(said)}; at most {MOST_FLAGGED:.0%} is exported unasked. Look at them under"
            f" /preferences (filter: flag), then accept them with {accept}; nothing was written"
        )


def sentence(name: str, one: Flagged) -> str:
    """Say how many preferred responses of a set have which flags."""
    most = sorted(one.names.items(), key=lambda item: (-item[1], item[0]))
    flags = ", ".join(f"{flag} {count:,}" for flag, count in most)
    return (
        f"the preferred response is flagged in {one.flagged:,} of {one.pairs:,} pairs of {name!r}"
        f" ({one.share:.1%}: {flags})"
    )
