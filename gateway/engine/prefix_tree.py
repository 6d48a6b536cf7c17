"""Token sequences that share prefixes, as a radix tree: a prefix that many have is held once. Pure.

A node is a run of tokens that follows its parent's; what is kept for the run is the caller's, who divides it with the
node. No two children of a node start with the same token.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

RunT = TypeVar("RunT")

SHORTEST_TOKENS = 16
"""A shorter shared prefix is not worth its copies: templates alone make all prompts begin with a few equal tokens."""
_BLOCK = 64


class Node(Generic[RunT]):
    def __init__(self, parent: "Node[RunT] | None", tokens: tuple[int, ...], run: RunT | None) -> None:
        self.parent = parent
        self.tokens = tokens
        self.run = run
        self.children: dict[int, Node[RunT]] = {}

    def subtree(self) -> Iterator["Node[RunT]"]:
        """Yield the node and all below it, parents first."""
        yield self
        for child in self.children.values():
            yield from child.subtree()

    def path(self) -> list["Node[RunT]"]:
        """Return the nodes from below the root to this one."""
        path: list[Node[RunT]] = []
        node = self
        while node.parent is not None:
            path.append(node)
            node = node.parent
        return path[::-1]


class PrefixTree(Generic[RunT]):
    def __init__(self, divide: Callable[[RunT, int], tuple[RunT, RunT]]) -> None:
        """`divide` cuts what is kept for a run in two, at a number of tokens."""
        self._divide = divide
        self.root = Node[RunT](None, (), None)

    def match(self, tokens: Sequence[int]) -> tuple[list[Node[RunT]], int]:
        """Return the nodes that the longest known prefix of `tokens` runs through, and its length.

        The last node may be matched in part.
        """
        path: list[Node[RunT]] = []
        node, length = self.root, 0
        while length < len(tokens) and (child := node.children.get(tokens[length])) is not None:
            path.append(child)
            shared = common_length(child.tokens, tokens[length : length + len(child.tokens)])
            length += shared
            if shared < len(child.tokens):
                break
            node = child
        return path, length

    def add(
        self, tokens: tuple[int, ...], cuts: Sequence[int], run_of: Callable[[int, int], RunT]
    ) -> tuple[list[Node[RunT]], list[Node[RunT]]]:
        """Make `tokens` known, and return the nodes that it runs through and, of these, those that are new or divided.

        `cuts` are lengths at which what is new is cut into nodes; `run_of(start, end)` makes what is kept for a run.
        """
        path, length = self.match(tokens)
        changed: list[Node[RunT]] = []
        within = length - sum(len(node.tokens) for node in path[:-1]) if path else 0
        if path and within < len(path[-1].tokens):
            upper = self._split(path[-1], within)
            changed += [upper, path[-1]]
            path[-1] = upper
        node = path[-1] if path else self.root
        ends = [*sorted({cut for cut in cuts if length < cut < len(tokens)}), len(tokens)]
        for end in ends if length < len(tokens) else []:
            child = Node(node, tokens[length:end], run_of(length, end))
            node.children[child.tokens[0]] = child
            path.append(child)
            changed.append(child)
            node, length = child, end
        return path, changed

    def remove(self, node: Node[RunT]) -> None:
        """Forget a node and all below it."""
        if node.parent is not None:
            del node.parent.children[node.tokens[0]]

    def _split(self, node: Node[RunT], length: int) -> Node[RunT]:
        """Put a new node above, with the first `length` tokens of this one, and return it."""
        assert node.parent is not None, "the root holds no tokens to split"  # noqa: S101 - the type does not say it
        first, second = (None, None) if node.run is None else self._divide(node.run, length)
        upper = Node(node.parent, node.tokens[:length], first)
        node.parent.children[upper.tokens[0]] = upper
        upper.children[node.tokens[length]] = node
        node.parent, node.tokens, node.run = upper, node.tokens[length:], second
        return upper


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common from the start. Both are sliced: tuples are fastest."""
    shortest = min(len(one), len(other))
    start = 0
    while start < shortest and one[start : start + _BLOCK] == other[start : start + _BLOCK]:
        start += _BLOCK
    while start < shortest and one[start] == other[start]:
        start += 1
    return min(start, shortest)
