"""The index of pairs: what is in it, when it is filled, and that nothing of it is taken on trust."""

import json
from pathlib import Path

import duckdb
import pytest

from rlaif.records import Preference, Sample
from rlaif.store import Store, Workspace
from tests import factory

WORLD = factory.world(prompts=12)
PAIRS = WORLD.of(Preference)


async def filled(folder: Path) -> Workspace:
    workspace = Workspace.open(folder)
    await workspace.commit([WORLD.job, *WORLD.records], job_id="j")
    await workspace.flush()
    return workspace


def index(store: Store) -> list[tuple[object, ...]]:
    """The index with its places read as what lies there."""
    with store._root.cursor() as cursor:
        return cursor.execute(
            """
            SELECT one.id, i."set", i.axis, i.judge, i.principle_id, i.margin, i.orders_differ,
                prompt.id, chosen.id, rejected.id, i.gap
            FROM pair_index AS i
            JOIN preferences AS one ON one.rowid = i.place
            JOIN prompts AS prompt ON prompt.rowid = i.prompt
            JOIN samples AS chosen ON chosen.rowid = i.chosen
            JOIN samples AS rejected ON rejected.rowid = i.rejected
            ORDER BY i.place
            """
        ).fetchall()


def expected(pairs: list[Preference]) -> list[tuple[object, ...]]:
    length = {one.id: len(one.response) for one in WORLD.of(Sample)}
    return [
        (
            one.id, one.set, one.axis, one.judge, one.principle_id, one.margin,
            any(p is not None and p <= 0.5 for p in (one.p_chosen_first, one.p_chosen_second)),
            one.prompt_id, one.chosen_id, one.rejected_id,
            abs(length[one.chosen_id] - length[one.rejected_id]),
        )
        for one in pairs
    ]  # fmt: skip


async def test_every_pair_is_in_it(tmp_path: Path) -> None:
    workspace = await filled(tmp_path)
    assert len(PAIRS) > 40
    assert {one.consistent for one in PAIRS} == {True, False}
    assert index(workspace.store) == expected(PAIRS)
    assert workspace.store.tallies["pair_index"].rows == len(PAIRS)
    assert workspace.store.census() == workspace.store.tallies
    await workspace.close()


async def test_pairs_come_in_many_commits(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    others = [one for one in WORLD.records if not isinstance(one, Preference)]
    await workspace.commit(others, job_id="j")
    for start in range(0, len(PAIRS), 7):
        await workspace.commit(PAIRS[start : start + 7], job_id="j")
        await workspace.flush()
    await workspace.commit(PAIRS[:9], job_id="j")  # known already
    await workspace.flush()
    assert index(workspace.store) == expected(PAIRS)
    await workspace.close()


async def test_what_a_crash_left_out_the_next_opening_puts_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Store, "index_pairs", lambda *_: None)
        workspace = await filled(tmp_path)
        assert index(workspace.store) == []
        await workspace.close()
    workspace = Workspace.open(tmp_path)
    assert index(workspace.store) == expected(PAIRS)
    await workspace.close()
    workspace = Workspace.open(tmp_path)
    assert workspace.store.census() == workspace.store.tallies
    await workspace.close()
    assert not list(tmp_path.glob("*.damaged-*"))


async def test_a_file_made_before_there_was_an_index_gets_one(tmp_path: Path) -> None:
    await (await filled(tmp_path)).close()
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        rows = connection.execute("SELECT rowid, tallies FROM applied").fetchall()
        for place, told in rows:
            kept = {name: tally for name, tally in json.loads(told).items() if name != "pair_index"}
            connection.execute(
                "UPDATE applied SET tallies = ? WHERE rowid = ?", [json.dumps(kept), place]
            ).fetchall()
        connection.execute("DROP TABLE pair_index").fetchall()
        connection.execute("DELETE FROM migrations WHERE version >= 8").fetchall()
    workspace = Workspace.open(tmp_path)
    assert index(workspace.store) == expected(PAIRS)
    await workspace.close()
    assert not list(tmp_path.glob("*.damaged-*"))


LIES = {
    "a row is missing": "DELETE FROM pair_index WHERE rowid = 3",
    "a place is wrong": "UPDATE pair_index SET chosen = rejected WHERE rowid = 3",
    "it is gone": "DROP TABLE pair_index",
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_index_that_lies_is_made_anew(tmp_path: Path, lie: str) -> None:
    await (await filled(tmp_path)).close()
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        connection.execute(LIES[lie]).fetchall()
    workspace = Workspace.open(tmp_path)
    assert index(workspace.store) == expected(PAIRS)
    await workspace.close()
    assert list(tmp_path.glob("*.damaged-*"))


async def test_texts_at_other_places_are_never_shown(tmp_path: Path) -> None:
    workspace = await filled(tmp_path)
    with workspace.store._root.cursor() as cursor:
        cursor.execute("UPDATE pair_index SET chosen = rejected WHERE rowid = 3")
    shown = workspace.store.query("pairs_at", places=[2, 3, 4], excerpt=100).to_pylist()
    assert [one["id"] for one in shown] == [PAIRS[2].id, PAIRS[4].id]
    await workspace.close()


async def test_one_transaction_after_another(tmp_path: Path) -> None:
    """The index and its tally come together: every row of `applied` says what is there."""
    workspace = await filled(tmp_path)
    await workspace.close()
    with duckdb.connect(str(tmp_path / "store.duckdb")) as connection:
        rows = connection.execute("SELECT tallies FROM applied ORDER BY rowid").fetchall()
    counted = [json.loads(told).get("pair_index", [0])[0] for (told,) in rows]
    assert counted == [0, len(PAIRS)]
