"""One of several processes of a run. Usage: worker.py CONFIG.json GRADIENTS [--resume] [--stop=N].

Writes the gradient of the first update as this process has it before the step, whole where it is split, and
beside it how many numbers that train this process holds. With ``--stop`` it is gone before update N + 1.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)


def main() -> None:
    from safetensors.torch import save_file

    from rlaif.training import loop, ppo, sharding
    from rlaif.training.methods import CONFIG, train
    from tests.training.victim import score

    stop = next((int(one.removeprefix("--stop=")) for one in sys.argv if one.startswith("--stop=")), None)
    caught: list[dict[str, torch.Tensor]] = []
    accumulate = loop.Run._accumulate

    def seen(run: loop.Run, shares: Any) -> Any:
        if run.step == stop:
            os._exit(0)
        found = accumulate(run, shares)
        held = sum(one.to_local().numel() if sharding.split(one) else one.numel() for one in run._names)  # type: ignore[attr-defined]
        Path(sys.argv[2] + ".held").write_text(str(held))
        grads = {name: one.grad for one, name in run._names.items() if one.grad is not None}
        caught.append({name: sharding.whole(grad).clone() for name, grad in grads.items()})
        return found

    loop.Run._accumulate = seen  # type: ignore[method-assign]
    config, resume = CONFIG.validate_json(Path(sys.argv[1]).read_bytes()), "--resume" in sys.argv
    if isinstance(config, ppo.PpoConfig):
        ppo.train(config, resume=resume, score=score)
    else:
        train(config, resume=resume)
    save_file(caught[0], sys.argv[2])


if __name__ == "__main__":
    main()
