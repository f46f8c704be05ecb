"""Datasets over HTTP: preference sets with what is known of them, their exports, and the files of those.

Owns the routes under ``/v1/datasets``. Leaves all of it to ``rlaif.service.datasets``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import Field

from rlaif.exports import MarginScale
from rlaif.records import Record
from rlaif.review.choice import Text
from rlaif.service import datasets
from rlaif.service.context import Service
from rlaif.service.datasets import PIECE, Dataset, Export, Whole
from rlaif.service.routes import Call, Route

OCTETS: Final = "application/octet-stream"
TAR: Final = "application/x-tar"
TargetName = Literal[
    "trl", "parquet", "openrlhf", "verl", "nemo-rl", "axolotl", "llamafactory", "safe-rlhf", "open-instruct"
]


class Datasets(Record):
    """Every preference set."""

    data: tuple[Dataset, ...]
    """The newest first; of those with one name, only the newest."""


class ExportRequest(Record):
    """How to export a set."""

    to: TargetName = "trl"
    """The trainer to write for."""
    margin: Annotated[MarginScale | None, Field()] = None
    """Also write a numeric ``margin`` column on this scale."""
    accept_flags: bool = False
    """Export although more than 1 % of preferred responses have a flag."""


class FilesQuery(Record):
    """Which export."""

    to: Text = None
    """Name of the export; the first there is when left out."""


async def listed(call: Call) -> Datasets:
    """Show all."""
    found = await call.service.look(lambda: datasets.datasets(call.service), share=datasets.datasets)
    return Datasets(data=tuple(found))


async def one(call: Call) -> Whole:
    """Show one."""
    return await call.service.look(lambda: datasets.dataset(call.service, call.path["id"]))


async def export(call: Call) -> Export:
    """Write one."""
    asked = call.body(ExportRequest)
    return await written(call, asked)


async def written(call: Call, asked: ExportRequest) -> Export:
    """Export a set, one at a time: two that wrote the same folder would tear each other's files."""
    await call.service.workspace.flush()
    async with call.service.exporting:
        return await call.service.look(
            lambda: datasets.write(
                call.service, call.path["id"], asked.to, asked.margin, accept_flags=asked.accept_flags
            )
        )


async def files(call: Call) -> Export:
    """List the files of an export."""
    name = call.query(FilesQuery).to
    return await call.service.look(lambda: datasets.export(call.service, call.path["id"], name))


async def file(call: Call) -> web.StreamResponse:
    """Send one file of an export."""
    name = call.query(FilesQuery).to
    path, about = await call.service.look(
        lambda: datasets.file(call.service, call.path["id"], call.path["name"], name)
    )
    return await _sent(call, _pieces(path), about.path.rpartition("/")[2], OCTETS, about.bytes)


async def archive(call: Call) -> web.StreamResponse:
    """Send a whole export as one archive."""
    name = call.query(FilesQuery).to

    def opened(service: Service) -> tuple[str, Iterator[bytes]]:
        chosen = datasets.export(service, call.path["id"], name)
        made = datasets.found(service, call.path["id"])
        top = f"{made.name.replace('/', '-')}-{chosen.name}"
        return top, datasets.archive(datasets.folder_of(service, made.id, chosen.name), chosen, top)

    top, parts = await call.service.look(lambda: opened(call.service))
    return await _sent(call, parts, f"{top}.tar", TAR, None)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as content:
        while piece := content.read(PIECE):
            yield piece


async def _sent(
    call: Call, parts: Iterator[bytes], name: str, kind: str, size: int | None
) -> web.StreamResponse:
    """Stream a download; its name has only the characters of set and file names."""
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
    response.content_type, response.content_length = kind, size
    first = await call.service.look(lambda: next(parts, b""))
    await response.prepare(call.request)
    await response.write(first)
    while part := await call.service.look(lambda: next(parts, b"")):
        await response.write(part)
    return response


ROUTES: Final = (
    Route(
        method="GET", path="/v1/datasets", scope="read", handler=listed, reply=Datasets,
        summary="Every preference set: size, flags, licences, whether its judge was audited",
    ),
    Route(
        method="GET", path="/v1/datasets/{id}", scope="read", handler=one, reply=Whole,
        summary="One preference set: balance, provenance, card",
    ),
    Route(
        method="POST", path="/v1/datasets/{id}/exports", scope="run", handler=export, body=ExportRequest,
        reply=Export, summary="Write a set as files that a trainer loads as they stand",
    ),
    Route(
        method="GET", path="/v1/datasets/{id}/files", scope="read", handler=files, query=FilesQuery,
        reply=Export, summary="The files of an export, with their digests",
    ),
    Route(
        method="GET", path="/v1/datasets/{id}/files/{name}", scope="read", handler=file, query=FilesQuery,
        media=OCTETS, summary="One file of an export, by the name its listing gives",
    ),
    Route(
        method="GET", path="/v1/datasets/{id}/archive", scope="read", handler=archive, query=FilesQuery,
        media=TAR, summary="A whole export as one tar archive",
    ),
)  # fmt: skip
