"""Records for store tests: strategies derived from the models' fields, and quick plain makers."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue, StringConstraints
from pydantic.fields import FieldInfo

from rlaif.records import RECORDS, Fact, Job, Preference, Prompt, Sample, SamplingParams, TaskState, digest
from rlaif.records import Message as Turn

# Everything a model or a file may hold, NUL and the last plane included; pydantic refuses lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def facts(model: type[Fact]) -> st.SearchStrategy[Fact]:
    """Any valid record of one kind, its id a digest of all of its content."""
    return _model(model, id=st.just("")).map(
        lambda one: one.model_copy(update={"id": digest(model.kind, one.model_dump(mode="json"))})
    )


def any_facts() -> st.SearchStrategy[list[Fact]]:
    """Records of all kinds, in any order."""
    return st.lists(st.sampled_from(RECORDS).flatmap(facts), max_size=12)


def _model(model: type[BaseModel], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = {name: _field(field) for name, field in model.model_fields.items()} | given
    return st.fixed_dictionaries(fields).map(model.model_validate)


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    return _values(field.annotation, field.metadata)


def _values(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is JsonValue:
        return JSON
    if origin in (Union, types.UnionType):
        (one,) = (one for one in args if one is not type(None))
        return st.none() | _values(one, metadata)
    if origin is Annotated:
        return _values(args[0], [*metadata, *args[1:]])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(_values(args[0], []), min_size=_bound(metadata, "min_length", 0), max_size=4).map(
            tuple
        )
    if origin is dict:
        return st.dictionaries(_values(args[0], []), _values(args[1], []), max_size=4)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model(annotation)
    return _scalars(annotation, metadata)


def _scalars(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        patterns = [one.pattern for one in metadata if isinstance(one, StringConstraints)]
        return st.from_regex(patterns[0], fullmatch=True) if patterns else TEXT
    low, high = _bound(metadata, "ge", _bound(metadata, "gt")), _bound(metadata, "le", _bound(metadata, "lt"))
    if annotation is int:
        top = 2**63 - 1 if high is None else int(high) - 1
        return st.integers(-(2**63) if low is None else int(low), top)
    assert annotation is float, annotation
    return st.floats(
        low, high, allow_nan=False, allow_infinity=False,
        exclude_min=any(isinstance(one, annotated_types.Gt) for one in metadata),
    )  # fmt: skip


def _bound(metadata: list[Any], name: str, default: Any = None) -> Any:
    return next((getattr(one, name) for one in metadata if hasattr(one, name)), default)


def prompt(text: str, **fields: object) -> Prompt:
    return Prompt.make((Turn(role="user", content=text),), **fields)


def sample(prompt_id: str, response: str, index: int = 0) -> Sample:
    return Sample.make(
        prompt_id=prompt_id, model="mock:a", params=SamplingParams(), index=index, response=response,
        stop_reason="stop", output_tokens=3, request_key=f"k{index}",
    )  # fmt: skip


def preference(number: int) -> Preference:
    return Preference(
        id=f"pf_{number:024x}", set="st_1", prompt_id=f"pr_{number:024x}", axis="helpfulness", split="train",
        chosen_id=f"sa_{2 * number:024x}", rejected_id=f"sa_{2 * number + 1:024x}", p=0.75, margin="slight",
        p_chosen_first=0.9, p_chosen_second=0.6, mass=0.97, judge="mock:a", constitution="do_1",
        judgment_ids=(f"ju_{2 * number:024x}", f"ju_{2 * number + 1:024x}"),
    )  # fmt: skip


def task(name: str, state: str = "done", reason: str = "", outputs: tuple[str, ...] = ()) -> TaskState:
    return TaskState.make(
        job_id="j-1", task_id=name, stage="sample", state=state, reason=reason, outputs=outputs
    )


def job(id: str = "j-1", seed: int = 0) -> Job:
    return Job(id=id, name="demo", pipeline="do_p", prompts="ps", seed=seed)
