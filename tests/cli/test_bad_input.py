"""Bad input through the real command: one sentence on stderr, the right exit code, nothing made."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif.store.workspace import Lock
from tests.cli.terminal import Desk, Ended, spawn

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


def says(ended: Ended, words: tuple[str, ...], code: int = 2) -> None:
    """Check the exit code, that stdout is empty, and that the one sentence has these words."""
    assert ended.code == code
    assert ended.out == ""
    for word in words:
        assert word in ended.sentence


MODEL = replaced("mock:text", "openai:gpt-4o-mini")
FILES: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "unknown key": (replaced("seed: 3", "sede: 3"), ("pipeline.yaml:3", "'sede'", "'seed'")),
    "duplicate key": (replaced("seed: 3", "name: again"), ("pipeline.yaml:3", "name", "duplicate")),
    "alias": (replaced("seed: 3", "seed: &a 3"), ("pipeline.yaml:3", "anchor")),
    "tag": (replaced("seed: 3", "seed: !!int 3"), ("pipeline.yaml:3", "tag")),
    "tab": (replaced("  - kind: sample", "\t- kind: sample"), ("pipeline.yaml:6", "tab")),
    "byte-order mark": (
        replaced("schema_version", "\ufeffschema_version"),
        ("pipeline.yaml", "byte order mark"),
    ),
    "empty file": (lambda folder: (folder / "pipeline.yaml").write_text("") and None, ("pipeline.yaml",)),
    "unknown stage": (replaced("kind: sample", "kind: sampel"), ("stages.0", "'sampel'", "sample")),
    "wrong type": (replaced("seed: 3", "seed: three"), ("pipeline.yaml:3", "seed", "three")),
    "unknown provider": (replaced("mock:text", "nobody:text"), ("nobody", "openai", "mock")),
    "unknown mock": (replaced("mock:text", "mock:judge"), ("mock:judge", "mock:text")),
    "no such checkpoint": (replaced("mock:text", "local:nowhere"), ("'nowhere'", "smollm2-135m-instruct")),
    "unpriced server": (
        replaced("mock:text", "compatible:lab/x"),
        ("compatible:lab/x", "rlaif.toml", "--allow-unpriced"),
    ),
    "unpriced": (replaced("mock:text", "openai:no-such-model"), ("no price", "--allow-unpriced")),
    "no key": (MODEL, ("OPENAI_API_KEY", "export OPENAI_API_KEY=")),
    "other key": (replaced("mock:text", "anthropic:claude-sonnet-4-5"), ("ANTHROPIC_API_KEY",)),
    "no constitution": (replaced("helpfulness.yaml", "kindness.yaml"), ("kindness.yaml", "no such file")),
    "no prompts": (lambda folder: (folder / "prompts.jsonl").unlink(), ("prompts.jsonl", "no such file")),
    "empty prompts": (prompts(""), ("prompts.jsonl:1", "'prompt' or 'messages'")),
    "empty prompt": (prompts('{"prompt": " "}\n'), ("prompts.jsonl:1", "prompt", "empty")),
    "prompt is no text": (prompts('{"prompt": true}\n'), ("prompts.jsonl:1", "prompt", "true")),
    "turn is no text": (
        prompts('{"messages": [{"role": "user", "content": 7}]}\n'),
        ("prompts.jsonl:1", "messages.0.content", "7"),
    ),
    "wrong column": (prompts('{"question": "Why?"}\n'), ("prompts.jsonl:1", "question", "'prompt'")),
    "broken line": (broken_line, ("prompts.jsonl:6790", "not JSON")),
    "long prompt": (
        prompts(json.dumps({"prompt": "x" * 200_001})),
        ("prompts.jsonl:1", "200001", "200000"),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_is_one_sentence(name: str, desk: Desk) -> None:
    path = desk.pipeline()
    edit, words = FILES[name]
    edit(desk.folder / "in")
    before = desk.files()
    says(desk.run("run", path, "--yes"), words)
    assert desk.files() == before


def test_the_longest_prompt_is_taken(desk: Desk) -> None:
    path = desk.pipeline()
    prompts(json.dumps({"prompt": "x" * 200_000}))(desk.folder / "in")
    assert desk.run("run", path).code == 0


ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no file": (("run", "nowhere.yaml"), ("nowhere.yaml", "no such file")),
    "folder": (("run", "in"), ("in", "not a file", "YAML")),
    "not a number": (("run", "in/pipeline.yaml", "prompts.limit=abc"), ("prompts.limit", "'abc'", "number")),
    "unknown override": (("run", "in/pipeline.yaml", "prompts.limits=3"), ("'limits'", "limit")),
    "no equals sign": (("run", "in/pipeline.yaml", "seed"), ("'seed'", "dotted.key=value")),
    "past the end": (("run", "in/pipeline.yaml", "stages.9.kind=judge"), ("stages", "9")),
    "output is a file": (("run", "in/pipeline.yaml", "output=in/pipeline.yaml"), ("in/pipeline.yaml",)),
    "output below a file": (("run", "in/pipeline.yaml", "output=in/pipeline.yaml/x"), ("pipeline.yaml/x",)),
    "negative budget": (("run", "in/pipeline.yaml", "--budget=-1"), ("-1.0", "--budget 2.50")),
    "no number of dollars": (("run", "in/pipeline.yaml", "--budget", "nan"), ("nan", "--budget 2.50")),
    "endless budget": (("run", "in/pipeline.yaml", "--budget", "inf"), ("inf", "--budget 2.50")),
    "jobs of nothing": (("jobs",), ("outputs/", "rlaif demo")),
    "resume in nothing": (("resume", "small-0000000000"), ("outputs/", "rlaif demo")),
    "show in no output": (("show", "pf_1", "--store", "in"), ("'in'", "journal")),
    "check nothing": (("db", "check"), ("outputs/", "rlaif demo")),
    "rebuild no output": (("db", "rebuild", "--store", "in"), ("'in'", "journal")),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_wrong_argument_is_one_sentence(name: str, desk: Desk) -> None:
    desk.pipeline()
    before = desk.files()
    argv, words = ARGUMENTS[name]
    says(desk.run(*argv), words)
    assert desk.files() == before


@pytest.mark.parametrize(
    "argv",
    [
        ("fly",),
        ("run",),
        ("run", "in/pipeline.yaml", "--fast"),
        ("run", "in/pipeline.yaml", "--budget", "much"),
        ("show",),
        ("export", "small"),
        ("db", "drop"),
        ("db", "sql"),
    ],
)
def test_a_wrong_usage_is_said_in_the_command_lines_own_form(argv: tuple[str, ...], desk: Desk) -> None:
    desk.pipeline()
    before = desk.files()
    ended = desk.run(*argv)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: rlaif" in ended.err
    assert "Traceback" not in ended.err
    assert desk.files() == before


# Money


def test_a_run_that_costs_money_needs_a_person_or_a_word(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.pipeline()
    MODEL(desk.folder / "in")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    before = desk.files()
    says(desk.run("run", path), ("75 calls", "$", "--yes", "--budget USD"))
    assert desk.files() == before


def test_a_model_without_a_price_is_never_taken_for_a_free_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.pipeline()
    replaced("mock:text", "openai:no-such-model")(desk.folder / "in")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    says(desk.run("run", path, "--allow-unpriced"), ("15 of them at an unknown price", "--yes"))


SERVER = """\
[compatible.lab]
base_url = "http://127.0.0.1:9/v1"
input_price = 1.0
output_price = 1.0
"""


def priced(desk: Desk) -> str:
    """A pipeline whose policy has a price; nothing listens where it is said to be."""
    path = desk.pipeline()
    replaced("mock:text", "compatible:lab/x")(desk.folder / "in")
    (desk.folder / "rlaif.toml").write_text(SERVER)
    return path


def test_an_unknown_server_names_those_configured(desk: Desk) -> None:
    path = priced(desk)
    replaced("compatible:lab/x", "compatible:attic/x")(desk.folder / "in")
    ended = desk.run("run", path, "--yes", "--allow-unpriced")
    says(ended, ("'compatible:attic/x'", "compatible:lab/MODEL"))


def test_no_money_means_exit_code_3_and_a_job_that_can_go_on(desk: Desk) -> None:
    ended = desk.run("run", priced(desk), "--budget", "0")
    assert ended.code == 3
    said = ended.err.splitlines()[-1]
    assert said.startswith("rlaif: ")
    assert "--budget USD" in said
    job = said.partition("rlaif resume ")[2].split()[0]
    (row,) = desk.run("jobs", "--json").json
    assert (row["job_id"], row["state"], row["spent_usd"]) == (job, "budget", 0.0)
    # Left out, the cap would be gone: the job asks for another one.
    says(desk.run("resume", job), (job, "stopped at its budget", f"rlaif resume {job} --budget USD"))


# A finished job, and what can be wrong about asking for it


def finished(desk: Desk) -> str:
    """Run the pipeline and return the job's id."""
    job: str = desk.run("run", desk.pipeline(prompts=2), "--json").json["job_id"]
    return job


