"""From what a recipe's file says to what one run of it means: sizes chosen, values filled in, lines kept.

Owns two rules. A mapping with exactly the keys ``toy``, ``small`` and ``full`` stands for the one of its
values that the size names. ``${NAME}`` stands for the entry of ``values`` of that name, in steps and in the
values below it. Leaves what the
fields mean to ``config``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from pydantic import JsonValue

from rlaif.complaints import Loc, closest, dotted, shown
from rlaif.errors import InputError
from rlaif.yamlfile import YamlFile

Size = Literal["toy", "small", "full"]
SIZES: Final = get_args(Size)
_HELD: Final = re.compile(r"\$\{([^{}]*)\}")


def settle(file: YamlFile, data: Mapping[str, JsonValue]) -> YamlFile:
    """Return the file as one size reads it; every value keeps the line it was written on.

    Args:
        file: as it was read.
        data: its data, overrides applied.

    Raises:
        InputError: an unknown size, or a value that is not there; also one that only an override has, which
            nothing would read.
    """
    size = data.get("size", "toy")
    if size not in SIZES:
        raise InputError(
            f"found {shown(size)}; allowed: {', '.join(SIZES)}",
            path=file.path, line=_line(file, ("size",)), field="size",
        )  # fmt: skip
    settling = _Settling(file, str(size))
    values = data.get("values", {})
    if isinstance(values, dict):
        _expected(file, values)
        for name, one in values.items():  # in order: a value may refer to those above it
            settling.values[name] = settling.walk(one, ("values", name), None)
    whole = {key: settling.walk(one, (key,), (key,)) for key, one in data.items()}
    return YamlFile(file.path, whole, {(): 1, **settling.lines}, {})


def _expected(file: YamlFile, values: Mapping[str, JsonValue]) -> None:
    """Refuse values that the file does not have: an override that is misspelt would change nothing."""
    written = file.data.get("values")
    known = list(written) if isinstance(written, dict) else []
    for name in values:
        if name not in known:
            near = closest(name, known) or f"; values: {', '.join(known) or 'none'}"
            raise InputError(
                f"found {name!r}, set by an override, which is none of the file's values{near}",
                path=file.path, field=f"values.{name}",
            )  # fmt: skip


@dataclass(slots=True)
class _Settling:
    """One pass over a file."""

    file: YamlFile
    size: str
    values: dict[str, JsonValue] = field(default_factory=dict)
    lines: dict[Loc, int] = field(default_factory=dict)

    def walk(self, value: JsonValue, old: Loc, new: Loc | None) -> JsonValue:
        """Settle what stands at ``old`` of the file and at ``new`` of the result, if it gets there."""
        if new is not None:
            self.lines[new] = _line(self.file, old)
        if isinstance(value, dict):
            if value.keys() == set(SIZES):
                return self.walk(value[self.size], (*old, self.size), new)
            return {key: self.walk(one, (*old, key), _below(new, key)) for key, one in value.items()}
        if isinstance(value, list):
            return [self.walk(one, (*old, at), _below(new, at)) for at, one in enumerate(value)]
        return self._filled(value, old) if isinstance(value, str) else value

    def _filled(self, text: str, loc: Loc) -> JsonValue:
        whole = _HELD.fullmatch(text)
        if whole:
            return self._value(whole[1], loc)
        return _HELD.sub(lambda one: self._within(one[1], loc), text)

    def _within(self, name: str, loc: Loc) -> str:
        value = self._value(name, loc)
        if isinstance(value, dict | list) or value is None:
            raise self._refused(f"'${{{name}}}' is {shown(value)}, which does not go into a text", loc)
        return str(value)

    def _value(self, name: str, loc: Loc) -> JsonValue:
        if name not in self.values:
            known = ", ".join(self.values) or "none"
            near = closest(name, list(self.values)) or f"; values: {known}"
            raise self._refused(f"'${{{name}}}' is not under values{near}", loc)
        return self.values[name]

    def _refused(self, message: str, loc: Loc) -> InputError:
        return InputError(message, path=self.file.path, line=_line(self.file, loc), field=dotted(loc))


def _below(loc: Loc | None, part: str | int) -> Loc | None:
    return None if loc is None else (*loc, part)


def _line(file: YamlFile, loc: Loc) -> int:
    """Line of a value, or of the nearest around it: an override may have put it there."""
    while loc and loc not in file.lines:
        loc = loc[:-1]
    return file.lines[loc] if loc else 1
