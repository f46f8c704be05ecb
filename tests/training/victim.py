"""A training run in a process of its own, to be killed. Usage: victim.py CONFIG.json [--slow] [--resume].

It says ``step N`` where something is logged. Made slow, so that a kill may hit each of these under way, it
says ``writing`` at every file of a checkpoint, ``drawing`` at every token, and ``updating`` between gradient
and step.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)


def slowed(said: str, call: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """Say so in the middle of every call, and take a while."""

    def slow(*given: Any) -> Any:
        found = call(*given)
        print(said, flush=True)
        time.sleep(seconds)
        return found

    return slow


def score(prompts: Sequence[object], texts: Sequence[str]) -> list[float]:
    return [sum(one in "aeiou" for one in text) + len(text) / 10 for text in texts]


def main() -> None:
    from rlaif.generation.decoding import Batch
    from rlaif.training import ppo
    from rlaif.training.loop import Run
    from rlaif.training.methods import CONFIG, train

    config = CONFIG.validate_json(Path(sys.argv[1]).read_bytes())
    if "--slow" in sys.argv:
        os.fsync = slowed("writing", os.fsync, 0.02)
        Batch.step = slowed("drawing", Batch.step, 0.01)  # type: ignore[method-assign]
        Run._accumulate = slowed("updating", Run._accumulate, 0.02)  # type: ignore[method-assign]
    how: dict[str, Any] = {
        "resume": "--resume" in sys.argv,
        "watch": lambda step, values: print("step", step, flush=True),
    }
    if isinstance(config, ppo.PpoConfig):
        ppo.train(config, score=score, **how)
    else:
        train(config, **how)


if __name__ == "__main__":
    main()
