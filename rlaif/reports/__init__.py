"""What a job made and how far its labels can be trusted: a static page, or the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlaif.checks import SetCheck
from rlaif.exports import Source
from rlaif.reports.figures import gather
from rlaif.reports.page import render
from rlaif.reports.summary import describe
from rlaif.wholefile import put

__all__ = ["summary", "write_report"]


def write_report(
    source: Source, path: Path, *, export: Path | None = None, checked: Sequence[SetCheck] = ()
) -> None:
    """Write one self-contained HTML page, whole or not at all.

    Args:
        source: the job's records.
        path: the file, e.g. ``reports/report.html``.
        export: an exported folder of the same job, whose files the page then lists.
        checked: audits of the job's sets, of which the page then shows a row each.

    Raises:
        StoreError: the records do not fit together.
    """
    page = render(gather(source), folder=path.parent, export=export, checked=checked)
    put(path, page)


def summary(source: Source) -> dict[str, object]:
    """The report's figures as JSON, for ``--json``.

    Raises:
        StoreError: the records do not fit together.
    """
    return describe(gather(source))
