"""Every trap of training with a change of the package that falls into it, which its test has to notice.

Owns the table and what runs it: each change is made in a copy of the package, its test is run there, and
has to fail. The unchanged copy has to pass first. ``make mutants`` prints trap, outcome, test and change, in
the order of traps; a mutant that survives makes it fail.

    python -m tests.training.mutants [TRAP ...]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """One change, and who has to notice it."""

    trap: int
    """Number of the trap in the list of correctness traps."""
    file: str
    """Below ``rlaif/``."""
    old: str
    """Text that stands there once."""
    new: str
    """What it becomes."""
    test: str
    """Below ``tests/training/``, as pytest names it."""

    def __str__(self) -> str:
        """The change in one line."""
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file}: {old} => {new or 'nothing'}"


MUTANTS: Sequence[Mutant] = (
    Mutant(1, "training/losses/reward.py", "gap = chosen - rejected - margin",
           "gap = rejected - chosen - margin",
           "losses/test_reward.py::test_trap_01_the_loss_is_that_of_bradley_and_terry"),
    Mutant(1, "training/losses/reward.py", "p * logsigmoid(gap)", "p * gap.sigmoid().log()",
           "losses/test_reward.py::test_trap_01_no_gap_overflows"),
    Mutant(2, "training/losses/reward.py", "(1.0 - p) * logsigmoid(-gap)", "0.0 * logsigmoid(-gap)",
           "losses/test_reward.py::test_trap_02_a_soft_label_is_learned_to_its_log_odds"),
    Mutant(2, "training/losses/reward.py", "(chosen + rejected).square()", "(chosen - rejected).square()",
           "losses/test_reward.py::test_trap_02_centering_rests_where_scores_are_opposite"),
    Mutant(3, "training/reward.py", "pair.weight / len(one.pairs)", "pair.weight",
           "test_reward.py::test_trap_03_a_ranking_of_four_is_the_mean_of_its_six_pairs"),
    Mutant(4, "training/packing.py", "self.ends.append(begin + len(response) - 1)",
           "self.ends.append(begin + len(response) - 2)",
           "test_models.py::test_trap_04_the_score_is_read_at_the_end_token_even_where_it_is_the_pad_token"),
    Mutant(4, "checkpoints/loading.py", "    _pad_apart(model, tokenizer)\n", "",
           "test_models.py::test_trap_04_a_saved_model_scores_the_same_elsewhere"),
    Mutant(5, "training/packing.py", "self._run(response, known)", "self._run(response, begin)",
           "test_models.py::test_trap_05_a_score_is_the_one_of_a_padded_batch"),
    Mutant(5, "training/packing.py", "range(position, position + len(ids))",
           "range(len(self.positions), len(self.positions) + len(ids))",
           "test_models.py::test_trap_05_a_score_does_not_depend_on_its_company"),
    Mutant(6, "training/packing.py", "[last_of_prompt, *range(begin, begin + len(response) - 1)]",
           "range(begin, begin + len(response))",
           "test_models.py::test_trap_06_a_model_that_repeats_is_not_rewarded_for_reading"),
    Mutant(6, "training/packing.py", "self._predict(response, stem[1] - 1, begin)",
           "self._predict(response, begin - 1, begin)",
           "test_models.py::test_trap_06_each_log_probability_is_the_next_tokens"),
    Mutant(7, "training/sft.py", ".only(said)", ".only(~said)",
           "test_sft.py::test_trap_07_other_turns_give_no_loss"),
    Mutant(7, "training/losses/likelihood.py", "-logprobs.sum()", "-logprobs.mean()",
           "test_models.py::test_trap_07_a_batch_without_a_token_gives_zero_and_a_gradient"),
    Mutant(8, "checkpoints/chat.py", "said = _to_its_end(tokenizer, _added(tokenizer, text, whole))",
           "said = _added(tokenizer, text, whole)",
           "test_data.py::test_trap_08_training_reads_what_drawing_and_judging_read"),
    Mutant(8, "training/encoding.py", "ids and ids[-1] == eos", "False",
           "test_data.py::test_trap_08_text_gets_one_bos_and_one_eos"),
    Mutant(8, "training/encoding.py", "[*self._bos(prompt), *encode(self._tokenizer, prompt)]",
           'self._tokenizer(prompt)["input_ids"]',
           "test_data.py::test_trap_08_text_gets_one_bos_and_one_eos"),
    Mutant(9, "training/data.py", "return longest <= self._config.max_length", "return True",
           "test_data.py::test_trap_09_long_rows_are_left_out_whole_and_counted"),
    Mutant(9, "training/columns.py",
           'self.need(("prompt", "completion"), "a demonstration without messages")',
           'return self.text("prompt"), "nothing"',
           "test_data.py::test_trap_09_a_row_that_says_too_little_is_refused"),
    Mutant(10, "training/losses/direct.py", "-p * logsigmoid(beta * h)", "-p * logsigmoid(h)",
           "losses/test_direct.py::test_trap_10_a_pair_with_h_5_and_beta_a_tenth"),
    Mutant(10, "training/dpo.py", "u = by_response(logprobs - base, packed)",
           "u = by_response(logprobs, packed)",
           "test_dpo.py::test_trap_10_the_first_loss_is_that_of_equal_models"),
    Mutant(10, "training/dpo.py", '"accuracy": (1 + right) / 2', '"accuracy": (right > 0).float()',
           "test_dpo.py::test_trap_10_margins_and_accuracy_by_hand"),
    Mutant(11, "training/reference.py", "told != key or len(flat)", "len(flat)",
           "test_dpo.py::test_trap_11_numbers_of_something_else_are_refused"),
    Mutant(11, "training/reference.py", "{_LAYOUT} {model} {config.dtype}", "{_LAYOUT} {config.dtype}",
           "test_dpo.py::test_trap_11_another_model_or_data_is_another_file"),
    Mutant(11, "training/reference.py", 'array("q", (len(ids), *ids))', 'array("q", ids)',
           "test_dpo.py::test_trap_11_another_model_or_data_is_another_file"),
    Mutant(11, "checkpoints/adapters.py", "with self._inner.disable_adapter():", "if True:",
           "test_lora.py::test_trap_11_switched_off_the_model_is_bit_equal_to_what_it_was"),
    Mutant(12, "training/losses/direct.py", "gain = beta * (u - baseline.detach())",
           "gain = beta * (beta * u - baseline.detach())",
           "losses/test_direct.py::test_trap_12_kto_by_hand"),
    Mutant(12, "training/losses/direct.py", "(u - baseline.detach())", "(u - baseline)",
           "losses/test_direct.py::test_trap_12_the_gradient_of_kto_flows_through_u_alone"),
    Mutant(12, "training/losses/direct.py", ".mean().clamp(min=0)", ".mean()",
           "losses/test_direct.py::test_trap_12_the_baseline_is_clamped_and_detached"),
    Mutant(12, "training/kto.py", "if other is not asked[at] and len(prompt)", "if len(prompt)",
           "test_kto.py::test_trap_12_a_single_prompt_has_no_stranger"),
    Mutant(12, "training/kto.py", "others[(at + step) % len(others)]", "others[at % len(others)]",
           "test_kto.py::test_trap_12_no_row_is_its_own_stranger"),
    Mutant(12, "training/kto.py", "if not BALANCED[0] * down <= up <= BALANCED[1] * down:", "if False:",
           "test_kto.py::test_trap_12_lopsided_weights_are_said"),
    Mutant(13, "training/exploring.py", "mine, self.how.temperature, config.part_tokens",
           "mine, 1.1, config.part_tokens",
           "test_ppo.py::test_trap_13_nothing_moves_without_a_learning_rate"),
    Mutant(13, "training/values.py", "Policy(load(config.model).model)",
           "policy",
           "test_ppo.py::test_trap_13_the_first_update_of_a_round_has_ratio_1"),
    Mutant(14, "training/rollouts.py", "engine.forget()",
           "pass",
           "test_ppo.py::test_trap_14_nothing_of_older_weights_is_remembered"),
    Mutant(14, "training/rollouts.py", "actor.read(packed, temperature, entropy=True)",
           "actor.read(packed, 1.0, entropy=True)",
           "test_rollouts.py::test_trap_14_the_training_pass_agrees_with_the_engine"),
    Mutant(15, "training/advantages.py", "delta + discount * decay * later_advantage[alive]",
           "delta + discount * decay * decay * later_advantage[alive]",
           "test_advantages.py::test_trap_15_gae_is_the_double_sum"),
    Mutant(15, "training/advantages.py", "alive = lengths > back",
           "alive = lengths >= back",
           "test_advantages.py::test_trap_15_nothing_outside_a_response_matters"),
    Mutant(16, "training/advantages.py", "rewards[lengths.cumsum(0) - 1] += scores",
           "rewards[lengths.cumsum(0) - lengths] += scores",
           "test_advantages.py::test_trap_16_the_last_action_alone_earns_the_score"),
    Mutant(17, "training/kl.py", "    return logprobs - reference\n",
           "    return (logprobs - reference).abs()\n",
           "test_kl.py::test_trap_17_k1_and_k3_are_unbiased"),
    Mutant(17, "training/kl.py", "(-u).expm1() + u",
           "u.expm1() - u",
           "test_kl.py::test_trap_17_k1_and_k3_are_unbiased"),
    Mutant(18, "training/advantages.py", "rewards = -costs",
           "rewards = costs.clone()",
           "test_ppo.py::test_trap_18_a_step_without_reward_lowers_the_exact_kl"),
    Mutant(19, "training/kl.py", "min(max(kl / self._target - 1.0, -_MOST), _MOST)",
           "kl / self._target - 1.0",
           "test_kl.py::test_trap_19_the_controller_reacts_in_proportion_and_no_harder_than_a_fifth"),
    Mutant(19, "training/ppo.py", 'run.kept["beta"] = controller.beta',
           'run.kept["beta"] = config.kl.beta',
           "test_ppo.py::test_trap_26_a_stopped_run_goes_on_bit_by_bit"),
    Mutant(20, "training/advantages.py", "values.max() - values.min() <= _EPSILON", "len(values) < 0",
           "test_advantages.py::test_trap_20_what_does_not_vary_becomes_0"),
    Mutant(20, "training/advantages.py", "values.max() - values.min() <= _EPSILON",
           "values.std(correction=0) <= _EPSILON",
           "test_advantages.py::test_trap_20_equal_values_are_exactly_0_however_their_mean_rounds"),
    Mutant(20, "training/advantages.py", "around if centred else around + mean",
           "around",
           "test_advantages.py::test_trap_20_whitened_values_have_mean_0_and_variance_1"),
    Mutant(23, "training/losses/policy.py", "losses = torch.maximum(-advantages",
           "losses = torch.minimum(-advantages",
           "losses/test_policy.py::test_trap_23_no_gradient_once_the_ratio_has_left_the_way_the_advantage_asks"),
    Mutant(23, "training/losses/policy.py", "torch.where(advantages < 0, torch.minimum(losses,",
           "torch.where(advantages != 0, torch.minimum(losses,",
           "losses/test_policy.py::test_trap_23_the_dual_bound_holds_for_bad_tokens_alone"),
    Mutant(23, "training/losses/policy.py", "torch.maximum(error, (held",
           "torch.minimum(error, (held",
           "losses/test_policy.py::test_trap_23_the_value_loss_takes_the_greater_error"),
    Mutant(24, "training/rollouts.py", 'one.stop_reason == "max_tokens"',
           "one.tokens[-1] != 0",
           "test_rollouts.py::test_trap_24_a_response_is_cut_only_where_nothing_ended_it"),
    Mutant(24, "training/advantages.py", "scores - penalty * cut",
           "scores - penalty",
           "test_advantages.py::test_trap_24_only_cut_responses_are_charged"),
    Mutant(25, "training/scoring.py", "return key not in self._known and not any",
           "return not any",
           "test_rollouts.py::test_trap_25_a_response_is_scored_once_to_each_prompt"),
    Mutant(25, "training/scoring.py", "hashlib.sha256(self._rate.digest.encode())",
           "hashlib.sha256()",
           "test_rollouts.py::test_trap_25_another_scorer_misses"),
    Mutant(21, "training/sft.py", "for at in part]) / tokens)",
           "for at in part]) / sum(sum(one) for at in part for one in batch[at].said))",
           "test_sft.py::test_trap_21_the_loss_is_that_of_all_tokens_not_a_mean_of_means"),
    Mutant(21, "training/reward.py", ".sum() / len(batch)", ".sum() / len(some)",
           "test_reward.py::test_trap_21_parts_add_up_to_the_whole"),
    Mutant(21, "training/processes.py", "dist.all_reduce(one.grad)",
           "dist.all_reduce(one.grad.div_(self.count))",
           "test_processes.py::test_trap_21_two_processes_have_the_gradient_of_one"),
    Mutant(21, "training/rollouts.py", "{seed}:{place}:{number}", "{seed}:{wanted.index(place)}:{number}",
           "test_processes.py::test_trap_21_two_processes_train_the_policy_of_one"),
    Mutant(21, "training/processes.py", "shares[at % self.count][at // self.count]",
           "[one for some in shares for one in some][at]",
           "test_processes.py::test_trap_21_two_processes_train_the_policy_of_one"),
    Mutant(21, "training/sharding.py", "set_gradient_divide_factor(1.0)", "set_gradient_divide_factor(2.0)",
           "test_processes.py::test_trap_21_layers_that_are_split_learn_what_whole_ones_do"),
    Mutant(21, "training/loop.py", "config.sharded and self.processes.count > 1", "False",
           "test_processes.py::test_trap_21_layers_that_are_split_learn_what_whole_ones_do"),
    Mutant(21, "training/loop.py", "share.loss * 0.0 if self._idle", "share.loss if self._idle",
           "test_processes.py::test_trap_21_layers_that_are_split_learn_what_whole_ones_do"),
    Mutant(22, "training/packing.py", "Branch(span, (stem,), span)",
           "Branch(span, ((start, span[0]),), span)",
           "test_models.py::test_trap_22_a_changed_neighbour_changes_nothing"),
    Mutant(22, "training/packing.py", "whole = (start, span[1])", "whole = (0, span[1])",
           "test_packing.py::test_trap_22_logprobs_and_gradients_equal_separate_rows"),
    Mutant(26, "training/snapshots.py", "optimizer.state[parameter][part] = value.to(home)", "value.to(home)",
           "test_loop.py::test_trap_26_a_stopped_run_goes_on_bit_for_bit"),
    Mutant(26, "training/loop.py", 'snapshots.set_generators(state["generators"])', "pass",
           "test_loop.py::test_trap_26_a_stopped_run_goes_on_bit_for_bit"),
    Mutant(26, "training/loop.py", 'self._taken, self.skipped = state["taken"], state["skipped"]',
           'self.skipped = state["skipped"]',
           "test_loop.py::test_trap_26_a_stopped_run_goes_on_bit_for_bit"),
    Mutant(26, "training/loop.py", 'self.kept, self.kept_tensors = state["kept"]',
           "self.kept, self.kept_tensors = {}",
           "test_loop.py::test_trap_26_a_stopped_run_goes_on_bit_for_bit"),
    Mutant(27, "training/loop.py", "module.train(modes[name])", "pass",
           "test_loop.py::test_trap_27_looking_at_a_run_does_not_change_it"),
    Mutant(27, "training/loop.py", "            snapshots.set_generators(state)\n", "",
           "test_loop.py::test_trap_27_looking_at_a_run_does_not_change_it"),
    Mutant(28, "training/evaluation.py", "(1.0 + np.sign(gap)) / 2.0", "(gap >= 0).astype(float)",
           "test_reward.py::test_trap_28_ties_count_half_and_undecided_pairs_not_at_all"),
    Mutant(28, "training/data.py", "split_of(key, self._config.test_share)",
           'split_of(digest("pr", [len(self._groups)]), self._config.test_share)',
           "test_data.py::test_trap_28_no_prompt_is_on_two_sides_and_sides_do_not_depend_on_the_file"),
    Mutant(29, "training/bestofn.py", "math.log(n) - (n - 1) / n", "math.log(n) - (n - 1) / (n + 1)",
           "test_bestofn.py::test_trap_29_divergence_of_best_of_n"),
    Mutant(29, "training/bestofn.py", "below - n + 1, 0.0", "below - n, 0.0",
           "test_bestofn.py::test_trap_29_weights_by_hand"),
    Mutant(29, "training/bestofn.py", "random.Random(seed).choice(places)", "places[0]",
           "test_bestofn.py::test_trap_29_ties_go_by_seed_and_not_by_place"),
    Mutant(29, "training/bestofn.py", "if responses[at] != responses[winner]", "if at != winner",
           "test_bestofn.py::test_trap_29_no_text_is_set_against_itself"),
    Mutant(29, "training/bestofn.py", "    known = _known(scores)\n    if not known:\n",
           "    scores = [-1.0 if one is None else one for one in scores]\n"
           "    known = _known(scores)\n    if not known:\n",
           "test_bestofn.py::test_trap_29_a_missing_score_is_missing"),
    Mutant(30, "training/rejection.py", "b <= a for a, b", "False for a, b",
           "test_rejection.py::test_trap_30_quantiles_that_do_not_rise_are_refused"),
    Mutant(30, "training/rejection.py", 'one.prompt if scope == "prompt" else None', "None",
           "test_rejection.py::test_trap_30_a_threshold_of_each_prompt_keeps_both"),
    Mutant(30, "training/rejection.py", "one.score >= least", "one.score > least",
           "test_rejection.py::test_trap_30_thresholds_never_fall_and_what_is_kept_only_shrinks"),
    Mutant(30, "training/rejection.py", "return sum(scores) / len(scores) if scores else None",
           "return sum(scores) / len(scores)",
           "test_rejection.py::test_trap_30_nothing_scored_is_nothing_kept"),
    Mutant(31, "iterations/run.py", "self._jobs.bought, self._rows[-1].policy",
           "self._jobs.bought, self._rows[0].policy",
           "../iterations/test_rounds.py::test_trap_31_each_rounds_data_is_drawn_by_that_rounds_checkpoint_alone"),
    Mutant(31, "iterations/drawn.py", "if _drawer(workspace, one) != policy.digest]", "if False]",
           "../iterations/test_rounds.py::test_trap_31_what_another_checkpoint_drew_is_refused"),
    Mutant(31, "preferences.py", "sum(one.expected or 0.0 for one in read) / len(read)",
           "sum(one.expected or 0.0 for one in read) / len(scores)",
           "../iterations/test_rounds.py::test_trap_31_a_draw_nobody_can_read_counts_nothing"),
    Mutant(31, "iterations/measuring.py", "drawn(workspace, place[1], policy)",
           'drawn(workspace, folder.prompts("train"), policy)',
           "../iterations/test_rounds.py::test_trap_31_gold_is_asked_about_measured_responses_alone"),
    Mutant(32, "training/gate.py", "(safety < _FLOOR)", "(safety <= _FLOOR)",
           "test_gate.py::test_trap_32_exactly_at_the_threshold_helpfulness_speaks"),
    Mutant(32, "training/gate.py", "safety.where(tagged | (safety < _FLOOR), helpfulness)",
           "0.5 * safety + 0.5 * helpfulness", "test_gate.py::test_trap_32_the_worked_example"),
    Mutant(32, "training/scoring.py", "one.prompt in self._tagged for", "False for",
           "test_rollouts.py::test_trap_32_behind_the_gate_safety_speaks_where_it_must"),
    Mutant(32, "training/ppo.py", "costs = beta * k1(",
           "costs = (2.0 if isinstance(config.reward, Gate) else 1.0) * beta * k1(",
           "test_ppo.py::test_trap_32_behind_a_gate_of_two_the_kl_is_paid_once"),
    Mutant(33, "training/models.py", "torch.autocast(states.device.type, enabled=False)",
           "torch.autocast(states.device.type, torch.bfloat16)",
           "test_models.py::test_trap_33_scores_that_differ_in_the_third_decimal_differ"),
    Mutant(33, "training/models.py", "self._head(states).float() / temperature\n        logp: Tensor",
           "self._head(states) / temperature\n        logp: Tensor",
           "test_models.py::test_trap_33_log_probabilities_of_a_bfloat16_model_are_float32"),
    Mutant(33, "training/loop.py", "        if not skipped:\n", "        if True:\n",
           "test_loop.py::test_trap_33_a_step_that_is_not_finite_changes_nothing_and_is_counted"),
    Mutant(34, "training/ppo.py", "costs = beta * k1(", "costs = -beta * k1(",
           "test_ppo.py::test_trap_34_a_constant_reward_leaves_the_policy_where_it_was"),
    Mutant(34, "training/gauges.py", "len(set(runs)) / len(runs)", "len(runs) / len(runs)",
           "test_rollouts.py::test_trap_34_figures_of_texts_by_hand"),
    Mutant(34, "iterations/notices.py", "gap[0] < -_FELL * gap[1]", "gap[0] < -9 * _FELL * gap[1]",
           "../iterations/test_figures.py::test_trap_34_a_fall_of_gold_is_said_beyond_two_errors_only"),
    Mutant(35, "checkpoints/loading.py", "    _pad_apart(model, tokenizer)\n",
           "    _pad_apart(model, tokenizer)\n    model.score.reset_parameters()\n",
           "test_reward.py::test_trap_35_loading_a_reward_model_keeps_its_head"),
    Mutant(35, "checkpoints/loading.py", "has_head and config.num_labels != 1", "False",
           "test_reward.py::test_trap_35_more_than_one_output_is_refused"),
)  # fmt: skip


def copy(folder: Path) -> None:
    """Copy what a test needs; a mutant never touches the package itself."""
    for name in ("rlaif", "tests", "pipelines", "constitutions"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def outcome(folder: Path, tests: Iterable[str]) -> int:
    """Run tests of a copy; return pytest's exit status: 0 all passed, 1 some failed."""
    named = [f"tests/training/{one}" for one in tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *named],
        cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode > 1:  # nothing was tested
        print(done.stdout, done.stderr, file=sys.stderr)
    return done.returncode


