"""Reports: statistics worked out by hand, sentences at their thresholds, a page that runs nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.exports import Bill, Source, export
from rlaif.preferences import compare
from rlaif.records import Completion, Document, Preference, Sample, Score
from rlaif.reports import summary, write_report
from rlaif.reports.figures import ON_SHOW, gather
from rlaif.reports.frame import SHOWN, cut, size, visible
from rlaif.reports.notices import notices, percent, span
from rlaif.reports.statistics import (
    AxisTally,
    LengthTally,
    OrderTally,
    Share,
    axis_tally,
    length_tally,
    order_tally,
)
from tests.factory import JUDGE, World, job, judgment, preference_set, prompt, sample, world

ASKED = prompt("Which?")
A, B, C = sorted(
    (sample(ASKED, text, n) for n, text in enumerate(("one", "two", "three"))), key=lambda s: s.id
)


def told(*orders: tuple[Sample, Sample, float | None], axis: str = "helpfulness") -> list:
    return [judgment(first, second, p, axis=axis) for first, second, p in orders]


# Statistics


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        # Newcombe 1998 (Stat. Med. 17:857), Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_of_the_literature(count: int, total: int, low: float, high: float) -> None:
    assert Share(count, total).interval == pytest.approx((low, high), abs=5e-5)


def test_a_share_of_nothing_is_unknown() -> None:
    assert (Share(0, 0).value, Share(0, 0).interval) == (None, None)


@given(total=st.integers(1, 10_000), data=st.data())
def test_the_interval_holds_its_share_and_mirrors(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    low, high = Share(count, total).interval or (9, 9)
    assert 0 <= low <= count / total + 1e-12
    assert count / total - 1e-12 <= high <= 1
    mirrored = Share(total - count, total).interval or (9, 9)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_order_tally_by_hand() -> None:
    made = told(
        (A, B, 0.9), (B, A, 0.8),  # first slot twice: a conflict; average for A is (.9 + .2) / 2 = .55
        (A, C, 0.7), (C, A, 0.1),  # A both times: consistent
        (B, C, 0.5), (C, B, 0.3),  # a tie and a verdict for B: tied; average for B is .6
    )  # fmt: skip
    tally = order_tally(made, compare(made))
    assert (tally.calls, tally.first, tally.second, tally.called_tie) == (6, 3, 2, 1)
    assert (tally.both, tally.consistent, tally.conflict, tally.tied, tally.rescued) == (3, 1, 1, 1, 2)
    assert (tally.first_pick, tally.consistency, tally.hard_ties) == (Share(3, 5), Share(1, 3), Share(2, 3))
    assert tally.mean_mass == pytest.approx(0.9)
    assert tally.failed == Share(0, 6)


def test_a_conflict_that_averages_to_even_is_not_rescued() -> None:
    made = told((A, B, 0.7), (B, A, 0.7))
    tally = order_tally(made, compare(made))
    assert (tally.conflict, tally.rescued) == (1, 0)


def test_failures_leave_the_pairs_but_not_the_calls() -> None:
    made = told((A, B, None), (B, A, 0.8), (A, C, 0.9))
    tally = order_tally(made, compare(made))
    assert (tally.calls, tally.failures, tally.both) == (3, Counter(unparsable=1), 0)
    assert (tally.failed, tally.first_pick) == (Share(1, 3), Share(2, 2))


def test_text_verdicts_have_no_mass() -> None:
    made = [
        judgment(A, B, 1.0, label_type="text", mass=None),
        judgment(B, A, 0.0, label_type="text", mass=None),
    ]
    tally = order_tally(made, compare(made))
    assert (tally.mean_mass, tally.consistent) == (None, 1)


def test_rankings_are_counted_slot_by_slot() -> None:
    """One call ranks A, B, C as shown, one C before B = A, one fails; a pair is no list."""
    calls = {"one": [(A, B, 1.0), (A, C, 1.0), (B, C, 1.0)], "two": [(C, B, 1.0), (C, A, 1.0), (B, A, 0.5)]}
    made = [judgment(*pair, request_key=key) for key, pairs in calls.items() for pair in pairs]
    lost = [judgment(*pair, None, request_key="three") for pair in ((A, B), (A, C), (B, C))]
    tally = order_tally([*made, *lost, *told((A, B, 0.9))], [])
    assert tally.lists == {3: 2}
    assert tally.slots == {3: pytest.approx([1.0, (0.5 + 0.25) / 2, (0.0 + 0.25) / 2])}
    assert (tally + tally).slots == tally.slots
    assert OrderTally().slots == {}


def test_tallies_add_field_by_field() -> None:
    one, two = told((A, B, 0.9), (B, A, None)), told((A, C, 0.2), (C, A, 0.6))
    whole = order_tally([*one, *two], [*compare(one), *compare(two)])
    assert order_tally(one, compare(one)) + order_tally(two, compare(two)) == whole
    assert OrderTally() + whole == whole
    assert LengthTally(1, 2, 3, 4, 5) + LengthTally(10, 20, 30, 40, 50) == LengthTally(11, 22, 33, 44, 55)


def preferred(chosen: Sample, rejected: Sample, p: float = 0.8, **fields: object) -> Preference:
    given = {
        "set": preference_set().id, "axis": "helpfulness", "split": "train", "margin": "better",
        "p_chosen_first": p, "p_chosen_second": p, "mass": 0.9, "judge": JUDGE,
        "constitution": "constitution_a", "judgment_ids": ("ju_1",), **fields,
    }  # fmt: skip
    return Preference.make(
        prompt_id=chosen.prompt_id, chosen_id=chosen.id, rejected_id=rejected.id, p=p, **given
    )


def test_length_tally_by_hand() -> None:
    short, equal, long = (sample(ASKED, text, 9) for text in ("ab", "cd", "efghi"))
    drawn = {one.id: one for one in (short, equal, long)}
    tally = length_tally([preferred(long, short), preferred(short, long), preferred(short, equal)], drawn)
    assert tally == LengthTally(pairs=3, longer=1, equal=1, chosen=9, rejected=9)
    assert (tally.longest_wins, tally.mean_chosen, tally.mean_rejected) == (Share(1, 2), 3.0, 3.0)


def test_axis_tally_by_hand() -> None:
    here = compare(told((A, B, 0.9), (B, A, 0.2), (A, C, 0.6), (C, A, 0.4), (B, C, 0.7), (C, B, 0.7)))
    there = compare(
        told((A, B, 0.8), (B, A, 0.4), (A, C, 0.3), (C, A, 0.9), (B, C, 0.9), (C, B, 0.2), axis="safety")
    )
    # A over B on both; A over C here and C over A there; B and C even here.
    assert axis_tally(here, there) == AxisTally(both=3, same=1, opposite=1, undecided=1)
    assert axis_tally(here, there[:1]) == AxisTally(both=1, same=1)
    assert axis_tally(here, there).agreement == Share(1, 2)


# Figures


def test_figures_count_what_the_records_hold() -> None:
    made = world(prompts=20, k=4)
    figures = gather(made.source())
    assert figures.prompts == Counter(train=16, test=4)
    assert figures.samples == len(made.of(Sample)) == 80
    for one in figures.sets:
        mine = [p for p in made.of(Preference) if p.axis == one.made.axis]
        assert one.rows == len(mine) == one.made.counts["preferred"]
        assert sum(one.made.counts.values()) == one.made.pairs == 120
        assert one.order.calls == 240
        assert one.order.both == one.order.consistent + one.order.conflict + one.order.tied
        assert one.labels.total() == len([c for c in made.of(Completion) if c.axis == one.made.axis])
    assert set(figures.agreement) == {("helpfulness", "safety")}


def test_the_pairs_on_show_are_the_extremes() -> None:
    made = world(prompts=20, k=4, bias=0.3)
    first = gather(made.source()).sets[0]
    agreed = sorted(one.p for one in made.of(Preference) if one.axis == "helpfulness" and one.consistent)
    assert [shown.p for shown in first.strongest] == pytest.approx(agreed[::-1][:ON_SHOW])
    assert [shown.p for shown in first.weakest] == pytest.approx(agreed[:ON_SHOW])
    for shown in (*first.strongest, *first.weakest):
        kept = shown.preference
        assert kept is not None
        assert (shown.left.id, shown.right.id) == (kept.chosen_id, kept.rejected_id)
        assert (shown.p_left_first, shown.p_left_second) == pytest.approx(
            (kept.p_chosen_first, kept.p_chosen_second)
        )
    for shown in first.conflicts:
        assert (shown.p_left_first - 0.5) * (shown.p_left_second - 0.5) < 0
        assert shown.p >= 0.5


# Sentences


def texts(made: World, bill: Bill | None = None) -> str:
    return "\n".join(one.text for one in notices(gather(made.source(bill or Bill()))))


def test_a_judge_of_slots_is_called_one() -> None:
    made = world(prompts=60, k=4, bias=6.0)
    order = gather(made.source()).sets[0].order
    assert order.first_pick.value > 0.98
    assert (
        f"This judge picks the first slot in {percent(order.first_pick.value)} of its"
        f" {order.first_pick.total} verdicts. Every label rests on averaging both orders: with hard"
        f" labels, {order.conflict} of {order.both} pairs would be ties."
    ) in texts(made)
    assert "picks the second slot in" in texts(world(prompts=60, bias=-6.0))


def test_a_sound_job_earns_no_warning() -> None:
    asked = [
        prompt(f"Number {n}?", split="test" if n % 4 == 0 else "train", licence="mit") for n in range(120)
    ]
    made = World(job(), list(asked))
    for number, one in enumerate(asked):
        short, long = sample(one, "ab", 0), sample(one, "abcd", 1)
        better, worse = (short, long) if number % 2 else (long, short)
        made.records += [short, long, preferred(better, worse, set="st_x")]
        made.records += told((better, worse, 0.8), (worse, better, 0.2))
    whole = preference_set(counts={"preferred": 120}, pairs=120, audited=True)
    made.records = [
        one.model_copy(update={"set": whole.id}) if isinstance(one, Preference) else one
        for one in made.records
    ]
    made.records.append(whole)
    assert notices(gather(made.source(Bill()))) == []


def test_failures_mass_order_audit_and_emptiness_are_said() -> None:
    made = World(job(), [ASKED, A, B])
    made.records += [
        judgment(A, B, None, status="refused"),
        preference_set(counts={"refused": 1}, pairs=1, both_orders=False),
    ]
    said = texts(made, Bill(outstanding=0.25))
    assert "The set is empty: none of 1 pairs considered was decided and kept." in said
    assert "1 of 1 judgements failed (100%: 1 refused); none of them became a label." in said
    assert "judged in one order only" in said
    assert "Unaudited" in said
    assert "billed up to $0.2500 more" in said
    assert "1 of 1 prompts do not state a licence." in said
    assert "No prompt is on the test side" in said
    assert "Only 1 pairs were considered" in said
    made = World(job(), [ASKED, A, B, preference_set(counts={"tie": 1}, pairs=1)])
    made.records += [judgment(A, B, 0.5, mass=0.2), judgment(B, A, 0.5, mass=0.4)]
    assert "The label words captured 30% of the judge's probability on average" in texts(made)


def test_a_judge_of_its_own_samples_is_named() -> None:
    made = World(job(), [ASKED])
    own, other = sample(ASKED, "mine", 0, model=JUDGE), sample(ASKED, "theirs", 1)
    whole = preference_set(counts={"preferred": 1}, pairs=1)
    made.records += [own, other, whole, preferred(own, other)]
    assert "The judge drew one of the responses itself in 1 of 1 pairs." in texts(made)


def test_equal_sentences_are_said_once() -> None:
    found = notices(gather(world().source()))
    assert len({one.text for one in found}) == len(found)
    (unaudited,) = [one for one in found if one.text.startswith("Unaudited")]
    assert unaudited.axes == ("helpfulness", "safety")
    weights = [one.weight for one in found]
    assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0%"), (1, "100%"), (0.5, "50%"), (0.125, "12.5%"), (0.9996, ">99.9%"),
        (0.0001, "<0.1%"), (2 / 3, "66.7%"),
    ],
)  # fmt: skip
def test_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_small_formats() -> None:
    assert span(Share(0, 0)) == "–"
    assert [size(n) for n in (999, 1000, 2_500_000)] == ["999 B", "1.0 kB", "2.5 MB"]
    assert cut("x" * SHOWN) == "x" * SHOWN
    assert cut("x" * (SHOWN + 1234)).endswith("… (1,234 more characters)")


# The page


class Page(HTMLParser):
    """What a browser would make of the page, as far as its safety goes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def rendered(source: Source, folder: Path, **options: Path) -> str:
    write_report(source, folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


ATTACKS = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script href=data:,alert(1) />",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='jAvAsCrIpT:alert(1)'>x</a>",
    "<iframe src=https://example.org></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=data:text/html,x></object>",
    "<embed src=x>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<style>@import 'https://example.org/x.css';</style>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<base href=https://example.org/>",
    "<form action=https://example.org><input name=q></form>",
    "<details open ontoggle=alert(1)>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<!--><script>alert(1)</script>-->",
    "]]><script>alert(1)</script>",
    "{{ 7 * 7 }}{% for x in y %}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\u202e<script>alert(1)</script>\u202c",
)


