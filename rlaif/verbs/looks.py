"""What an output folder holds, from Python: sets, jobs, any record, any query.

Owns which files a table is read from. Leaves writing exports to ``exports`` and explaining to ``inspection``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rlaif import exports, inspection
from rlaif.errors import InputError, MissingExtraError
from rlaif.exports import MANIFEST, MarginScale
from rlaif.pipeline import find_folder, opened
from rlaif.store import Workspace, select
from rlaif.verbs.waiting import finish

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    import pyarrow as pa

T = TypeVar("T")


def export(
    name: str,
    out: str | Path,
    *,
    to: str = "trl",
    margin: MarginScale | None = None,
    accept_flags: bool = False,
    store: str | Path | None = None,
) -> exports.Manifest:
    """Write preference sets as a folder that trainers load as it stands.

    Args:
        name: ``JOB``, ``JOB/AXIS`` or a pipeline's name, for its newest job.
        out: folder to write; an export that is there is replaced.
        to: whose columns to write.
        margin: also write a numeric ``margin`` column on this scale.
        accept_flags: export although more than 1 % of preferred responses have a flag.
        store: output folder; the one used last when None.

    Raises:
        InputError: there is no such job or set, or the folder holds other files.
        JobError: too many preferred responses have a flag.
    """

    def write(workspace: Workspace) -> exports.Manifest:
        source = exports.stored(workspace, name)
        if not accept_flags:
            exports.refuse_flagged(workspace.store, source.sets, accept="accept_flags=True")
        return exports.export(source, Path(out), to=to, margin=margin)

    return _with(store, write)


def load_set(folder: str | Path, name: str) -> pd.DataFrame:
    """Read one exported table, both sides of the split, with a last column ``split``.

    Args:
        folder: an export, or an output folder, whose newest export is then read.
        name: the table, e.g. ``helpfulness``, ``helpfulness-unpaired``, ``helpfulness-sft``, ``prompts``.

    Raises:
        InputError: there is no export or no such table.
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise MissingExtraError("pandas", "notebook") from None
    export = _export_in(Path(folder))
    manifest = exports.Manifest.model_validate_json((export / MANIFEST).read_bytes())
    if name not in manifest.configs:
        raise InputError(
            f"{name!r} is no table of {str(export)!r}; its tables: {', '.join(manifest.configs)}"
        )
    frames = [
        pd.read_parquet(export / file.path).assign(split=Path(file.path).name.partition("-")[0])
        for file in manifest.files
        if file.path.startswith(f"{name}/") and file.path.endswith(".parquet")
    ]
    return pd.concat(frames, ignore_index=True)


def _export_in(folder: Path) -> Path:
    for one in (folder, folder / "exports" / "latest"):
        if (one / MANIFEST).is_file():
            return one
    raise InputError(f"{str(folder)!r} holds no export; make one with: rlaif export SET --out {folder}")


def list_jobs(store: str | Path | None = None) -> list[dict[str, Any]]:
    """List the jobs of an output folder: how they stand, what they cost, what failed."""
    return _with(store, inspection.list_jobs)


def show(id: str, store: str | Path | None = None) -> dict[str, Any]:
    """Explain any record by its id: clause, judge, order, seed, raw calls.

    Raises:
        InputError: nothing in the folder has this id.
    """
    return _with(store, lambda workspace: inspection.explain(workspace, id))


def sql(question: str, store: str | Path | None = None) -> pa.Table:
    """Answer a read-only query over an output folder: no files, no network, no settings.

    Raises:
        InputError: the query fails or takes too long.
        StoreError: there is no store, or another process has it open.
    """
    return select(_folder(store), question)


def _folder(store: str | Path | None) -> Path:
    return find_folder(None if store is None else Path(store))


def _with(store: str | Path | None, use: Callable[[Workspace], T]) -> T:
    """Open a folder for the length of one look."""

    async def look() -> T:
        async with opened(_folder(store)) as workspace:
            return use(workspace)

    return finish(look())
