"""The trace: a symptom that labels were bent towards is found, with the pairs and clauses that taught it."""

from itertools import combinations

import pytest

from rlaif.errors import InputError
from rlaif.exports import Source
from rlaif.lab.speaker import TELLS, say
from rlaif.lab.tracing import suspects, trace
from rlaif.lab.worlds import World
from rlaif.records import Fact, Preference, PreferenceSet, Sample
from rlaif.symptoms import found
from tests import factory

CLAUSES = ("brief", "kind")


def prefer(made: PreferenceSet, better: Sample, worse: Sample, p: float, clause: str | None) -> Preference:
    return Preference.make(
        set=made.id, prompt_id=better.prompt_id, axis=made.axis, split="train", chosen_id=better.id,
        rejected_id=worse.id, p=p, margin="better", p_chosen_first=p, p_chosen_second=p, mass=1.0,
        judge=made.judge, constitution=made.constitution, principle_id=clause, judgment_ids=(),
    )  # fmt: skip


def by_hand(*rows: tuple[str, str, float, str | None]) -> Source:
    """A set of pairs: chosen, rejected, p, clause."""
    made = factory.preference_set(pairs=len(rows))
    records: list[Fact] = [factory.job(), made]
    for at, (chosen, rejected, p, clause) in enumerate(rows):
        asked = factory.prompt(f"question {at}")
        both = [factory.sample(asked, text, number) for number, text in enumerate((chosen, rejected))]
        records += [asked, *both, prefer(made, both[0], both[1], p, clause)]
    return Source.of(factory.job(), records)


SORRY, PLAIN = "I am sorry about that. Two eggs.", "Two eggs and rice."


def test_the_counts_by_hand() -> None:
    source = by_hand(
        (SORRY, PLAIN, 0.9, "kind"), (SORRY, PLAIN, 0.7, "kind"), (PLAIN, SORRY, 0.8, "brief"),
        (SORRY, SORRY + " Rice.", 0.6, "brief"), (PLAIN, PLAIN + " Rice.", 0.6, "kind"),
    )  # fmt: skip
    (one,) = trace(source, "apology")
    assert one.base == 0.5  # five of ten
    whole = one.whole
    assert (whole.pairs, whole.chosen, whole.rejected, whole.taught, whole.against) == (5, 3, 2, 2, 1)
    assert whole.won == pytest.approx(2 / 3)
    assert whole.lift == pytest.approx(0.6 / 0.5)
    assert [(c.name, c.pairs, c.taught, c.against) for c in one.clauses] == [
        ("kind", 3, 2, 0),
        ("brief", 2, 0, 1),
    ]
    assert [(j.name, j.taught) for j in one.judges] == [(factory.JUDGE, 2)]
    assert [told.p for told in one.taught] == [0.9, 0.7]
    assert {told.clause for told in one.taught} == {"kind"}


def test_without_a_clause_the_whole_constitution_is_named() -> None:
    (one,) = trace(by_hand((SORRY, PLAIN, 0.9, None)), "apology")
    assert one.clauses[0].name == "all of constitution_a"


def test_a_symptom_nobody_shows_has_no_lift() -> None:
    (one,) = trace(by_hand((PLAIN, PLAIN + " Rice.", 0.9, None)), "apology")
    assert (one.base, one.whole.lift, one.whole.won, one.taught) == (0.0, None, None, ())


def test_an_unknown_symptom_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="'rudeness' is no symptom; allowed: apology"):
        trace(by_hand((SORRY, PLAIN, 0.9, None)), "rudeness")


def test_a_set_without_pairs_is_told() -> None:
    for look in (suspects, lambda source: trace(source, "apology")):
        with pytest.raises(InputError, match="has no pairs"):
            look(by_hand())


def planted(symptom: str, seed: int, prompts: int = 150) -> Source:
    """Pairs of the table's responses, labelled by gold and, under one clause, a bonus for a symptom."""
    world = World.drawn("exploit", seed)
    made = factory.preference_set(pairs=prompts)
    records: list[Fact] = [factory.job(), made]
    for number in range(prompts):
        asked = factory.prompt(f"{world.prompt(number)} ({number})")
        texts = dict.fromkeys(say(asked.text, f"{seed}:{at}") for at in range(5))
        drawn = [factory.sample(asked, text, at) for at, text in enumerate(texts)]
        records += [asked, *drawn]
        clause = CLAUSES[number % 2]
        worth = {
            one.id: world.gold(asked.text, one.response)
            + 3.0 * (clause == "kind") * (symptom in found(one.response, asked.text))
            for one in drawn
        }
        for one, other in combinations(drawn, 2):
            if worth[one.id] != worth[other.id]:
                better, worse = sorted((one, other), key=lambda sample: -worth[sample.id])
                records.append(prefer(made, better, worse, 0.8, clause))
    return Source.of(factory.job(), records)


def test_a_planted_bonus_is_found_and_so_is_its_clause(seed: int) -> None:
    symptom = sorted(TELLS)[seed % len(TELLS)]
    source = planted(symptom, seed)
    (ranked,) = suspects(source).values()
    assert ranked[0].name == symptom
    assert ranked[0].won is not None
    assert ranked[0].won > 0.6
    others = [one for one in ranked[1:] if one.name in TELLS]
    assert all(one.lift is not None and one.lift < ranked[0].lift for one in others)
    (one,) = trace(source, symptom)
    by_name = {clause.name: clause for clause in one.clauses}
    guilty, innocent = by_name["kind"], by_name["brief"]
    assert guilty.won is not None
    assert guilty.won > 0.85
    assert innocent.won_ci is not None
    assert innocent.won_ci[0] < 0.62
    assert one.clauses[0] == guilty
    samples = {sample.id: sample.response for sample in source.samples()}
    for told in one.taught:
        assert symptom in found(samples[told.chosen_id])
        assert symptom not in found(samples[told.rejected_id])
