"""Checkpoints by name: where the folder is, what identifies it, and the loaded pair.

Owns names, digests and loading. Leaves the bundled wheel to ``bundled`` and templates to ``chat``.
Code from a checkpoint is never run and weights in formats that run code are never read: safetensors only.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from rlaif.checkpoints import bundled, chat
from rlaif.errors import InputError, MissingExtraError
from rlaif.records import canonical
from rlaif.settings import Settings

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Dtype = Literal["float32", "bfloat16", "float16"]
"""Numbers the weights are held in."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CONTENT = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "merges.txt")
_DIGESTS = ".rlaif-digest.json"
_BESIDE: Final = (_DIGESTS, "lineage.json")
"""Files that say where a model comes from or what it is, and are not the model."""
_LOADING: Final = threading.Lock()
# Invariant: at most one thread is inside `from_pretrained`. It replaces methods of transformers' classes for
# as long as it runs and puts back what it found; two at once leave the replacement for good.


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A loaded language or reward model with its tokenizer."""

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


def at_hand(name: str, home: Path | None = None) -> Path | None:
    """Return the folder of a bundled model or a folder's own path, None where neither is on this machine.

    Args:
        name: as for ``resolve``; nothing is fetched, and the hub's cache is not searched.
        home: folder of caches; the setting's when None.
    """
    if name in bundled.BUNDLED:
        folder = bundled.place(bundled.BUNDLED[name], home or Settings.load().home)
    else:
        folder = Path(name).expanduser()
    return folder if folder.is_dir() else None


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
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = resolve(name, home)
    with _LOADING, _said(folder, "a causal language model"):
        if _scores(AutoConfig.from_pretrained(folder, **_SAFE)):
            raise InputError("this is a reward model, where a language model belongs", path=folder)
        tokenizer = _tokenizer(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, **_how(dtype))
    return _placed(Checkpoint(model, tokenizer, _identity(name, folder), folder))


def load_scorer(
    name: str, dtype: Dtype = "float32", *, home: Path | None = None, trained: bool = False
) -> Checkpoint:
    """Load a reward model: the head it has, or a new one drawn from torch's generator.

    A head that is in the folder is never drawn again. A new one is normal with the standard deviation
    of the model's own weights (``initializer_range``), as ``transformers`` makes it.

    Args:
        name: as for ``resolve``; a causal language model gets a head of one output.
        dtype: what the weights are held in.
        home: folder of caches; the setting's when None.
        trained: refuse a model without a head: it is to score, and a new head scores by chance.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        InputError: as ``resolve``, the head that is there has more than one output, or one is missing.
    """
    _need("torch", "transformers", "safetensors")
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = resolve(name, home)
    with _LOADING, _said(folder, "a language model that can be given a score"):
        config = AutoConfig.from_pretrained(folder, **_SAFE)
        has_head = _scores(config)
        if has_head and config.num_labels != 1:
            raise InputError(
                f"found num_labels {config.num_labels}; a reward model has 1: name a model with one output,"
                " or the language model it was made from",
                path=folder,
            )
        if trained and not has_head:
            raise InputError(
                "this is a language model without a head, where a reward model belongs: its scores would be"
                " chance; name what a training of method reward left",
                path=folder,
            )
        tokenizer = _tokenizer(folder)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, output_loading_info=True, **_how(dtype)
        )
    _pad_apart(model, tokenizer)
    missing = sorted(found["missing_keys"])
    if missing and (has_head or missing != ["score.weight"]):
        raise InputError(
            f"the weights of {', '.join(missing)} are missing, so they would be made up; name a whole"
            " checkpoint",
            path=folder,
        )
    return _placed(Checkpoint(model, tokenizer, _identity(name, folder), folder))


_SAFE: Final = {"trust_remote_code": False, "local_files_only": True}


def _how(dtype: Dtype) -> dict[str, Any]:
    import torch

    return {
        "dtype": getattr(torch, dtype), "use_safetensors": True, "attn_implementation": "sdpa", **_SAFE,
    }  # fmt: skip


def _pad_apart(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Pad with a token that ends nothing: where it does, ``transformers`` reads the score before the end."""
    pad = chat.pad_id(tokenizer)
    if pad is not None:
        tokenizer.pad_token = cast(str, tokenizer.convert_ids_to_tokens(pad))
        model.config.get_text_config().pad_token_id = pad


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(folder, **_SAFE))


def _identity(name: str, folder: Path) -> str:
    return bundled.BUNDLED[name].digest if name in bundled.BUNDLED else digest(folder)


def _placed(made: Checkpoint) -> Checkpoint:
    """Put a model on the GPU where there is one, in evaluation mode."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made.model.to(device)  # type: ignore[arg-type]  # its wrapper loses the signature
    made.model.train(False)
    return made


@contextmanager
def _without_report() -> Iterator[None]:
    """Silence the table of weights that are not in the folder: what matters of it is checked."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)


@contextmanager
def _said(folder: Path, wanted: str) -> Iterator[None]:
    """Load without bars, and say in one sentence what could not be loaded."""
    from safetensors import SafetensorError

    try:
        with bundled.without_bars(), _without_report():
            yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"not {wanted} that can be loaded ({first}); name another folder", path=folder
        ) from None


def digest(folder: Path) -> str:
    """Return SHA-256 over the names and contents of a checkpoint's files: 64 hex digits.

    Digests of files are remembered beside them, by size and time of change, so that only the
    first call reads the weights.
    """
    known = _remembered(folder)
    found = {path for pattern in _CONTENT for path in folder.glob(pattern)}
    files = sorted(found - {folder / one for one in _BESIDE})
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


def _scores(config: PretrainedConfig) -> bool:
    """Whether a model has the head of a reward model."""
    return any(one.endswith("ForSequenceClassification") for one in config.architectures or ())


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
