"""A file is there whole or as it was."""

from pathlib import Path

import pytest

from rlaif import wholefile


def test_a_text_lies_there_with_its_own_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    wholefile.put(path, "eins\r\nzwei 二\n")
    assert path.read_bytes() == "eins\r\nzwei 二\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_refuses_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    wholefile.put(path, "before")

    def refuse(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        wholefile.put(path, "after")
    assert path.read_text() == "before"
