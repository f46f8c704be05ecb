"""Rounds that close the loop: a policy draws, a judge chooses, the policy trains, and again.

``load_iteration`` reads and checks a file, ``iterate`` runs or goes on with it. What a round does is done
by the packages below: drawing, judging and exporting by ``pipeline``, learning by ``training``.
"""

from rlaif.iterations.config import Iteration, Loaded, load_iteration
from rlaif.iterations.jobs import Money
from rlaif.iterations.records import Figures, Made, Opinion, Outcome, Row
from rlaif.iterations.run import iterate

__all__ = [
    "Figures",
    "Iteration",
    "Loaded",
    "Made",
    "Money",
    "Opinion",
    "Outcome",
    "Row",
    "iterate",
    "load_iteration",
]