def test_looking_for_what_is_not_there(desk: Desk) -> None:
    job = finished(desk)
    (desk.folder / "full").mkdir()
    (desk.folder / "full" / "mine.txt").write_text("keep")
    (desk.folder / "flat").write_text("keep")
    before = desk.files()
    for argv, words in (
        (("show", "pf_nothing"), ("'pf_nothing'", "rlaif jobs", "rlaif db sql")),
        (("show", "0" * 64), ("000", "rlaif jobs")),
        (("show", ""), ("''", "rlaif jobs")),
        (("resume", "small-0000000000"), ("'small-0000000000'", job)),
        (("export", "other/safety", "--out", "x"), ("'other/safety'", job)),
        (("export", "small/truth", "--out", "x"), ("'truth'", f"{job}/safety")),
        (("export", "small", "--out", "x", "--to", "nobody"), ("'nobody'", "trl")),
        (("export", "small", "--out", "full"), ("full", "'mine.txt'", "--out")),
        (("export", "small", "--out", "flat"), ("flat", "file", "--out")),
    ):
        says(desk.run(*argv), words)
    assert desk.files() == before
    assert desk.run("db", "check").code == 0


QUERIES = {
    "selec 1": ("syntax error", '"selec"', "SHOW TABLES"),
    "SELECT * FROM nowhere": ("nowhere", "SHOW TABLES"),
    "SELECT nothing FROM jobs": ("nothing", "SHOW TABLES"),
    "SELECT 1; SELECT 2": ("2 statements", "one at a time"),
    "SELECT 1 AS a, 2 AS a": ("'a'", "AS"),
    "": ("SELECT",),
    "SELECT * FROM read_csv('/etc/passwd')": ("disabled",),
    "SELECT * FROM read_text('/etc/passwd')": ("disabled",),
    "SELECT * FROM glob('*')": ("disabled",),
    "SELECT * FROM '/etc/passwd'": ("/etc/passwd",),
    "COPY jobs TO 'x.csv'": ("COPY", "SELECT"),
    "EXPORT DATABASE 'x'": ("EXPORT", "SELECT"),
    "ATTACH 'x.duckdb'": ("ATTACH", "SELECT"),
    "INSTALL httpfs": ("LOAD", "SELECT"),
    "LOAD httpfs": ("LOAD", "SELECT"),
    "SET threads = 1": ("SET", "SELECT"),
    "PRAGMA database_list": ("PRAGMA", "SELECT"),
    "CALL pragma_version()": ("CALL", "SELECT"),
    "CREATE TABLE x (a INTEGER)": ("CREATE", "SELECT"),
    "INSERT INTO jobs VALUES (1)": ("INSERT", "SELECT"),
    "UPDATE jobs SET name = 'x'": ("UPDATE", "SELECT"),
    "DELETE FROM jobs": ("DELETE", "SELECT"),
    "DROP TABLE jobs": ("DROP", "SELECT"),
    "BEGIN": ("TRANSACTION", "SELECT"),
    "VACUUM": ("VACUUM", "SELECT"),
    "EXPLAIN ANALYZE DELETE FROM jobs": ("read-only",),
}


