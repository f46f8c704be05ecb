"""Recipes: a published system as one file of steps, run, measured and reported as a whole.

``load_recipe`` reads a file and checks all of it, ``quote_recipe`` counts its calls, ``run_recipe`` runs or
goes on with it. What the steps do is done by the packages below: ``pipeline``, ``training``, ``iterations``.
"""

from rlaif.recipes.desk import Money
from rlaif.recipes.folder import Done, Raised
from rlaif.recipes.quoting import Quoted, paid_later, quote_recipe
from rlaif.recipes.reading import Loaded, is_recipe, load_recipe
from rlaif.recipes.running import Outcome, run_recipe

__all__ = [
    "Done",
    "Loaded",
    "Money",
    "Outcome",
    "Quoted",
    "Raised",
    "is_recipe",
    "load_recipe",
    "paid_later",
    "quote_recipe",
    "run_recipe",
]
