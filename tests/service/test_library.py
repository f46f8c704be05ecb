"""The library: names, versions that never change, and texts that can name no file of their own choosing."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlaif.constitution import load_constitution
from rlaif.errors import InputError
from rlaif.records import Document
from rlaif.service import library
from rlaif.service.problems import Problem
from tests import factory
from tests.authoring.judges import TEXT, colours
from tests.service.rooms import room

EXTENDING = "schema_version: 1\nid: mine\nextends: honesty.yaml\ntitle: Mine\n"


async def test_the_project_s_own_are_there_from_the_start(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "constitutions"
    async with room(tmp_path) as service:
        assert library.names(service) == sorted(path.stem for path in shipped.glob("*.yaml"))
        assert library.find(service, "honesty") == load_constitution(shipped / "honesty.yaml")
        (only,) = library.versions(service, "honesty")
        assert (only.origin, only.number, only.sets) == ("bundled", 1, 0)


async def test_every_save_is_a_version_and_none_is_ever_changed(tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        first = await library.save(service, "colours", TEXT)
        changed = TEXT.replace("Prefers red.", "Prefers green.")
        second = await library.save(service, "colours", changed, first.id)
        again = await library.save(service, "colours", changed)
        assert again.id == second.id != first.id
        newest, oldest = library.versions(service, "colours")
        assert (newest.id, newest.number, oldest.id, oldest.number) == (second.id, 2, first.id, 1)
        assert library.text_of(service, first.id) == TEXT
        assert library.find(service, "colours").principles[0].text == "Prefers green."
        assert library.find(service, oldest.digest).principles[0].text == "Prefers red."


async def test_a_saved_version_is_there_after_a_restart(tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        await library.save(service, "colours", TEXT)
    async with room(tmp_path) as service:
        assert library.text_of(service, "colours") == TEXT


async def test_line_ends_of_a_form_make_no_version(tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        one = await library.save(service, "colours", TEXT)
        assert (await library.save(service, "colours", TEXT.replace("\n", "\r\n"))).id == one.id


async def test_saving_over_somebody_else_s_version_is_a_conflict(tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        first = await library.save(service, "colours", TEXT)
        await library.save(service, "colours", TEXT.replace("red.", "black."), first.id)
        with pytest.raises(Problem, match="version 2 of 'colours' was saved meanwhile") as caught:
            await library.save(service, "colours", TEXT.replace("red.", "grey."), first.id)
        assert caught.value.status == 409
        assert len(library.versions(service, "colours")) == 2


@pytest.mark.parametrize(
    ("name", "text", "field", "line"),
    [
        ("Colours", TEXT.replace("id: colours", "id: Colours"), "name", None),
        ("../up", TEXT, "name", None),
        ("other", TEXT, "text.id", 2),
        ("colours", TEXT.replace("axis: colours", "axiss: colours"), "axiss", 3),
        ("colours", TEXT.replace("expect: tie", "expect: neither", 1), "cases.2.expect", 17),
        ("colours", "a: [", "text", 1),
    ],
)
async def test_what_is_refused_names_its_line(
    name: str, text: str, field: str, line: int | None, tmp_path: Path
) -> None:
    async with room(tmp_path) as service:
        with pytest.raises(Problem) as caught:
            await library.save(service, name, text)
        assert caught.value.status == 422
        assert (field, line) in {(one.field, one.line) for one in caught.value.errors}
        assert not list(service.workspace.store.read(Document))


def test_each_fault_of_the_schema_stands_at_its_own_line() -> None:
    text = TEXT.replace("axis: colours", "axiss: colours").replace("low: 1\n", "low: one\n")
    found = {(one.line, one.field) for one in library.lint(text).findings}
    assert {(3, "axiss"), (11, "rubric.low")} <= found


def test_an_escaped_key_extends_nothing_else_either() -> None:
    (finding,) = library.lint('schema_version: 1\nid: mine\n"\\x65xtends": /etc/passwd\n').findings
    assert finding.message.startswith("found '/etc/passwd'; allowed: ")


@pytest.mark.parametrize(
    "named", ["../../etc/passwd", "/etc/passwd", "colours.yaml", "_draft.yaml", "honesty", "~/x.yaml"]
)
def test_a_text_extends_only_what_comes_with_the_project(named: str) -> None:
    (finding,) = library.lint(f"schema_version: 1\nid: mine\nextends: {named!r}\n").findings
    assert (finding.severity, finding.line, finding.field) == ("error", 3, "extends")
    assert "allowed: helpfulness.yaml" in finding.message


async def test_a_file_of_an_extending_version_stands_alone(tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        made = await library.save(service, "mine", EXTENDING)
        path = library.path_of(service, "mine")
        assert path.parent.parent == service.folder
        assert load_constitution(path) == library.find(service, made.id)
        assert len(load_constitution(path).principles) == len(library.find(service, "honesty").principles)
        plain = await library.save(service, "colours", TEXT)
        assert library.path_of(service, plain.id).read_text() == TEXT


async def test_what_sets_were_judged_by_is_a_version_and_is_counted(tmp_path: Path) -> None:
    used = colours(tmp_path)
    made = factory.preference_set(constitution=used.digest)
    async with room(tmp_path, [used.document(), made]) as service:
        (only,) = library.versions(service, "colours")
        assert (only.origin, only.sets, only.digest) == ("judged", 1, used.digest)
        shown = library.find(service, "colours")
        assert (shown.principles, shown.cases) == (used.principles, ())
        await library.save(service, "colours", TEXT)
        (saved,) = library.versions(service, "colours")
        assert (saved.origin, saved.sets) == ("saved", 1), "the same words: the set's own version"


async def test_a_document_of_another_form_hides_nothing(tmp_path: Path) -> None:
    async with room(tmp_path, factory.world(prompts=3).records) as service:
        assert "honesty" in library.names(service)


async def test_an_unknown_name_says_which_there_are(tmp_path: Path) -> None:
    async with room(tmp_path) as service:
        with pytest.raises(InputError, match="no constitution 'nobody'; allowed: helpfulness, "):
            library.find(service, "nobody")
