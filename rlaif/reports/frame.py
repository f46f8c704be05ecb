"""The frame of every page that opens from disk: one head, styles inside, nothing fetched, nothing that runs.

Owns the rendering of a template and its safety. What models and prompt files wrote is hostile until shown
otherwise: Jinja escapes every value, characters that steer a terminal or the direction of text are made
visible, and the page's own policy forbids scripts, requests and any style but its own. Leaves what a page
says to whoever has it rendered.
"""

from __future__ import annotations

import base64
import hashlib
import re

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rlaif.decimals import measured
from rlaif.reports.notices import percent, span

SHOWN = 1200
"""Characters of one text that are shown."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Controls, bidirectional marks and overrides, invisible separators and tag characters."""


def framed(template: str, *sheets: str, title: str, package: str = "rlaif.reports", **values: object) -> str:
    """Render a template under the one head and policy.

    Args:
        template: its name; it begins with ``{% include "head.html" %}``.
        sheets: style sheets beside ``style.css``.
        title: of the page.
        package: where template and sheets lie; those of ``rlaif.reports`` are found as well.
        values: what the template names.
    """
    made = _environment(package)
    style = "".join(made.get_template(name).render() for name in ("style.css", *sheets))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return made.get_template(template).render(title=title, style=style, style_digest=digest, **values)


def visible(value: object) -> object:
    """Replace characters that act instead of showing by their code points, e.g. ``⟨U+202E⟩``."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)


def cut(text: str) -> str:
    """Shorten a text for the page, saying by how much."""
    rest = len(text) - SHOWN
    return text if rest <= 0 else f"{text[:SHOWN]}… ({rest:,} more characters)"


def size(count: int) -> str:
    """Write a number of bytes."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


def _environment(package: str) -> Environment:
    places = dict.fromkeys((package, "rlaif.reports"))
    made = Environment(
        loader=ChoiceLoader([PackageLoader(one, ".") for one in places]),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        percent=percent, span=span, cut=cut, size=size, thousands="{:,}".format, measured=measured
    )
    return made
