"""Pipelines: a YAML file of stages, run as one resumable job.

``load_pipeline`` reads and checks, ``quote`` counts and prices, ``run`` runs.
"""

from rlaif.pipeline.config import Loaded, Pipeline, load_pipeline
from rlaif.pipeline.lookup import bundled, find_folder, find_job, opened
from rlaif.pipeline.quote import Line, quote
from rlaif.pipeline.run import Options, Outcome, run

__all__ = [
    "Line",
    "Loaded",
    "Options",
    "Outcome",
    "Pipeline",
    "bundled",
    "find_folder",
    "find_job",
    "load_pipeline",
    "opened",
    "quote",
    "run",
]
