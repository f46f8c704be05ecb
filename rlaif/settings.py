"""Settings of one process: keys from the environment, everything else from ``rlaif.toml``.

Owns the file's schema, the environment's names and the sentences said about either. Leaves the use
of a setting to whoever needs it: ``providers.registry`` opens servers, ``providers.prices`` prices.

A key is never read from the file. Endpoints are the operator's alone: nothing a caller of the
service or a pipeline sends can name a host, only a server listed here.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from rlaif.errors import InputError

FILE = "rlaif.toml"
OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"

_SECRET_WORDS = frozenset({"key", "token", "secret", "password", "authorization"})

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,99}$")]
"""Name of an environment variable."""
ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
"""Name of a section under ``[compatible]``."""
Dollars = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
"""USD per million tokens."""


def _endpoint(url: str) -> str:
    """Refuse whatever is not a plain http(s) address; drop a trailing slash."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write an address that begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address may not carry a user name or password; name a key in api_key_env")
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError("an address may not carry a query, a fragment, a blank or a control character")
    if parts.port == 0:  # reading .port also refuses one that is no number or beyond 65535
        raise ValueError("port 0 names no server")
    return url.rstrip("/")


Endpoint = Annotated[str, AfterValidator(_endpoint)]
"""Base address requests are sent to, without a trailing slash."""


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )


class ModelPrice(_Section):
    """A price of the operator's own: ``[prices."openai:my-model"]``."""

    input: Dollars
    """USD per million input tokens."""
    output: Dollars
    """USD per million output tokens."""


class Server(_Section):
    """One OpenAI-compatible server: ``[compatible.NAME]``."""

    base_url: Endpoint
    """Address up to and including the version, e.g. ``http://127.0.0.1:8000/v1``."""
    api_key_env: Variable | None = None
    """Environment variable that holds the server's key; none for an open server."""
    input_price: Dollars | None = None
    """USD per million input tokens; 0 for a server of one's own."""
    output_price: Dollars | None = None
    """USD per million output tokens."""
    timeout: float = Field(default=300.0, gt=0.0, le=3600.0)
    """Seconds one call may take from first byte sent to last byte received."""

    @model_validator(mode="after")
    def _both_prices(self) -> Server:
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("input_price and output_price come together; write 0 for what is free")
        return self

    @property
    def price(self) -> ModelPrice | None:
        """The price of the server's models, where the operator gave one."""
        if self.input_price is None or self.output_price is None:
            return None
        return ModelPrice(input=self.input_price, output=self.output_price)


class Local(_Section):
    """Models that run in this process: ``[local]``."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """What weights are held in. On processors that multiply bfloat16 it judges three times as fast and
    moves a probability by .01 on average; calls made in one are never answered from the other's."""


class Serving(_Section):
    """What callers of ``rlaif serve`` may use beside the providers above: ``[service]``."""

    models: tuple[str, ...] = ()
    """Local models callers may name, e.g. ``local:outputs/policy``; the bundled one they always may."""
    training: tuple[str, ...] = ()
    """Folders of training runs to show, besides the service's own and ``outputs``."""
    mock: bool = False
    """Let callers use the ``mock:`` models, whose labels mean nothing: for a look around."""


class _File(_Section):
    """Everything ``rlaif.toml`` may say."""

    compatible: dict[ServerName, Server] = Field(default_factory=dict)
    """OpenAI-compatible servers by name."""
    prices: dict[str, ModelPrice] = Field(default_factory=dict)
    """Prices by model spec; they stand over the bundled table."""
    local: Local = Local()
    """Models that run in this process."""
    service: Serving = Serving()
    """What callers of the service may use."""
    concurrency: int = Field(default=1024, ge=1, le=4096)
    """Most calls in flight to one model, whatever a pipeline asks for."""


