"""From plain data to a page: one Jinja2 environment with autoescape, and the layout's own data.

Owns the environment and the frame every page stands in. Leaves what is shown to the rooms, and how figures
read to ``wording``.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import cache
from typing import Final

import jinja2
from aiohttp import web

from rlaif.service.problems import Problem
from rlaif.service.visitor import VISITOR
from rlaif.service.web.lines import area, line
from rlaif.service.web.static import address
from rlaif.service.web.wording import FILTERS

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
    made.filters.update(FILTERS, line=line, area=area)
    return made


def render(
    template: str, data: Mapping[str, object], *, here: str = "", menu: Container[str] | None = None
) -> str:
    """Render a page, or a part of one.

    Args:
        template: file under ``templates``; it extends ``layout.html`` where it is a whole page.
        data: what it shows, as plain data.
        here: address of the menu's entry the page belongs to.
        menu: addresses the menu may lead to, for a page of the static bundle, behind which nothing answers
            (``live`` is false in its template); None for a page of the service.
    """
    navigation = [one for one in NAVIGATION if menu is None or one[1] in menu]
    around = {"navigation": navigation, "here": here, "live": menu is None, "visitor": VISITOR.get()}
    return environment().get_template(template).render(around, **data)


def page(template: str, data: Mapping[str, object], *, here: str = "", status: int = 200) -> web.Response:
    """Answer with a page."""
    return web.Response(text=render(template, data, here=here), status=status, content_type="text/html")


def part(template: str, data: Mapping[str, object]) -> web.Response:
    """Answer with a part of a page, which replaces an element of it."""
    return web.Response(text=render(template, data), content_type="text/html")


def problem_page(problem: Problem) -> web.Response:
    """Say on a page what went wrong."""
    reply = page("problem.html", {"problem": problem.details}, status=problem.status)
    reply.headers.update(problem.headers)
    return reply
