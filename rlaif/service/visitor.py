"""Who looks at a page, as far as the page's frame has to know.

Owns the one value a request carries to the layout. Leaves deciding who may look to ``access``, which sets it
when it admits a caller.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Visitor:
    """What the layout shows of a caller."""

    csrf: str = ""
    """Token that mutations from this page carry: ``X-CSRF-Token``, or the field ``csrf`` of a form."""
    name: str = ""
    """Name of the key of a session that can be logged out of; empty on the loopback without one."""


NOBODY: Final = Visitor()
"""Where no request is answered, as in the static bundle."""
VISITOR: Final[ContextVar[Visitor]] = ContextVar("visitor", default=NOBODY)
"""The caller of the request being answered; each admission sets it anew."""
