"""The laboratory: worlds in which the truth is known, and how far a proxy can be optimised before it hurts.

``worlds`` draws them; ``overoptimisation`` runs a sweep and ``curve`` says what came of it; ``tracing`` finds
what taught a symptom; ``gold_judge`` is a judge of known faults behind HTTP.
"""

from rlaif.lab.worlds import Features, World

__all__ = ["Features", "World"]