def test_a_query_that_is_refused(desk: Desk) -> None:
    finished(desk)
    before = desk.files()
    for query, words in QUERIES.items():
        says(desk.run("db", "sql", query), words)
    assert desk.files() == before
    assert desk.run("db", "sql", "SELECT count(*) AS n FROM jobs", "--json").json == [{"n": 1}]


def test_a_job_whose_inputs_have_gone_or_changed(desk: Desk) -> None:
    job = finished(desk)
    rows = (desk.folder / "in" / "prompts.jsonl").read_text()
    (desk.folder / "in" / "prompts.jsonl").write_text('{"prompt": "Another?"}\n')
    says(desk.run("resume", job), (job, "have changed", "rlaif run"))
    (desk.folder / "in" / "prompts.jsonl").write_text(rows)
    (desk.folder / "in" / "pipeline.yaml").rename(desk.folder / "in" / "moved.yaml")
    says(desk.run("resume", job), ("pipeline.yaml", "no such file"))
    (desk.folder / "in" / "moved.yaml").rename(desk.folder / "in" / "pipeline.yaml")
    assert desk.run("resume", job).code == 0


@pytest.mark.parametrize("argv", [("run", "in/pipeline.yaml"), ("jobs",), ("db", "check"), ("db", "rebuild")])
def test_a_folder_in_use_names_its_owner(argv: tuple[str, ...], desk: Desk) -> None:
    finished(desk)
    lock = Lock(desk.folder / "outputs" / "small")
    try:
        says(desk.run(*argv), ("outputs/small", f"process {os.getpid()}", "wait until it ends"))
    finally:
        lock.release()
    assert desk.run("db", "check").code == 0


