"""How a measured number is written: to as many decimals as its error allows."""

from __future__ import annotations

import math
from typing import Final

_MOST: Final = 6
"""Decimals; an error smaller than these is shown as 0."""


def measured(mean: float | None, error: float | None = None, sign: str = "") -> str:
    """Write a mean and its error to the same decimals, two digits of the error, e.g. ``2.480 ± 0.091``.

    Args:
        mean: None is a dash.
        error: any measure of how far off it may be, in the same units; without one, or with one of 0, the
            mean has three significant digits.
        sign: ``+`` to write one before gains as well.
    """
    if mean is None:
        return "–"
    if not error or not math.isfinite(error):
        return f"{mean:{sign}.3g}"
    decimals = min(max(1 - math.floor(math.log10(error)), 0), _MOST)
    return f"{mean:{sign},.{decimals}f} ± {error:,.{decimals}f}"
