"""Text of models and files on a terminal: nothing of it is obeyed, hidden or taken for a line of ours."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from rlaif.errors import plain
from rlaif.records import RECORDS, JobEvent, TaskState
from rlaif.store import Workspace
from tests.cli.terminal import Desk

PACKAGE = Path(__file__).parents[2] / "rlaif"

PAYLOADS = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear screen": "\x1b[2J\x1b[H",
    "cursor up": "\x1b[1A\x1b[2Kgone",
    "alternate screen": "\x1b[?1049h",
    "mouse on": "\x1b[?1003h",
    "conceal": "\x1b[8mhidden\x1b[28m",
    "report position": "\x1b[6n",
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "hyperlink": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "iterm file": "\x1b]1337;File=name=eA==;inline=1:AAAA\x07",
    "device control": "\x1bP+q544e\x1b\\",
    "application command": "\x1b_Gi=1;AAAA\x1b\\",
    "privacy message": "\x1b^x\x1b\\",
    "reset": "\x1bc",
    "one-byte CSI": "\x9b31m",
    "one-byte OSC": "\x9d0;owned\x9c",
    "next line": "a\x85FORGED",
    "line separator": "a\u2028FORGED",
    "paragraph separator": "a\u2029FORGED",
    "newline": "a\nFORGED",
    "carriage return": "a\rFORGED",
    "both": "a\r\nFORGED",
    "vertical tab": "a\x0bFORGED",
    "form feed": "a\x0cFORGED",
    "file separator": "a\x1cFORGED",
    "backspaces": "safe\b\b\b\bevil",
    "bell": "\x07\x07",
    "delete": "a\x7fb",
    "shift out": "\x0e lqqk \x0f",
    "right-to-left override": "\u202egpj.exe",
    "isolate": "\u2067abc\u2069",
    "embedding": "\u202babc\u202c",
    "zero-width space": "ad\u200bmin",
    "zero-width joiner": "ad\u200dmin",
    "byte-order mark": "ad\ufeffmin",
    "word joiner": "ad\u2060min",
    "soft hyphen": "ad\u00admin",
    "tag letters": "ok\U000e0041\U000e0042",
    "hangul filler": "a\u3164b",
    "blank braille": "a\u2800b",
    "private use": "\ue000",
    "noncharacter": "\ufffe",
    "rich markup": "[bold red]x[/bold red] [link=http://evil.example]y[/link]",
    "table art": "│ forged │\n└────────┘",
}
SHAPELESS = set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def raw(text: str) -> set[str]:
    """Characters of an output that a terminal would obey or hide."""
    hidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return {one for one in text if (one != "\n" and unicodedata.category(one) in hidden) or one in SHAPELESS}


def forged(text: str) -> list[str]:
    """Lines that begin with what a payload says; further in, it is a column's cell that was folded."""
    return re.findall(r"^ {0,8}(?:FORGED|└────────┘).*", text, re.MULTILINE)


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_is_shown_on_one_line_and_not_obeyed(name: str) -> None:
    shown = plain(PAYLOADS[name])
    assert raw(shown) == set()
    assert "\n" not in shown


def test_harmless_text_is_shown_as_it_is() -> None:
    for text in ("", "plain", "Grüße, 世界 🙂", "no\u00a0break", "ideographic\u3000space", "e\u0301"):
        assert plain(text) == text


def test_every_character_is_either_harmless_or_escaped() -> None:
    for number in range(sys.maxunicode + 1):
        shown = plain(chr(number))
        assert raw(shown) == set()
        assert shown == chr(number) or shown.isascii()


@pytest.fixture
def poisoned(desk: Desk) -> dict[str, str]:
    """A finished job whose prompts, responses and notes are payloads; an id of every kind of record."""
    path = Path(desk.pipeline())
    rows = [
        {"prompt": f"{name}: {one}", "source": one, "mine": {one: one}, "id": one}
        for name, one in PAYLOADS.items()
    ]
    (path.parent / "prompts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    text = path.read_text().replace(
        '{model: "mock:text", k: 3, params: {max_tokens: 40}}',
        '{model: "mock:echo", k: 1, params: {max_tokens: 1000}}\n      - {model: "mock:text", k: 1}',
    )
    path.write_text(text)
    job = desk.run("run", str(path), "--json").json["job_id"]
    asyncio.run(_poison(desk.folder / "outputs" / "small", job))
    ids = {"job": job, "set": f"{job}/safety"}
    for kind in ("preferences", "judgments", "samples", "prompts", "sets", "rankings", "completions"):
        (row,) = desk.run("db", "sql", f"SELECT id FROM {kind} ORDER BY id LIMIT 1", "--json").json
        ids[kind] = row["id"]
    for kind in ("documents", "tasks", "job_events"):
        (row,) = desk.run("db", "sql", f"SELECT id FROM {kind} ORDER BY rowid DESC LIMIT 1", "--json").json
        ids[kind] = row["id"]
    (row,) = desk.run("db", "sql", "SELECT request_key AS id FROM judgments LIMIT 1", "--json").json
    ids["call"] = row["id"]
    return ids


