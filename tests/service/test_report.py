"""``rlaif report``: a job's pages as files, from the command line."""

import asyncio
import json
from pathlib import Path

import pytest

from rlaif.cli import main
from rlaif.records import Job, JobEvent
from rlaif.store import Workspace

JOB = "small-0123456789"


async def _fill(folder: Path) -> None:
    workspace = Workspace.open(folder)
    job = Job(id=JOB, name="small & <b>", pipeline="p", prompts="p", seed=1)
    at = "2026-05-01T12:00:00+00:00"
    events = [JobEvent.make(job_id=JOB, state="running", at=at)]
    await workspace.commit([job, *events], job_id=JOB)
    await workspace.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    asyncio.run(_fill(tmp_path / "store"))
    return tmp_path / "store"


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return int(ended.value.code or 0)


def test_writes_pages_that_lead_to_each_other(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert _run("report", JOB, "-o", out, "--store", store, "--json") == 0
    files = [Path(one) for one in json.loads(capsys.readouterr().out)["files"]]
    assert files[0] == out / "index.html"
    assert out / f"jobs-{JOB}.html" in files
    assert out / "static" / "page.css" in files
    first = files[0].read_text()
    assert f'href="jobs-{JOB}.html"' in first
    assert "small &amp; &lt;b&gt;" in first
    assert "<script" not in first
    assert "<form" not in first
    assert "hx-" not in first


def test_job_whose_process_is_gone_is_interrupted(store: Path, tmp_path: Path):
    assert _run("report", JOB, "-o", tmp_path / "out", "--store", store) == 0
    page = (tmp_path / "out" / f"jobs-{JOB}.html").read_text()
    assert 'class="badge interrupted"' in page


@pytest.mark.parametrize(
    ("job", "taken", "words"),
    [("nothing-0", False, "there is no job 'nothing-0'"), (JOB, True, "holds something already")],
)
def test_refusals_name_the_way_out(
    job: str, taken: bool, words: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    out.mkdir()
    if taken:
        (out / "kept.txt").write_text("mine")
    assert _run("report", job, "-o", out, "--store", store) == 2
    assert words in capsys.readouterr().err
    assert [one.name for one in out.iterdir()] == (["kept.txt"] if taken else [])
