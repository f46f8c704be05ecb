import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import InputError
from rlaif.preferences import Comparison, Pairing, combine, compare, completions, margin, prefer
from rlaif.records import Judgment
from tests.judging.scripted import prompt, sample

RIVER, HILL = prompt("Name a river."), prompt("Name a hill.")
A, B, C, D = sorted(
    (sample(RIVER, text) for text in ("Elbe", "Rhine", "Po", "Tiber")), key=lambda one: one.id
)
SPLITS = {RIVER.id: "train", HILL.id: "test"}


def judgment(
    first, second, p: float | None, *, status="ok", label_type="logprob", mass=0.5, **fields
) -> Judgment:
    verdict = None if p is None else "tie" if p == 0.5 else "first" if p > 0.5 else "second"
    named = {
        "axis": "helpfulness", "judge": "mock:j", "constitution": "cn", "template": "tm", "request_key": "k",
    } | fields  # fmt: skip
    return Judgment.make(
        prompt_id=first.prompt_id,
        first_id=first.id,
        second_id=second.id,
        label_type=label_type,
        status=status,
        verdict=verdict,
        p_first=p,
        mass=mass if label_type == "logprob" else None,
        **named,
    )


def text(first, second, p: float) -> Judgment:
    return judgment(first, second, p, label_type="text")


def failed(first, second, status: str) -> Judgment:
    return judgment(first, second, None, status=status)


def test_orders_are_averaged_before_any_threshold() -> None:
    """Slot 1 gets .8 with A there and .7 with B there, so A has (.8 + .3) / 2 = .55."""
    found = combine([judgment(A, B, 0.8, mass=0.6), judgment(B, A, 0.7, mass=0.4)])
    assert (found.a_id, found.b_id, found.status, found.consistent) == (A.id, B.id, "decided", False)
    assert found.p == pytest.approx(0.55)
    assert (found.p_ab, found.p_ba) == (0.8, pytest.approx(0.3))
    assert found.mass == 0.4
    assert found.outcome == found.p


@pytest.mark.parametrize(
    ("p_ab", "p_ba_first", "kind", "options", "status", "consistent"),
    [
        (0.9, 0.2, "logprob", {}, "decided", True),
        (0.6, 0.6, "logprob", {}, "tie", False),
        (0.3, 0.3, "logprob", {}, "tie", False),
        (0.9, 0.7, "logprob", {"on_conflict": "tie"}, "conflict", False),
        (0.9, 0.2, "logprob", {"on_conflict": "tie"}, "decided", True),
        (0.55, 0.46, "logprob", {"tie_band": 0.05}, "tie", True),
        (0.9, 0.2, "logprob", {"tie_band": 0.05}, "decided", True),
        (0.5, 0.5, "logprob", {}, "tie", True),
        (1.0, 0.0, "text", {}, "decided", True),
        (1.0, 1.0, "text", {}, "conflict", False),
        (0.0, 0.0, "text", {"on_conflict": "average"}, "conflict", False),
        (1.0, 0.5, "text", {}, "decided", False),
        (0.5, 0.5, "text", {}, "tie", True),
    ],
)
def test_status_of_two_orders(p_ab, p_ba_first, kind, options, status, consistent) -> None:
    found = combine(
        [judgment(A, B, p_ab, label_type=kind), judgment(B, A, p_ba_first, label_type=kind)], **options
    )
    assert (found.status, found.consistent) == (status, consistent)


def test_an_uneven_text_conflict_ties_too() -> None:
    """Two wins in one order and one loss, one win in the other: the average is not .5, yet it is no win."""
    rows = [text(A, B, 1.0), text(B, A, 1.0), judgment(B, A, 0.5, label_type="text", request_key="again")]
    found = combine(rows)
    assert found.p == pytest.approx(0.625)
    assert (found.status, found.outcome) == ("conflict", 0.5)


STATUSES = ("refused", "off_menu", "unparsable", "truncated", "transport_failed")


@pytest.mark.parametrize("status", STATUSES)
def test_one_failed_order_fails_the_pair(status: str) -> None:
    found = combine([judgment(A, B, 0.99), failed(B, A, status)])
    assert (found.status, found.p, found.outcome, found.consistent) == (status, None, None, None)
    assert found.p_ab == 0.99  # what is known is kept
    assert len(found.judgment_ids) == 2


