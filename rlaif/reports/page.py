"""Turns figures into one static page: nothing is fetched, nothing runs.

Owns what the page is told. Leaves its safety to ``frame`` and the sentences to ``notices``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rlaif.checks import SetCheck
from rlaif.exports import MANIFEST, Manifest
from rlaif.reports.figures import Figures
from rlaif.reports.frame import framed
from rlaif.reports.notices import notices

FATES: Mapping[str, str] = {
    "preferred": "became a preference",
    "tie": "even: no response favoured",
    "conflict": "the two orders disagreed",
    "weak_margin": "decided too weakly to keep",
    "not_selected": "decided, left out by the pairing rule",
    "unjudged": "no judgement was made",
    "identical": "both responses are the same text",
    "empty": "a response is empty",
    "refused": "the judge refused",
    "unparsable": "no verdict could be read",
    "off_menu": "the verdict named neither response",
    "truncated": "the judgement was cut off",
    "transport_failed": "the call failed",
}
"""What each fate of a pair means, in the order they are listed."""


def render(figures: Figures, *, folder: Path, export: Path | None, checked: Sequence[SetCheck] = ()) -> str:
    """Render the page.

    Args:
        figures: what to show.
        folder: where the page will lie; the export is named relative to it.
        export: an exported folder to list the files of.
        checked: audits of the sets, shown in a row each.
    """
    return framed(
        "page.html",
        title=f"{figures.source.job.name}: preference report",
        f=figures,
        job=figures.source.job,
        bill=figures.source.bill,
        notices=notices(figures),
        where=os.path.relpath(export, folder) if export else None,
        manifest=_manifest(export),
        fates=FATES,
        checked=checked,
    )


def _manifest(export: Path | None) -> Manifest | None:
    return None if export is None else Manifest.model_validate_json((export / MANIFEST).read_bytes())
