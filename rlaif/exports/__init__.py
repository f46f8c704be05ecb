"""Preference sets as files a trainer loads unchanged: the only door from data to training.

``export`` writes one folder with a card, Parquet (and JSONL) files and a manifest; it can be pushed
to a hub or read where it lies. Adding a trainer is adding one module to ``targets``.
"""

from rlaif.exports.flagged import Flagged, flagged, refuse_flagged
from rlaif.exports.manifest import MANIFEST, Manifest
from rlaif.exports.source import Bill, Group, Source, Traffic, groups
from rlaif.exports.stored import stored
from rlaif.exports.targets import TARGETS
from rlaif.exports.write import export
from rlaif.records import MarginScale

__all__ = [
    "MANIFEST", "TARGETS", "Bill", "Flagged", "Group", "Manifest", "MarginScale", "Source", "Traffic",
    "export", "flagged", "groups", "refuse_flagged", "stored",
]  # fmt: skip
