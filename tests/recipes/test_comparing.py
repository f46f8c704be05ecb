"""Methods side by side: wins, raw and at equal length, best of n by weights, the judge, costs, the page."""

import html
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from rlaif.errors import InputError
from rlaif.iterations.records import Opinion
from rlaif.judging.fences import neutralise
from rlaif.lab.gold_judge import GoldJudge, Temper
from rlaif.lab.worlds import World
from rlaif.recipes import contest, load_recipe, run_recipe
from rlaif.recipes.comparing import won
from rlaif.recipes.entries import ancestors, shares
from rlaif.recipes.folder import Done
from rlaif.recipes.measuring import Rate
from rlaif.recipes.table import Cost, Method, Table, Wins
from rlaif.store import read_sheet
from tests.cli.terminal import Desk
from tests.recipes import speaking

ROOT = Path(__file__).parents[2]
FILE = ROOT / "pipelines/lab_compare.yaml"
NAMES = ["sft", "ppo", "dpo", "ipo", "kto", "cpl", "best of 8 of sft"]


def row(prompt: str, gold: float | None, proxy: float | None = None) -> dict[str, Any]:
    return {"prompt": prompt, "gold": gold, "proxy": proxy}


# Weights and wins by hand


def test_best_of_two_of_four_weighs_them_by_rank() -> None:
    rows = [row("x", 1.0, 0.3), row("x", 2.0, 0.9), row("x", 3.0, 0.1), row("x", 4.0, 0.5)]
    assert shares(rows, 2) == pytest.approx({0: 1 / 6, 3: 1 / 3, 1: 1 / 2})  # the worst is never the best
    assert shares(rows, 4) == {1: 1.0}
    assert shares(rows, 1) == pytest.approx(dict.fromkeys(range(4), 0.25))


def test_what_has_no_score_counts_nothing() -> None:
    rows = [row("x", 1.0, None), row("x", 2.0, 0.5), row("y", None, 1.0), row("x", 3.0, 0.7)]
    assert shares(rows, 2) == {3: 1.0}
    assert shares(rows, 1) == pytest.approx({0: 1 / 3, 1: 1 / 3, 3: 1 / 3})
    assert shares(rows, 3) == {}


def test_equal_scores_share_what_is_theirs() -> None:
    rows = [row("x", 1.0, 0.5), row("x", 2.0, 0.5), row("x", 3.0, 0.1)]
    assert shares(rows, 2) == pytest.approx({0: 0.5, 1: 0.5})
    assert shares(rows, 3) == pytest.approx({0: 0.5, 1: 0.5})


def test_wins_are_counted_by_prompt_with_ties_half() -> None:
    gaps = {"a": 0.5, "b": -1.0, "c": 0.0, "d": 2.0}
    found = won(gaps, dict.fromkeys(gaps, 0.0))
    assert found is not None
    assert found.raw.mean == 2.5 / 4
    assert found.even is None  # all equally long: nothing to hold equal
    z, p, n = 1.959963984540054, 0.625, 4
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (found.raw.low, found.raw.high) == pytest.approx(
        ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)), abs=1e-6
    )
    assert won({}, {}) is None


def test_wins_that_are_all_length_are_marked() -> None:
    """Every win is where the response is longer by half; where it is not, it loses as often as it wins."""
    gaps, longer = {}, {}
    for at in range(200):
        more = at % 4 != 0
        longer[str(at)] = 0.5 if more else 0.0
        gaps[str(at)] = 1.0 if (more and at % 16 != 1) or at % 8 == 0 else -1.0
    found = won(gaps, longer)
    assert found is not None
    assert found.raw.low > 0.5
    assert found.even is not None
    assert found.even.mean == pytest.approx(0.5, abs=0.02)  # half of those that are equally long
    assert found.only_longer
    same = won(gaps, {key: (0.1 if int(key) % 2 else -0.1) for key in gaps})
    assert same is not None
    assert not same.only_longer


def test_what_made_a_step_is_found_through_its_inputs() -> None:
    def done(name: str, *inputs: str) -> Done:
        told = dict.fromkeys(inputs, "d")
        return Done(name=name, work="rows", digest="d", inputs=told, folder="f")

    steps = {"a": done("a"), "b": done("b", "@a/train", "smollm"), "c": done("c", "local:@b"), "d": done("d")}
    assert ancestors(["c"], steps) == {"a", "b", "c"}
    assert ancestors(["d", "nobody"], steps) == {"d"}


