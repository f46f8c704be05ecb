"""``local:`` models: a checkpoint run in this process by one thread.

Owns the wire format of local calls and the thread that answers them. Leaves batching and sharing
to ``generation`` and weights to ``checkpoints``. Calls that wait together are answered together;
a response asked for while others are drawn joins them at the next token.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pydantic import JsonValue

from rlaif.checkpoints import Checkpoint, Dtype, encode, identity, load, render
from rlaif.errors import CallError, InputError, RlaifError
from rlaif.providers.base import RawReply, Reply, Request
from rlaif.records import Message, SamplingParams, Usage, canonical

if TYPE_CHECKING:
    from rlaif.generation import Drawn, Engine, Limits, SampleRequest, ScoreRequest

R = TypeVar("R")

GATHER: Final = 0.005
"""Seconds an idle engine waits after a first call for those sent with it."""
DIGITS: Final = 6
"""Decimals of a log-probability; float32 sums differ beyond them from batch to batch."""


class Transformers:
    """A causal language model from a folder, the hub or the bundled wheel.

    The model is loaded on the first call, on the provider's own thread.

    Args:
        model: name after ``local:``, as for ``checkpoints.resolve``.
        dtype: what the weights are held in; bfloat16 is faster and moves probabilities a little.
        limits: memory and batch shape of the engine; its defaults when None.
        home: folder of caches; the setting's when None.
    """

    name = "local"

    def __init__(
        self,
        model: str,
        *,
        dtype: Dtype = "float32",
        limits: Limits | None = None,
        home: Path | None = None,
    ) -> None:
        self._model, self._dtype, self._home = model, dtype, home
        self._identity: str | None = None
        self._worker = _Worker(lambda: _engine(load(model, dtype, home=home), limits))

    def body(self, request: Request) -> dict[str, JsonValue]:
        """Translate; see `Provider.body`.

        Raises:
            InputError: a JSON schema or another model is asked for, or the model cannot be found.
        """
        if request.schema is not None:
            raise InputError(f"'local:{self._model}' follows no JSON schema; ask for labels or plain text")
        if request.model != self._model:
            raise InputError(f"this provider runs {self._model!r}, not {request.model!r}; open another one")
        if self._identity is None:
            self._identity = identity(self._model, self._home)
        body: dict[str, JsonValue] = {
            "checkpoint": self._identity,
            "dtype": self._dtype,
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
        }
        if request.labels:  # probabilities of the whole distribution: no knob applies
            return {**body, "labels": list(request.labels)}
        params = request.params.model_dump(mode="json")
        return {**body, "params": {**params, "seed": _seed(body, request)}}

    async def send(self, body: Mapping[str, JsonValue]) -> RawReply:
        """Have the engine's thread answer; see `Provider.send`."""
        begun = time.monotonic()
        text = await self._worker.ask(body)
        return RawReply(text, time.monotonic() - begun)

    def read(self, request: Request, raw: RawReply) -> Reply:
        """Read; see `Provider.read`."""
        try:
            wire: dict[str, Any] = json.loads(raw.text)
            labels = wire["label_logprobs"]
            return Reply(
                text=wire["text"],
                stop_reason=wire["stop_reason"],
                usage=Usage(input_tokens=wire["input_tokens"], output_tokens=wire["output_tokens"]),
                model=f"local:{request.model}@{wire['model'][:12]}",
                label_probs=None if labels is None else {k: math.exp(v) for k, v in labels.items()},
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CallError(f"not a local reply: {error}", retry="transient") from None

    async def close(self) -> None:
        """Stop the thread; calls still waiting fail."""
        await self._worker.close()


def _seed(body: Mapping[str, JsonValue], request: Request) -> int:
    """Derive the draw's seed: apart for every prompt, sample and seed, the same in every run."""
    parts = canonical([body["messages"], request.params.seed, request.sample_index])
    return int.from_bytes(hashlib.sha256(parts).digest()[:8], "big") >> 1


def _engine(checkpoint: Checkpoint, limits: Limits | None) -> _Desk:
    from rlaif.generation import Engine, Limits

    return _Desk(checkpoint, Engine(checkpoint, limits or Limits()))


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A body on its way to the thread, and the future its asker awaits."""

    body: Mapping[str, JsonValue]
    future: asyncio.Future[str]
    loop: asyncio.AbstractEventLoop

    def answer(self, outcome: str | RlaifError) -> None:
        """Hand the outcome to the asker's loop; one that has gone away wants none."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._settle, outcome)

    def _settle(self, outcome: str | RlaifError) -> None:
        if self.future.done():
            return
        if isinstance(outcome, str):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)


