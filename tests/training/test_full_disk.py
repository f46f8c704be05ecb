"""A disk that takes no more: what was there stays, what was begun takes no room, and the reason is said."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from rlaif.checkpoints.saving import written
from rlaif.training import snapshots
from rlaif.training.snapshots import Snapshot


@contextmanager
def room(most: int) -> Iterator[None]:
    """Let no file of this process grow beyond some bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def snapshot(numbers: int) -> Snapshot:
    return Snapshot({"weight": torch.zeros(numbers)}, {}, {}, {"step": 1})


def test_a_snapshot_that_does_not_fit_leaves_the_one_before(tmp_path: Path):
    snapshots.write(tmp_path, 1, snapshot(8))
    with room(100_000), pytest.raises(OSError, match="step-2") as refused:
        snapshots.write(tmp_path, 2, snapshot(1_000_000))
    assert refused.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    assert snapshots.newest(tmp_path) == tmp_path / "step-1"


def test_what_is_no_error_of_the_system_stays_what_it_is(tmp_path: Path):
    with pytest.raises(SafetensorError, match="header"), written(tmp_path / "model"):
        raise SafetensorError("the header is too long")
    assert list(tmp_path.iterdir()) == []