# As a process of its own


def unprivileged() -> None:
    """Before exec: root loses its right to write anywhere (CAP_DAC_OVERRIDE from the bounding set)."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def test_an_output_folder_that_may_not_be_written(desk: Desk) -> None:
    path = desk.pipeline(prompts=1)
    shut = desk.folder / "shut"
    shut.mkdir()
    shut.chmod(0o555)
    ended = spawn(desk.folder, "run", path, "output=shut/new", preexec_fn=unprivileged)
    says(ended, ("shut/new", "Permission denied", "another folder"))
    assert not (shut / "new").exists()


@pytest.mark.parametrize(
    ("model", "package", "remedy"),
    [
        ("local:smollm2-135m-instruct", "torch", "pip install 'rlaif[local]'"),
        ("openai:gpt-4o-mini", "openai", "pip install"),
    ],
)
def test_a_missing_package_names_what_to_install(
    model: str, package: str, remedy: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.pipeline(prompts=1, policy=model)
    before = desk.files()
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"from rlaif.cli import main; main(['run', {path!r}, '--yes'])"
    )
    env = {**os.environ, "OPENAI_API_KEY": "none"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=desk.folder, env=env
    )
    says(Ended(done.returncode, done.stdout, done.stderr), (package, remedy))
    assert desk.files() == before


def test_a_bug_is_one_sentence_and_a_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("\x1b[2Jsecret")

    monkeypatch.setattr("rlaif.inspection.diagnose", broken)
    monkeypatch.setattr("tempfile.tempdir", str(desk.folder))
    ended = desk.run("doctor")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("rlaif: internal error (RuntimeError); the traceback is in ")
    (kept,) = desk.folder.glob("rlaif-traceback-*.txt")
    assert str(kept) in ended.err
    assert "secret" in kept.read_text()
