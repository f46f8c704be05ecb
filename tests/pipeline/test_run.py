"""A whole pipeline with mock models: what it makes, and that running again changes nothing."""

import hashlib
import json
import math
from pathlib import Path

import pytest

from rlaif.errors import InputError, UnpricedError
from rlaif.pipeline import Options, Outcome, load_pipeline, opened, quote, run
from rlaif.pipeline.models import Models
from rlaif.providers.base import ModelSpec
from rlaif.providers.budget import Budget
from rlaif.providers.limits import Limits
from rlaif.records import Judgment, Preference, PreferenceSet, Prompt, Sample, TaskState
from rlaif.settings import Settings
from tests.pipeline.files import ROOT, write


class Silent:
    """Counts what a listener hears."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.tasks = 0

    def stage(self, name: str, total: int) -> None:
        self.stages.append((name, total))

    def task(self, ok: bool) -> None:
        assert ok
        self.tasks += 1


async def go(path: Path, out: Path, *overrides: str, **options: object) -> Outcome:
    loaded = load_pipeline(path, overrides)
    return await run(loaded, Options(folder=out, **options), Settings.load(), Silent())  # type: ignore[arg-type]


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every data file of an export."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".parquet", ".jsonl")
    }


async def test_makes_two_sets_whose_census_adds_up(tmp_path: Path) -> None:
    outcome = await go(write(tmp_path), tmp_path / "out")
    async with opened(tmp_path / "out") as workspace:
        store = workspace.store
        assert store.count(Prompt) == 5
        assert store.count(Sample) == 5 * 3
        assert store.count(Judgment) == 5 * math.comb(3, 2) * 2 * 2  # pairs x orders x axes
        sets = list(store.read(PreferenceSet))
        assert {one.axis for one in sets} == {"helpfulness", "safety"}
        for one in sets:
            assert one.pairs == sum(one.counts.values()) == 5 * math.comb(3, 2)
            made = list(store.read(Preference, '"set" = ?', [one.id]))
            assert len(made) == one.counts["preferred"] > 0
        texts = {one.id: one.response for one in store.read(Sample)}
        for pair in store.read(Preference):
            assert texts[pair.chosen_id] != texts[pair.rejected_id]
            assert pair.p > 0.5
    assert outcome.files["report"].is_file()
    assert json.loads((outcome.files["export"] / "manifest.json").read_text())


async def test_running_again_sends_nothing_and_exports_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path)
    first = await go(path, tmp_path / "out")
    before = hashes(first.files["export"])
    again = await go(path, tmp_path / "out")
    other = await go(path, tmp_path / "elsewhere")
    assert first.calls == 15 + 60
    assert again.calls == 0
    assert len(before) >= 4
    assert hashes(again.files["export"]) == before == hashes(other.files["export"])
    assert first.job_id == again.job_id == other.job_id


async def test_a_changed_setting_buys_only_what_changed(tmp_path: Path) -> None:
    path = write(tmp_path)
    first = await go(path, tmp_path / "out")
    more = await go(path, tmp_path / "out", "stages.0.policies.0.k=4")
    assert more.job_id != first.job_id
    assert more.calls == 5 + 5 * (math.comb(4, 2) - math.comb(3, 2)) * 2 * 2
    async with opened(tmp_path / "out") as workspace:
        states = list(workspace.store.read(TaskState, "job_id = ?", [more.job_id]))
    assert len(states) == 1 + 5 * 4 + 5 * math.comb(4, 2) * 2  # adopted tasks are the job's own


async def test_limits_do_not_change_the_job(tmp_path: Path) -> None:
    path = write(tmp_path)
    first = await go(path, tmp_path / "out")
    again = await go(path, tmp_path / "out", "limits.max=2")
    assert again.job_id == first.job_id


async def test_pointwise_scores_make_preferences_too(tmp_path: Path) -> None:
    path = write(tmp_path)
    outcome = await go(path, tmp_path / "out", "stages.1.judge.kind=pointwise")
    (counts,) = (one for name, one in outcome.sets.items() if name.endswith("/helpfulness"))
    assert sum(counts.values()) == 15
    assert counts["preferred"] > 0


async def test_one_order_marks_the_set(tmp_path: Path) -> None:
    path = write(tmp_path)
    await go(path, tmp_path / "out", "stages.1.judge.orders=one")
    async with opened(tmp_path / "out") as workspace:
        marks = {one.axis: one.both_orders for one in workspace.store.read(PreferenceSet)}
    assert marks == {"helpfulness": False, "safety": True}


async def test_resume_refuses_inputs_that_changed(tmp_path: Path) -> None:
    path = write(tmp_path)
    first = await go(path, tmp_path / "out")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Another one?"}\n')
    with pytest.raises(InputError, match="have changed"):
        await go(path, tmp_path / "out", expect_job=first.job_id)


async def test_an_unpriced_model_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    path = write(tmp_path, policy="openai:no-such-model-anywhere")
    with pytest.raises(UnpricedError, match="no price is known"):
        await go(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("kind: report", "kind: raport"), ("raport", "report")),
        (("name: small", "name: small\nname: twice"), ("name", "duplicate")),
        (("seed: 3", "sed: 3"), ("sed", "seed")),
        (("axis: safety\n  - kind: export", "axis: truth\n  - kind: export"), ("truth", "helpfulness")),
        (("k: 3", "k: 0"), ("k", "0")),
        (("mock:text", "nobody:text"), ("nobody", "openai")),
        (("schema_version: 1", "schema_version: 2"), ("schema_version", "2")),
    ],
)
def test_mistakes_are_named_with_their_line(
    tmp_path: Path, edit: tuple[str, str], words: tuple[str, ...]
) -> None:
    path = write(tmp_path)
    text = path.read_text()
    assert edit[0] in text
    path.write_text(text.replace(*edit))
    with pytest.raises(InputError) as caught:
        quote(load_pipeline(path), Settings.load(), allow_unpriced=False)
    message = str(caught.value)
    for word in words:
        assert word in message


def test_stages_need_what_comes_before_them(tmp_path: Path) -> None:
    path = write(tmp_path)
    text = path.read_text()
    start = text.index("  - kind: sample")
    end = text.index("  - kind: judge")
    path.write_text(text[:start] + text[end:])
    with pytest.raises(InputError, match=r"pipeline.yaml:\d+: stages.0: stage 'judge' needs a 'sample'"):
        load_pipeline(path)


@pytest.mark.parametrize("judge", ["stages.1.judge.kind=pointwise", "stages.1.judge.orders=one"])
def test_agreement_of_orders_needs_both(tmp_path: Path, judge: str) -> None:
    path = write(tmp_path)
    with pytest.raises(InputError, match="'consistent_only' needs a pairwise judge"):
        load_pipeline(path, [judge, "stages.3.pairing.consistent_only=true"])
    load_pipeline(path, ["stages.3.pairing.consistent_only=true"])


def test_a_judge_without_label_probabilities_is_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, judge="anthropic:claude-opus-5")
    with pytest.raises(
        InputError, match=r"stages.1: 'anthropic:claude-opus-5' gives no label prob.*verdict: text"
    ):
        load_pipeline(path)
    load_pipeline(path, ["stages.1.judge.verdict=text", "stages.2.judge.verdict=json"])


async def test_the_operators_bound_stands_over_the_pipelines(tmp_path: Path) -> None:
    def bounds(concurrency: int) -> tuple[int, int]:
        settings = Settings.load().model_copy(update={"concurrency": concurrency})
        made = Models(
            settings, None, job_id="j", budget=Budget(None), limits=Limits(start=20, max=100), prices={}
        )
        found = made._bounds(ModelSpec("mock", "text"))
        return found.start, found.max

    assert bounds(1024) == (20, 100)
    assert bounds(8) == (8, 8)


def test_another_question_is_another_job(tmp_path: Path) -> None:
    path = write(tmp_path)
    shipped = load_pipeline(path)
    words = (ROOT / "rlaif/judging/templates/pairwise_labels.txt").read_text()
    (tmp_path / "mine.txt").write_text(words.replace("better?", "best?"))
    named = load_pipeline(path, ["stages.1.judge.template=pairwise_labels"])
    other = load_pipeline(path, [f"stages.1.judge.template={tmp_path / 'mine.txt'}"])
    assert named.fingerprint == shipped.fingerprint != other.fingerprint
