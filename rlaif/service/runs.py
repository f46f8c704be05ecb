"""Training runs, iterations and sweeps as they lie on disk: which there are, how they stand, their curves.

Owns reading ``config.json``, ``metrics.jsonl``, ``final/lineage.json`` and the rows of rounds, and what the
glossary says about each number. Nothing here writes. Leaves starting and stopping runs to ``trainings`` and
the points of a sweep to ``points``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from rlaif.checkpoints.saving import LINEAGE
from rlaif.pipeline.lookup import OUTPUTS
from rlaif.records import Record
from rlaif.service.context import Service
from rlaif.service.project import project_folder
from rlaif.training.origin import CONFIG
from rlaif.training.reporting import METRICS

POINTS: Final = 2_000
"""Most points of one curve."""
QUIET_SECONDS: Final = 180.0
"""A run that has written nothing for so long, and is not finished, counts as stopped."""
LARGEST: Final = 64 * 2**20
"""Bytes of a ``metrics.jsonl`` that are read, from its end."""
GUIDE: Final = "guides/training-metrics.md"
CURVE: Final = "curve.json"
"""What a sweep leaves when it ends."""
POINTS_FOLDER: Final = "points"
"""Where a sweep keeps points that are finished, and the runs behind them."""

State = Literal["running", "completed", "stopped", "failed"]


class Run(Record):
    """One training run, one iteration of rounds, or one sweep of the laboratory."""

    id: str
    """Name of its folder; that of a run inside an iteration is ``NAME.round-N``, inside a sweep
    ``NAME.beta-0.1``."""
    method: str
    """What trains: ``sft``, ``reward``, ``dpo``, ``kto``, ``ppo``; ``iterate`` for rounds, ``sweep`` for a
    sweep."""
    state: State
    """Running where it has just written, completed where its checkpoint is there."""
    parent: str
    """Model it began as."""
    data: str
    """What it learns from."""
    step: int | None
    """Updates made, rounds, or points; None before the first."""
    total: int | None
    """How many were asked for, where its file says a number."""
    written_at: float | None
    """When it last wrote a number, seconds since 1970."""
    last: dict[str, float | None]
    """The newest value of every number."""
    policy: str | None
    """Digest of the checkpoint it began from; None where no lineage says it."""
    data_digest: str | None
    """Content of what it was trained on."""


class Series(Record):
    """One curve."""

    name: str
    """The number's name; ``eval/`` before it means held-out prompts."""
    steps: tuple[int, ...]
    """Where it was measured."""
    values: tuple[float | None, ...]
    """What was measured; null where it was not finite."""


class Meaning(Record):
    """What the glossary says about one number."""

    what: str
    """What it is."""
    healthy: str
    """What a sound run shows."""
    otherwise: str
    """What to do where it does not."""


def found(service: Service) -> dict[str, Path]:
    """Folder of every run by its id, the newest first."""
    return {name: folder for name, folder in places(service).items() if not is_sweep(folder)}


def places(service: Service) -> dict[str, Path]:
    """Folder of every run and every sweep by its id, the newest first."""
    folders: dict[str, Path] = {}
    for root in roots(service):
        for folder in _places(root):
            name = _name(root, folder)
            if name in folders and folders[name].resolve() != folder.resolve():
                name = f"{name}~{sha256(str(folder.resolve()).encode()).hexdigest()[:6]}"
            folders.setdefault(name, folder)
    return dict(sorted(folders.items(), key=lambda one: -_changed(one[1])))


def roots(service: Service) -> list[Path]:
    """Folders that runs are looked for in: the service's own, those the operator named, and ``outputs``."""
    named = [service.folder / "training", *map(Path, service.settings.service.training), OUTPUTS]
    return [path for path in dict.fromkeys(named) if path.is_dir()]