class _Worker:
    """The one thread that touches the model.

    Both sides touch only the queue, in which None asks the thread to end, and two flags. Invariant:
    no call is left behind, because the thread sets ``_end`` before it empties the queue for the last
    time, and an asker looks at ``_end`` after it has put its call there.
    """

    def __init__(self, open_desk: Callable[[], _Desk]) -> None:
        self._open = open_desk
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = False
        """Set by the asking side only; long work looks at it between packs."""
        self._end: CallError | None = None
        """Why no call can be answered any more."""

    async def ask(self, body: Mapping[str, JsonValue]) -> str:
        """Return the raw reply's text.

        Raises:
            CallError: it cannot be answered, or the thread has ended.
        """
        loop = asyncio.get_running_loop()
        call = _Call(body, loop.create_future(), loop)
        if self._thread is None and self._end is None:
            self._thread = threading.Thread(target=self._run, name="rlaif-local", daemon=True)
            self._thread.start()
        self._queue.put(call)
        self._refuse_if_ended()
        return await call.future

    async def close(self) -> None:
        """End the thread after the step it is in."""
        if self._thread is None:
            self._end = _closed()
        else:
            self._closing = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        desk: _Desk | None = None
        end = CallError("the local model's thread ended unexpectedly", retry="no", fatal=True)
        try:
            desk = self._open()
            self._loop(desk)
            end = _closed()
        except RlaifError as error:  # the model cannot be loaded: true of every call
            end = CallError(str(error), retry="no", fatal=True)
        finally:
            self._end = end
            if desk is not None:
                _fail(desk.pending(), end)
            self._refuse_if_ended()

    def _loop(self, desk: _Desk) -> None:
        while True:
            if desk.idle:
                first = self._queue.get()
                time.sleep(GATHER)
                calls = [first, *self._taken()]
            else:
                calls = self._taken()
            desk.accept([call for call in calls if call is not None])
            if None in calls:
                return
            desk.work(lambda: self._closing)

    def _taken(self) -> list[_Call | None]:
        calls = []
        while True:
            try:
                calls.append(self._queue.get_nowait())
            except queue.Empty:
                return calls

    def _refuse_if_ended(self) -> None:
        if self._end is not None:
            _fail((call for call in self._taken() if call is not None), self._end)


def _closed() -> CallError:
    return CallError("the local model was closed", retry="no", fatal=True)


def _fail(calls: Iterable[_Call], why: CallError) -> None:
    for call in calls:  # an error of its own for each: a raised one carries its raiser's traceback
        call.answer(CallError(str(why), retry=why.retry, fatal=why.fatal))


