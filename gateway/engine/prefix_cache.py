"""KV of prompts and answers kept for requests that begin the same: system prompts, earlier turns.

Any shared prefix is found, to the token, whether or not it ends with a message. The KV is the model's own, so what is
generated from it is what would have been without. Held within a bound in bytes, least recently used first; with a
store, runs are written to disk when there is nothing else to do, and outlive both their memory and the process.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from gateway.contracts.admin import PrefixCacheCounts
from gateway.engine import kv_run
from gateway.engine.kv_run import KvRun
from gateway.engine.prefix_store import PrefixStore
from gateway.engine.prefix_tree import SHORTEST_TOKENS, Node, PrefixTree

LONGEST_RUN_TOKENS = 512
"""So that an old conversation loses its end first and not all of it at once."""


class PrefixCache:
    def __init__(self, *, limit_bytes: int, store: PrefixStore | None = None) -> None:
        self._tree = PrefixTree[KvRun](kv_run.divide)
        self._limit_bytes = limit_bytes
        self._store = store
        self._resident: OrderedDict[Node[KvRun], int] = OrderedDict()
        """Bytes of each run in memory, least recently used first: a node is always used after those below it."""
        self._unsaved: dict[Node[KvRun], None] = {}
        """Parents before their children: a run on disk is of use only where all before it is there too."""
        self._held_bytes = 0
        self._hits = self._misses = self._hit_tokens = self._evictions = 0
        if store is not None:
            store.restore(self._tree)

    def counts(self) -> PrefixCacheCounts:
        return PrefixCacheCounts(
            hits=self._hits,
            misses=self._misses,
            hit_tokens=self._hit_tokens,
            evictions=self._evictions,
            held_bytes=self._held_bytes,
            stored_bytes=self._store.stored_bytes if self._store else 0,
        )

    def known_tokens(self, prompt: tuple[int, ...]) -> int:
        """Return how long a prefix `fetch` would give."""
        length = self._tree.match(prompt[:-1])[1]
        return length if length >= SHORTEST_TOKENS else 0

    def fetch(self, prompt: tuple[int, ...]) -> tuple[list[Any], int]:
        """Return a row's cache with the prompt's longest known prefix, and its length; without one, nothing and 0.

        The prompt's last token is always left to compute: mlx-lm takes no empty prompt, and its logits are wanted.
        """
        path, length = self._match(prompt[:-1])
        if length < SHORTEST_TOKENS:
            self._misses += 1
            return [], 0
        self._hits += 1
        self._hit_tokens += length
        cache = kv_run.joined([node.run for node in path if node.run is not None], length)
        self._evict()
        return cache, length

    def keep(self, tokens: tuple[int, ...], cache: Sequence[Any]) -> None:
        """Remember the KV of `tokens`, which the row's cache holds from its first position on."""
        if len(tokens) < SHORTEST_TOKENS or not kv_run.can_be_cut(cache):
            return
        self._match(tokens)  # What is to be divided must be in memory.
        cuts = range(LONGEST_RUN_TOKENS, len(tokens), LONGEST_RUN_TOKENS)
        path, changed = self._tree.add(tokens, cuts, lambda start, end: kv_run.cut(cache, start, end))
        for node in changed:
            self._account(node)
            if self._store is not None:
                self._store.forget(node)
                self._unsaved[node] = None
        self._use(path)
        self._evict()

    def clear(self) -> None:
        """Forget all that is in memory; what is on disk stays."""
        for node in list(self._resident):
            node.run = None
            self._drop_unheld(node)
        self._resident.clear()
        self._unsaved.clear()
        self._held_bytes = 0

    def tidy(self) -> bool:
        """Write one run to disk where there is one to write, and return whether there was."""
        if self._store is None or not self._unsaved:
            return False
        node = next(iter(self._unsaved))
        del self._unsaved[node]
        if node.run is not None:
            for gone in self._store.save(node, node.run):
                self._drop_unheld(gone)
        return True

    def _match(self, tokens: tuple[int, ...]) -> tuple[list[Node[KvRun]], int]:
        """Return the path of the longest known prefix, in memory, and its length."""
        path, length = self._tree.match(tokens)
        for node in path:
            if node.run is None:
                node.run = self._store.load(node) if self._store else None
                if node.run is None:  # What comes after it on disk is of no use without it.
                    self._remove(node)
                    return self._tree.match(tokens)
                self._account(node)
        self._use(path)
        return path, length

    def _account(self, node: Node[KvRun]) -> None:
        size_bytes = node.run.size_bytes if node.run is not None else 0
        self._held_bytes += size_bytes - self._resident.get(node, 0)
        self._resident[node] = size_bytes

    def _use(self, path: list[Node[KvRun]]) -> None:
        for node in reversed(path):
            self._resident.move_to_end(node)
            if self._store is not None:
                self._store.use(node)

    def _evict(self) -> None:
        while self._held_bytes > self._limit_bytes:
            node, size_bytes = self._resident.popitem(last=False)
            self._held_bytes -= size_bytes
            self._evictions += 1
            self._unsaved.pop(node, None)
            node.run = None
            self._drop_unheld(node)

    def _drop_unheld(self, node: Node[KvRun]) -> None:
        """Forget a node that is neither in memory nor on disk, and with it all below, which only continues it."""
        if node.run is None and not (self._store is not None and self._store.holds(node)):
            self._remove(node)

    def _remove(self, node: Node[KvRun]) -> None:
        self._tree.remove(node)
        for gone in node.subtree():
            self._held_bytes -= self._resident.pop(gone, 0)
            self._unsaved.pop(gone, None)
            gone.run = None
            if self._store is not None:
                self._store.forget(gone)
