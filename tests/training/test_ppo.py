"""Policy training as a whole: in a world whose optimum is known, and on tiny checkpoints."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from rlaif.errors import InputError, JobError
from rlaif.training.config import DataConfig
from rlaif.training.data import read_demonstrations
from rlaif.training.exploring import Explored
from rlaif.training.loop import Run, Share, Update
from rlaif.training.methods import load_config
from rlaif.training.ppo import PpoConfig, learnt, taught, train
from rlaif.training.values import Reading
from tests import tiny
from tests.training import worlds
from tests.training.made import demonstrations, metrics, scorer, turn, write
from tests.training.test_rollouts import written

BETA = 0.3
ROOT = Path(__file__).parents[2]


def in_world(world: worlds.Letters, name: str = "out", **more: Any) -> PpoConfig:
    """128 responses a round in the world of letters."""
    told = {
        "method": "ppo", "model": str(world.folder / "model"), "batch": 1, "output": str(world.folder / name),
        "data": {"path": str(world.folder / "prompts.jsonl"), "test_share": 0.0},
        "draw": {"samples": 128, "max_tokens": 3}, "kl": {"beta": BETA}, "missing_eos_penalty": 0.0,
        "objective": {"kind": "clip", "decay": 1.0}, "lr": 1e-2, "schedule": "linear", "warmup": 0.0,
        "weight_decay": 0.0, "steps": 400,
    }  # fmt: skip
    return PpoConfig.model_validate(told | more)


def ends_at(world: worlds.Letters, config: PpoConfig) -> torch.Tensor:
    """log pi of every word after training."""
    return worlds.trained(Path(train(config, score=world.score).folder))


def talk(folder: Path, prompts: int = 6) -> Path:
    return write(folder / "prompts.jsonl", ({"prompt": [turn("user", f"say {n}")]} for n in range(prompts)))


def tiny_config(folder: Path, name: str = "out", **more: Any) -> PpoConfig:
    """Six prompts, two responses each, three updates a round of two inner epochs."""
    if not (folder / "model").exists():
        tiny.saved(folder / "model")
    told = {
        "method": "ppo", "model": str(folder / "model"), "output": str(folder / name), "batch": 3,
        "data": {"path": str(talk(folder)), "test_share": 0.0}, "draw": {"samples": 2, "max_tokens": 6},
        "objective": {"kind": "clip", "inner_epochs": 2, "minibatches": 3}, "part_tokens": 60, "lr": 1e-3,
    }  # fmt: skip
    return PpoConfig.model_validate(told | more)


def vowels(prompts: Sequence[object], texts: Sequence[str]) -> list[float]:
    return [sum(one in "aeiou" for one in text) + len(text) / 10 for text in texts]


def rounds(folder: Path) -> list[dict[str, float]]:
    return [one for one in metrics(folder) if "score" in one]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> worlds.Letters:
    return worlds.Letters.made(tmp_path_factory.mktemp("letters"))


def test_the_world_is_what_it_says(world: worlds.Letters) -> None:
    assert float(world.reference.exp().sum()) == pytest.approx(1.0, abs=1e-6)
    best = world.best(BETA)
    assert world.share(world.reference, BETA) == pytest.approx(0.0, abs=1e-9)
    assert world.share(best, BETA) == pytest.approx(1.0, abs=1e-9)
    assert worlds.variation(world.reference, best) > 0.5
    for seed in range(5):  # nothing nearby is better
        torch.manual_seed(seed)
        near = (best + 0.1 * torch.randn(len(best))).log_softmax(0)
        assert world.value(near, BETA) < world.value(best, BETA)


def test_the_known_optimum_is_reached(world: worlds.Letters) -> None:
    found = ends_at(world, in_world(world))
    assert world.share(found, BETA) >= 0.97
    assert worlds.variation(found, world.best(BETA)) <= 0.05


def test_without_kl_the_optimum_is_missed(world: worlds.Letters) -> None:
    found = ends_at(world, in_world(world, "free", kl={"beta": 0.0}, steps=200))
    assert worlds.variation(found, world.best(BETA)) > 0.1
    assert world.divergence(found) > 1.5 * world.divergence(world.best(BETA))


def test_a_reward_turned_round_moves_gold_the_other_way(world: worlds.Letters) -> None:
    def turned(prompts: Sequence[object], texts: Sequence[str]) -> list[float]:
        return [-one for one in world.score(prompts, texts)]

    found = worlds.trained(Path(train(in_world(world, "turned", steps=60), score=turned).folder))
    gold = [float((logp.exp() * world.reward).sum()) for logp in (found, world.reference)]
    assert gold[0] < gold[1] - 0.5 * float(world.reward.std())


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_known_optimum_is_reached_at_the_defaults_of_gae(tmp_path: Path, seed: int) -> None:
    world = worlds.Letters.made(tmp_path, seed)
    more = {"objective": {"kind": "clip"}, "draw": {"samples": 256, "max_tokens": 3}, "steps": 600}
    found = ends_at(world, in_world(world, **more))
    assert world.share(found, BETA) >= 0.97
    assert worlds.variation(found, world.best(BETA)) <= 0.05


@pytest.mark.long
def test_reinforce_reaches_its_own_optimum(world: worlds.Letters) -> None:
    # It maximises (1 - beta) r - beta KL: the optimum is that of beta / (1 - beta).
    config = in_world(
        world, "reinforce", objective={"kind": "reinforce"}, draw={"samples": 256, "max_tokens": 3},
        kl={"beta": 0.2}, lr=2e-2, steps=300,
    )  # fmt: skip
    found = ends_at(world, config)
    assert world.share(found, 0.25) >= 0.97
    assert worlds.variation(found, world.best(0.25)) <= 0.07


def symbols(policy: torch.Tensor, reference: torch.Tensor, number: int) -> Explored:
    """Responses of one token out of eight, all scored 0."""
    torch.manual_seed(0)
    drawn = torch.multinomial(policy.exp(), number, replacement=True)
    rollout = written((1,), [(int(one),) for one in drawn])
    nothing = torch.zeros(number)
    return Explored((rollout,), nothing, Reading(policy[drawn], nothing, nothing), reference[drawn])


@pytest.mark.parametrize("kind", ["clip", "reinforce"])
def test_trap_18_a_step_without_reward_lowers_the_exact_kl(kind: str) -> None:
    torch.manual_seed(1)
    logits, reference = torch.randn(8), torch.randn(8).log_softmax(-1)
    config = tiny_like(objective={"kind": kind}, kl={"beta": 0.2}, missing_eos_penalty=0.0)
    explored = symbols(logits.log_softmax(-1), reference, 4000)
    ((experience,), _) = learnt(config, explored, 0.2)
    drawn = torch.tensor([ids[0] for ids in experience.group.responses])
    moving = logits.clone().requires_grad_()
    logprobs = moving.log_softmax(-1)[drawn]
    zero = torch.zeros(len(drawn))
    loss, _ = taught(config, Reading(logprobs, zero, zero), experience.lesson)
    (loss / len(drawn)).backward()
    assert moving.grad is not None
    stepped = (logits - 0.1 * moving.grad).log_softmax(-1)

    def divergence(logp: torch.Tensor) -> float:
        return float((logp.exp() * (logp - reference)).sum())

    assert divergence(stepped) < divergence(logits.log_softmax(-1))


def tiny_like(**more: Any) -> PpoConfig:
    return PpoConfig.model_validate({"method": "ppo", "data": {"path": "x"}, "output": "y"} | more)


def explored(scores: Sequence[float], cut: Sequence[bool]) -> Explored:
    """Two prompts with two responses and one, five tokens in all; log-ratios of .1 each."""
    first = written((1, 2), [(3, 4), (5,)])
    second = written((6,), [(7, 8)])
    some = (replace(first, cut=tuple(cut[:2])), replace(second, cut=tuple(cut[2:])))
    reading = Reading(torch.full((5,), -1.0), torch.ones(5), torch.tensor([0.5, 0.25, 0.0, 0.0, 1.0]))
    return Explored(some, torch.tensor(scores), reading, torch.full((5,), -1.1))


def test_what_is_learned_by_hand() -> None:
    objective = {"kind": "clip", "decay": 1.0}
    config = tiny_like(objective=objective, missing_eos_penalty=2.0)
    (left, right), figures = learnt(config, explored([1.0, 2.0, 4.0], [False, False, True]), 0.5)
    # token costs .05; returns .9 .95 | 1.95 | 1.9 1.95
    assert left.lesson.returns.tolist() == pytest.approx([0.9, 0.95, 1.95])
    assert right.lesson.returns.tolist() == pytest.approx([1.9, 1.95])
    plain = [0.4, 0.7, 1.95, 1.9, 0.95]
    mean = sum(plain) / 5
    spread = (sum((one - mean) ** 2 for one in plain) / 5) ** 0.5
    both = [*left.lesson.advantages.tolist(), *right.lesson.advantages.tolist()]
    assert both == pytest.approx([(one - mean) / spread for one in plain], abs=1e-5)
    assert figures["penalty"] == pytest.approx(2 / 3)
    assert figures["reward"] == pytest.approx((0.9 + 1.95 + 1.9) / 3)


def test_what_reinforce_learns_by_hand() -> None:
    config = tiny_like(objective={"kind": "reinforce"}, missing_eos_penalty=2.0)
    (left, right), _ = learnt(config, explored([1.0, 2.0, 4.0], [False, False, True]), 0.5)
    # half the score less .05 a token, the same for all tokens of a response
    assert left.lesson.returns.tolist() == pytest.approx([0.4, 0.4, 0.95])
    assert right.lesson.returns.tolist() == pytest.approx([0.9, 0.9])
    assert left.lesson.advantages.tolist() == pytest.approx([-0.1, 0.15, 0.95])


@pytest.mark.parametrize("kind", ["clip", "reinforce"])
def test_trap_32_behind_a_gate_of_two_the_kl_is_paid_once(kind: str) -> None:
    gate = {"kind": "gate", "safety": "a", "helpfulness": "b"}
    config = tiny_like(reward=gate, objective={"kind": kind}, missing_eos_penalty=0.0)
    _, figures = learnt(config, explored([1.0, 2.0, 6.0], [False] * 3), 0.5)
    # whitened scores sum to 0; five tokens a tenth of a nat from the reference, at .5 a nat, three responses
    assert figures["reward"] == pytest.approx(-0.5 * 5 * 0.1 / 3, abs=1e-6)


def test_scores_behind_a_gate_are_whitened() -> None:
    gate = {"kind": "gate", "safety": "a", "helpfulness": "b"}
    config = tiny_like(reward=gate, missing_eos_penalty=0.0)
    _, figures = learnt(config, explored([1.0, 2.0, 6.0], [False] * 3), 0.0)
    assert figures["reward"] == pytest.approx(0.0, abs=1e-6)


def test_the_loss_by_hand() -> None:
    config = tiny_like(value_weight=0.5, objective={"kind": "clip", "entropy": 0.1, "value_epsilon": None})
    ((left, _), _) = learnt(config, explored([1.0, 2.0, 4.0], [False] * 3), 0.0)
    lesson = left.lesson
    reading = Reading(
        lesson.logprobs + torch.tensor([0.0, 1.0, -1.0]), torch.tensor([1.0, 2.0, 3.0]), lesson.returns + 2.0
    )
    loss, sums = taught(config, reading, lesson)
    policy = 0.0
    for ratio, advantage in zip((1.0, 2.718281828, 0.367879441), lesson.advantages.tolist(), strict=True):
        policy += max(-advantage * ratio, -advantage * min(max(ratio, 0.8), 1.2))
    assert float(sums["policy_loss"]) == pytest.approx(policy, rel=1e-5)
    assert float(sums["value_loss"]) == pytest.approx(6.0)
    assert float(loss) == pytest.approx(policy + 0.5 * 6.0 - 0.1 * 6.0, rel=1e-5)
    assert float(sums["peak"]) == pytest.approx(2.718281828)


@pytest.mark.parametrize("part_tokens", [1, 40, 10_000])
def test_trap_13_nothing_moves_without_a_learning_rate(tmp_path: Path, part_tokens: int) -> None:
    config = tiny_config(tmp_path, lr=1e-30, part_tokens=part_tokens, value={"kind": "shared", "lr": 1e-30})
    train(config, score=vowels)
    for one in rounds(Path(config.output)):
        assert one["ratio_max"] == pytest.approx(1.0, abs=1e-5)
        assert one["clipped"] == 0.0
        assert one["moved"] == pytest.approx(0.0, abs=1e-9)
        assert one["policy_loss"] == pytest.approx(0.0, abs=1e-5)  # less the mean of what is whitened
        assert one["kl"] == pytest.approx(0.0, abs=1e-5)
        assert one["engine_gap"] <= 1.001


def test_trap_13_the_first_update_of_a_round_has_ratio_1(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, objective={"kind": "clip", "inner_epochs": 1}, lr=1e-2)
    train(config, score=vowels)
    found = rounds(Path(config.output))
    assert len(found) == 2
    assert [one["ratio_max"] for one in found] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert found[1]["kl"] > 1e-3  # the reference is what it was before, not what drew


def test_trap_14_nothing_of_older_weights_is_remembered(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, lr=3e-2, epochs=3, batch=6)
    train(config, score=vowels)
    found = rounds(Path(config.output))
    assert [one["engine_gap"] for one in found] == pytest.approx([1.0] * len(found), abs=1e-4)
    assert found[-1]["kl"] > 0.1


def test_a_run_is_the_same_however_its_passes_are_cut(tmp_path: Path) -> None:
    ends = []
    for part_tokens in (1, 10_000):
        config = tiny_config(tmp_path, f"out{part_tokens}", part_tokens=part_tokens, steps=6)
        ends.append(load_file(Path(train(config, score=vowels).folder) / "model.safetensors"))
    for name, one in ends[0].items():
        assert torch.allclose(one, ends[1][name], atol=2e-5), name


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [2, 3])
def test_trap_26_a_stopped_run_goes_on_bit_by_bit(
    tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write(tmp_path / "texts.jsonl", demonstrations(5))
    more = {
        "kl": {"beta": 0.1, "target": 0.05, "horizon": 20}, "save_every": 6, "epochs": 2, "value_weight": 1.0,
        "ptx": {"data": {"path": str(texts)}, "batch": 2, "weight": 0.5},
    }  # fmt: skip
    whole, cut = (tiny_config(tmp_path, name, **more) for name in ("whole", "cut"))
    train(whole, score=vowels)
    update, made = Run.update, 0

    def dies(self: Run, shares: Iterator[Share]) -> Update:
        nonlocal made
        made += 1
        if made == 6 * after - 2:  # in the middle of a round
            raise Stopped
        return update(self, shares)

    monkeypatch.setattr(Run, "update", dies)
    with pytest.raises(Stopped):
        train(cut, score=vowels)
    monkeypatch.undo()
    asked: list[str] = []

    def counts(prompts: Sequence[object], texts: Sequence[str]) -> list[float]:
        asked.extend(texts)
        return vowels(prompts, texts)

    counts.digest = f"{vowels.__module__}:vowels"  # type: ignore[attr-defined]
    train(cut, resume=True, score=counts)
    folders = [Path(one.output) for one in (whole, cut)]
    for name in (
        "final/model.safetensors",
        "step-24/moments.safetensors",
        "step-24/weights.safetensors",
        "step-24/state.json",
    ):
        first, second = ((one / name).read_bytes() for one in folders)
        assert first == second, name
    lines = [(one["step"], one["beta"], one["kl"], one["score"]) for one in rounds(folders[0])]
    assert lines == [(one["step"], one["beta"], one["kl"], one["score"]) for one in rounds(folders[1])]
    assert len({beta for _, beta, _, _ in lines}) > 1
    (state,) = [json.loads((one / "step-24/state.json").read_bytes()) for one in folders[:1]]
    assert state["kept"]["beta"] != 0.1
    # what had been scored before the stop was not asked again
    assert len(asked) == (4 - after) * 6


def test_trap_25_a_changed_scorer_does_not_go_on_with_a_run(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, save_every=6)
    train(config, score=vowels)
    with pytest.raises(InputError, match="data_digest"):
        train(config, resume=True, score=lambda prompts, texts: [0.0] * len(texts))


def test_what_cannot_be_scored_is_left_out_and_counted(tmp_path: Path) -> None:
    seen: list[str] = []

    def every_other(prompts: Sequence[object], texts: Sequence[str]) -> list[float | None]:
        seen.extend(texts)
        return [None if len(text) % 2 else 1.0 for text in texts]

    config = tiny_config(tmp_path)
    train(config, score=every_other)
    assert sum(one["unscored"] for one in rounds(Path(config.output))) == sum(len(text) % 2 for text in seen)


def test_a_round_without_any_score_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="none of 6 responses"):
        train(tiny_config(tmp_path), score=lambda prompts, texts: [None] * len(texts))


@pytest.mark.parametrize("both", [True, False])
def test_a_run_has_one_scorer(tmp_path: Path, both: bool) -> None:
    more = {"reward": {"kind": "model", "model": "x"}} if both else {}
    with pytest.raises(InputError, match="name one"):
        train(tiny_config(tmp_path, **more), score=vowels if both else None)


def test_trap_34_a_constant_reward_leaves_the_policy_where_it_was(world: worlds.Letters) -> None:
    config = in_world(world, "constant", steps=120)
    outcome = train(config, score=lambda prompts, texts: [1.0] * len(texts))
    found = worlds.trained(Path(outcome.folder))
    assert world.divergence(found) < 0.02
    drift = float(((found.exp() - world.reference.exp()) * world.reward).sum())
    assert abs(drift) < 2 * float(world.reward.std()) / 128**0.5  # standard errors of a round's mean


@pytest.fixture(scope="module")
def reward_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reward") / "model"
    model = scorer()
    model.config.reward_mean, model.config.reward_std = 0.5, 2.0
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("value", ["shared", "separate"])
@pytest.mark.parametrize("lora", [False, True])
def test_a_reward_model_trains_a_policy_and_stays_as_it_is(
    tmp_path: Path, reward_folder: Path, value: str, lora: bool
) -> None:
    if lora:
        pytest.importorskip("peft", reason="LoRA needs peft")
    before = (reward_folder / "model.safetensors").read_bytes()
    kind = {"kind": "shared"} if value == "shared" else {"kind": "separate", "model": str(reward_folder)}
    config = tiny_config(
        tmp_path, reward={"kind": "model", "model": str(reward_folder)}, value=kind, lr=5e-3,
        lora={"rank": 2} if lora else None, eval_every=5, epochs=2,
        data={"path": str(talk(tmp_path, 12)), "test_share": 0.4},
    )  # fmt: skip
    outcome = train(config, gold=vowels)
    assert (reward_folder / "model.safetensors").read_bytes() == before
    assert {"score", "gold", "kl", "entropy", "length", "cut", "eos", "distinct_4"} <= outcome.metrics.keys()
    done = rounds(Path(config.output))
    assert done[0]["kl"] == pytest.approx(0.0, abs=1e-5)
    assert abs(done[-1]["kl"]) > 1e-3
    ends = [one["step"] for one in done]
    due = [
        end for start, end in zip([0, *ends], ends, strict=False) if end // 5 > start // 5 and end < ends[-1]
    ]
    assert [one["step"] for one in metrics(Path(config.output)) if "eval/score" in one] == [*due, ends[-1]]
    policy = load_file(Path(outcome.folder) / "model.safetensors")
    began = load_file(tmp_path / "model" / "model.safetensors")
    assert policy.keys() == began.keys()
    assert any(not torch.equal(policy[name], one) for name, one in began.items())


def test_two_reward_models_behind_a_gate_train_a_policy(tmp_path: Path, reward_folder: Path) -> None:
    unsafe = write(tmp_path / "unsafe.jsonl", [{"prompt": [turn("user", "say 1")]}])
    gate = {
        "kind": "gate", "safety": str(reward_folder), "helpfulness": str(reward_folder),
        "safety_prompts": {"path": str(unsafe), "test_share": 0.0},
    }  # fmt: skip
    config = tiny_config(tmp_path, reward=gate, missing_eos_penalty=0.0, kl={"beta": 0.0})
    train(config)
    assert all(abs(one["reward"]) < 1e-5 for one in rounds(Path(config.output)))


@pytest.mark.long
def test_ptx_keeps_what_the_score_would_have_forgotten(tmp_path: Path) -> None:
    plain = ({"prompt": f"{n} ~", "completion": f" {n * n}, {n + 1}"} for n in range(6))
    texts = write(tmp_path / "texts.jsonl", plain)
    kept, gold = list[float](), list[float]()
    for seed in range(5):
        ends = {}
        for weight in (None, 0.2):
            ptx = {"data": {"path": str(texts), "test_share": 0.0}, "batch": 6, "weight": weight}
            config = tiny_config(
                tmp_path, f"{seed}-{weight}", seed=seed, ptx=ptx if weight else None, epochs=8, lr=5e-4,
                draw={"samples": 8, "max_tokens": 6},
                data={"path": str(talk(tmp_path, 12)), "test_share": 0.4},
            )  # fmt: skip
            outcome = train(config, score=vowels)
            ends[weight] = (likelihood(Path(outcome.folder), texts), outcome.metrics["score"])
        kept.append(ends[0.2][0] - ends[None][0])
        gold.append(ends[0.2][1] - ends[None][1])
    assert min(kept) > 0.0
    spread = stdev(gold) / 5**0.5
    assert abs(fmean(gold)) <= 2 * spread


def likelihood(folder: Path, texts: Path) -> float:
    """Mean log-probability of the tokens of some demonstrations, each row by itself."""
    data = read_demonstrations(DataConfig(path=str(texts), test_share=0.0), tiny.tokenizer())
    model = LlamaForCausalLM.from_pretrained(folder)
    found = []
    for one in data.train:
        ids = torch.tensor([[*one.group.prompt, *one.group.responses[0]]])
        with torch.no_grad():
            logp = model(ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        found += logp[len(one.group.prompt) - 1 :].tolist()
    return fmean(found)


def test_the_shipped_files_are_this_trainers() -> None:
    ppo = load_config(ROOT / "pipelines/train_ppo.yaml")
    reinforce = load_config(ROOT / "pipelines/train_reinforce.yaml")
    assert isinstance(ppo, PpoConfig)
    assert isinstance(reinforce, PpoConfig)
    assert (ppo.objective.kind, reinforce.objective.kind) == ("clip", "reinforce")
    # 100 prompts: 12 rounds of 8 and one of 4, four updates each; four rounds of 32, one update each
    assert (ppo.total(100), reinforce.total(100)) == (52, 4)


def test_a_horizon_shorter_than_a_round_is_refused() -> None:
    with pytest.raises(ValueError, match="at least a round's 128 responses"):
        tiny_like(kl={"target": 6.0, "horizon": 100})