def test_an_order_never_answered_fails_the_pair() -> None:
    assert combine([judgment(A, B, 0.99)]).status == "transport_failed"
    single = combine([judgment(B, A, 0.9)], both_orders=False)
    assert (single.status, single.p_ab, single.p_ba, single.consistent) == (
        "decided",
        None,
        pytest.approx(0.1),
        None,
    )
    assert single.p == pytest.approx(0.1)
    assert combine([failed(A, B, "refused")], both_orders=False).status == "refused"


def test_the_worst_failure_names_the_pair() -> None:
    assert combine([failed(A, B, "transport_failed"), failed(B, A, "refused")]).status == "refused"


def test_a_verdict_stands_over_a_failure_of_its_order() -> None:
    rows = [failed(A, B, "transport_failed"), judgment(A, B, 0.9, request_key="again"), judgment(B, A, 0.2)]
    found = combine(rows)
    assert (found.status, found.p) == ("decided", pytest.approx(0.85))


def test_repeats_count_once_and_in_any_order() -> None:
    rows = [judgment(A, B, 0.8), judgment(B, A, 0.1), judgment(A, B, 0.6, request_key="again")]
    assert combine(rows + rows) == combine(rows[::-1])
    assert combine(rows).p_ab == pytest.approx(0.7)


def test_judgments_of_different_questions_do_not_mix() -> None:
    with pytest.raises(InputError, match="different questions"):
        combine([judgment(A, B, 0.8), judgment(B, A, 0.2, axis="safety")])
    with pytest.raises(InputError, match="different questions"):
        combine([judgment(A, B, 0.8), judgment(B, A, 0.2, principle_id="p1")])
    with pytest.raises(InputError):
        combine([])
    both = compare(
        [judgment(A, B, 0.8), judgment(A, B, 0.2, axis="safety"), judgment(C, D, 0.7)], both_orders=False
    )
    assert [(one.axis, one.p) for one in both if one.a_id == A.id] == [("helpfulness", 0.8), ("safety", 0.2)]
    assert len(both) == 3


@pytest.mark.parametrize(
    ("p", "level"),
    [
        (0.51, "negligible"), (0.5999, "negligible"), (0.6, "slight"), (0.7499, "slight"),
        (0.75, "better"), (0.8999, "better"), (0.9, "significant"), (1.0, "significant"),
    ],
)  # fmt: skip
def test_margins(p: float, level: str) -> None:
    assert margin(p) == level


def decided(a, b, p: float, p_ba: float | None = None) -> Comparison:
    other = p if p_ba is None else p_ba
    return combine([judgment(a, b, p), judgment(b, a, 1 - other)])


def run(comparisons, samples, **pairing):
    return prefer(comparisons, samples, Pairing(**pairing), set_id="st_1", splits=SPLITS)


def test_a_preference_says_where_it_comes_from() -> None:
    found = run([decided(A, B, 0.2, 0.4)], [A, B])
    [one] = found.preferences
    assert (one.chosen_id, one.rejected_id, one.p, one.margin) == (B.id, A.id, pytest.approx(0.7), "slight")
    # B stood first when A stood second, where A had .4
    assert (one.p_chosen_first, one.p_chosen_second) == (pytest.approx(0.6), pytest.approx(0.8))
    assert (one.set, one.split, one.axis, one.judge, one.constitution) == (
        "st_1",
        "train",
        "helpfulness",
        "mock:j",
        "cn",
    )
    assert one.consistent is True
    assert (found.counts, found.pairs) == ({"preferred": 1}, 1)


