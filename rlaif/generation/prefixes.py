"""A tree of token prefixes with the keys and values a model computed for them.

Owns which tokens are shared and what is kept within a bound. Leaves computing to ``packing``.

Each node holds a run of tokens; the path from the root spells a prefix (a radix tree, as in
SGLang, https://arxiv.org/abs/2312.07104). Claimed paths stay; of the others, the leaves not used
for longest go first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Tokens = tuple[int, ...]


class Node:
    """A run of tokens after its parent's; ``kv`` once computed."""

    __slots__ = ("children", "claims", "kv", "parent", "start", "tokens", "used")

    def __init__(self, tokens: Tokens, parent: Node | None) -> None:
        self.tokens = tokens
        self.parent = parent
        self.start: int = 0 if parent is None else parent.end
        """Position of the first token."""
        self.children: dict[int, Node] = {}
        """By the first token of each."""
        self.kv: Tensor | None = None
        """Keys and values, ``(layers, 2, heads, tokens, width)``."""
        self.claims = 0
        """Requests in work that need this node."""
        self.used = 0
        """When it was last claimed, in claims of the whole tree."""

    @property
    def end(self) -> int:
        """Position after the last token."""
        return self.start + len(self.tokens)

    def path(self) -> list[Node]:
        """Return the nodes from below the root down to this one."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None and node.tokens:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]


class Tail(Node):
    """Tokens read for their logits: below the tree, never shared and never kept."""

    __slots__ = ()


class PrefixTree:
    """Prefixes seen so far, bounded in tokens that are kept with no claim on them."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._clock = 0
        self.root = Node((), None)

    def claim(self, tokens: Tokens) -> Node:
        """Return the node whose path spells ``tokens``, protected until ``release``."""
        node = self.root
        while node.end < len(tokens):
            child = node.children.get(tokens[node.end])
            if child is None:
                child = node.children[tokens[node.end]] = Node(tokens[node.end :], node)
            else:
                same = shared(child.tokens, tokens[node.end :])
                if same < len(child.tokens):
                    child = self.split(child, same)
            node = child
        self._clock += 1
        for one in node.path():
            one.claims += 1
            one.used = self._clock
        return node

    def chunks(self, node: Node, longest: int) -> list[Node]:
        """Return a claimed path, with what is yet to be computed in pieces of bounded length."""
        for one in node.path():
            while one.kv is None and len(one.tokens) > longest:
                self.split(one, longest)
        return node.path()

    def release(self, node: Node) -> None:
        """Give up one claim on a path, and forget what then exceeds the bound."""
        for one in node.path():
            one.claims -= 1
        self._trim()

    def split(self, node: Node, at: int) -> Node:
        """Cut a node after ``at`` tokens; ``node`` stays the lower part, the upper is returned."""
        parent = node.parent
        assert parent is not None  # the root has no tokens to cut
        upper = Node(node.tokens[:at], parent)
        upper.claims, upper.used = node.claims, node.used
        parent.children[upper.tokens[0]] = upper
        node.tokens, node.start, node.parent = node.tokens[at:], upper.end, upper
        upper.children[node.tokens[0]] = node
        if node.kv is not None:
            # Copies, not views: a view would keep the whole alive after its other part is forgotten.
            upper.kv, node.kv = node.kv[..., :at, :].clone(), node.kv[..., at:, :].clone()
        return upper

    def clear(self) -> None:
        """Forget everything; only between requests, e.g. when the model's weights have changed."""
        self.root = Node((), None)

    def size(self) -> int:
        """Return the number of tokens kept with keys and values."""
        return sum(len(node.tokens) for node in self._nodes() if node.kv is not None)

    def _trim(self) -> None:
        excess = self.size() - self._bound
        leaves = sorted(self._idle_leaves(), key=lambda node: node.used) if excess > 0 else []
        while leaves and excess > 0:
            node = leaves.pop(0)
            excess -= len(node.tokens) if node.kv is not None else 0
            parent = node.parent
            assert parent is not None
            del parent.children[node.tokens[0]]
            if parent.tokens and not parent.children and parent.claims == 0:
                leaves.insert(0, parent)  # nothing below it is wanted any more

    def _idle_leaves(self) -> list[Node]:
        return [node for node in self._nodes() if not node.children and node.claims == 0]

    def _nodes(self) -> Iterator[Node]:
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())


def shared(left: Tokens, right: Tokens) -> int:
    """Return how many leading tokens two sequences share, by bisection over slice comparison."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
