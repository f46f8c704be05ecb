"""Pipelines: a YAML file of stages, run as one resumable job.

``load_pipeline`` reads and checks, ``quote`` counts and prices, ``run`` runs; ``run_in`` does so in a
workspace that is open, for an owner who holds a ``Live``.
"""

from rlaif.pipeline.config import Loaded, Pipeline, load_pipeline
from rlaif.pipeline.live import Figures, Live, Planned, planned
from rlaif.pipeline.lookup import bundled, find_folder, find_job, opened
from rlaif.pipeline.quote import Line, quote
from rlaif.pipeline.run import Options, Outcome, describe, run, run_in

__all__ = [
    "Figures",
    "Line",
    "Live",
    "Loaded",
    "Options",
    "Outcome",
    "Pipeline",
    "Planned",
    "bundled",
    "describe",
    "find_folder",
    "find_job",
    "load_pipeline",
    "opened",
    "planned",
    "quote",
    "run",
    "run_in",
]
