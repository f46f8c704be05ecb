"""Numbers of a row: opinions, divergence, symptoms, and the sentences rows give rise to."""

import math
from pathlib import Path

import pytest
import torch

from rlaif.checkpoints import identity, load
from rlaif.iterations.divergence import divergence
from rlaif.iterations.drawn import Drawn
from rlaif.iterations.measuring import symptoms
from rlaif.iterations.notices import notices
from rlaif.iterations.opinions import of_prompts, wins
from rlaif.iterations.records import Figures, Opinion, Policy
from rlaif.records import Message, Prompt, Sample, SamplingParams, StopReason
from tests import tiny

# Opinions


def test_responses_are_averaged_within_prompts_and_prompts_then() -> None:
    made = of_prompts([[1.0, 3.0], [5.0, None], [None, None]], failed=3, asked=6)
    assert made.mean == 3.5  # of 2 and 5
    assert made.error == pytest.approx(math.sqrt(4.5) / math.sqrt(2))  # sd of 2 and 5, over root two
    assert (made.prompts, made.unreadable) == (2, 0.5)


def test_nothing_readable_is_no_score() -> None:
    made = of_prompts([[None]], failed=3, asked=3)
    assert (made.mean, made.error, made.prompts, made.unreadable) == (None, None, 0, 1.0)


def test_ties_and_equal_texts_are_half_a_win_and_failures_none() -> None:
    made = wins({"preferred": 5, "tie": 2, "conflict": 1, "identical": 1, "unparsable": 3}, won=4)
    assert made.mean == pytest.approx((4 + 0.5 * 4) / 9)
    assert made.prompts == 9
    assert made.unreadable == pytest.approx(3 / 12)


# Divergence


def drawn(*responses: str, stop: StopReason = "stop") -> list[Drawn]:
    prompt = Prompt.make((Message(role="user", content="How much?"),))
    samples = [
        Sample.make(
            prompt_id=prompt.id, model="local:x", params=SamplingParams(), index=index, response=response,
            stop_reason=stop, request_key="",
        )
        for index, response in enumerate(responses)
    ]  # fmt: skip
    return [Drawn(prompt, tuple(samples))]


@pytest.fixture
def policies(tmp_path: Path) -> tuple[Policy, Policy]:
    """Two tiny models of other weights."""
    for seed in (0, 1):
        tiny.llama(seed=seed).save_pretrained(tmp_path / str(seed))
        tiny.tokenizer().save_pretrained(tmp_path / str(seed))
    one, other = (str(tmp_path / str(seed)) for seed in (0, 1))
    return Policy(name=one, digest=identity(one)), Policy(name=other, digest=identity(other))


def logprobs(policy: Policy, text: str, *, ended: bool) -> torch.Tensor:
    """Log-probabilities of a response's tokens, by the model's own forward pass over the whole text."""
    checkpoint = load(policy.name)
    tokenizer = checkpoint.tokenizer
    before = "<|turn|>user\nHow much?<|end|>\n<|turn|>assistant\n"
    prompt = tokenizer(before, add_special_tokens=False)["input_ids"]
    said = tokenizer(text + ("<|end|>" if ended else ""), add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = checkpoint.model(torch.tensor([prompt + said])).logits[0].double().log_softmax(-1)
    return logits[len(prompt) - 1 : -1].gather(1, torch.tensor(said)[:, None])[:, 0]


@pytest.mark.parametrize("ended", [True, False])
def test_divergence_is_the_mean_log_ratio_of_whole_responses(
    policies: tuple[Policy, Policy], ended: bool
) -> None:
    texts = ("About 3", "7")
    u = [logprobs(policies[0], one, ended=ended) - logprobs(policies[1], one, ended=ended) for one in texts]
    found = divergence(*policies, drawn(*texts, stop="stop" if ended else "max_tokens"))
    assert found[0] == pytest.approx(sum(float(one.sum()) for one in u) / 2, abs=1e-4)
    k3 = [float(((-one).exp() - 1 + one).sum()) for one in u]
    assert found[1] == pytest.approx(sum(k3) / 2, rel=1e-4)


def test_a_policy_is_nowhere_from_itself(policies: tuple[Policy, Policy]) -> None:
    gone = Policy(name="gone", digest=policies[0].digest)  # content decides; nothing is loaded
    assert divergence(gone, policies[0], drawn("7")) == (0.0, 0.0)


# Symptoms and notices


def test_symptoms_are_shares_of_responses() -> None:
    shares = symptoms(drawn("I am sorry, I apologise for that.", "Seven.", "Eight.", "Nine."))
    assert shares["apology"] == 0.25
    assert shares["preaching"] == 0.0


def figures(gold: float, *, proxy: float = 3.0, apology: float = 0.0, error: float = 0.1) -> Figures:
    def opinion(mean: float) -> Opinion:
        return Opinion(mean=mean, error=error, prompts=100, unreadable=0.0)

    return Figures(
        responses=100, proxy=opinion(proxy), second=None, gold=opinion(gold), kl=0.0, kl_k3=0.0, tokens=9.0,
        cut=0.0, symptoms={"apology": apology},
    )  # fmt: skip


def test_trap_34_a_fall_of_gold_is_said_beyond_two_errors_only() -> None:
    """The error of a difference of two means with error .1 each is .141; twice that is .283."""
    first = figures(1.0)
    assert notices(first, figures(0.73)) == ()
    (said,) = notices(first, figures(0.70, proxy=3.5))
    assert said.startswith(
        "the gold score fell by 0.3 (standard error 0.14) since the first policy while the"
    )
    assert "the proxy moved by +0.5:" in said
    assert notices(first, figures(1.9)) == ()


def test_trap_34_a_symptom_is_said_beyond_three_errors_only() -> None:
    """From 2 % to 9 % of 100 each the error is sqrt(.0196 + .0819) / 10 = .0319; three of them are .096."""
    first = figures(1.0, apology=0.02)
    assert notices(first, figures(1.0, apology=0.09)) == ()
    (said,) = notices(first, figures(1.0, apology=0.16))
    assert said.startswith("the symptom 'apology' went from 2.0% to 16.0% of responses")


def test_what_was_not_measured_gives_no_sentence() -> None:
    blind = figures(1.0).model_copy(update={"gold": None, "proxy": None})
    assert notices(blind, figures(0.0)) == ()
    assert notices(figures(1.0), blind) == ()