async def _poison(folder: Path, job: str) -> None:
    """Let providers have said payloads: they come back as reasons and notes."""
    workspace = Workspace.open(folder)
    every = " ".join(PAYLOADS.values())
    failed = [
        TaskState.make(job_id=job, task_id=f"task_{number}", stage="sample", state="failed", reason=one)
        for number, one in enumerate(PAYLOADS.values())
    ]
    event = JobEvent.make(job_id=job, state="failed", at="2030-01-01T00:00:00", note=every)
    await workspace.commit([*failed, event], job_id=job)
    await workspace.close()


TABLES = (
    "SELECT * FROM prompts",
    "SELECT * FROM samples",
    "SELECT * FROM pairs",
    "SELECT response FROM samples",
    "SELECT reason FROM tasks",
    "SELECT * FROM job_states",
    "SELECT chr(27) || '[2J' AS \"a\x1b[2Jb\", 'x'::BLOB AS b, [chr(7)] AS c, {'k': chr(8)} AS d",
    "EXPLAIN SELECT chr(27) || response FROM samples",
)


def test_every_table_and_outline_is_safe(desk: Desk, poisoned: dict[str, str]) -> None:
    commands = [("jobs",), ("doctor",), ("db", "check"), ("run", "in/pipeline.yaml")]
    commands += [("show", id) for id in poisoned.values()]
    commands += [("db", "sql", query) for query in TABLES]
    commands += [("export", "small", "--out", "ex\x1b[2Jport", "--accept-flags")]
    for argv in commands:
        ended = desk.run(*argv)
        assert ended.code == 0, ended.err
        assert ended.out
        for text in (ended.out, ended.err):
            assert raw(text) == set(), argv
            assert forged(text) == [], argv


def test_every_record_is_shown_safely(desk: Desk, poisoned: dict[str, str]) -> None:
    async def every() -> list[str]:
        workspace = Workspace.open(desk.folder / "outputs" / "small")
        ids = [one.id for model in RECORDS for one in workspace.store.read(model)]
        await workspace.close()
        return ids

    ids = asyncio.run(every())
    for id in ids[:: max(1, len(ids) // 60)]:
        ended = desk.run("show", id)
        assert ended.code == 0, (id, ended.err)
        assert raw(ended.out + ended.err) == set(), id
        assert forged(ended.out + ended.err) == [], id


def test_json_is_faithful(desk: Desk, poisoned: dict[str, str]) -> None:
    rows = desk.run("db", "sql", "SELECT id, messages, source FROM prompts", "--json").json
    said = {row["id"]: json.loads(row["messages"])[0]["content"] for row in rows}
    wanted = {f"{name}: {one}" for name, one in PAYLOADS.items()}
    assert set(said.values()) == wanted
    for id, content in list(said.items())[::6]:
        tree = desk.run("show", id, "--json").json
        assert tree["messages"] == [{"role": "user", "content": content}]
        echoed = {one["response"] for one in tree["samples"]}
        assert content in echoed
    out = desk.run("jobs", "--json").out
    assert out.isascii()
    assert json.loads(out)[0]["note"] == " ".join(PAYLOADS.values())


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_complaint_is_one_safe_line(name: str, desk: Desk) -> None:
    payload = PAYLOADS[name].replace("/", "")
    path = desk.pipeline(prompts=1)
    for argv in (
        ("run", path, f"prompts.limit={payload}"),
        ("run", path, f"{payload}=1"),
        ("run", path, f"prompts.path={payload}.jsonl"),
        ("run", f"{payload}.yaml"),
        ("show", payload, "--store", payload),
    ):
        ended = desk.run(*argv)
        assert ended.code == 2
        assert ended.sentence
        assert raw(ended.err) == set()
        assert ended.out == ""


def test_on_a_terminal(desk: Desk, poisoned: dict[str, str]) -> None:
    ours = re.compile(r"\x1b\[[0-9;]*m")  # the colours and weights that tables are drawn in
    for argv in (("jobs",), ("show", poisoned["preferences"]), ("db", "sql", TABLES[1])):
        shown = on_terminal(desk.folder, *argv)
        assert "\x1b[31m" not in shown
        assert raw(ours.sub("", shown).replace("\r\n", "\n")) == set()


def test_jobs_fit_80_columns(desk: Desk) -> None:
    path = desk.pipeline(prompts=2)
    job = desk.run("run", path, "--json").json["job_id"]
    lines = on_terminal(desk.folder, "jobs").replace("\r\n", "\n").splitlines()
    (row,) = (line for line in lines if job in line)
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 80 for line in lines)
    for cell in ("completed", "0.0000"):
        assert cell in row


def on_terminal(folder: Path, *argv: str) -> str:
    """Run the command with a terminal of 80 columns for its stdout, and return what it was sent."""
    ours, its = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "rlaif", *argv], cwd=folder, env=env, stdout=its, stderr=subprocess.STDOUT
    )
    os.close(its)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # how Linux says that the other side has closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return said.decode()


WRITERS = {"cli/console.py", "errors.py"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_exits_print(path: Path) -> None:
    if str(path.relative_to(PACKAGE)) in WRITERS:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "pprint", "input", "typer.echo", "typer.secho"), called
            assert not re.fullmatch(r"sys\.(__)?(stdout|stderr)(__)?(\.buffer)?\.write(lines)?", called), (
                called
            )
