"""From rows to groups of token ids: boundaries, what is left out, the split, the digest."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.checkpoints import render
from rlaif.errors import InputError
from rlaif.exports import export
from rlaif.records import Message
from rlaif.training.config import DataConfig
from rlaif.training.data import read_demonstrations, read_labelled, read_pairs, read_prompts
from tests import tiny
from tests.factory import world
from tests.training.made import asked, data, pair, pairs, said, turn, write

END = 0  # <|end|>
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda text: text.strip()
)


def text_of(ids: tuple[int, ...]) -> str:
    return str(tiny.tokenizer().decode(ids))


# Trap 8: where a prompt ends


@settings(max_examples=40, deadline=None)
@given(prompt=words, chosen=words, rejected=words)
def test_trap_08_a_prompts_ids_do_not_depend_on_what_follows(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, chosen: str, rejected: str
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [pair(prompt, chosen, rejected), pair(prompt, chosen + "!", rejected)]
    (found,) = read_pairs(data(path, rows, test_share=0.0), tiny.tokenizer()).train
    assert list(found.group.prompt) == render(tiny.tokenizer(), [Message(role="user", content=prompt)])
    for response in found.group.responses:
        assert response[-1] == END
        assert END not in response[:-1]


def test_trap_08_training_reads_what_drawing_and_judging_read(tmp_path: Path) -> None:
    (found,) = read_pairs(data(tmp_path / "a.jsonl", [pair("Why?", "So.", "No.")], test_share=0.0),
                          tiny.tokenizer()).train  # fmt: skip
    assert text_of(found.group.prompt) == "<|turn|>user\nWhy?<|end|>\n<|turn|>assistant\n"
    assert [text_of(one) for one in found.group.responses] == ["So.<|end|>", "No.<|end|>"]


def test_trap_08_words_that_spell_a_special_token_are_words(tmp_path: Path) -> None:
    (found,) = read_pairs(data(tmp_path / "a.jsonl", [pair("Why?", "a<|end|>b", "No.")], test_share=0.0),
                          tiny.tokenizer()).train  # fmt: skip
    assert [one == END for one in found.group.responses[0]].count(True) == 1


def with_bos() -> Any:
    from tokenizers.processors import TemplateProcessing

    made = tiny.tokenizer()
    made.add_special_tokens({"bos_token": "<|turn|>"})
    made.backend_tokenizer.post_processor = TemplateProcessing(
        "<|turn|> $A", special_tokens=[("<|turn|>", 1)]
    )
    return made


@pytest.mark.parametrize("ending", ["", "<|end|>"])
@pytest.mark.parametrize("beginning", ["", "<|turn|>"])
def test_trap_08_text_gets_one_bos_and_one_eos(tmp_path: Path, beginning: str, ending: str) -> None:
    rows = [{"prompt": beginning + "Q:", "chosen": " yes" + ending, "rejected": " no"}]
    (found,) = read_pairs(data(tmp_path / "a.jsonl", rows, test_share=0.0), with_bos()).train
    assert found.group.prompt[0] == 1
    assert 1 not in found.group.prompt[1:]
    for response in found.group.responses:
        assert (response[-1], response.count(END), response.count(1)) == (END, 1, 0)


def test_a_template_that_writes_bos_has_it_once(tmp_path: Path) -> None:
    made = with_bos()
    made.chat_template = "<|pad|>" + tiny.TEMPLATE
    rows = [{"messages": [*asked("a"), *said("b"), *asked("c"), *said("d")]}]
    (found,) = read_demonstrations(data(tmp_path / "a.jsonl", rows, test_share=0.0), made).train
    whole = (*found.group.prompt, *found.group.responses[0])
    assert (whole.count(2), whole[0]) == (1, 2)


# Trap 9: length, ends, and rows without a response


def test_trap_09_long_rows_are_left_out_whole_and_counted(tmp_path: Path) -> None:
    rows = [pair("a", "short", "x" * 100), pair("b", "x" * 100, "short"), pair("c", "yes", "no")]
    found = read_pairs(data(tmp_path / "a.jsonl", rows, max_length=60, test_share=0.0), tiny.tokenizer())
    assert (found.census.rows, found.census.used, found.census.too_long) == (3, 1, 2)
    assert [text_of(one) for one in found.train[0].group.responses] == ["yes<|end|>", "no<|end|>"]


def test_trap_09_the_bound_is_prompt_and_response_together(tmp_path: Path) -> None:
    (row,) = [{"prompt": asked("a"), "completion": said("b")}]
    config = data(tmp_path / "a.jsonl", [row], test_share=0.0)
    (one,) = read_demonstrations(config, tiny.tokenizer()).train
    size = one.group.tokens
    fits = config.model_copy(update={"max_length": size})
    assert len(read_demonstrations(fits, tiny.tokenizer()).train) == 1
    with pytest.raises(InputError, match=r"none of 1 rows.*1 longer than max_length"):
        read_demonstrations(config.model_copy(update={"max_length": size - 1}), tiny.tokenizer())


@pytest.mark.parametrize(
    ("read", "row", "words"),
    [
        (read_pairs, {"prompt": asked("a")}, ("columns prompt", "chosen and rejected", "no response")),
        (read_demonstrations, {"prompt": asked("a")}, ("prompt and completion", "no response")),
        (read_pairs, {"question": "a"}, ("columns question",)),
        (read_pairs, pair("a", "yes", ""), ("rejected", "response is empty")),
        (read_pairs, {"prompt": "a", "chosen": "yes", "rejected": "  "}, ("rejected", "empty")),
        (read_pairs, {"prompt": "a", "chosen": "yes", "rejected": 7}, ("rejected", "7")),
        (read_pairs, {"prompt": "a", "chosen": said("b"), "rejected": said("c")}, ("same way",)),
        (read_pairs, pair("a", "b", "c", p=1.5), ("p", "1.5", "0 to 1")),
        (read_pairs, pair("a", "b", "c", p=True), ("p", "true")),
        (read_pairs, pair("a", "b", "c", margin_level="huge"), ("margin_level", "'huge'", "slight")),
        (read_pairs, {"chosen": asked("a"), "rejected": asked("b")}, ("begin differently", "prompt")),
        (read_labelled, {"prompt": "a", "completion": "b", "label": 1}, ("label", "true or false")),
        (read_demonstrations, {"messages": asked("a")}, ("assistant", "no such turn")),
        (read_demonstrations, {"messages": [turn("robot", "a")]}, ("messages.0", "assistant")),
        (read_prompts, {"messages": asked("a")}, ("messages", "prompt")),
    ],
)
def test_trap_09_a_row_that_says_too_little_is_refused(
    tmp_path: Path, read: Any, row: dict[str, Any], words: tuple[str, ...]
) -> None:
    config = data(tmp_path / "a.jsonl", [row], test_share=0.0)
    with pytest.raises(InputError) as caught:
        read(config, tiny.tokenizer())
    for word in ("a.jsonl:1", *words):
        assert word in str(caught.value)


def test_an_empty_file_and_equal_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row in it"):
        read_pairs(data(tmp_path / "a.jsonl", []), tiny.tokenizer())
    with pytest.raises(InputError, match="all 2 pairs have the same response"):
        read_pairs(data(tmp_path / "a.jsonl", [pair("a", "b", "b")] * 2), tiny.tokenizer())


def test_a_few_equal_pairs_are_counted(tmp_path: Path) -> None:
    rows = [pair("a", "b", "b"), pair("a", "b", "c")]
    found = read_pairs(data(tmp_path / "a.jsonl", rows, test_share=0.0), tiny.tokenizer())
    assert (found.census.identical, found.census.used, len(found.train[0].pairs)) == (1, 1, 1)


def test_a_tokenizer_without_a_template_is_named(tmp_path: Path) -> None:
    made = tiny.tokenizer()
    made.chat_template = None
    with pytest.raises(InputError, match="has no chat template"):
        read_pairs(data(tmp_path / "a.jsonl", [pair("a", "b", "c")]), made)


# Groups


def test_all_rows_of_a_prompt_are_one_group_and_each_response_is_read_once(tmp_path: Path) -> None:
    rows = [
        pair("x", "A", "B", p=0.7),
        pair("y", "C", "D"),
        pair("x", "A", "C", weight=2),
        pair("x", "B", "C"),
    ]
    found = read_pairs(data(tmp_path / "a.jsonl", rows, test_share=0.0), tiny.tokenizer())
    first, second = found.train
    assert [text_of(one) for one in first.group.responses] == ["A<|end|>", "B<|end|>", "C<|end|>"]
    assert [(one.chosen, one.rejected, one.p, one.weight) for one in first.pairs] == [
        (0, 1, 0.7, 1.0), (0, 2, 1.0, 2.0), (1, 2, 1.0, 1.0),
    ]  # fmt: skip
    assert len(second.pairs) == 1


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt", "responses"),
    [
        ("Q: a b", "Q: a c", "Q: a", [" b", " c"]),
        ("Q: that", "Q: thin", "Q:", [" that", " thin"]),  # no word is cut
        ("Q: a", "Q: a b", "Q:", [" a", " a b"]),
    ],
)
def test_an_implicit_prompt_is_what_both_begin_with(
    tmp_path: Path, chosen: str, rejected: str, prompt: str, responses: list[str]
) -> None:
    rows = [{"chosen": chosen, "rejected": rejected}]
    (found,) = read_pairs(data(tmp_path / "a.jsonl", rows, test_share=0.0), tiny.tokenizer()).train
    assert text_of(found.group.prompt) == prompt
    assert [text_of(one[:-1]) for one in found.group.responses] == responses


def test_an_implicit_conversation_is_cut_at_a_turn(tmp_path: Path) -> None:
    before = [*asked("a"), *said("b"), *asked("c")]
    rows = [{"chosen": [*before, *said("yes")], "rejected": [*before, *said("no")]}]
    found = read_pairs(data(tmp_path / "a.jsonl", rows, test_share=0.0), tiny.tokenizer()).train[0]
    explicit = [{"prompt": before, "chosen": said("yes"), "rejected": said("no")}]
    assert (
        read_pairs(data(tmp_path / "b.jsonl", explicit, test_share=0.0), tiny.tokenizer()).train[0] == found
    )


def test_only_what_an_assistant_said_is_trained_on(tmp_path: Path) -> None:
    rows = [
        {"messages": [turn("system", "s"), *asked("a"), *said("b"), *asked("c"), *said("d"), *asked("e")]}
    ]
    (found,) = read_demonstrations(data(tmp_path / "a.jsonl", rows, test_share=0.0), tiny.tokenizer()).train
    (response,), (mask,) = found.group.responses, found.said
    assert (
        text_of(found.group.prompt) == "<|turn|>system\ns<|end|>\n<|turn|>user\na<|end|>\n<|turn|>assistant\n"
    )
    assert text_of(response) == "b<|end|>\n<|turn|>user\nc<|end|>\n<|turn|>assistant\nd<|end|>"
    assert text_of(tuple(one for one, kept in zip(response, mask, strict=True) if kept)) == "b<|end|>d<|end|>"


def test_labels_keep_every_row(tmp_path: Path) -> None:
    rows = [
        {"prompt": asked("a"), "completion": said(text), "label": label}
        for text, label in (("b", True), ("b", False), ("c", True))
    ]
    (found,) = read_labelled(data(tmp_path / "a.jsonl", rows, test_share=0.0), tiny.tokenizer()).train
    assert found.labels == (True, False, True)
    assert found.group.responses[0] == found.group.responses[1]


def test_prompts_are_read_once_from_rows_of_any_shape(tmp_path: Path) -> None:
    rows = [pair("a", "b", "c"), pair("a", "d", "e"), {"prompt": asked("f")}]
    found = read_prompts(data(tmp_path / "a.jsonl", rows, test_share=0.0), tiny.tokenizer()).train
    assert [one.text[0].content for one in found] == ["a", "f"]  # type: ignore[union-attr]
    assert all(one.group.responses == () for one in found)


# Splits and files


def test_trap_28_no_prompt_is_on_two_sides_and_sides_do_not_depend_on_the_file(tmp_path: Path) -> None:
    rows = pairs(60, each=3)
    whole = read_pairs(data(tmp_path / "a.jsonl", rows, test_share=0.3), tiny.tokenizer())
    assert not {one.group.prompt for one in whole.train} & {one.group.prompt for one in whole.test}
    assert 5 < len(whole.test) < 35
    other = read_pairs(data(tmp_path / "b.jsonl", rows[::-1][:90], test_share=0.3), tiny.tokenizer())
    assert {one.group.prompt for one in other.test} <= {one.group.prompt for one in whole.test}


def test_an_export_is_read_by_table_with_its_own_split(tmp_path: Path) -> None:
    export(world(prompts=12).source(), tmp_path / "out")
    path = str(tmp_path / "out")
    with pytest.raises(InputError, match="no table is named; this export holds helpfulness, helpfulness-sft"):
        read_pairs(DataConfig(path=path), tiny.tokenizer())
    found = read_pairs(DataConfig(path=path, table="helpfulness"), tiny.tokenizer())
    lines = {
        side: [json.loads(line) for line in (tmp_path / f"out/helpfulness/{side}-00000.jsonl").open()]
        for side in ("train", "test")
    }
    assert sum(len(one.pairs) for one in found.train) == len(lines["train"])
    assert sum(len(one.pairs) for one in found.test) == len(lines["test"])
    assert found.train[0].pairs[0].p == lines["train"][0]["p"]
    same = read_pairs(DataConfig(path=f"{path}/helpfulness"), tiny.tokenizer())
    assert same.digest == found.digest
    assert read_demonstrations(DataConfig(path=path, table="helpfulness-sft"), tiny.tokenizer()).train
    assert read_labelled(DataConfig(path=path, table="helpfulness-unpaired"), tiny.tokenizer()).train
    assert read_prompts(DataConfig(path=path, table="prompts"), tiny.tokenizer()).train


def test_parquet_and_jsonl_give_the_same_digest(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pairs(9)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    one = read_pairs(DataConfig(path=str(tmp_path / "a.parquet")), tiny.tokenizer())
    other = read_pairs(data(tmp_path / "a.jsonl", rows), tiny.tokenizer())
    assert one == other


@pytest.mark.parametrize("change", [{"p": 0.7}, {"weight": 2.0}, {"margin": 1.0}, {"source": "x"}])
def test_the_digest_sees_every_label(tmp_path: Path, change: dict[str, Any]) -> None:
    before = read_pairs(data(tmp_path / "a.jsonl", [pair("a", "b", "c")], test_share=0), tiny.tokenizer())
    after = read_pairs(
        data(tmp_path / "b.jsonl", [pair("a", "b", "c", **change)], test_share=0), tiny.tokenizer()
    )
    assert before.digest != after.digest


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", [])
    with pytest.raises(InputError, match="no data in this folder"):
        read_pairs(DataConfig(path=str(tmp_path)), tiny.tokenizer())
    with pytest.raises(InputError, match="no export folder"):
        read_pairs(DataConfig(path=str(tmp_path), table="x"), tiny.tokenizer())
