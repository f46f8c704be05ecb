"""Checkpoints by name: where the folder is, what identifies it, and the loaded pair.

Owns names, digests and loading. Leaves the bundled wheel to ``bundled`` and templates to ``chat``.
Code from a checkpoint is never run and weights in formats that run code are never read: safetensors only.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rlaif.checkpoints import bundled
from rlaif.errors import InputError, MissingExtraError
from rlaif.records import canonical
from rlaif.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Dtype = Literal["float32", "bfloat16", "float16"]
"""Numbers the weights are held in."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CONTENT = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "merges.txt")
_DIGESTS = ".rlaif-digest.json"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A loaded causal language model with its tokenizer."""

    model: PreTrainedModel
    """In evaluation mode, on its device."""
    tokenizer: PreTrainedTokenizerBase
    """With the chat template, where there is one."""
    digest: str
    """SHA-256 over the content of weights, config, tokenizer and template."""
    folder: Path
    """Where it was loaded from."""


def resolve(name: str, home: Path | None = None) -> Path:
    """Return the folder that holds a model's weights, fetching them first where needed.

    Args:
        name: a bundled name, a folder, or ``OWNER/NAME`` on the hub.
        home: folder of caches; the setting's when None.

    Raises:
        InputError: there is no such model, it could not be fetched, or the folder holds none.
    """
    if name in bundled.BUNDLED:
        _need("torch", "transformers", "gguf", "safetensors")
        return bundled.ensure(bundled.BUNDLED[name], home or Settings.load().home)
    folder = Path(name).expanduser()
    if folder.exists():
        return _checked(folder)
    if _HUB_ID.fullmatch(name):
        return _checked(_from_hub(name))
    raise InputError(
        f"{name!r} is neither a bundled model ({', '.join(bundled.BUNDLED)}), nor a folder, nor OWNER/NAME on"
        " the hub; correct the name after 'local:'"
    )


def identity(name: str, home: Path | None = None) -> str:
    """Return what tells a model's content apart, without loading it.

    A bundled model is known by its pinned wheel before it is fetched, any other by ``digest``.
    """
    if name in bundled.BUNDLED:
        return bundled.BUNDLED[name].digest
    return digest(resolve(name, home))


def load(name: str, dtype: Dtype = "float32", *, home: Path | None = None) -> Checkpoint:
    """Load a causal language model and its tokenizer, on the GPU where there is one.

    Args:
        name: as for ``resolve``.
        dtype: what the weights are held in.
        home: folder of caches; the setting's when None.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        InputError: as ``resolve``, or the folder is not a causal language model in safetensors.
    """
    _need("torch", "transformers", "safetensors")
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resolve(name, home)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    safe = {"trust_remote_code": False, "local_files_only": True}
    how = {"dtype": getattr(torch, dtype), "use_safetensors": True, "attn_implementation": "sdpa"}
    try:
        with bundled.without_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
            model = AutoModelForCausalLM.from_pretrained(folder, **how, **safe)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"not a causal language model that can be loaded ({first}); name another folder", path=folder
        ) from None
    same = bundled.BUNDLED[name].digest if name in bundled.BUNDLED else digest(folder)
    model.to(torch.device(device))  # type: ignore[arg-type]  # its wrapper loses the signature
    return Checkpoint(model.train(False), tokenizer, same, folder)


def digest(folder: Path) -> str:
    """Return SHA-256 over the names and contents of a checkpoint's files: 64 hex digits.

    Digests of files are remembered beside them, by size and time of change, so that only the
    first call reads the weights.
    """
    known = _remembered(folder)
    files = sorted({path for pattern in _CONTENT for path in folder.glob(pattern)} - {folder / _DIGESTS})
    now: dict[str, list[int | str]] = {}
    for path in files:
        stat = path.stat()
        mark: list[int | str] = [stat.st_size, stat.st_mtime_ns]
        old = known.get(path.name)
        now[path.name] = old if old and old[:2] == mark else [*mark, _sha256(path)]
    if now != known:
        # A read-only folder works as well, only more slowly.
        with suppress(OSError):
            (folder / _DIGESTS).write_text(json.dumps(now))
    return hashlib.sha256(canonical({name: mark[2] for name, mark in now.items()})).hexdigest()


def _remembered(folder: Path) -> dict[str, list[int | str]]:
    try:
        known = json.loads((folder / _DIGESTS).read_text())
    except (OSError, ValueError):  # absent, or cut short by a killed process: read the files again
        return {}
    return known if isinstance(known, dict) else {}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(folder: Path) -> Path:
    missing = [name for name in ("config.json", "*.safetensors") if not any(folder.glob(name))]
    if missing:
        raise InputError(
            f"not a checkpoint: {' and '.join(missing)} not found; a checkpoint folder holds config.json,"
            " the tokenizer's files and *.safetensors",
            path=folder,
        )
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_CONTENT)))
    except (OSError, HfHubHTTPError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"{name!r} could not be fetched from the hub ({first}); check the name and the connection, or"
            " give the folder of a copy"
        ) from None


def _need(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, "local")