def read(name: str, folder: Path) -> Run:
    """Read how a run stands."""
    told = _json(folder / CONFIG)
    if is_sweep(folder):
        return _sweep(name, folder, told)
    rounds = "rounds" in told and "method" not in told
    lineage = _json(folder / "final" / LINEAGE)
    data = told.get("data")
    last, step = newest(folder)
    return Run(
        id=name,
        method="iterate" if rounds else str(told.get("method", "unknown")),
        state=_state(folder, told, rounds, bool(lineage)),
        parent=str(told.get("parent") or told.get("model") or ""),
        data=_data(data if isinstance(data, dict) else {}, told),
        step=step,
        total=told["steps"] if isinstance(told.get("steps"), int) else None,
        written_at=_changed(folder) or None,
        last=last,
        policy=told.get("parent_digest"),
        data_digest=told.get("data_digest"),
    )


def config(folder: Path) -> dict[str, Any]:
    """What a run was told."""
    return _json(folder / CONFIG)


def newest(folder: Path) -> tuple[dict[str, float | None], int | None]:
    """The newest value of every number, and the step written last."""
    last: dict[str, float | None] = {}
    step = None
    for line in lines(folder):
        step = line["step"]
        last |= {name: value for name, value in line.items() if name != "step"}
    return last, step


def series(folder: Path, names: Sequence[str] = (), most: int = POINTS) -> list[Series]:
    """Every curve of a run, each cut to so many points at most.

    Args:
        folder: of the run.
        names: those wanted; all when empty.
        most: points of each, 2 or more.
    """
    curves: dict[str, tuple[list[int], list[float | None]]] = {}
    for line in lines(folder):
        for name, value in line.items():
            if name != "step" and (not names or name in names):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(line["step"])
                values.append(value)
    return [_series(name, *thinned(*curve, most)) for name, curve in curves.items()]


