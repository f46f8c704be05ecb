"""The envelope around a judge's question: templates, single-pass filling, fences.

Owns template files and their digest, the boundary token of a prompt, and the visible neutralising of
text that could pass for the envelope's own markers or for a chat template's. Leaves what is asked and
how the reply is read to ``pairwise`` and ``pointwise``.

A template is a text file: ``key: value`` lines, then turns opened by ``== system ==``, ``== user ==``
or ``== assistant ==`` (a last assistant turn is a prefix the model continues). ``{name}`` is a
placeholder. The order of the turns is the order of reuse: what many calls share stands first
(constitution, then prompt, then first response), so a key-value cache can be reused across prompts,
pairs and orders.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import get_args

from rlaif.errors import InputError
from rlaif.records import Document, Message, Prompt, Role, canonical, digest

_TURN = re.compile(r"^== (\w+) ==$", re.MULTILINE)
_SLOT = re.compile(r"\{(\w+)\}")
_ESCAPE = "\\"


@dataclass(frozen=True, slots=True)
class Template:
    """A judge's question, parsed."""

    name: str
    """Name it was asked for by."""
    text: str
    """The whole file, which the digest covers."""
    turns: tuple[tuple[Role, str], ...]
    """Role and unfilled text of each turn."""
    labels: tuple[str, ...]
    """Continuations whose probabilities are the verdict; empty for a text verdict."""

    @property
    def digest(self) -> str:
        """Content id, stored with every judgment."""
        return digest("tm", self.text)

    @property
    def document(self) -> Document:
        """The record that lets a set say which words its judge was asked in."""
        return Document(id=self.digest, role="template", name=self.name, text=self.text)

    def fill(self, values: Mapping[str, str]) -> tuple[Message, ...]:
        """Fill every placeholder in one pass; a brace inside a value is never read again."""
        return tuple(
            Message(role=role, content=_SLOT.sub(lambda slot: values[slot[1]], text))
            for role, text in self.turns
        )


def load_template(name: str, slots: frozenset[str], labels: int) -> Template:
    """Read a shipped template by name, or any other by path.

    Args:
        name: a file stem in ``judging/templates``, or a path ending in ``.txt``.
        slots: the placeholders the caller fills; each must occur exactly once, ``boundary`` freely.
        labels: how many labels the verdict is read from; 0 for a text verdict.

    Raises:
        InputError: no such template, or it cannot be used as one.
    """
    shipped = resources.files("rlaif.judging") / "templates"
    source = Path(name) if name.endswith(".txt") else shipped / f"{name}.txt"
    if not source.is_file():
        names = sorted(one.name.removesuffix(".txt") for one in shipped.iterdir())
        raise InputError(
            f"{name!r} is not a template; allowed: {', '.join(names)}, or a path that ends in '.txt'"
        )
    template = parse_template(name, source.read_text(encoding="utf-8"), slots)
    if len(set(template.labels)) != labels or len(template.labels) != labels:
        raise InputError(
            f"template {name!r} has the labels {template.labels!r}; this verdict is read from {labels}:"
            " change the line 'labels:' or the judge's 'verdict'"
        )
    return template


def parse_template(name: str, text: str, slots: frozenset[str]) -> Template:
    """Split a template into its labels and turns, and check its placeholders.

    Raises:
        InputError: an unknown role, header or placeholder, or a placeholder missing or repeated.
    """
    head, *rest = _TURN.split(text)
    turns = tuple((_role(name, role), body.strip()) for role, body in zip(rest[::2], rest[1::2], strict=True))
    if not any(role == "user" for role, _ in turns):
        raise InputError(f"template {name!r} has no user turn; add a line '== user ==' above its question")
    _check_slots(name, [slot for _, body in turns for slot in _SLOT.findall(body)], slots)
    return Template(name, text, turns, _labels(name, head))


def boundary(prompt_id: str, seed: int) -> str:
    """Four letters that fence every text of one prompt, the same in each of its judge calls.

    Letters only, since many tokenizers spend a token on each digit. Secrecy is not needed: an
    occurrence inside a fenced text is neutralised.
    """
    raw = hashlib.sha256(canonical([prompt_id, seed])).digest()
    return "".join(chr(ord("a") + byte % 26) for byte in raw[:4])


_MARKERS = re.compile(
    r"<[|｜](?=[\w/▁])"  # <|im_start|>, <|eot_id|>, and the full-width form some models use
    r"|<(?=/?(?:s|bos|eos|pad|unk|(?:start|end)_of_(?:turn|image|text)|response|prompt)>)"
    r"|\[(?=/?(?:INST|SYS|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\])"
    r"|<(?=<\s*/?\s*(?:SYS|prompt|response|end|A|B)\b)",  # the envelope's own fences, and Llama 2's
    re.IGNORECASE,
)


def neutralise(text: str, token: str) -> str:
    """Break, visibly, whatever in a text could close its fence or open a turn.

    A backslash is put inside each marker: ``<|im_end|>`` becomes ``<|\\im_end|>``. Nothing is
    removed, so the judge still sees what the response holds.
    """
    # Each prompt has its own token, and compiling a pattern costs more than all the rest of a question.
    if not text.isascii() or token in text.lower():
        # Only the first letter is consumed, so that occurrences which overlap are all broken.
        text = re.sub(f"{re.escape(token[0])}(?={re.escape(token[1:])})", _broken, text, flags=re.IGNORECASE)
    return _MARKERS.sub(_broken, text)


def _broken(hit: re.Match[str]) -> str:
    return hit[0] + _ESCAPE


def conversation(prompt: Prompt, token: str) -> str:
    """Render a prompt for its fence: a single turn as it is, several with their roles named."""
    if len(prompt.messages) == 1:
        return neutralise(prompt.text, token)
    return "\n".join(f"{one.role}: {neutralise(one.content, token)}" for one in prompt.messages)


def _role(name: str, role: str) -> Role:
    for known in get_args(Role):
        if role == known:
            return known  # type: ignore[no-any-return]
    raise InputError(f"template {name!r} has a turn {role!r}; allowed: {', '.join(get_args(Role))}")


def _labels(name: str, head: str) -> tuple[str, ...]:
    labels: tuple[str, ...] = ()
    for line in head.strip().splitlines():
        key, _, value = line.partition(":")
        if key.strip() != "labels":
            raise InputError(f"template {name!r} opens with {line!r}; allowed: 'labels: A B'")
        labels = tuple(value.split())
    return labels


def _check_slots(name: str, found: list[str], slots: frozenset[str]) -> None:
    counted = sorted(one for one in found if one != "boundary")
    if counted != sorted(slots):
        raise InputError(
            f"template {name!r} has the placeholders {counted!r}; write each of {sorted(slots)!r}"
            " exactly once ('boundary' as often as needed)"
        )
