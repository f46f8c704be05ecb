"""From coroutines to plain calls, and the one rule about money that all verbs share.

Owns running a coroutine to its end wherever it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from rlaif.errors import InputError

T = TypeVar("T")


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where an event loop is running already, as in a notebook.

    There it runs in a loop of its own on a thread that ends with this call. Interrupting the wait
    cancels the work, and returns when it has put down what it holds.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    begun: Future[Callable[[], object]] = Future()

    async def whole() -> T:
        task = asyncio.create_task(work)
        loop = asyncio.get_running_loop()
        begun.set_result(lambda: loop.call_soon_threadsafe(task.cancel))
        return await task

    with ThreadPoolExecutor(1, thread_name_prefix="rlaif-verb") as thread:
        ended = thread.submit(asyncio.run, whole())
        try:
            return ended.result()
        except KeyboardInterrupt:
            begun.result()()
            raise


def need_budget(budget: float | None, why: str) -> None:
    """Refuse to spend where nobody said how much.

    Raises:
        InputError: there is no budget.
    """
    if budget is None:
        raise InputError(f"{why}; pass budget=USD, the most that may be spent", field="budget")
