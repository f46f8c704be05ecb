import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings

from rlaif.errors import StoreError
from rlaif.journal import START, Position
from rlaif.records import RECORDS, Fact, Job, JobEvent, Preference, Prompt, Sample, TaskState
from rlaif.store import Store
from rlaif.store.database import DamagedError, Tally
from rlaif.store.tables import tables
from tests.store.facts import any_facts, job, preference, prompt, sample, task


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "store.duckdb")
    yield store
    store.close()


def at(number: int) -> Position:
    return Position(1, number, number)


def add(store: Store, *records: Fact) -> None:
    store.apply([(at(store.position.offset + 1), records)])


def columns(path: Path) -> dict[str, list[tuple[str, str]]]:
    with duckdb.connect(str(path)) as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        ).fetchall()
    found: dict[str, list[tuple[str, str]]] = {}
    for name, column, kind in rows:
        found.setdefault(name, []).append((column, kind))
    return found


def test_migrations_make_a_column_of_every_field(store: Store) -> None:
    store.close()
    found = columns(store.path)
    for one in tables():
        assert found[one.name] == [(column.name, column.sql) for column in one.columns]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_facts())
def test_what_goes_in_comes_out(store: Store, records: list[Fact]) -> None:
    add(store, *records)
    for record in records:
        assert store.find(record.id) == record


def test_all_comes_back_after_reopening(tmp_path: Path) -> None:
    records = [prompt("a\0b \U0010ffff"), sample("pr_1", ""), task("t", outputs=()), job(seed=2**63 - 1)]
    store = Store.open(tmp_path / "s")
    add(store, *records)
    store.close()
    store = Store.open(tmp_path / "s")
    assert [store.find(one.id) for one in records] == records
    assert store.position == at(1)
    assert store.census() == store.tallies
    assert {name: tally.rows for name, tally in store.tallies.items()} == {
        "prompts": 1, "samples": 1, "tasks": 1, "jobs": 1,
    }  # fmt: skip
    store.close()


def test_an_id_is_added_once_and_the_first_stays(store: Store) -> None:
    first, second = preference(1), preference(1).model_copy(update={"p": 0.99})
    add(store, first, second)
    add(store, second, preference(2))
    add(store, first)
    assert list(store.read(Preference)) == [first, preference(2)]
    assert store.count(Preference) == 2
    assert store.tallies["preferences"].rows == 2
    assert store.census() == store.tallies


def test_rows_lie_in_the_order_they_were_committed(store: Store) -> None:
    # Few new rows against many old ones: the join that keeps ids distinct would then shuffle the new.
    old = [preference(number) for number in range(30_000)]
    new = [preference(30_000 + 5 * number % 1_001) for number in range(1_001)]
    add(store, *old)
    add(store, *(one for pair in zip(new, old, strict=False) for one in pair))
    found = [one.id for one in store.read(Preference, order="rowid")]
    assert found == [one.id for one in old + new]


def test_a_failed_apply_adds_nothing(store: Store) -> None:
    add(store, prompt("one"))
    before = store.tallies
    with pytest.raises(OverflowError):
        store.apply([(at(9), [prompt("two"), sample("pr_1", "x"), job(seed=2**63)])])
    assert [store.count(model) for model in RECORDS] == [int(model is Prompt) for model in RECORDS]
    assert (store.position, store.tallies) == (at(1), before)
    add(store, prompt("two"))
    assert store.count(Prompt) == 2


@pytest.mark.parametrize("position", [at(5), at(4), START, Position(0, 99, 0)])
def test_commits_out_of_order_are_refused(store: Store, position: Position) -> None:
    store.apply([(at(5), [prompt("one")])])
    with pytest.raises(StoreError, match="out of order"):
        store.apply([(position, [prompt("two")])])
    assert store.count(Prompt) == 1


def test_read_filters_binds_and_orders(store: Store) -> None:
    samples = [sample("pr_1", "b", 0), sample("pr_1", "a", 1), sample("pr_2", "c", 2)]
    add(store, *samples)
    found = store.read(
        Sample, "prompt_id = ? AND response <> ?", ["pr_1", "'; DROP TABLE samples; --"], "response"
    )
    assert [one.response for one in found] == ["a", "b"]
    assert [one.id for one in store.read(Sample)] == sorted(one.id for one in samples)


def test_a_read_sees_one_moment(store: Store) -> None:
    add(store, *map(preference, range(25_000)))
    reading = store.read(Preference)
    assert next(reading) == preference(0)
    add(store, *map(preference, range(25_000, 25_010)))
    assert sum(1 for _ in reading) == 24_999
    assert store.count(Preference) == 25_010


def test_reads_beside_the_writer_from_other_threads(store: Store) -> None:
    counts: list[list[int]] = [[], []]
    done = threading.Event()

    def reader(seen: list[int]) -> None:
        while not done.is_set():
            seen.append(len(list(store.read(Prompt))))

    threads = [threading.Thread(target=reader, args=(seen,)) for seen in counts]
    for one in threads:
        one.start()
    for number in range(40):
        add(store, prompt(f"{number} a"), prompt(f"{number} b"))
    done.set()
    for one in threads:
        one.join()
    for seen in counts:
        assert seen == sorted(seen)  # nothing seen is ever unseen
        assert all(count % 2 == 0 for count in seen)  # and no half of a commit


