"""How figures, times and sizes read on a page.

Owns the filters of the templates. Everything is UTC, digits are grouped, and what is absent reads as a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from rlaif.decimals import measured

ABSENT: Final = "–"
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def number(value: float | None, digits: int = 0) -> str:
    """Write a number with grouped digits, e.g. ``12,345``."""
    return ABSENT if value is None else f"{value:,.{digits}f}"


def figure(value: float | None) -> str:
    """Write a measured value to three significant digits, e.g. ``0.713`` or ``1,250``."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def share(value: float | None, digits: int = 0) -> str:
    """Write a share between 0 and 1 as per cent."""
    return ABSENT if value is None else f"{value:.{digits}%}"


def money(value: float | None) -> str:
    """Write US dollars; below a cent to the first two digits that count."""
    if value is None:
        return ABSENT
    if value == 0 or abs(value) >= 0.01:
        return f"${value:,.2f}"
    return f"${value:.2g}" if abs(value) >= 1e-4 else f"${value:.1e}"


def size(value: int | None) -> str:
    """Write bytes in binary units, e.g. ``3.4 MiB``."""
    if value is None:
        return ABSENT
    left = float(value)
    for unit in _UNITS[:-1]:
        if left < 1024:
            return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"
        left /= 1024
    return f"{left:,.1f} {_UNITS[-1]}"


def span(seconds: float | None) -> str:
    """Write a length of time in its two largest units, e.g. ``1 h 12 min``."""
    if seconds is None:
        return ABSENT
    if 0 < seconds < 10:
        return f"{seconds:.2g} s"
    left = round(seconds)
    parts: list[str] = []
    for length, unit in _SPANS:
        count, left = divmod(left, length)
        if count or (parts and len(parts) < 2):
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def when(value: str | None) -> str:
    """Write an ISO 8601 time as ``2026-05-01 12:00:00 UTC``; what is not one stays as it is."""
    if not value:
        return ABSENT
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def short(value: str, most: int = 80) -> str:
    """The beginning of a text on one line."""
    line = " ".join(value.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "number": number, "figure": figure, "measured": measured, "share": share, "money": money,
    "size": size, "span": span, "when": when, "short": short,
}  # fmt: skip