def hostile(attack: str) -> Source:
    """A job in which everything a model, a file or a name can say is the attack."""
    asked = prompt(attack, source=attack, licence=attack)
    kept = [sample(asked, attack + tail, n, model=attack) for n, tail in enumerate("xyz")]
    mark = {"judge": attack, "constitution": attack, "template": attack}
    made = preference_set(name=attack, counts={"preferred": 1, attack: 1, "conflict": 1}, pairs=3, **mark)
    orders = [
        judgment(first, second, p, principle_id=attack, **mark)
        for first, second, p in (
            (kept[0], kept[1], 0.9), (kept[1], kept[0], 0.2), (kept[0], kept[2], 0.9), (kept[2], kept[0], 0.8)
        )
    ]  # fmt: skip
    row = preferred(kept[0], kept[1], set=made.id, principle_id=attack)
    document = Document(id=attack, role="constitution", name=attack, text=attack)
    named = job().model_copy(update={"name": attack, "id": attack, "pipeline": attack})
    return Source.of(named, [asked, *kept, made, row, document, *orders])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Page(rendered(hostile("harmless"), tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_said_becomes_markup(attack: str, plain: Page, tmp_path: Path) -> None:
    text = rendered(hostile(attack), tmp_path)
    page = Page(text)
    assert page.tags == plain.tags
    assert [(tag, name) for tag, name, _ in page.attributes] == [
        (tag, name) for tag, name, _ in plain.attributes
    ]
    assert "script" not in page.tags
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in {"src", "srcset", "srcdoc", "action", "style"}
        if name == "href":
            assert value.startswith("#")
    assert str(visible(attack)) in "".join(page.words)


def test_the_policy_admits_the_page_s_own_style_and_nothing_else(tmp_path: Path) -> None:
    text = rendered(world(prompts=4).source(), tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style
    assert "@import" not in style
    assert not re.findall(r"https?://", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("\x1b[31m", "⟨U+001B⟩[31m"),
        ("nul\x00", "nul⟨U+0000⟩"),
        ("\u200bhidden\ufeff", "⟨U+200B⟩hidden⟨U+FEFF⟩"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("\u0085\u2028", "⟨U+0085⟩⟨U+2028⟩"),
        ("cr\r\n", "cr⟨U+000D⟩\n"),
        ("tab\tline\nकि‍ن 👩‍🔬", "tab\tline\nकि‍ن 👩‍🔬"),
    ],
)
def test_characters_that_act_are_shown(text: str, shown: str, tmp_path: Path) -> None:
    assert visible(text) == shown
    assert shown in "".join(Page(rendered(hostile(text), tmp_path)).words)


def test_the_page_says_what_was_made(tmp_path: Path) -> None:
    source = world().source()
    manifest = export(source, tmp_path / "exports/trl")
    text = rendered(source, tmp_path / "reports", export=tmp_path / "exports/trl")
    words = " ".join(" ".join(Page(text).words).split())
    first = gather(source).sets[0]
    assert f"{first.rows + gather(source).sets[1].rows} preference pairs on helpfulness and safety" in words
    assert "labelled by openai:gpt-5-mini, from 90 responses to 30 prompts" in words
    assert "In ../exports/trl ;" in words
    for file in manifest.files:
        assert file.path in words
        assert file.sha256[:16] in words
    assert str(tmp_path) not in text
    assert "$0.1830" in words
    assert "181,320" in words
    assert "starters.jsonl CC-BY-4.0 20" in words
    assert "Prefer the clearer response." in words
    assert percent(first.order.first_pick.value) in words


def test_the_census_adds_up_on_the_page(tmp_path: Path) -> None:
    text = rendered(world().source(), tmp_path)
    census = text[text.index('id="census"') : text.index('id="order"')]
    tables = re.findall(r"<tbody>(.*?)</tbody>.*?<tfoot>(.*?)</tfoot>", census, flags=re.S)
    assert len(tables) == 2
    for body, foot in tables:
        fates = [int(n) for n in re.findall(r'class="number">(\d+)</td>\n', body)]
        assert sum(fates) == int(re.findall(r'class="number">(\d+)</td>', foot)[0]) == 90


def test_a_job_with_nothing_still_has_a_page(tmp_path: Path) -> None:
    text = rendered(Source.of(job(), []), tmp_path)
    assert "no preference set was made" in text
    assert "No pair was judged." in text
    empty = preference_set(counts={}, pairs=0)
    assert "The set is empty" in rendered(Source.of(job(), [ASKED, A, B, empty]), tmp_path)


def test_the_page_is_light_and_depends_on_the_records_alone(tmp_path: Path) -> None:
    made = world(prompts=60, k=4)
    text = rendered(made.source(), tmp_path)
    assert len(text.encode()) < 250_000
    assert sum(Page(text).tags.values()) < 3000
    made.records.reverse()
    assert rendered(made.source(), tmp_path) == text
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_an_interrupted_write_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rendered(world(prompts=2).source(), tmp_path)

    def die(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", die)
    with pytest.raises(OSError, match="No space left"):
        write_report(world(prompts=3).source(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == before


# JSON


def test_summary_is_json_with_the_page_s_figures() -> None:
    source = world().source()
    found = summary(source)
    found = json.loads(json.dumps(found, allow_nan=False))
    assert found["notices"][0]["axes"] == ["helpfulness"]
    one = found["sets"]["helpfulness"]
    figures = gather(source).sets[0]
    assert one["rows"] == {"train": figures.splits["train"], "test": figures.splits["test"]}
    assert one["order"]["first_pick"]["count"] == figures.order.first
    assert found["samples"] == 90
    assert found["job"] == {"id": "helpful-safe-0123456789", "name": "helpful-safe", "seed": 7}
    assert sum(one["counts"].values()) == one["pairs"] == 90
    assert found["prompts"] == {"train": 24, "test": 6}
    assert found["spend"]["traffic"]["retries"] == 7
    assert set(found["agreement"]) == {"helpfulness|safety"}
    assert summary(Source.of(job(), [])).keys() == found.keys()


def test_a_pointwise_set_counts_its_scores() -> None:
    made = preference_set(counts={"preferred": 1}, pairs=1)
    records = [ASKED, A, B, made, preferred(A, B, p_chosen_first=None, p_chosen_second=None)]
    records += [
        Score.make(
            prompt_id=ASKED.id, sample_id=one.id, axis=made.axis, judge=JUDGE, constitution=made.constitution,
            template=made.template, label_type="logprob", status=status, low=1, high=5, expected=expected,
            mass=mass, request_key=key,
        )
        for one, status, expected, mass, key in (
            (A, "ok", 4.0, 0.5, "a"), (B, "ok", 2.0, 0.7, "b"), (B, "refused", None, None, "c")
        )
    ]  # fmt: skip
    (found,) = gather(Source.of(job(), records)).sets
    assert (found.order.calls, found.order.failures) == (3, Counter(refused=1))
    assert found.order.mean_mass == pytest.approx(0.6)
    assert found.order.first_pick == found.order.consistency == Share(0, 0)
    said = "\n".join(one.text for one in notices(gather(Source.of(job(), records))))
    assert "slot" not in said
    assert len(found.strongest) == 1
