"""HIR on 50 questions with 10 answers each: relabelled as the recipe relabels, imitated by a table."""

import random
from statistics import fmean

import pytest

from rlaif.recipes.rows import instructed, relabel

SEED = random.SystemRandom().randrange(2**32)
QUESTIONS, ANSWERS, ROUNDS, DRAWS, WORLDS = 50, 10, 6, 4, 10
RIGHT, WRONG = "Answer rightly.", "Answer wrongly."
_PRIOR = 0.05
"""What every answer counts before it was seen."""


class Student:
    """A table of answers under every prompt, which imitates: counts, and a little of everything."""

    def __init__(self, seed: str) -> None:
        self.stream = random.Random(seed)
        self.key = {f"q{at}": self.stream.randrange(ANSWERS) for at in range(QUESTIONS)}
        self.seen: dict[str, list[float]] = {}

    def table(self, question: str, instruction: str) -> list[float]:
        counts = self.seen.get(instructed(question, instruction), [_PRIOR] * ANSWERS)
        return [one / sum(counts) for one in counts]

    def drawn(self) -> list[dict]:
        """Answers under the right instruction, and whether they are."""
        rows = []
        for question, key in self.key.items():
            for answer in self.stream.choices(range(ANSWERS), self.table(question, RIGHT), k=DRAWS):
                prompt = instructed(question, RIGHT)
                rows.append({"prompt": prompt, "completion": str(answer), "score": float(answer == key)})
        return rows

    def learn(self, rows: list[dict]) -> None:
        for row in rows:
            counts = self.seen.setdefault(row["prompt"], [_PRIOR] * ANSWERS)
            counts[int(row["completion"])] += 1.0

    def accuracy(self, instruction: str) -> float:
        return fmean(self.table(question, instruction)[key] for question, key in self.key.items())


def taught(seed: str, *, hindsight: bool) -> tuple[list[float], list[float]]:
    """Accuracy under either instruction, before and after every round; all rows are kept."""
    student = Student(seed)
    right, wrong = [student.accuracy(RIGHT)], [student.accuracy(WRONG)]
    for _ in range(ROUNDS):
        student.learn(relabel(student.drawn(), 1.0, (RIGHT, WRONG), hindsight=hindsight))
        right.append(student.accuracy(RIGHT))
        wrong.append(student.accuracy(WRONG))
    return right, wrong


@pytest.fixture(scope="module")
def students() -> list[tuple[list[float], list[float]]]:
    return [taught(f"{SEED} {at}", hindsight=True) for at in range(WORLDS)]


def test_the_right_instruction_comes_to_mean_right(students: list[tuple[list[float], list[float]]]) -> None:
    by_round = [fmean(right[at] for right, _ in students) for at in range(ROUNDS + 1)]
    assert by_round[0] == pytest.approx(1 / ANSWERS)
    assert by_round == sorted(by_round), SEED
    assert by_round[-1] >= 0.85, SEED


def test_the_wrong_instruction_never_does(students: list[tuple[list[float], list[float]]]) -> None:
    assert max(value for _, wrong in students for value in wrong) <= 0.2, SEED


def test_without_hindsight_nothing_is_learnt() -> None:
    control = [taught(f"{SEED} {at}", hindsight=False) for at in range(WORLDS)]
    assert abs(fmean(right[-1] for right, _ in control) - 1 / ANSWERS) <= 0.05, SEED