def test_closing_ends_reads_that_were_left_open(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s")
    add(store, *map(preference, range(20_000)))
    left = store.read(Preference)
    next(left)
    store.close()
    store.close()
    assert not (tmp_path / "s.wal").exists()
    Store.open(tmp_path / "s").close()


def test_find_knows_ids_without_a_known_prefix(store: Store) -> None:
    add(store, job("pf_looks-like-a-preference"), prompt("x"))
    assert store.find("pf_looks-like-a-preference") == job("pf_looks-like-a-preference")
    assert store.find("pr_none") is None


def test_a_store_from_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    Store.open(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO migrations VALUES (99, '0099_future.sql')").fetchall()
    with pytest.raises(
        StoreError, match=r"schema 99, and this rlaif knows schemas up to \d+; upgrade: pip"
    ) as raised:
        Store.open(path)
    assert not isinstance(raised.value, DamagedError)


def test_checksums_of_another_duckdb_are_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    store = Store.open(path)
    add(store, prompt("x"))
    store.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE applied SET library = '1.5.0'").fetchall()
    with pytest.raises(DamagedError, match=r"checksums are those of DuckDB 1\.5\.0"):
        Store.open(path)


@pytest.mark.parametrize("content", [b"not a database", b"\0" * 12288, b"DUCK" * 9000])
def test_what_is_no_database_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(DamagedError, match="run: rlaif db rebuild"):
        Store.open(tmp_path / "s")


def test_a_store_held_by_another_process_names_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    Store.open(path).close()
    code = f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(StoreError, match=rf"already in use by process {other.pid}; wait") as raised:
        Store.open(path)
    assert not isinstance(raised.value, DamagedError)
    other.communicate(b"\n")


def test_a_mistake_in_our_own_sql_stays_a_bug(store: Store) -> None:
    with pytest.raises(duckdb.BinderException):
        list(store.read(Prompt, "no_such_column = 1"))


def test_done_stands_over_failed_and_the_newest_failure_counts(store: Store) -> None:
    add(store, task("a", "failed", "one"), task("b", "failed", "one"), task("c", outputs=("x", "y")))
    add(store, task("a", outputs=("z",)), task("b", "failed", "zwei"))
    add(store, task("a", "failed", "late"), task("b", "failed", "drei"))
    other = TaskState.make(job_id="j-2", task_id="d", stage="judge", state="done")
    add(store, other)
    assert store.query("task_census", job_id="j-1").to_pylist() == [
        {"stage": "sample", "state": "done", "reason": "", "tasks": 2},
        {"stage": "sample", "state": "failed", "reason": "drei", "tasks": 1},
    ]
    assert store.query("task_census", job_id="none").num_rows == 0
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        found = connection.execute("SELECT task_id, state, reason, outputs FROM task_states ORDER BY task_id")
        assert found.fetchall() == [
            ("a", "done", "", ["z"]),
            ("b", "failed", "drei", []),
            ("c", "done", "", ["x", "y"]),
            ("d", "done", "", []),
        ]


def test_a_job_stands_as_its_newest_event_says(store: Store) -> None:
    def event(state: str, at: str, note: str = "") -> JobEvent:
        return JobEvent.make(job_id="j-1", state=state, at=at, note=note)

    add(store, job("j-1"), job("j-2"), event("running", "2026-11-01T10:00:00Z"))
    # A clock set back between two runs does not make the older event the newer one.
    add(store, event("interrupted", "2026-11-01T09:00:00Z", "signal"))
    first, second = store.query("jobs").to_pylist()
    assert first == {
        "job_id": "j-1", "name": "demo", "state": "interrupted", "started_at": "2026-11-01T09:00:00Z",
        "changed_at": "2026-11-01T09:00:00Z", "note": "signal",
    }  # fmt: skip
    assert (second["job_id"], second["state"], second["started_at"]) == ("j-2", "planned", None)
    assert store.count(Job) == 2


def test_pairs_show_the_text(store: Store) -> None:
    asked = prompt('say "hi"\n')
    good, bad = sample(asked.id, "hi", 0), sample(asked.id, "no", 1)
    pair = preference(1).model_copy(
        update={"prompt_id": asked.id, "chosen_id": good.id, "rejected_id": bad.id, "set": "st_gone"}
    )
    add(store, asked, good, bad, pair)
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        rows = connection.execute("SELECT prompt, chosen, rejected, margin, set_name FROM pairs").fetchall()
    assert rows == [('say "hi"\n', "hi", "no", "slight", None)]


def test_tallies_do_not_depend_on_order_or_grouping(tmp_path: Path) -> None:
    one, two = Store.open(tmp_path / "1"), Store.open(tmp_path / "2")
    add(one, *map(preference, range(100)))
    for number in reversed(range(100)):
        add(two, preference(number))
    assert one.tallies == two.tallies
    assert one.tallies["preferences"].rows == 100
    add(two, preference(100))
    assert one.tallies["preferences"] != two.tallies["preferences"]
    assert Tally() not in two.tallies.values()
    one.close()
    two.close()
