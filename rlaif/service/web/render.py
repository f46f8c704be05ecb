"""From plain data to a page: one Jinja2 environment with autoescape, and the layout's own data.

Owns the environment, its filters and the frame every page stands in. Leaves what is shown to the rooms.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

import jinja2
from aiohttp import web

from rlaif.service.problems import Problem
from rlaif.service.web.static import address

NAVIGATION: Final = (
    ("Jobs", "/"),
    ("Preferences", "/preferences"),
    ("Constitutions", "/constitutions"),
    ("Scorecards", "/scorecards"),
    ("Datasets", "/datasets"),
    ("Training", "/training"),
    ("Over-optimisation", "/overoptimisation"),
    ("Keys", "/keys"),
    ("Health", "/health"),
)
"""Name and address of every page that stands in the menu."""


@cache
def environment() -> jinja2.Environment:
    """The environment all pages are rendered in: everything is escaped, and an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("rlaif.service.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = address
    return made


def render(template: str, data: Mapping[str, object], *, here: str = "", frame: bool = True) -> str:
    """Render a page, or a part of one.

    Args:
        template: file under ``templates``; it extends ``layout.html`` where it is a whole page.
        data: what it shows, as plain data.
        here: address of the menu's entry the page belongs to.
        frame: False for a part that replaces an element of a page.
    """
    around = {"navigation": NAVIGATION, "here": here} if frame else {}
    return environment().get_template(template).render(**around, **data)


def page(template: str, data: Mapping[str, object], *, here: str = "", status: int = 200) -> web.Response:
    """Answer with a page."""
    return web.Response(text=render(template, data, here=here), status=status, content_type="text/html")


def part(template: str, data: Mapping[str, object]) -> web.Response:
    """Answer with a part of a page."""
    return web.Response(text=render(template, data, frame=False), content_type="text/html")


def problem_page(problem: Problem) -> web.Response:
    """Say on a page what went wrong."""
    reply = page("problem.html", {"problem": problem.details}, status=problem.status)
    reply.headers.update(problem.headers)
    return reply
