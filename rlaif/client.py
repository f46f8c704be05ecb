"""A running service from Python: its jobs, judgments, preferences, constitutions, datasets and labels.

Owns requests, the way from a problem to an exception of the package's own tree, and streams that reconnect.
Leaves the shapes to the service's models, which are the ones returned.
"""

from __future__ import annotations

import asyncio
import json
import os
import tarfile
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, JsonValue, ValidationError

from rlaif.errors import BudgetError, CallError, InputError, JobError, RlaifError, StoreError
from rlaif.judging import AnyJudge
from rlaif.review import Entry, Page, Pair
from rlaif.service.api.constitutions import Constitutions
from rlaif.service.api.constitutions import Whole as ConstitutionText
from rlaif.service.api.datasets import Datasets
from rlaif.service.api.jobs import BatchJob, JobList
from rlaif.service.api.judgments import Verdicts
from rlaif.service.api.labels import Kept
from rlaif.service.api.quotes import Quote
from rlaif.service.api.records import Explained
from rlaif.service.datasets import Dataset, Export
from rlaif.service.library import Version
from rlaif.service.problems import TYPE, ProblemDetails
from rlaif.service.submitting import Row

M = TypeVar("M", bound=BaseModel)

ADDRESS: Final = "http://127.0.0.1:7585"
"""Where ``rlaif serve`` answers unless told otherwise."""
FINAL: Final = frozenset({"completed", "failed", "cancelled", "budget", "interrupted", "paused"})
"""States in which a job does nothing until somebody asks it to."""
PIECE: Final = 2**20
"""Bytes of a download written at a time."""
_KINDS: Final[Mapping[str, type[RlaifError]]] = {"job": JobError, "budget": BudgetError}


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """One thing that happened in the service."""

    id: str
    """Where a stream that begins after it goes on."""
    name: str
    """``progress``, ``state``, or ``lost``: what happened in between is not known, so look anew."""
    data: dict[str, Any]
    """The particulars; ``job`` names the job."""


class _Options(TypedDict, total=False):
    """What a request may carry."""

    json: object
    params: Mapping[str, str]
    headers: Mapping[str, str] | None
    timeout: aiohttp.ClientTimeout