def test_every_pair_has_one_fate() -> None:
    copy, empty = sample(RIVER, A.response + "\n", 5), sample(RIVER, " ", 6)
    hills = [sample(HILL, "Brocken"), sample(HILL, "Rigi")]
    comparisons = [
        decided(A, B, 0.9),
        decided(A, C, 0.5),
        decided(A, D, 0.9, 0.2),
        decided(B, C, 0.52),
        combine([failed(B, D, "refused"), judgment(D, B, 0.9)]),
        decided(*hills, 0.8),
    ]
    found = run(comparisons, [A, B, C, D, copy, empty, *hills], min_margin=0.1, consistent_only=True)
    # 15 pairs of river samples and 1 of hills; copy pairs with B, C, D and C pairs with D were not judged
    assert found.counts == {
        "preferred": 2, "tie": 1, "conflict": 1, "weak_margin": 1, "refused": 1,
        "identical": 1, "empty": 5, "unjudged": 4,
    }  # fmt: skip
    assert found.pairs == 16
    assert [one.split for one in found.preferences if one.prompt_id == HILL.id] == ["test"]


def test_identical_texts_never_pair_even_when_judged() -> None:
    copy = sample(RIVER, f" {A.response}", 9)
    one, other = sorted((A, copy), key=lambda s: s.id)
    assert run([decided(one, other, 1.0)], [A, copy]).counts == {"identical": 1}


def test_best_versus_worst() -> None:
    """A > B > C > D throughout: only A against D is kept of the six."""
    rows = [decided(*pair, 0.8) for pair in ((A, B), (A, C), (A, D), (B, C), (B, D), (C, D))]
    found = run(rows, [A, B, C, D], select="best_vs_worst")
    assert [(one.chosen_id, one.rejected_id) for one in found.preferences] == [(A.id, D.id)]
    assert found.counts == {"not_selected": 5, "preferred": 1}


def test_best_versus_worst_needs_their_own_comparison_to_agree() -> None:
    rows = [decided(A, B, 0.99), decided(B, C, 0.99), decided(A, C, 0.45)]
    assert run(rows, [A, B, C], select="best_vs_worst").counts == {"not_selected": 3}
    cycle = [decided(A, B, 0.8), decided(B, C, 0.8), decided(A, C, 0.2)]
    assert run(cycle, [A, B, C], select="best_vs_worst").preferences == ()
    tied = run([decided(A, B, 0.5)], [A, B], select="best_vs_worst")
    assert tied.counts == {"tie": 1}


def test_two_comparisons_of_a_pair_or_strangers_are_refused() -> None:
    with pytest.raises(InputError, match="compared twice"):
        run([decided(A, B, 0.8), decided(A, B, 0.7)], [A, B])
    with pytest.raises(InputError, match="no sample here"):
        run([decided(A, B, 0.8)], [A, C])
    same = decided(A, B, 0.8)
    assert run([same, dataclasses.replace(same)], [A, B]).counts == {"preferred": 1}


def test_completions_keep_samples_of_one_mind() -> None:
    found = run([decided(A, B, 0.9), decided(B, C, 0.9), decided(A, C, 0.9)], [A, B, C]).preferences
    labels = completions(found)
    assert {one.sample_id: one.label for one in labels} == {A.id: True, C.id: False}
    assert {(one.set, one.split, one.axis) for one in labels} == {("st_1", "train", "helpfulness")}
    assert completions(reversed(found)) == labels


@given(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.randoms(use_true_random=False))
def test_output_is_a_function_of_content(probabilities: list[float], shuffler: random.Random) -> None:
    samples = [A, B, C, D]
    pairs = [(x, y) for x in samples for y in samples if x is not y]
    rows = [judgment(*pair, p) for pair, p in zip(pairs, probabilities, strict=True)]
    expected = run(compare(rows), samples)
    shuffler.shuffle(rows)
    shuffler.shuffle(samples)
    assert run(compare(rows), samples) == expected
    assert sum(expected.counts.values()) == expected.pairs == 6


@given(st.floats(0, 1), st.floats(0, 1))
def test_swapping_the_samples_swaps_the_preference(p_ab: float, p_ba: float) -> None:
    one = run([combine([judgment(A, B, p_ab), judgment(B, A, p_ba)])], [A, B])
    other = run([combine([judgment(B, A, p_ab), judgment(A, B, p_ba)])], [A, B])
    assert one.counts == other.counts
    for ours, theirs in zip(one.preferences, other.preferences, strict=True):
        assert (ours.chosen_id, ours.rejected_id) == (theirs.rejected_id, theirs.chosen_id)
        assert ours.p == pytest.approx(theirs.p)
        assert 0.5 < ours.p <= 1.0