# The shipped file, with a tiny model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Table]:
    home = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.delenv("RLAIF_CONFIG", raising=False)
        speaking.saved(home / "speaking")
        outcome = run_recipe(load_recipe(FILE, ["values.model=speaking"]))
        [step] = [one for one in outcome.steps if one.work == "compare"]
    folder = home / outcome.folder / step.folder
    return folder, Table.model_validate_json((folder / "table.json").read_bytes())


def responses(folder: Path, step: str, at: int) -> list[dict[str, Any]]:
    [path] = folder.parent.glob(f"*-{step}-*/responses-{at}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_method_has_its_row(made: tuple[Path, Table]) -> None:
    _, table = made
    assert [one.name for one in table.rows] == NAMES
    assert table.start.wins is None
    assert table.start.kl == 0.0
    assert (table.prompts, table.seed, table.size) == (8, 0, "toy")
    best = table.rows[-1]
    assert best.kl == pytest.approx(math.log(8) - 7 / 8)
    assert best.kl_k3 is None
    assert [one.cost.draws for one in table.rows] == [1, 1, 1, 1, 1, 1, 8]
    assert table.common.calls > 0
    assert all(one.cost.calls == 0 for one in table.rows)
    assert table.rows[1].cost.seconds > table.rows[2].cost.seconds > 0.0  # a reward model comes before ppo


def test_gold_of_best_of_8_is_that_of_the_highest_proxy(made: tuple[Path, Table]) -> None:
    folder, table = made
    drawn: dict[str, list[dict[str, Any]]] = {}
    for one in responses(folder, "chosen", 0):
        drawn.setdefault(json.dumps(one["prompt"]), []).append(one)
    due = [max(some, key=lambda one: one["proxy"])["gold"] for some in drawn.values()]
    assert len(due) == 8
    assert table.rows[-1].gold.mean == pytest.approx(sum(due) / 8)


def test_the_second_judge_says_what_it_was_set_to(made: tuple[Path, Table]) -> None:
    folder, table = made
    world, judge = World.drawn("cover", 0), Temper(sharpness=1.5, slot_bias=0.5, noise=0.5)
    answers = GoldJudge(world, judge, 1)
    first, second = responses(folder, "measured", 0), responses(folder, "measured", 5)
    wins = 0.0
    for one, other in zip(second, first, strict=True):
        mine, its = (neutralise(each["completion"], "no token") for each in (one, other))  # as it is fenced
        prompt = one["prompt"] if isinstance(one["prompt"], str) else one["prompt"][-1]["content"]
        if mine.strip() == its.strip():
            wins += 0.5
            continue
        p = (answers.probability(prompt, mine, its) + 1.0 - answers.probability(prompt, its, mine)) / 2
        wins += 0.5 if abs(p - 0.5) < 1e-9 else float(p > 0.5)
    cpl = table.rows[5]
    assert cpl.judged is not None
    assert cpl.judged.raw.mean == pytest.approx(wins / 8)
    assert table.judge == "compatible:world_second/gold"
    assert table.judge_calls > 0


def test_the_table_is_to_be_queried(made: tuple[Path, Table]) -> None:
    folder, table = made
    rows = read_sheet(folder / "lab.duckdb", "methods").to_pylist()
    assert [one["method"] for one in rows] == NAMES
    assert rows[1]["gold"] == table.rows[1].gold.mean
    assert rows[1]["wins_mean"] == table.rows[1].wins.raw.mean  # type: ignore[union-attr]
    lineage = {one["step"]: one for one in read_sheet(folder / "lab.duckdb", "lineage").to_pylist()}
    assert set(lineage) == {"sft", "reward", "ppo", "dpo", "ipo", "kto", "cpl"}
    assert lineage["ppo"]["parent"] == "sft"
    assert "judge of helpfulness" in lineage["ppo"]["models"]


def test_the_page_is_one_file_that_runs_nothing(made: tuple[Path, Table]) -> None:
    text = (made[0] / "compare.html").read_text()
    assert "<script" not in text
    assert " style=" not in text
    assert not re.search(r"(?:src|href)=\"(?:https?:|//)", text)
    assert "default-src 'none'" in text
    for name in NAMES[1:]:
        assert f">{name}</text>" in html.unescape(text)
    for x in re.findall(r'(?:cx|x1|x2)="([\d.-]+)"', text):
        assert 0 <= float(x) <= 640


def method(name: str, wins: Wins | None, unread: float | None = None) -> Method:
    gold = Opinion.of([1.0, 2.0], 0.0)
    cost = Cost(seconds=1.0, calls=0, draws=1)
    return Method(
        name=name, policy="p", gold=gold, wins=wins, judged=None, unread=unread, kl=0.1, kl_k3=0.1,
        tokens=3.0, cost=cost,
    )  # fmt: skip


def test_a_name_cannot_break_the_page_and_a_mark_is_shown() -> None:
    rate, unsure = Rate(mean=0.8, low=0.7, high=0.9), Rate(mean=0.5, low=0.4, high=0.6)
    rows = (method("start", None), method("<script>", Wins(prompts=9, raw=rate, even=unsure), 0.3))
    cost = Cost(seconds=0.0, calls=0, draws=1)
    table = Table(
        name="t", seed=0, size="toy", prompts=2, judge=None, judge_calls=0, common=cost, rows=rows
    )  # fmt: skip
    text = contest.render(table)
    assert "<script" not in text
    assert "&lt;script&gt; wins only before length is held equal" in text
    assert "30% of the judge&#39;s verdicts on &lt;script&gt; could not be read" in text


def test_a_judge_that_cannot_be_read_is_said(made: tuple[Path, Table]) -> None:
    _, table = made
    assert all(one.unread == 0.0 for one in table.rows[1:])
    assert table.start.unread is None
    lost = table.model_copy(update={"rows": (table.start, method("dpo", None, 1.0))})
    assert lost.notices == ("100% of the judge's verdicts on dpo could not be read and count nothing",)


def test_best_of_n_is_held_against_draws_that_are_none_of_the_n(made: tuple[Path, Table]) -> None:
    folder, _ = made
    first, pool = ([(str(one["prompt"]), one["completion"]) for one in responses(folder, step, 0)]
                   for step in ("measured", "chosen"))  # fmt: skip
    assert len(set(first) & set(pool)) < len(set(first)) / 2


# The command


def test_the_command_prints_the_table_and_goes_on(desk: Desk) -> None:
    speaking.saved(desk.folder / "speaking")
    ended = desk.run("lab", "compare", str(FILE), "values.model=speaking")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    for name, line in zip(NAMES, lines[2:], strict=False):
        assert line.startswith(name)
    assert Path(lines[-1].split()[1]).is_file()
    files = {one: one.stat().st_mtime_ns for one in desk.folder.glob("outputs/*/*/step.json")}
    again = desk.run("lab", "compare", str(FILE), "values.model=speaking", "--json")
    assert [one["name"] for one in again.json[0]["rows"]] == NAMES
    assert files == {one: one.stat().st_mtime_ns for one in files}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("size=huge",), ("size", "'huge'")),
        (("world.name=moon",), ("world.name", "'moon'")),
    ],
)
def test_bad_input_is_one_sentence(desk: Desk, more: tuple[str, ...], words: tuple[str, ...]) -> None:
    ended = desk.run("lab", "compare", str(FILE), *more)
    assert ended.code == 2
    assert all(word in ended.sentence for word in words), ended.sentence


