"""The state a stopped run goes on from: ``step-N/`` folders, in safetensors and JSON.

Owns the layout, the atomic write and the random generators. Leaves when to save to ``loop``. A run
that goes on computes bit for bit what it would have computed: weights, moments of AdamW, the
generators of Python, NumPy and torch, the place in the data, counters, and what the method keeps.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from rlaif.checkpoints import written
from rlaif.errors import InputError
from rlaif.training.sharding import like, whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_TENSORS = ("weights", "moments", "kept")
_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that changes while a run goes on."""

    weights: Mapping[str, Tensor]
    """What trains, by name."""
    moments: Mapping[str, Tensor]
    """AdamW's state: ``NAME/exp_avg``, ``NAME/exp_avg_sq``, ``NAME/step``."""
    kept: Mapping[str, Tensor]
    """Tensors of the method's own."""
    state: Mapping[str, JsonValue]
    """Counters, generators, and the method's own values."""


def write(folder: Path, step: int, snapshot: Snapshot) -> None:
    """Write ``step-N`` whole or not at all, then remove older ones."""
    from safetensors.torch import save_file

    with written(folder / f"step-{step}") as partial:
        for name in _TENSORS:
            tensors = {key: value.contiguous() for key, value in getattr(snapshot, name).items()}
            save_file(tensors, partial / f"{name}.safetensors")
        (partial / "state.json").write_text(json.dumps(dict(snapshot.state)))
    for number, path in _found(folder):
        if number != step:
            shutil.rmtree(path)


def newest(folder: Path) -> Path | None:
    """Return the last checkpoint of a run, None where it made none."""
    return max(_found(folder), default=(0, None), key=lambda one: one[0])[1]


def read(path: Path) -> Snapshot:
    """Read a checkpoint.

    Raises:
        InputError: a file of it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights, moved, kept = (load_file(path / f"{name}.safetensors") for name in _TENSORS)
        return Snapshot(weights, moved, kept, json.loads((path / "state.json").read_bytes()))
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"not a checkpoint to resume from ({str(error).splitlines()[0]}); remove it to begin again",
            path=path,
        ) from None


def _found(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return [(int(match[1]), path) for match, path in matches if match]


def moments(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
    """Return an optimiser's state by the names of its parameters."""
    return {
        f"{names[parameter]}/{part}": whole(value)
        for parameter, parts in optimizer.state.items()
        for part, value in parts.items()
    }


def put_back(
    optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str], held: Mapping[str, Tensor]
) -> None:
    """Do the reverse of ``moments``."""
    by_name = {name: parameter for parameter, name in names.items()}
    for key, value in held.items():
        name, _, part = key.rpartition("/")
        parameter = by_name[name]
        home = "cpu" if part == "step" and not optimizer.defaults["fused"] else parameter.device
        value = value if part == "step" else like(value, parameter)
        optimizer.state[parameter][part] = value.to(home)


def generators() -> dict[str, JsonValue]:
    """Return the state of every random generator of this process."""
    import numpy as np
    import torch

    version, internal, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state(legacy=True)
    everywhere = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [version, list(internal), gauss],
        "numpy": [kind, keys.tolist(), *rest],  # type: ignore[union-attr]
        "torch": torch.get_rng_state().tolist(),
        "cuda": [one.tolist() for one in everywhere],
    }


def set_generators(state: Mapping[str, Any]) -> None:
    """Put every random generator where ``generators`` found it."""
    import numpy as np
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    for device, one in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(torch.tensor(one, dtype=torch.uint8), device)


def seed(value: int) -> None:
    """Seed every random generator of this process."""
    import numpy as np
    import torch

    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
