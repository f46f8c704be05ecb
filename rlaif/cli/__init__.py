"""The ``rlaif`` command: thin verbs over the package.

Owns argument parsing and what is printed where: data on stdout, words for people on stderr. Every
verb imports what it needs when it runs, so that ``--help`` stays quick.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import typer

from rlaif.cli import (
    audit,
    check_set,
    console,
    constitution,
    data,
    db,
    iterate,
    keys,
    lab,
    make,
    recipe,
    report,
    review,
    serve,
    train,
)
from rlaif.cli.progress import Notices
from rlaif.errors import boundary

app = typer.Typer(
    name="rlaif",
    help="Prompts and a written constitution in, preference sets out.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
make.register(app)
data.register(app)
train.register(app)
iterate.register(app)
serve.register(app)
report.register(app)
check_set.register(app)
audit.register(app)
app.add_typer(constitution.app, name="constitution")
app.add_typer(db.app, name="db")
app.add_typer(review.app, name="review")
app.add_typer(keys.app, name="keys")
app.add_typer(lab.app, name="lab")
app.add_typer(recipe.app, name="recipe")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exits with the documented code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    console.prepare()
    logging.basicConfig(handlers=[Notices()])
    with boundary():
        try:
            app(args=None if argv is None else list(argv), prog_name="rlaif")
        finally:
            sys.stdout.flush()  # here a reader that has gone away is noticed in time


if __name__ == "__main__":
    main(sys.argv[1:])
