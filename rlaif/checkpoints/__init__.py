"""Names to weights: the bundled default, a folder, or a hub id, with tokenizer and chat template.

Owns where checkpoints come from, what identifies them, and how a conversation becomes token ids.
The only place that calls the loaders and savers of ``transformers``. Leaves running a model to
``generation`` and changing its weights to ``training``.
"""

from rlaif.checkpoints.bundled import BUNDLED
from rlaif.checkpoints.chat import encode, end_ids, render
from rlaif.checkpoints.loading import Checkpoint, Dtype, identity, load, resolve

__all__ = [
    "BUNDLED",
    "Checkpoint",
    "Dtype",
    "encode",
    "end_ids",
    "identity",
    "load",
    "render",
    "resolve",
]
