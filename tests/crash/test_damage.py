"""Truncated and flipped files of a finished job: the command still starts, and restores the same export.

The models are mock ones, so a reply that damage took away can be had again without an upstream.
"""

import asyncio
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif.cli import main
from tests.crash.harness import Site, check_store
from tests.crash.victim import CHECKPOINTS

FILES = ("store.duckdb", "store.duckdb.wal", "journal/000001.jsonl")
SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 20))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two jobs that have completed, the second killed as it closed the store: its rows are in the log."""
    site = Site(tmp_path_factory.mktemp("finished"), prompts=6, model="mock:text").write("http://127.0.0.1:9")

    async def make() -> None:
        await site.run("run", "pipeline.yaml", "--yes", "prompts.limit=3")
        await site.run("run", "pipeline.yaml", "--yes", victim=(next(iter(CHECKPOINTS)), 1))

    asyncio.run(make())
    assert all((site.work / name).stat().st_size > 10_000 for name in FILES)
    return site


@pytest.fixture
def site(finished: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    copy = Path(shutil.copytree(finished.folder, tmp_path / "site", symlinks=True))
    monkeypatch.chdir(copy)
    return Site(copy)


Harm = Callable[[bytes, random.Random], bytes]


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def flip(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ draw.randrange(1, 256)]) + content[at + 1 :]


def command(*arguments: str) -> int:
    """Run the command in this process, which spares its imports."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("how", [cut, flip])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_mended_and_the_export_restored(
    site: Site, name: str, how: Harm, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = site.exported()
    job = site.job
    path = site.work / name
    path.write_bytes(how(path.read_bytes(), random.Random(f"{name} {seed}")))
    assert command("jobs", "--json") == 0
    listed = {one["job_id"] for one in json.loads(capsys.readouterr().out)}
    if name.startswith("store"):
        assert job in listed
        assert command("resume", job, "--json") == 0
        assert json.loads(capsys.readouterr().out)["calls"] == 0  # the journal has every reply
    else:
        assert command("run", "pipeline.yaml", "--yes") == 0  # the job's own line may be what was lost
    shutil.rmtree(site.work / "exports")
    assert command("run", "pipeline.yaml", "--yes") == 0
    assert site.exported() == expected
    assert command("db", "check") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "equal"
    check_store(site.work / "store.duckdb")
