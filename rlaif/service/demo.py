"""The job a newcomer watches: the quick start, small, with what this machine has at hand.

Owns what the demonstration asks for. Leaves running it to ``engine``, like any other job.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any, Final

from rlaif.checkpoints import at_hand
from rlaif.pipeline import bundled
from rlaif.records import Submission, digest
from rlaif.rowfile import read_rows
from rlaif.service import folders
from rlaif.service.context import Service
from rlaif.service.engine import Entry
from rlaif.service.submitting import JobRequest, prepare
from rlaif.settings import Settings
from rlaif.yamlfile import read_yaml

PROMPTS: Final = 8
"""Prompts of the quick start that are used."""
DRAWN: Final = 3
"""Responses to each."""
LOCAL: Final = "smollm2-135m-instruct"


def with_mock(settings: Settings) -> Settings:
    """Settings under which callers may also use the mock models."""
    service = settings.service.model_copy(update={"mock": True})
    return settings.model_copy(update={"service": service})


async def submit(service: Service) -> Entry:
    """Hand in the demonstration; one that is there already is not made twice.

    Raises:
        InputError: the installation lacks the quick start.
        StoreError: the disk is full or refuses writes.
    """
    request = await asyncio.to_thread(_request, service.settings)
    made = await asyncio.to_thread(prepare, service, request)
    try:
        return await service.engine.submit(
            made,
            Submission.make(
                job_id=made.job_id,
                folder=f"{folders.SUBMITTED}/{made.job_id}",
                caller="demo",
                request=digest("rq", request),
            ),
        )
    finally:
        await asyncio.to_thread(folders.discard, made.folder)


def _request(settings: Settings) -> JobRequest:
    path = bundled("quickstart.yaml")
    pipeline: dict[str, Any] = dict(read_yaml(path).data)
    prompts = path.parent / pipeline.pop("prompts")["path"]
    model = _model(settings)
    for stage in pipeline["stages"]:
        if stage["kind"] == "sample":
            stage["policies"] = [{**one, "model": model, "k": DRAWN} for one in stage["policies"]]
        if stage["kind"] == "judge":
            stage["constitution"] = PurePath(stage["constitution"]).stem
            stage["judge"] = {**stage["judge"], "model": model}
    rows = [row.value for row in read_rows(prompts)][:PROMPTS]
    return JobRequest.model_validate({"pipeline": {**pipeline, "name": "demo"}, "prompts": rows})


def _model(settings: Settings) -> str:
    """The bundled model where it runs without a download, else one that only looks like a model."""
    runs = all(find_spec(package) is not None for package in ("torch", "transformers", "safetensors"))
    return f"local:{LOCAL}" if runs and at_hand(LOCAL, settings.home) is not None else "mock:text"