class _Desk:
    """Bodies to engine requests, and results to raw replies; on the engine's thread."""

    def __init__(self, checkpoint: Checkpoint, engine: Engine) -> None:
        self._checkpoint, self._engine = checkpoint, engine
        self._weighing: dict[int, _Asked[ScoreRequest]] = {}
        self._drawing: dict[int, _Asked[SampleRequest]] = {}
        self._count = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting or being drawn."""
        return not self._weighing and not self._drawing

    def pending(self) -> list[_Call]:
        """Return the calls that have no answer yet."""
        weighing = [asked.call for asked in self._weighing.values()]
        return weighing + [asked.call for asked in self._drawing.values()]

    def accept(self, calls: Iterable[_Call]) -> None:
        """Take calls in; those that cannot be answered fail at once, alone."""
        for call in calls:
            if call.future.cancelled():  # its asker has given up: a time-out, or the job's end
                continue
            with _outcome_for(partial(_only, call)):
                self._accept(call)

    def work(self, stop: Callable[[], bool]) -> None:
        """Weigh all labels asked for, unless told to stop, then draw one token of every response."""
        keys = list(self._weighing)
        with _outcome_for(self._give_up_weighing):
            for index, values in self._engine.weigh([self._weighing[key].request for key in keys]):
                weighed = self._weighing.pop(keys[index])
                weighed.call.answer(self._weighed(weighed, values))
                if stop():
                    return
        with _outcome_for(self._give_up_drawing):
            for key, drawn in self._engine.step():
                done = self._drawing.pop(key)
                done.call.answer(self._drawn(done, drawn))

    def _accept(self, call: _Call) -> None:
        from rlaif.generation import SampleRequest, ScoreRequest

        body: Mapping[str, Any] = call.body
        tokenizer = self._checkpoint.tokenizer
        prompt = tuple(render(tokenizer, [Message.model_validate(one) for one in body["messages"]]))
        if "labels" in body:
            labels = tuple(tuple(encode(tokenizer, label)) for label in body["labels"])
            weigh = ScoreRequest(prompt, labels)
            self._engine.check(weigh)
            self._weighing[self._count] = _Asked(call, weigh)
        else:
            draw = SampleRequest(prompt, SamplingParams.model_validate(body["params"]))
            self._engine.add(self._count, draw)
            self._drawing[self._count] = _Asked(call, draw)
        self._count += 1

    def _give_up_weighing(self) -> list[_Call]:
        calls = [asked.call for asked in self._weighing.values()]
        self._weighing.clear()
        return calls

    def _give_up_drawing(self) -> list[_Call]:
        calls = [asked.call for asked in self._drawing.values()]
        self._engine.drop()
        self._drawing.clear()
        return calls

    def _weighed(self, asked: _Asked[ScoreRequest], values: Sequence[float]) -> str:
        rounded = [round(value, DIGITS) for value in values]
        labels: list[str] = asked.call.body["labels"]  # type: ignore[assignment]
        return self._wire(len(asked.request.prefix), labels=dict(zip(labels, rounded, strict=True)))

    def _drawn(self, asked: _Asked[SampleRequest], drawn: Drawn) -> str:
        return self._wire(len(asked.request.prompt), drawn)

    def _wire(self, read: int, drawn: Drawn | None = None, labels: Mapping[str, float] | None = None) -> str:
        return json.dumps(
            {
                "model": self._checkpoint.digest,
                "text": drawn.text if drawn else "",
                "stop_reason": drawn.stop_reason if drawn else "stop",
                "input_tokens": read,
                "output_tokens": len(drawn.tokens) if drawn else 0,
                "label_logprobs": labels,
            },
            ensure_ascii=False,
        )


@dataclass(frozen=True, slots=True)
class _Asked(Generic[R]):
    """A call and what the engine was asked for it."""

    call: _Call
    request: R


def _only(call: _Call) -> list[_Call]:
    return [call]


@contextmanager
def _outcome_for(calls: Callable[[], Iterable[_Call]]) -> Iterator[None]:
    """Make what a piece of work raises the outcome of the calls it was done for."""
    try:
        yield
    except InputError as error:
        _fail(calls(), CallError(str(error), retry="no"))
    except (RuntimeError, MemoryError) as error:  # torch reports exhausted memory as either
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        advice = "if memory ran out, lower the limits 'rows', 'kept' or 'pack' of the local model"
        _fail(calls(), CallError(f"the local model failed: {first[0]}; {advice}", retry="no"))