def thinned(
    steps: Sequence[int], values: Sequence[float | None], most: int
) -> tuple[list[int], list[float | None]]:
    """Cut a curve to so many points, keeping least and greatest of every stretch: no spike is lost."""
    if len(steps) <= most:
        return list(steps), list(values)
    stretches = max(most // 2, 1)
    kept: list[int] = []
    for number in range(stretches):
        low, high = (len(steps) * at // stretches for at in (number, number + 1))
        known = sorted((value, at) for at in range(low, high) if (value := values[at]) is not None)
        kept += sorted({known[0][1], known[-1][1]} if known else {low})
    return [steps[at] for at in kept], [values[at] for at in kept]


def lines(folder: Path) -> tuple[dict[str, Any], ...]:
    """The whole lines of a run's numbers; a line that is being written, or was cut, is left out."""
    path = folder / METRICS
    try:
        status = path.stat()
    except OSError:
        return ()
    return _lines(path, status.st_size, status.st_mtime_ns)


def mark(folder: Path) -> str:
    """Changes whenever a run's numbers do."""
    try:
        status = (folder / METRICS).stat()
    except OSError:
        return "none"
    return f"{status.st_size:x}-{status.st_mtime_ns:x}"


def glossary(method: str) -> dict[str, Meaning]:
    """What each number of a method means, in the guide's order; empty where the guide is not installed."""
    sections = _sections()
    wanted = ["Rounds"] if method == "iterate" else ["Every update", "The data", f"`{method}`"]
    return {name: meaning for one in wanted for name, meaning in sections.get(one, {}).items()}


def meaning(known: Mapping[str, Meaning], name: str) -> Meaning | None:
    """What a number means: an evaluation's like the number itself, one of a family like its pattern."""
    plain = name.removeprefix("eval/")
    family = f"{plain.partition('/')[0]}/"
    pattern = next((one for one in known if one.startswith(family) and one[len(family) :].isupper()), plain)
    return known.get(plain) or known.get(pattern)


# Inside


@lru_cache(maxsize=1)
def _sections() -> dict[str, dict[str, Meaning]]:
    """The glossary's tables by section; the guide is the one place where meanings are written."""
    docs = project_folder("docs")
    path = None if docs is None else docs / GUIDE
    if path is None or not path.is_file():
        return {}
    sections: dict[str, dict[str, Meaning]] = {}
    section = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| `"):
            first, *told = (cell.strip() for cell in line.strip("| ").split(" | "))
            what, healthy, otherwise = (*(_plain(one) for one in told), "", "", "")[:3]
            meaning = Meaning(what=what, healthy=healthy, otherwise=otherwise)
            for name in re.findall(r"`([^`]+)`", first):
                sections.setdefault(section, {})[name] = meaning
    return sections


def _plain(text: str) -> str:
    """Markdown without its marks."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)|`([^`]*)`", lambda at: at[1] or at[2], text).strip(" |")


@lru_cache(maxsize=64)
def _lines(path: Path, size: int, _changed_ns: int) -> tuple[dict[str, Any], ...]:
    with path.open("rb") as file:
        file.seek(max(0, size - LARGEST))
        raw = file.read(LARGEST)
    if size > LARGEST:
        raw = raw.partition(b"\n")[2]
    return tuple(_numbers(raw.split(b"\n")[:-1]))


def _numbers(raw: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for text in raw:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            yield {name: value for name, value in line.items() if _number(value)}


def _number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _series(name: str, steps: Sequence[int], values: Sequence[float | None]) -> Series:
    return Series(name=name, steps=tuple(steps), values=tuple(values))


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep of the laboratory."""
    begun = (folder / CURVE).is_file() or (folder / POINTS_FOLDER).is_dir()
    return begun and (folder / CONFIG).is_file()


def _places(root: Path) -> Iterator[Path]:
    """Runs and sweeps right under a folder, the folder itself if it is one, and the runs inside them."""
    for folder in (root, *sorted(one for one in root.iterdir() if one.is_dir())):
        if _is_run(folder) or is_sweep(folder):
            yield folder
            inside = (*folder.glob("round-*/policy"), folder / "start", *folder.glob(f"{POINTS_FOLDER}/*"))
            yield from (one for one in sorted(inside) if _is_run(one))


def _is_run(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and ((folder / METRICS).is_file() or (folder / "prompts").is_dir())


def _name(root: Path, folder: Path) -> str:
    parts = folder.relative_to(root).parts or (root.name,)
    return ".".join(one for one in parts if one not in ("policy", POINTS_FOLDER))


def _sweep(name: str, folder: Path, told: Mapping[str, Any]) -> Run:
    """How a sweep stands, by the points that are finished."""
    asked = told.get("sweep")
    values = asked.get("values") if isinstance(asked, dict) else None
    made = sum(one.name != "start.json" for one in (folder / POINTS_FOLDER).glob("*.json"))
    total = len(values) if isinstance(values, list) else None
    ended = (folder / CURVE).is_file()
    inside = (folder, *(folder / POINTS_FOLDER).glob("*"))
    quiet = time.time() - max(map(_changed, inside)) >= QUIET_SECONDS
    return Run(
        id=name, method="sweep", state="completed" if ended else "stopped" if quiet else "running",
        parent=str(told.get("model") or ""), data=f"world {told.get('world')}",
        step=total if ended else made, total=total, written_at=_changed(folder) or None, last={}, policy=None,
        data_digest=None,
    )  # fmt: skip


def _state(folder: Path, told: Mapping[str, Any], rounds: bool, lineage: bool) -> State:
    if rounds:
        asked = told.get("rounds")
        if isinstance(asked, int) and (folder / f"round-{asked}" / "row.json").is_file():
            return "completed"
    elif lineage:
        return "completed"
    changed = max((_changed(one) for one in (folder, *folder.glob("round-*/policy"))), default=0.0)
    return "running" if time.time() - changed < QUIET_SECONDS else "stopped"


def _changed(folder: Path) -> float:
    for name in (METRICS, CURVE, POINTS_FOLDER, CONFIG):
        if (folder / name).exists():
            return (folder / name).stat().st_mtime
    return 0.0


def _data(data: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """What a run learns from, in short: the end of the path and the table."""
    path = str(data.get("path") or "")
    if not path:
        return "its own responses" if "rounds" in told else ""
    table = data.get("table")
    return "/".join(Path(path).parts[-3:]) + (f" · {table}" if table else "")


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
