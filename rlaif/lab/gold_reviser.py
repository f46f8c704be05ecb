"""A reviser that knows what a good answer is, asked over the HTTP of the gold judge as model ``reviser``.

Owns what it reads of a request and what it writes. A response that is as good as what a careful person would
write it leaves alone; any other it criticises, and replaces by such an answer, in two steps where something
forbidden is said: first it leaves that out, and then it says why. It reads the fences of the shipped critique
and revision requests (``rlaif/revision/templates``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rlaif.lab.worlds import Harm, World
from rlaif.lab.writing import answer

MODEL: Final = "reviser"
"""What it is called behind the address of the judge."""
_FENCED: Final = re.compile(
    r"<<prompt (?P<token>\w+)>>\n(?P<prompt>.*?)\n<<response (?P=token)>>\n(?P<response>.*?)\n"
    r"(?:<<critique (?P=token)>>\n(?P<critique>.*?)\n)?<<end (?P=token)>>",
    re.DOTALL,
)
_WHY: Final = re.compile(r",? because [^.]*")


@dataclass(frozen=True, slots=True)
class Asked:
    """A response it is to criticise, or to rewrite by a critique."""

    prompt: str
    response: str
    critique: str | None
    """None where a critique is what is asked for."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Asked | None:
        """Find the response in a body's last turn; None where none is there. Earlier turns are examples."""
        turns = body.get("messages") or [{}]
        hit = _FENCED.search(str(turns[-1].get("content", "")))
        return None if hit is None else cls(hit["prompt"], hit["response"], hit["critique"])


def written(world: World, asked: Asked, *, idle: bool = False) -> str:
    """Write the critique or the revision.

    Args:
        world: says what is good.
        asked: the response, and the critique of it if there is one already.
        idle: whether it finds nothing to change in this one, whatever it is.
    """
    better = answer(world, asked.prompt)
    good = idle or world.gold(asked.prompt, asked.response) >= world.gold(asked.prompt, better)
    if asked.critique is None:
        return "Nothing needs to change." if good else "It does not do what a careful answer would do here."
    if good:
        return asked.response
    forbidden = world.name == "harm" and not Harm().safe(False, asked.response)
    return _WHY.sub("", better) if forbidden else better
