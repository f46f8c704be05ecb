"""Reads the labelled sentences: sections ``[SYMPTOM +]`` and ``[SYMPTOM -]``, one text a line.

``fixtures/LANGUAGE.txt`` was written with the wordings in view; ``fixtures/strangers/SYMPTOM.txt`` by authors
who had never seen them. Wordings were widened with one half of the latter in view; the other half tells what
they are worth.
"""

import hashlib
from pathlib import Path

LANGUAGES = ("en", "zh")
REFUSED = "I can't help with that."
_FIXTURES = Path(__file__).parent / "fixtures"


def labelled(language: str) -> dict[str, tuple[list[str], list[str]]]:
    """Texts that show a symptom and texts that only look like it, by symptom."""
    return _read(_FIXTURES / f"{language}.txt")


def strangers(name: str, unseen: bool = True) -> tuple[list[str], list[str]]:
    """The same of one symptom by strangers: the half that no wording was made by, or the other one."""
    shows, not_so = _read(_FIXTURES / "strangers" / f"{name}.txt")[name]
    return [one for one in shows if _odd(one) == unseen], [one for one in not_so if _odd(one) == unseen]


def _odd(text: str) -> bool:
    return int(hashlib.sha256(f"blind:{text}".encode()).hexdigest()[:8], 16) % 2 == 1


def _read(path: Path) -> dict[str, tuple[list[str], list[str]]]:
    read: dict[str, tuple[list[str], list[str]]] = {}
    here: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith("["):
            name, sign = line.strip("[]").split()
            here = read.setdefault(name, ([], []))[0 if sign == "+" else 1]
        else:
            here.append(line.replace("\\n", "\n"))
    return read