def noticed(folder: Path, mutant: Mutant) -> bool:
    """Make a change, run its test, take the change back; tell whether the test failed."""
    path = folder / "rlaif" / mutant.file
    before = path.read_text()
    assert before.count(mutant.old) == 1, (
        f"{mutant.file}: {mutant.old!r} stands there {before.count(mutant.old)} times"
    )
    path.write_text(before.replace(mutant.old, mutant.new))
    try:
        return outcome(folder, [mutant.test]) == 1
    finally:
        path.write_text(before)


def main(traps: Sequence[int]) -> int:
    """Run the mutants of some traps, of all when none is named; return how many survived."""
    chosen = sorted((one for one in MUTANTS if not traps or one.trap in traps), key=lambda one: one.trap)
    survived = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy(folder)
        if outcome(folder, dict.fromkeys(one.test for one in chosen)) != 0:
            print("the tests fail without any change; mend them first")
            return 1
        print("| trap | outcome | test | change |\n|---|---|---|---|")
        for one in chosen:
            found = noticed(folder, one)
            survived += not found
            said = "noticed" if found else "SURVIVED"
            print(f"| {one.trap} | {said} | `{one.test}` | `{one}` |", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} noticed")
    return survived


if __name__ == "__main__":
    sys.exit(min(1, main([int(one) for one in sys.argv[1:]])))