class Settings(_File):
    """What one process was told by its environment and its file."""

    home: Path
    """Folder of caches: model weights, compiled files."""
    openai_url: Endpoint = OPENAI_URL
    """Where ``openai:`` models are asked (``OPENAI_BASE_URL``)."""
    anthropic_url: Endpoint = ANTHROPIC_URL
    """Where ``anthropic:`` models are asked (``ANTHROPIC_BASE_URL``)."""
    keys: dict[Variable, SecretStr] = Field(default_factory=dict, repr=False)
    """Keys found in the environment, by variable."""

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
        """Read the environment, and ``RLAIF_CONFIG`` or else ``rlaif.toml`` in the folder.

        Args:
            environ: variables to read; the process's own when None.
            folder: where to look for ``rlaif.toml``; the working directory when None.

        Raises:
            InputError: the file or a variable is unusable, with file, line and field.
        """
        environ = os.environ if environ is None else environ
        path = _find(environ, folder or Path.cwd())
        file = _File() if path is None else _read(path)
        named = {one.api_key_env for one in file.compatible.values() if one.api_key_env}
        wanted = sorted(named | {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"})
        return cls(
            **dict(file),
            home=Path(environ.get("RLAIF_HOME") or "~/.cache/rlaif").expanduser(),
            openai_url=_address(environ, "OPENAI_BASE_URL", OPENAI_URL),
            anthropic_url=_address(environ, "ANTHROPIC_BASE_URL", ANTHROPIC_URL),
            keys={name: SecretStr(_clean(name, environ[name])) for name in wanted if environ.get(name)},
        )

    def key(self, variable: str) -> str:
        """Return the key held by an environment variable.

        Raises:
            InputError: the variable is not set.
        """
        if variable not in self.keys:
            raise InputError(f"the environment variable {variable} is not set; run: export {variable}=...")
        return self.keys[variable].get_secret_value()


def _find(environ: Mapping[str, str], folder: Path) -> Path | None:
    named = environ.get("RLAIF_CONFIG")
    if named:
        if not Path(named).is_file():
            raise InputError(f"RLAIF_CONFIG names {named!r}, which is not a file; correct or unset it")
        return Path(named)
    path = folder / FILE
    return path if path.is_file() else None


def _address(environ: Mapping[str, str], variable: str, default: str) -> str:
    try:
        return _endpoint(environ.get(variable) or default)
    except ValueError as error:
        raise InputError(f"{error}, e.g. {variable}={default}", field=variable) from None


def _clean(variable: str, key: str) -> str:
    # A line break in a key would become a second HTTP header.
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InputError(
            f"the key in {variable} holds a blank, a line break or a non-ASCII character; export it again"
        )
    return key


def _read(path: Path) -> _File:
    try:
        text = path.read_text("utf-8")
        tree = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is not UTF-8; save the file as UTF-8", path=path) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}; see https://toml.io", path=path) from None
    except RecursionError:
        raise InputError("nested too deeply for a settings file; it has three levels", path=path) from None
    for loc in _secrets(tree):
        raise InputError(
            "a key may not stand in a file, where it would be committed and shared; remove it,"
            " export it in the environment and name that variable in api_key_env",
            path=path,
            line=_line(text, loc),
            field=".".join(loc),
        )
    try:
        return _File.model_validate(tree)
    except ValidationError as error:
        raise _sentence(error, path, text) from None


def _secrets(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        loc = (*above, name)
        if isinstance(value, Mapping):
            yield from _secrets(value, loc)
        elif name == "api_key_env":
            # Someone who pastes the key itself here must not have it quoted back by the schema's error.
            if isinstance(value, str) and not (value.isidentifier() and value.isupper()):
                yield loc
        elif _SECRET_WORDS & set(name.lower().replace("-", "_").split("_")):
            yield loc


def _sentence(error: ValidationError, path: Path, text: str) -> InputError:
    first = error.errors(include_url=False, include_input=False)[0]
    loc = tuple(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        message = f"{loc[-1]!r} is not a setting here; allowed: {', '.join(_allowed(loc))}"
    else:
        message = first["msg"].removeprefix("Value error, ")
    return InputError(message, path=path, line=_line(text, loc), field=".".join(loc))


def _allowed(loc: tuple[str, ...]) -> list[str]:
    sections: dict[str, type[_Section]] = {
        "compatible": Server, "prices": ModelPrice, "local": Local, "service": Serving,
    }  # fmt: skip
    return sorted((_File if len(loc) == 1 else sections[loc[0]]).model_fields)


def _line(text: str, loc: tuple[str, ...]) -> int | None:
    """Find the line that sets ``loc`` or opens its table; the deepest match wins."""
    best: tuple[int, int] | None = None
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            here = table = _names(line)
        else:
            here = table + _names(line.partition("=")[0] + "= 0")
        if here and here == loc[: len(here)] and (best is None or len(here) > best[0]):
            best = (len(here), number)
    return None if best is None else best[1]


def _names(line: str) -> tuple[str, ...]:
    """Let the TOML reader itself take a header or a dotted key apart."""
    try:
        tree: object = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    names: list[str] = []
    while isinstance(tree, dict) and tree:
        name, tree = next(iter(tree.items()))
        names.append(name)
    return tuple(names)