class Client:
    """Talks to one running service; use it as an async context manager.

    Every call raises the exceptions of the package: ``InputError`` for what the service refuses or does not
    have, and for what collides with something that is there; ``JobError`` for what does not fit the state a
    job is in, or would end badly; ``BudgetError`` where money does not suffice; ``StoreError`` when the
    service cannot be reached or cannot write; ``CallError`` when it has too much to do.

    Args:
        address: where the service answers.
        key: a key of the service; the environment variable ``RLAIF_KEY`` when None.
            The loopback may need none.
        timeout: seconds one request may take.
    """

    def __init__(self, address: str = ADDRESS, key: str | None = None, *, timeout: float = 300.0) -> None:
        self.address = address.rstrip("/")
        self._key = os.environ.get("RLAIF_KEY") if key is None else key
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._session = aiohttp.ClientSession(headers=headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    # Jobs

    async def submit(
        self,
        pipeline: Mapping[str, JsonValue],
        prompts: Sequence[Row] | None = None,
        *,
        dataset: str | None = None,
        budget: float | None = None,
        idempotency_key: str | None = None,
    ) -> BatchJob:
        """Hand in a job.

        Args:
            pipeline: as in a pipeline file, but ``constitution`` is a name of the service's library.
            prompts: texts, or rows with ``prompt`` or ``messages``.
            dataset: in place of prompts, a job or set of the service whose prompts to use.
            budget: most USD the job may cost; needed when a model costs anything.
            idempotency_key: makes handing in again harmless, whatever became of the first reply.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        body = _job(pipeline, prompts, dataset, budget)
        return await self._post("/v1/jobs", BatchJob, body, headers)

    async def quote(
        self,
        pipeline: Mapping[str, JsonValue],
        prompts: Sequence[Row] | None = None,
        *,
        dataset: str | None = None,
    ) -> Quote:
        """Count a job's calls and price them; nothing is sent."""
        return await self._post("/v1/quotes", Quote, _job(pipeline, prompts, dataset, None))

    async def jobs(self) -> list[BatchJob]:
        """All jobs, the one handed in last first."""
        found: list[BatchJob] = []
        page = JobList(data=(), first_id=None, last_id="", has_more=True)
        while page.has_more:
            page = await self._get("/v1/jobs", JobList, limit=100, after=page.last_id)
            found += page.data
        return found

    async def job(self, job_id: str) -> BatchJob:
        """How a job stands."""
        return await self._get(f"/v1/jobs/{job_id}", BatchJob)

    async def wait(self, job_id: str) -> BatchJob:
        """Return when a job has ended or waits for somebody; ``state`` says which."""
        async for event in self.events(job_id):
            if event.name in ("state", "lost", "open"):
                found = await self.job(job_id)
                if found.state in FINAL and found.stopping is None:
                    return found
        raise StoreError(f"{self.address} ended the events of job {job_id!r}; start the service again")

    async def pause(self, job_id: str) -> BatchJob:
        """Stop a job until it is resumed; calls in flight are waited for."""
        return await self._post(f"/v1/jobs/{job_id}/pause", BatchJob)

    async def resume(self, job_id: str) -> BatchJob:
        """Let a job that stopped short go on."""
        return await self._post(f"/v1/jobs/{job_id}/resume", BatchJob)

    async def cancel(self, job_id: str) -> BatchJob:
        """End a job; what it made stays."""
        return await self._post(f"/v1/jobs/{job_id}/cancel", BatchJob)

    async def change_cap(self, job_id: str, budget: float) -> BatchJob:
        """Let a job cost so many USD in all; one that stopped at its cap goes on."""
        return await self._post(f"/v1/jobs/{job_id}/cap", BatchJob, {"budget": budget})

    async def output(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """A job's results, one a prompt, as they are read."""
        async for line in self._lines(f"/v1/jobs/{job_id}/output"):
            yield line

    async def errors(self, job_id: str) -> AsyncIterator[dict[str, Any]]:
        """A job's failed tasks, as they are read."""
        async for line in self._lines(f"/v1/jobs/{job_id}/errors"):
            yield line

    async def events(
        self, job_id: str | None = None, *, patience: float = 60.0
    ) -> AsyncIterator[ServiceEvent]:
        """What happens, live; a stream that breaks off is taken up where it ended.

        The first event is ``open``: nothing that happens after it is missed.

        Args:
            job_id: only of this job.
            patience: seconds without a service before this gives up.
        """
        path = "/v1/events" if job_id is None else f"/v1/jobs/{job_id}/events"
        loop = asyncio.get_running_loop()
        last, seen = "", loop.time()
        while True:
            try:
                async for event in self._stream(path, last):
                    last, seen = event.id, loop.time()
                    yield event
            except (aiohttp.ClientError, StoreError, TimeoutError) as error:
                if loop.time() - seen > patience:
                    raise StoreError(f"{self.address} has not answered for {patience:g} s: {error}") from None
            await asyncio.sleep(min(1.0, patience / 4))

    async def explain(self, id: str) -> dict[str, Any]:
        """Any record by its id, as ``rlaif show`` explains it."""
        found = (await self._get(f"/v1/records/{_segment(id)}", Explained)).data
        assert isinstance(found, dict)  # the service explains nothing else
        return found

    # Judgments, preferences, labels

    async def judge(
        self,
        prompt: str | Sequence[Mapping[str, str]],
        responses: Sequence[str],
        *,
        constitution: str,
        judge: str | AnyJudge,
        budget: float | None = None,
    ) -> Verdicts:
        """Compare two or more responses to one prompt, in both orders.

        Args:
            prompt: a text, or a conversation that ends in the user's turn.
            responses: what to compare.
            constitution: name, or version, of a constitution of the service.
            judge: a model spec with settings after it, or a judge as in a pipeline.
            budget: most USD this may spend; needed when the judge costs anything.
        """
        who = judge if isinstance(judge, str) else judge.model_dump(mode="json")
        turns = prompt if isinstance(prompt, str) else [dict(one) for one in prompt]
        body = {
            "prompt": turns, "responses": list(responses), "constitution": constitution, "judge": who,
            "budget": budget,
        }  # fmt: skip
        return await self._post("/v1/judgments", Verdicts, body)

    async def preferences(self, **choice: str | int) -> AsyncIterator[Entry]:
        """Preferences under a filter, such as ``set``, ``job``, ``judge``, ``margin`` or ``flag``."""
        after: str | None = ""
        while after is not None:
            query = {**choice, **({"after": after} if after else {})}
            page = await self._get("/v1/preferences", Page, **query)
            for one in page.data:
                yield one
            after = page.after

    async def preference(self, preference_id: str) -> Pair:
        """One preference with its texts, both orders' verdicts, flags and labels."""
        return await self._get(f"/v1/preferences/{preference_id}", Pair)

    async def label(
        self, preference_id: str, verdict: str | None, *, person: str | None = None, note: str = ""
    ) -> Kept:
        """Keep what a person says of a preference.

        Args:
            preference_id: the preference.
            verdict: ``chosen``, ``rejected`` or ``tie``; None takes an earlier label back.
            person: who says so; the key's name when None.
            note: what the person wrote beside it.
        """
        said = {"preference": preference_id, "verdict": verdict, "person": person, "note": note}
        return await self._post("/v1/labels", Kept, {"labels": [said]})

    # Constitutions and datasets

    async def constitutions(self) -> tuple[Version, ...]:
        """The newest version of every constitution."""
        return (await self._get("/v1/constitutions", Constitutions)).data

    async def constitution(self, name: str) -> ConstitutionText:
        """A constitution's text and its versions."""
        return await self._get(f"/v1/constitutions/{name}", ConstitutionText)

    async def save_constitution(self, name: str, text: str) -> ConstitutionText:
        """Keep a text as a new version of a constitution."""
        return await self._post("/v1/constitutions", ConstitutionText, {"name": name, "text": text})

    async def datasets(self) -> tuple[Dataset, ...]:
        """Every preference set, the newest first."""
        return (await self._get("/v1/datasets", Datasets)).data

    async def download(
        self, dataset_id: str, folder: str | Path, *, to: str = "trl", accept_flags: bool = False
    ) -> Path:
        """Export a set on the service and bring its files here.

        Args:
            dataset_id: id or name of the set.
            folder: where its folder is put.
            to: whose columns to write.
            accept_flags: export although many responses have a flag.

        Returns:
            The set's folder, which ``datasets.load_dataset`` and the trainers read as it stands.
        """
        at = f"/v1/datasets/{_segment(dataset_id)}"
        made = await self._post(f"{at}/exports", Export, {"to": to, "accept_flags": accept_flags})
        with tempfile.TemporaryFile() as held:
            async with self._reply("GET", f"{at}/archive", params={"to": made.name}) as reply:
                async for piece in reply.content.iter_chunked(PIECE):
                    await asyncio.to_thread(held.write, piece)
            held.seek(0)
            return await asyncio.to_thread(_unpacked, held, Path(folder), made)

    # Inside

    async def _get(self, path: str, model: type[M], **query: str | int | None) -> M:
        asked = {name: str(value) for name, value in query.items() if value not in (None, "")}
        async with self._reply("GET", path, params=asked) as reply:
            return _read(model, await reply.read())

    async def _post(
        self, path: str, model: type[M], body: object = None, headers: Mapping[str, str] | None = None
    ) -> M:
        async with self._reply("POST", path, json=body, headers=headers) as reply:
            return _read(model, await reply.read())

    async def _lines(self, path: str) -> AsyncIterator[dict[str, Any]]:
        rest = b""
        async with self._reply("GET", path) as reply:
            async for piece in reply.content.iter_chunked(PIECE):
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield json.loads(line)

    async def _stream(self, path: str, last: str) -> AsyncIterator[ServiceEvent]:
        headers = {"Last-Event-ID": last} if last else {}
        endless = aiohttp.ClientTimeout(total=None, sock_read=60.0)
        async with self._reply("GET", path, headers=headers, timeout=endless) as reply:
            fields: dict[str, str] = {}
            async for raw in reply.content:
                line = raw.decode().rstrip("\n")
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                    continue
                if "id" in fields:
                    data = json.loads(fields.get("data", "{}"))
                    yield ServiceEvent(fields["id"], fields.get("event", "open"), data)
                fields = {}

    @asynccontextmanager
    async def _reply(
        self, method: str, path: str, **options: Unpack[_Options]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request; a reply that is a problem is raised."""
        if self._session is None:
            raise InputError("the client is not open; use it as: async with rlaif.Client() as service")
        try:
            async with self._session.request(method, self.address + path, **options) as reply:
                if reply.status >= 400:
                    raise _problem(reply.status, await reply.read())
                yield reply
        except aiohttp.ClientConnectorError as error:
            raise StoreError(
                f"no service answers at {self.address} ({error.strerror or error}); start one: rlaif serve"
            ) from None


def _job(
    pipeline: Mapping[str, JsonValue],
    prompts: Sequence[Row] | None,
    dataset: str | None,
    budget: float | None,
) -> dict[str, object]:
    given = {
        "pipeline": dict(pipeline), "prompts": None if prompts is None else list(prompts), "dataset": dataset,
        "budget": budget,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def _segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def _read(model: type[M], content: bytes) -> M:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise RlaifError(
            f"the service's reply is no {model.__name__} of this version ({error.error_count()} faults);"
            " use the same version of rlaif on both sides"
        ) from None


def _problem(status: int, content: bytes) -> RlaifError:
    """The exception that a problem stands for."""
    try:
        told = ProblemDetails.model_validate_json(content)
    except ValidationError:
        return RlaifError(f"status {status} from what is no service of rlaif; check the address")
    named = _KINDS.get(told.type.removeprefix(TYPE))
    if named is not None:
        return named(told.detail)
    if status == 429:
        return CallError(told.detail, retry="rate_limit")
    if status == 503:
        return StoreError(told.detail)
    if status >= 500:
        return RlaifError(told.detail)
    field = told.errors[0].field if told.errors else None
    message = told.detail.removeprefix(f"{field}: ") if field else told.detail
    return InputError(message, field=field)


def _unpacked(archive: IO[bytes], folder: Path, made: Export) -> Path:
    """Unpack an export, whole; nothing in it can leave the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=archive, mode="r:") as held:
        names = held.getnames()
        held.extractall(folder, filter="data")
    top = folder / names[0].partition("/")[0]
    for one in made.files:
        path = top / one.path
        if not path.is_file() or path.stat().st_size != one.bytes:
            raise StoreError(f"{one.path!r} did not arrive whole; download the set again")
    return top
