"""Runs of KV on disk: one safetensors file a run, which says in its header what tokens it is for.

The files hold what was asked and answered, as token ids, so they are their owner's alone to read. A file that is
damaged, or that follows one that is gone, is removed: a prefix is computed again then, and nobody notices.
"""

import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import mlx.core as mx
import msgspec

from gateway.engine.kv_run import KvRun
from gateway.engine.prefix_tree import Node, PrefixTree

_LENGTH_BYTES = 8
_HEADER_LIMIT_BYTES = 16 * 1024 * 1024
_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, msgspec.MsgspecError)
"""What the system, MLX and the decoder raise about a file that is not what it should be."""


class _Metadata(msgspec.Struct):
    prefix: str
    """Tokens before the run, as JSON."""
    run: str
    """Tokens of the run, as JSON."""


class _Header(msgspec.Struct):
    metadata: _Metadata = msgspec.field(name="__metadata__")


class _File(msgspec.Struct):
    path: Path
    size_bytes: int


class PrefixStore:
    def __init__(self, root: Path, *, engine: str, limit_bytes: int) -> None:
        """`engine` names all that decides what KV is: another engine's files are never read. Raises OSError."""
        self._directory = root / sha256(engine.encode()).hexdigest()[:32]
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._limit_bytes = limit_bytes
        self._files: OrderedDict[Node[KvRun], _File] = OrderedDict()
        """Least recently used first."""
        self.stored_bytes = 0

    def restore(self, tree: PrefixTree[KvRun]) -> None:
        """Put what earlier processes wrote into an empty tree, without reading more than the headers."""
        found: list[tuple[tuple[int, ...], tuple[int, ...], Path]] = []
        for path in self._directory.iterdir():
            try:
                found.append((*_tokens(path), path))
            except _UNREADABLE:
                _unlink(path)
        found.sort(key=lambda entry: len(entry[0]))
        nodes: list[tuple[float, int, Node[KvRun], _File]] = []
        for prefix, run, path in found:
            node = _attach(tree, prefix, run)
            if node is None:
                _unlink(path)
                continue
            about = path.stat()
            nodes.append((about.st_mtime, -len(prefix), node, _File(path, about.st_size)))
        for _, _, node, file in sorted(nodes, key=lambda entry: entry[:2]):
            self._files[node] = file
            self.stored_bytes += file.size_bytes
        for node in self._make_room():
            tree.remove(node)
            for below in node.subtree():
                self.forget(below)

    def holds(self, node: Node[KvRun]) -> bool:
        return node in self._files

    def use(self, node: Node[KvRun]) -> None:
        """Note that a run was used; one that is not held is ignored."""
        if node in self._files:
            self._files.move_to_end(node)
            with suppress(OSError):
                os.utime(self._files[node].path)

    def save(self, node: Node[KvRun], run: KvRun) -> list[Node[KvRun]]:
        """Write a run, and return the nodes whose files had to go to make room. A full disk stores nothing."""
        prefix = tuple(token for before in node.path()[:-1] for token in before.tokens)
        metadata = {"prefix": json.dumps(prefix), "run": json.dumps(node.tokens)}
        arrays = {f"{side}.{at}": array for at, pair in enumerate(run.layers) for side, array in enumerate(pair)}
        draft = self._directory / "draft.safetensors"
        try:
            mx.save_safetensors(str(draft), arrays, metadata)  # pyright: ignore[reportUnknownMemberType] - returns nothing
            draft.chmod(0o600)
            name = sha256(json.dumps((*prefix, *node.tokens)).encode()).hexdigest()[:32]
            path = self._directory / f"{name}-{_checksum(draft):08x}.safetensors"
            draft.replace(path)
            file = _File(path, path.stat().st_size)
        except _UNREADABLE:
            _unlink(draft)
            return []
        self._files[node] = file
        self.stored_bytes += file.size_bytes
        for used in reversed(node.path()):  # What a run follows is never older than the run.
            self.use(used)
        return self._make_room()

    def load(self, node: Node[KvRun]) -> KvRun | None:
        """Return the run, or None where its file is gone or damaged; then it is forgotten too."""
        file = self._files.get(node)
        if file is None:
            return None
        try:
            if f"{_checksum(file.path):08x}" != file.path.stem.rpartition("-")[2]:
                self.forget(node)
                return None
            arrays = mx.load(str(file.path))
            assert isinstance(arrays, dict)  # noqa: S101 - of a safetensors file it is
            run = KvRun(tuple((arrays[f"0.{at}"], arrays[f"1.{at}"]) for at in range(len(arrays) // 2)))
            mx.eval(run.layers)  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments
        except _UNREADABLE:
            self.forget(node)
            return None
        return run

    def forget(self, node: Node[KvRun]) -> None:
        """Remove a run's file; one that is not held is ignored."""
        if file := self._files.pop(node, None):
            self.stored_bytes -= file.size_bytes
            _unlink(file.path)

    def _make_room(self) -> list[Node[KvRun]]:
        gone: list[Node[KvRun]] = []
        while self.stored_bytes > self._limit_bytes:
            node = next(iter(self._files))
            self.forget(node)
            gone.append(node)
        return gone


def _attach(tree: PrefixTree[KvRun], prefix: tuple[int, ...], run: tuple[int, ...]) -> Node[KvRun] | None:
    """Put a run behind its prefix; None where that is not all there, or something else stands in its place."""
    path, length = tree.match(prefix)
    parent = path[-1] if path else tree.root
    if length < len(prefix) or sum(len(node.tokens) for node in path) > length or run[0] in parent.children:
        return None
    node = Node[KvRun](parent, run, None)
    parent.children[run[0]] = node
    return node


def _tokens(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the tokens before a file's run and those of the run, from its header."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        header = msgspec.json.decode(stream.read(min(length, _HEADER_LIMIT_BYTES)), type=_Header)
    prefix = msgspec.json.decode(header.metadata.prefix, type=tuple[int, ...])
    run = msgspec.json.decode(header.metadata.run, type=tuple[int, ...])
    if not run:
        raise ValueError("a run of no tokens")
    return prefix, run


def _checksum(path: Path) -> int:
    checksum = 0
    for block in _blocks(path):
        checksum = zlib.crc32(block, checksum)
    return checksum


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(1024 * 1024):
            yield block


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
