"""Every verb as a user meets it: what it prints where, how it ends, and that ``--json`` is one document."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer.testing

from rlaif.cli import app
from rlaif.cli.progress import Bars
from tests.cli.terminal import Desk, spawn
from tests.pipeline.files import ROOT

PAIRS = 3  # of 3 samples


@pytest.fixture
def job(desk: Desk) -> str:
    """The id of a finished job of two prompts."""
    ended = desk.run("run", desk.pipeline(prompts=2), "--json")
    assert (ended.code, ended.err) == (0, "")
    made: str = ended.json["job_id"]
    return made


def one_id(desk: Desk, table: str) -> str:
    (row,) = desk.run("db", "sql", f"SELECT id FROM {table} ORDER BY id LIMIT 1", "--json").json
    found: str = row["id"]
    return found


# run


def test_a_run_ends_by_naming_what_it_made(desk: Desk) -> None:
    ended = desk.run("run", desk.pipeline(prompts=2))
    assert ended.code == 0
    named = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert list(named) == ["job", "export", "report", "store"]
    assert re.fullmatch(r"small-[0-9a-f]{10}", named["job"])
    assert named["export"] == f"outputs/small/exports/{named['job']}"
    assert (desk.folder / named["export"] / "manifest.json").is_file()
    assert (desk.folder / named["report"]).suffix == ".html"
    assert (desk.folder / named["report"]).is_file()
    assert (desk.folder / named["store"]).is_file()
    said = ended.err.splitlines()
    assert said[-1] == f"calls: {2 * 3 + 2 * PAIRS * 2 * 2}, spent $0.0000"
    assert any(re.match(rf"{named['job']}/helpfulness: \d preferences", line) for line in said)


def test_off_a_terminal_each_stage_is_one_line(desk: Desk) -> None:
    ended = desk.run("run", desk.pipeline(prompts=2))
    assert [line for line in ended.err.splitlines() if "done" in line] == [
        "prompts: 1 done",
        "sample: 6 done",
        "judge helpfulness: 6 done",
        "judge safety: 6 done",
    ]


def test_a_stage_whose_pairs_are_identical_ends_all_the_same(desk: Desk) -> None:
    ended = desk.run("run", desk.pipeline(prompts=2, policy="mock:echo"))
    assert "judge safety: 0 done" in ended.err.splitlines()


def test_the_json_of_a_run(desk: Desk) -> None:
    ended = desk.run("run", desk.pipeline(prompts=2), "--json")
    made = ended.json
    assert (ended.code, ended.err) == (0, "")
    assert made["calls"] == 2 * 3 + 2 * PAIRS * 2 * 2
    assert made["cached"] == 0
    assert made["spent"] == 0.0
    assert set(made["files"]) == {"store", "export", "report"}
    assert {name.rpartition("/")[2] for name in made["sets"]} == {"helpfulness", "safety"}
    assert made["resume"] == f"rlaif resume {made['job_id']}"


@pytest.mark.parametrize("orders", ["both", "one"])
@pytest.mark.parametrize("kind", ["pairwise", "pointwise"])
def test_a_dry_run_counts_what_a_run_then_sends(kind: str, orders: str, desk: Desk) -> None:
    path = desk.pipeline(prompts=3)
    edits = [f"stages.1.judge.kind={kind}"]
    edits += [f"stages.1.judge.orders={orders}"] if kind == "pairwise" else []
    before = desk.files()
    ended = desk.run("run", path, *edits, "--dry-run", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert desk.files() == before
    helpful = 3 * 3 if kind == "pointwise" else 3 * PAIRS * (2 if orders == "both" else 1)
    assert [line["calls"] for line in ended.json["lines"]] == [9, helpful, 3 * PAIRS * 2]
    assert ended.json["calls"] == desk.run("run", path, *edits, "--json").json["calls"]


def test_a_dry_run_for_a_person(desk: Desk) -> None:
    path = desk.pipeline(prompts=2, judge="openai:gpt-4o-mini")
    ended = desk.run("run", path, "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    for words in ("judge safety", "openai:gpt-4o-mini", "30 calls, at most $0.00", "; nothing was sent"):
        assert words in ended.out
    unpriced = desk.run(
        "run", path, "stages.2.judge.model=openai:no-such-model", "--dry-run", "--allow-unpriced"
    )
    assert "12 of them at an unknown price" in unpriced.out


def test_a_person_who_says_no_has_spent_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.pipeline(prompts=2, judge="openai:gpt-4o-mini")
    before = desk.files()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    ended = desk.run("run", path)
    assert ended.code == 130
    assert ended.sentence == "rlaif: not confirmed; nothing was sent\n"
    assert desk.files() == before


# resume, jobs


def test_a_resumed_job_asks_nothing_again(desk: Desk, job: str) -> None:
    ended = desk.run("resume", job, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert (ended.json["job_id"], ended.json["calls"]) == (job, 0)
    ended = desk.run("resume", job, "--store", "outputs/small")
    assert (ended.code, ended.out.split()[1]) == (0, job)


def test_jobs(desk: Desk, job: str) -> None:
    (row,) = desk.run("jobs", "--json").json
    assert (row["job_id"], row["state"], row["failed"], row["spent_usd"]) == (job, "completed", 0, 0.0)
    made = desk.run("db", "sql", "SELECT count(*) AS n FROM preferences", "--json").json[0]["n"]
    assert row["preferences"] == made > 0
    ended = desk.run("jobs")
    assert (ended.code, ended.err) == (0, "")
    head, _, line = ended.out.splitlines()
    assert head.split() == ["job", "state", "changed", "(UTC)", "pairs", "failed", "USD"]
    assert line.split()[:2] == [job, "completed"]
    assert line.split()[-3:] == [str(made), "0", "0.0000"]


# show


def test_a_preference_is_explained_down_to_its_calls(desk: Desk, job: str) -> None:
    id = one_id(desk, "preferences")
    tree = desk.run("show", id, "--json").json
    assert (tree["kind"], tree["id"], tree["job_id"], tree["seed"]) == ("preference", id, job, 3)
    assert tree["set_name"] in (f"{job}/helpfulness", f"{job}/safety")
    assert [turn["role"] for turn in tree["prompt"]] == ["user"]
    assert [one["id"] for one in tree["judgments"]] == tree["judgment_ids"]
    first, second = tree["judgments"]
    assert {first["first_id"], first["second_id"]} == {tree["chosen_id"], tree["rejected_id"]}
    assert (first["first_id"], first["second_id"]) == (second["second_id"], second["first_id"])
    for one in tree["judgments"]:
        asked = one["call"]["request"]["body"]["messages"]
        assert tree["chosen"]["response"] in asked[-1]["content"]
        assert one["call"]["raw_reply"]
    assert [one["number"] for one in tree["clauses"]] == list(range(1, len(tree["clauses"]) + 1))
    shown = desk.run("show", id)
    assert (shown.code, shown.err) == (0, "")
    expected = [
        id,
        tree["set_name"],
        tree["margin"],
        tree["judge"],
        f"| {tree['prompt'][0]['content']}",
        f"| {tree['chosen']['response']}",
        f"| {tree['rejected']['response']}",
        f"seed {tree['chosen']['seed']}",
        *(one["text"] for one in tree["clauses"]),
        *(one["request_key"] for one in tree["judgments"]),
        *(f"| {one['call']['raw_reply']}" for one in tree["judgments"]),
    ]
    for words in expected:
        assert words in shown.out, words


def test_both_orders_are_told_as_chances_of_the_chosen(desk: Desk, job: str) -> None:
    tree = desk.run("show", one_id(desk, "preferences"), "--json").json
    lines = desk.run("show", tree["id"]).out.splitlines()
    (first,) = (line for line in lines if " chosen first " in line)
    (second,) = (line for line in lines if " rejected first " in line)
    assert first.split()[-2] == f"{tree['p_chosen_first']:.3f}"
    assert second.split()[-2] == f"{tree['p_chosen_second']:.3f}"


def test_a_pointwise_preference_shows_its_scores(desk: Desk) -> None:
    path = desk.pipeline(prompts=2)
    desk.run("run", path, "stages.1.judge.kind=pointwise")
    (row,) = desk.run(
        "db", "sql", "SELECT id FROM preferences WHERE axis = 'helpfulness' LIMIT 1", "--json"
    ).json
    tree = desk.run("show", row["id"], "--json").json
    assert [one["kind"] for one in tree["judgments"]] == ["score", "score"]
    shown = desk.run("show", row["id"]).out
    for one in tree["judgments"]:
        assert f"{one['expected']:.3f}" in shown
        page = desk.run("show", one["id"])
        assert page.code == 0
        assert f"{one['expected']:.2f} of {one['low']} to {one['high']}" in page.out


def test_a_judgment_a_sample_a_prompt(desk: Desk, job: str) -> None:
    for table, kind, words in (
        ("judgments", "judgment", ("verdict", "P(first)", "clauses shown", "raw reply")),
        ("samples", "sample", ("response:", "stop_reason: stop", "raw_reply:")),
        ("prompts", "prompt", ("content: What is", "samples 3:")),
    ):
        id = one_id(desk, table)
        tree = desk.run("show", id, "--json")
        assert (tree.code, tree.err) == (0, "")
        assert (tree.json["kind"], tree.json["id"]) == (kind, id)
        shown = desk.run("show", id)
        assert (shown.code, shown.err) == (0, "")
        for one in words:
            assert one in shown.out


def test_a_revision_shows_its_clause_and_its_calls(desk: Desk) -> None:
    path = Path(desk.pipeline(prompts=2))
    text = path.read_text()
    stage = (
        f"  - kind: revise\n    constitution: {ROOT}/constitutions/safety.yaml\n"
        "    reviser: {model: 'mock:text', steps: 2}\n"
    )
    path.write_text(text.replace("  - kind: export\n", stage + "  - kind: export\n"))
    assert desk.run("run", str(path)).code == 0
    tree = desk.run("show", one_id(desk, "revisions"), "--json").json
    assert (tree["kind"], tree["status"], len(tree["clauses"])) == ("revision", "ok", 1)
    page = desk.run("show", tree["id"]).out
    for words in (tree["clauses"][0]["text"], tree["critique"][:20], tree["after_id"], tree["revision_key"]):
        assert words in page


def test_a_call_by_its_key(desk: Desk, job: str) -> None:
    tree = desk.run("show", one_id(desk, "judgments"), "--json").json
    call = desk.run("show", tree["request_key"], "--json").json
    assert call == {"kind": "call", **tree["call"]}
    assert call["request"]["job_id"] == job


def test_a_set_by_name_and_by_id(desk: Desk, job: str) -> None:
    by_name = desk.run("show", f"{job}/safety", "--json").json
    assert (by_name["kind"], by_name["axis"]) == ("preferenceset", "safety")
    assert desk.run("show", by_name["id"], "--json").json == by_name
    assert sum(by_name["counts"].values()) == by_name["pairs"] == 2 * PAIRS


def test_a_job_and_its_documents(desk: Desk, job: str) -> None:
    tree = desk.run("show", job, "--json").json
    assert [one["state"] for one in tree["events"]] == ["running", "completed"]
    assert {one["stage"]: one["tasks"] for one in tree["tasks"]} == {
        "prompts": 1,
        "sample": 6,
        "judge helpfulness": 6,
        "judge safety": 6,
    }
    assert tree["failed_tasks"] == []
    assert len(tree["sets"]) == 2
    rows = desk.run("db", "sql", "SELECT id, role FROM documents", "--json").json
    assert {row["role"] for row in rows} == {"constitution", "template", "pipeline"}
    for row in rows:
        shown = desk.run("show", row["id"])
        assert (shown.code, shown.err) == (0, "")
        assert shown.out.startswith("kind: document\n")


# export, db, doctor


def test_export(desk: Desk, job: str) -> None:
    ended = desk.run("export", "small", "--out", "x")
    assert (ended.code, ended.err) == (0, "")
    listed = {line.split("  ")[0] for line in ended.out.splitlines()}
    assert listed
    assert all((desk.folder / name).is_file() for name in listed)
    manifest = desk.run("export", f"{job}/safety", "--out", "y", "--json")
    assert (manifest.code, manifest.err) == (0, "")
    assert {one["axis"] for one in manifest.json["sets"]} == {"safety"}
    assert {one["path"] for one in manifest.json["files"]} <= {
        str(path.relative_to(desk.folder / "y")) for path in (desk.folder / "y").rglob("*")
    }


def test_db_check_and_rebuild(desk: Desk, job: str) -> None:
    for verb in ("check", "rebuild"):
        ended = desk.run("db", verb)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines()[-1] == "equal"
        report = desk.run("db", verb, "--json")
        assert (report.code, report.err) == (0, "")
        assert report.json["tables"]["samples"] == {"journal": 6, "store": 6}
        assert report.json["problem"] == ""


def test_a_store_that_differs_is_bad_input_and_is_mended(desk: Desk, job: str) -> None:
    import duckdb

    with duckdb.connect(str(desk.folder / "outputs" / "small" / "store.duckdb")) as store:
        store.execute("DELETE FROM samples")
    ended = desk.run("db", "check")
    assert ended.code == 2
    assert "not equal: " in ended.out
    assert "rlaif db rebuild" in ended.sentence
    assert desk.run("db", "check", "--json").json["tables"]["samples"] == {"journal": 6, "store": 0}
    assert desk.run("db", "rebuild").code == 0
    assert desk.run("db", "check").code == 0


def test_sql(desk: Desk, job: str) -> None:
    ended = desk.run("db", "sql", "SELECT 'a' AS one, NULL AS two, 3 AS three")
    assert (ended.code, ended.err) == (0, "")
    head, _, row = ended.out.splitlines()
    assert (head.split(), row.split()) == (["one", "two", "three"], ["a", "3"])
    odd = "SELECT 'nan'::DOUBLE AS n, 'x'::BLOB AS b, DATE '2030-01-02' AS d, [1, 2] AS l, {'k': 1} AS s"
    assert desk.run("db", "sql", odd, "--json").json == [
        {"n": None, "b": "eA==", "d": "2030-01-02", "l": [1, 2], "s": {"k": 1}}
    ]
    assert desk.run("db", "sql", "SELECT id FROM jobs WHERE false", "--json").json == []
    assert "id" in desk.run("db", "sql", "SELECT id FROM jobs WHERE false").out


def test_doctor_names_keys_without_telling_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    for argv in (("doctor",), ("doctor", "--json")):
        ended = desk.run(*argv)
        assert (ended.code, ended.err) == (0, "")
        assert "canary" not in ended.out
    facts = desk.run("doctor", "--json").json
    assert facts["OPENAI_API_KEY"] == "set"
    assert facts["ANTHROPIC_API_KEY"] == "not set"
    assert facts["servers"].startswith("none configured")


# The command itself


def names() -> dict[str, set[str]]:
    """Verbs of the command, and of each of its groups."""
    command = typer.main.get_command(app)
    below = {name: set(one.commands) for name, one in command.commands.items() if hasattr(one, "commands")}  # type: ignore[attr-defined]
    return {"": set(command.commands), **below}  # type: ignore[attr-defined]


def test_every_command_in_the_readme_exists() -> None:
    blocks = "".join(re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
    typed = re.findall(r"^rlaif (\w+)(?: (\w+))?", blocks, re.MULTILINE)
    assert len(typed) >= 5
    commands = names()
    for verb, below in typed:
        assert verb in commands[""]
        assert verb not in commands or below in commands[verb]


def test_help_says_what_each_verb_does() -> None:
    commands = names()
    runner = typer.testing.CliRunner()
    for argv in [[*group.split(), verb] for group, verbs in commands.items() for verb in verbs]:
        done = runner.invoke(app, [*argv, "--help"])
        assert done.exit_code == 0
        assert len(done.stdout.splitlines()[2].split()) >= 3, argv


def test_every_verb_takes_json() -> None:
    command = typer.main.get_command(app)
    groups = [command, *(command.commands[name] for name in names() if name)]  # type: ignore[attr-defined]
    for name, one in ((name, one) for group in groups for name, one in group.commands.items()):
        flags = {flag for param in one.params for flag in param.opts}
        # A group has no output, a schema is JSON whoever asks, and a service has only its address to say.
        assert name in names() or name in ("schema", "serve", "gold-judge") or "--json" in flags, name


def test_an_encoding_that_lacks_a_letter_gets_an_escape(desk: Desk, job: str) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = spawn(desk.folder, "db", "sql", "SELECT 'Grüße' AS said", env=env)
    assert (ended.code, ended.err) == (0, "")
    assert "Gr\\xfc\\xdfe" in ended.out


def test_a_reader_that_goes_away_is_no_error(desk: Desk, job: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rlaif", "db", "sql", "SELECT repeat('x', 100) AS x FROM range(5000)"],
        cwd=desk.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() in (0, 1)


# Ends that are not completions


class Upstream(BaseHTTPRequestHandler):
    """Answers each request with the server's status, or not at all while it is None."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.set()  # type: ignore[attr-defined]
        status = self.server.status  # type: ignore[attr-defined]
        if status is None:
            self.server.over.wait(30)  # type: ignore[attr-defined]
            return
        body = json.dumps({"error": {"message": "no\x1b[2J such model"}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream(desk: Desk):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.status, server.asked, server.over = None, threading.Event(), threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (desk.folder / "rlaif.toml").write_text(
        f'[compatible.lab]\nbase_url = "http://127.0.0.1:{server.server_port}/v1"\n'
        "input_price = 0.0\noutput_price = 0.0\n"
    )
    yield server
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_a_job_that_cannot_go_on_is_exit_code_1(desk: Desk, upstream: ThreadingHTTPServer) -> None:
    upstream.status = 401  # type: ignore[attr-defined]
    ended = desk.run("run", desk.pipeline(prompts=2, policy="compatible:lab/x"), "--json")
    assert (ended.code, ended.out) == (1, "")
    job = re.search(r"rlaif resume (small-[0-9a-f]{10})", ended.sentence)
    assert job
    assert "\x1b" not in ended.err
    (row,) = desk.run("jobs", "--json").json
    assert (row["job_id"], row["state"]) == (job[1], "failed")
    assert f"{job[1]}: " in desk.run("jobs").out


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(desk: Desk, upstream: ThreadingHTTPServer) -> None:
    path = desk.pipeline(prompts=2, policy="compatible:lab/x")
    process = subprocess.Popen(
        [sys.executable, "-m", "rlaif", "run", path],
        cwd=desk.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert upstream.asked.wait(30)  # type: ignore[attr-defined]
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    last = err.splitlines()[-1]
    assert last.startswith("rlaif: stopped by a signal; nothing answered so far is lost")
    assert "Traceback" not in err
    job = last.split("rlaif resume ")[1].split()[0]
    (row,) = desk.run("jobs", "--json").json
    assert (row["job_id"], row["state"]) == (job, "interrupted")


def test_progress_off_a_terminal_is_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("rlaif.cli.progress.time.monotonic", lambda: now[0])
    with suppress(RuntimeError), Bars() as bars:
        bars.stage("sample", 2_000)
        for number in range(1_200):
            now[0] += 1 / 32
            bars.task(number != 0)
        bars.stage("judge safety", 10)
        bars.task(True)
        raise RuntimeError
    assert capsys.readouterr().err.splitlines() == [
        "sample: 320 of 2,000, 1 failed",
        "sample: 640 of 2,000, 1 failed",
        "sample: 960 of 2,000, 1 failed",
        "sample: 1,200 done, 1 failed",
        "judge safety: stopped at 1 of 10",
    ]
