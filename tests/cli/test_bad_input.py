"""Bad input through the real command: one sentence on stderr, exit code 2, nothing made."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif.cli import main
from tests.pipeline.files import write

Edit = Callable[[Path], None]


def replaced(old: str, new: str) -> Edit:
    """An edit of the pipeline file."""

    def edit(folder: Path) -> None:
        path = folder / "pipeline.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return edit


def prompts(content: str) -> Edit:
    """Other prompts."""
    return lambda folder: (folder / "prompts.jsonl").write_text(content) and None


def broken_line(folder: Path) -> None:
    """One line among 10,000 that is no JSON."""
    rows = [json.dumps({"prompt": f"Number {number}?"}) for number in range(10_000)]
    rows[6_789] = '{"prompt": "cut'
    (folder / "prompts.jsonl").write_text("\n".join(rows))


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run the command in this process: exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def sentence(err: str) -> str:
    """The one line said; anything else is no sentence."""
    lines = [line for line in err.splitlines() if line.startswith("rlaif: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


CASES: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "unknown key": (replaced("seed: 3", "sede: 3"), ("pipeline.yaml:3", "sede", "seed")),
    "duplicate key": (replaced("seed: 3", "name: again"), ("pipeline.yaml:3", "name", "duplicate")),
    "alias": (replaced("seed: 3", "seed: &a 3"), ("pipeline.yaml:3", "anchor")),
    "tag": (replaced("seed: 3", "seed: !!int 3"), ("pipeline.yaml:3", "tag")),
    "tab": (replaced("  - kind: sample", "\t- kind: sample"), ("pipeline.yaml:", "tab")),
    "byte-order mark": (
        replaced("schema_version", "\ufeffschema_version"),
        ("pipeline.yaml", "byte order mark"),
    ),
    "unknown stage": (replaced("kind: sample", "kind: sampel"), ("stages.0", "sampel", "sample")),
    "wrong type": (replaced("seed: 3", "seed: three"), ("pipeline.yaml:3", "seed", "three")),
    "unknown provider": (replaced("mock:text", "nobody:text"), ("nobody", "openai")),
    "unknown mock": (replaced("mock:text", "mock:judge"), ("mock:judge", "mock:text")),
    "unknown server": (replaced("mock:text", "compatible:lab/x"), ("lab", "rlaif.toml")),
    "unpriced": (replaced("mock:text", "openai:no-such-model"), ("no price", "--allow-unpriced")),
    "no constitution": (replaced("helpfulness.yaml", "kindness.yaml"), ("kindness.yaml", "no such file")),
    "empty prompts": (prompts(""), ("prompts.jsonl",)),
    "empty prompt": (prompts('{"prompt": " "}\n'), ("prompts.jsonl:1", "prompt")),
    "prompt is no text": (prompts('{"prompt": true}\n'), ("prompts.jsonl:1", "prompt", "true")),
    "wrong column": (prompts('{"question": "Why?"}\n'), ("prompts.jsonl:1", "question", "prompt")),
    "broken line": (broken_line, ("prompts.jsonl:6790",)),
    "long prompt": (prompts(json.dumps({"prompt": "x" * 200_001})), ("prompts.jsonl:1", "200000")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, words = CASES[name]
    path = write(tmp_path / "in")
    edit(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    code, out, err = command(capsys, "run", str(path), "--yes")
    assert code == 2
    assert out == ""
    said = sentence(err)
    for word in words:
        assert word in said
    assert not (tmp_path / "outputs" / "small" / "exports").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("run", "nowhere.yaml"), ("nowhere.yaml", "no such file")),
        (("run", "."), (".",)),
        (("run", "in/pipeline.yaml", "prompts.limit=abc"), ("prompts.limit", "abc")),
        (("run", "in/pipeline.yaml", "prompts.limits=3"), ("limits", "limit")),
        (("run", "in/pipeline.yaml", "seed"), ("seed", "=")),
        (("run", "in/pipeline.yaml", "output=in/pipeline.yaml"), ("pipeline.yaml",)),
        (("jobs",), ("rlaif demo",)),
        (("resume", "small-0000000000"), ("rlaif demo",)),
        (("show", "pf_1", "--store", "in"), ("in", "journal")),
        (("db", "check"), ("rlaif demo",)),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    argv: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    code, out, err = command(capsys, *argv)
    assert (code, out) == (2, "")
    said = sentence(err)
    for word in words:
        assert word in said


def test_in_a_finished_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "in", prompts=2)
    monkeypatch.chdir(tmp_path)
    assert command(capsys, "run", str(path))[0] == 0
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    for argv, words in (
        (("show", "pf_nothing"), ("pf_nothing", "rlaif jobs")),
        (("resume", "small-0000000000"), ("small-0000000000", "small-")),
        (("export", "other/safety", "--out", "x"), ("other",)),
        (("export", "small/truth", "--out", "x"), ("truth", "safety")),
        (("export", "small", "--out", "x", "--to", "nobody"), ("nobody", "trl")),
        (("export", "small", "--out", "full"), ("full",)),
        (("db", "sql", "selec 1"), ("selec",)),
        (("db", "sql", "COPY prompts TO 'x.csv'"), ()),
        (("db", "sql", "SELECT * FROM read_csv('/etc/passwd')"), ()),
        (("db", "sql", "CREATE TABLE x (a INT)"), ()),
    ):
        code, out, err = command(capsys, *argv)
        assert (code, out) == (2, ""), argv
        said = sentence(err)
        for word in words:
            assert word in said, said
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"
    assert not (tmp_path / "x").exists()
    assert command(capsys, "db", "check")[0] == 0


def test_a_missing_extra_names_what_to_install(tmp_path: Path) -> None:
    path = write(tmp_path / "in", prompts=1, policy="local:smollm2-135m-instruct")
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        f"from rlaif.cli import main; main(['run', {str(path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "rlaif[local]" in sentence(done.stderr)


@pytest.mark.parametrize("argv", [("jobs",), ("show", "small"), ("db", "check"), ("doctor",)])
def test_json_is_one_document_on_stdout(
    argv: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "in", prompts=2)
    monkeypatch.chdir(tmp_path)
    code, out, _ = command(capsys, "run", str(path), "--json")
    assert code == 0
    job = json.loads(out)["job_id"]
    argv = tuple(job if one == "small" else one for one in argv)
    code, out, err = command(capsys, *argv, "--json")
    assert code == 0
    assert json.loads(out)
    assert err == ""


def test_a_dry_run_counts_the_calls_that_a_run_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "in", prompts=3)
    monkeypatch.chdir(tmp_path)
    _, out, _ = command(capsys, "run", str(path), "--dry-run", "--json")
    assert not (tmp_path / "outputs").exists()
    counted = json.loads(out)["calls"]
    _, out, _ = command(capsys, "run", str(path), "--json")
    assert counted == json.loads(out)["calls"] == 3 * 3 + 3 * 3 * 2 * 2