def test_a_recipe_that_compares_nothing_says_what_to_add(desk: Desk) -> None:
    ended = desk.run("lab", "compare", "small.yaml")
    assert ended.code == 2
    assert "no step that compares" in ended.sentence
    assert "pipelines/lab_compare.yaml" in ended.sentence


def test_figures_are_made_by_a_measure_step(desk: Desk) -> None:
    path = desk.folder / "small.yaml"
    path.write_text(path.read_text() + '  - name: table\n    compare: {of: ["@best"]}\n')
    with pytest.raises(InputError, match=r"demonstrations.*where figures belong; '@measured' would do"):
        load_recipe(path)


def test_different_prompts_cannot_be_compared(desk: Desk) -> None:
    path = desk.folder / "small.yaml"
    other = '{prompts: "@prompts/train", policies: [model], k: 1, max_tokens: 6, gold: {kind: random}}'
    path.write_text(
        f"{path.read_text()}  - name: others\n    measure: {other}\n"
        '  - name: table\n    compare: {of: ["@measured", "@others"]}\n'
    )
    with pytest.raises(InputError, match="measured on other prompts than 'model'"):
        run_recipe(load_recipe(path))


def test_a_judge_of_the_world_needs_a_world(desk: Desk) -> None:
    (desk.folder / "asked.jsonl").write_text('{"prompt": "Why?"}\n')
    judge = '{judge: {kind: pairwise, model: "compatible:world_second/gold"}, constitution: c.yaml}'
    path = desk.folder / "small.yaml"
    told = path.read_text().replace("world: {name: cover}\n", "")
    told = told.replace("test: 4}", "test: 4, path: asked.jsonl}")
    path.write_text(f'{told}  - name: table\n    compare: {{of: ["@measured"], judge: {judge}}}\n')
    with pytest.raises(InputError, match=r"compatible:world/gold; add world: \{name: cover\}"):
        load_recipe(path)
