"""Where the time of one update of a reward model goes: each kind of operation alone, at the update's shapes.

SmolLM2-135M in float32 on two threads, eight HH pairs in one packed row, as ``reward_training.py`` trains.
Every kind is timed forwards and backwards by itself and counted as often as the model does it; the
whole update is timed as well, so that ``rest`` is what the kinds do not explain. Products come with the rate
they reach, beside that of one large product. Writes one JSON row.

    RLAIF_EVAL_DATA=... python benchmarks/update_parts.py
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from reward_training import BATCH, MODEL, matmul, rows

REPEATS = 9


def seconds(step: Callable[[], object]) -> float:
    """Median of a few runs, after two that warm up."""
    taken = []
    for _ in range(REPEATS + 2):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:])


def packed() -> tuple[Any, Any]:
    """Return the model and eight pairs in a row."""
    import tempfile

    from rlaif.checkpoints import load_scorer
    from rlaif.training.config import DataConfig
    from rlaif.training.data import read_pairs
    from rlaif.training.packing import pack

    checkpoint = load_scorer(MODEL)
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows()))
        file.flush()
        data = read_pairs(DataConfig(path=file.name, test_share=0.0), checkpoint.tokenizer)
    return checkpoint.model, pack(one.group for one in data.train[:BATCH])


def through(layer: Any, *shapes: tuple[int, ...]) -> Callable[[], None]:
    """Return a step forwards and backwards through a layer fed with noise of such shapes."""
    import torch

    given = [torch.randn(shape, requires_grad=True) for shape in shapes]
    gradient = torch.randn_like(layer(*given))
    return lambda: layer(*given).backward(gradient)


def kinds(model: Any, row: Any) -> dict[str, float]:
    """Seconds an update spends on each kind of operation."""
    import torch
    from torch.nn.functional import silu

    from rlaif.generation import Tree

    config, layer = model.config, model.model.layers[0]
    layers, tokens = config.num_hidden_layers, len(row.ids)
    wide, narrow = config.intermediate_size, config.hidden_size
    heads, keys, width = config.num_attention_heads, config.num_key_value_heads, layer.self_attn.head_dim

    def attend(query: Any, key: Any, value: Any) -> Any:
        return Tree(row.branches, torch.float32, torch.device("cpu")).attend(query, key, value, None)

    mlp, attention = layer.mlp, layer.self_attn
    steps = {
        "products_mlp": [
            (through(mlp.gate_proj, (tokens, narrow)), 2),
            (through(mlp.down_proj, (tokens, wide)), 1),
        ],
        "products_attention": [
            (through(attention.q_proj, (tokens, narrow)), 2),
            (through(attention.k_proj, (tokens, narrow)), 2),
        ],
        "attention": [(through(attend, (1, heads, tokens, width), *[(1, keys, tokens, width)] * 2), 1)],
        "norms": [(through(layer.input_layernorm, (1, tokens, narrow)), 2)],
        "gates": [(through(lambda gate, up: silu(gate) * up, (tokens, wide), (tokens, wide)), 1)],
    }
    return {
        name: round(layers * sum(seconds(step) * times for step, times in some), 3)
        for name, some in steps.items()
    }


def main() -> None:
    import torch

    from rlaif.training.models import Scorer

    torch.set_num_threads(2)
    model, row = packed()
    scorer = Scorer(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-9)

    def update() -> None:
        with scorer.passes():
            scorer.scores(row).sum().backward()
        optimiser.step()

    whole, step = seconds(update), seconds(lambda: optimiser.step())
    found = kinds(model, row) | {"adamw": round(step, 3)}
    body = sum(one.numel() for name, one in model.named_parameters() if "layers" in name)
    products = found["products_mlp"] + found["products_attention"]
    print(json.dumps({
        "benchmark": "update_parts", "tokens": len(row.ids), "update_s": round(whole, 3), **found,
        "rest": round(whole - sum(found.values()), 3),
        "products_gflop_per_s": round(6 * body * len(row.ids) / products / 1e9, 1),
        "update_gflop_per_s": round(6 * body * len(row.ids) / whole / 1e9, 1),
        "matmul_gflop_per_s": matmul(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
