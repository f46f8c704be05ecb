"""Files of the pages: what is served, and that what others wrote is what the manifest says."""

import hashlib
import json
import re
from importlib import resources

import pytest

from rlaif.service.web.bundle import file_name
from rlaif.service.web.lines import area, line
from rlaif.service.web.render import render
from rlaif.service.web.static import address, files
from rlaif.service.web.wording import money, short, size, span, when

STATIC = resources.files("rlaif.service.web") / "static"
TEMPLATES = resources.files("rlaif.service.web") / "templates"


def test_vendored_files_are_those_of_the_manifest():
    folder = STATIC / "vendor"
    packages = json.loads((folder / "manifest.json").read_text())["packages"]
    listed = {file["name"]: file["sha256"] for package in packages for file in package["files"]}
    found = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.iterdir()}
    del found["manifest.json"]
    assert found == listed
    assert {package["licence"] for package in packages} == {"0BSD", "MIT"}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", package["version"]) for package in packages)


def test_addresses_change_with_content():
    content, _ = files()["page.css"]
    assert address("page.css") == f"/static/page.css?v={hashlib.sha256(content).hexdigest()[:12]}"


def _texts(folder, ends: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in folder.iterdir():
        if one.is_dir() and one.name != "vendor":
            found.update(_texts(one, ends))
        elif one.name.endswith(ends):
            found[one.name] = one.read_text()
    return found


@pytest.mark.parametrize(("name", "text"), sorted(_texts(TEMPLATES, (".html",)).items()))
def test_templates_hold_nothing_the_policy_forbids(name: str, text: str):
    assert not re.search(r"<[^>{]*\sstyle\s*=", text)
    assert not re.search(r"<[^>{]*\son[a-z]+\s*=", text)
    assert not re.search(r"<style\b", text)
    scripts = re.findall(r"<script\b([^>]*)>", text)
    assert all(" src=" in one or 'type="application/json"' in one for one in scripts)
    assert not re.search(r"""<(?!a\b)[^>]*\s(?:src|href|action)\s*=\s*["']?(?:https?:)?//""", text)
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text


@pytest.mark.parametrize(("name", "text"), sorted(_texts(STATIC, (".css", ".js")).items()))
def test_own_files_name_no_other_origin(name: str, text: str):
    assert not re.search(r"https?://", text)
    assert "@import" not in text
    assert not re.search(r"\b(?:eval|Function)\(", text)


def test_every_part_of_the_frame_is_escaped():
    page = render("problem.html", {"problem": {"title": "<i>", "status": 1, "detail": '"><b>', "errors": []}})
    assert "<i>" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0, "0 s"), (3.25, "3.2 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"),
     (4320, "1 h 12 min"), (86_400 * 3 + 7_200, "3 d 2 h"), (86_401, "1 d")],
)  # fmt: skip
def test_span(seconds: float | None, words: str):
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("dollars", "words"),
    [(None, "–"), (0.0, "$0.00"), (1234.5, "$1,234.50"), (0.0123, "$0.01"), (0.00123, "$0.0012"),
     (2e-6, "$2.0e-06")],
)  # fmt: skip
def test_money(dollars: float | None, words: str):
    assert money(dollars) == words


@pytest.mark.parametrize(
    ("count", "words"), [(None, "–"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**31, "2.0 GiB")]
)
def test_size(count: int | None, words: str):
    assert size(count) == words


@pytest.mark.parametrize(
    ("given", "words"),
    [(None, "–"), ("2026-05-01T12:00:00.123+00:00", "2026-05-01 12:00:00 UTC"),
     ("2026-05-01T12:00:00+02:00", "2026-05-01 10:00:00 UTC"),
     ("2026-05-01T12:00:00", "2026-05-01 12:00:00 UTC"),
     ("yesterday", "yesterday")],
)  # fmt: skip
def test_when(given: str | None, words: str):
    assert when(given) == words


def test_short_keeps_one_line():
    assert short("one\n two\tthree") == "one two three"
    assert short("a" * 100, 10) == "a" * 9 + "…"


def test_line_spans_the_box_and_leaves_gaps():
    assert line([0, 1]) == "M0.00 29.00L100.00 1.00"
    assert line([2, None, 2, 2]) == "M0.00 1.00L8.33 1.00M66.67 1.00L100.00 1.00"
    assert line([]) == line([None]) == ""
    assert area([0, 1]) == "M0.00 30L0.00 29.00L100.00 1.00L100.00 30Z"


def test_line_below_zero_reaches_the_ground():
    assert line([-1, 1]) == "M0.00 29.00L100.00 1.00"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("/", "index.html"),
        ("/preferences", "preferences.html"),
        ("/jobs/a-0123456789", "jobs-a-0123456789.html"),
    ],
)
def test_file_names_of_plain_addresses(given: str, name: str):
    assert file_name(given) == name


def test_file_names_stay_in_the_folder_and_apart():
    odd = [
        "/a?x=1",
        "/a?x=2",
        "/../../etc/passwd",
        "/a/..%2f",
        "/" + "w" * 400,
        "/\x00",
        "/.",
        "/con",
        "//a",
        "/A/b c",
    ]
    names = [file_name(one) for one in odd]
    assert len(set(names)) == len(odd)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,120}", name)
        assert not name.startswith((".", "-"))
