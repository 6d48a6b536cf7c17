"""The key-value cache of a run of tokens, cut out of a row's cache and put back into one."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import msgspec
from mlx_lm.models.cache import KVCache


class KvRun(msgspec.Struct, frozen=True):
    """Keys and values of consecutive tokens: one pair a layer, each 1 x heads x tokens x head size, and evaluated."""

    layers: tuple[tuple[mx.array, mx.array], ...]

    @property
    def size_bytes(self) -> int:
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)


def can_be_cut(cache: Sequence[Any]) -> bool:
    """Say whether any run of tokens can be taken from such a cache: a rotating or recurrent one has its last state."""
    return all(type(layer) is KVCache for layer in cache)


def bytes_per_token(cache: Sequence[Any]) -> float:
    """Return what one token of a row's cache takes; 1 for a cache of bounded length, whose padding costs little."""
    if not can_be_cut(cache) or any(layer.keys is None for layer in cache):
        return 1.0
    return sum(layer.nbytes / layer.keys.shape[2] for layer in cache)


def growths(layers: int) -> list[int]:
    """Return by how many tokens each layer's cache is to grow where it is full.

    To grow copies all that it holds, so the layers take turns: in one step they would hold the streams up.
    """
    return [KVCache.step - at * KVCache.step // (2 * layers) for at in range(layers)]


def cut(cache: Sequence[Any], start: int, end: int) -> KvRun:
    """Return a copy of the tokens from `start` to `end` of a row's cache, one `KVCache` a layer."""
    return _copy([(layer.keys, layer.values) for layer in cache], start, end)


def divide(run: KvRun, length: int) -> tuple[KvRun, KvRun]:
    """Return copies of the first `length` tokens and of the rest, so that either can be freed."""
    end = run.layers[0][0].shape[2]
    return _copy(run.layers, 0, length), _copy(run.layers, length, end)


def joined(runs: Sequence[KvRun], length: int) -> list[KVCache]:
    """Return a row's cache that holds the first `length` tokens of the runs, one after the other."""
    cache: list[KVCache] = []
    for parts in zip(*(run.layers for run in runs), strict=True):
        layer = KVCache()
        layer.keys = mx.concatenate([keys for keys, _ in parts], axis=2)[..., :length, :]
        layer.values = mx.concatenate([values for _, values in parts], axis=2)[..., :length, :]
        layer.offset = length
        cache.append(layer)
    return cache


def _copy(layers: Sequence[tuple[mx.array, mx.array]], start: int, end: int) -> KvRun:
    # A slice shares the buffer that it was taken from, and would keep all of it.
    run = KvRun(
        tuple(
            (mx.contiguous(keys[..., start:end, :]), mx.contiguous(values[..., start:end, :]))
            for keys, values in layers
        )
    )
    mx.eval(run.layers)  # pyright: ignore[reportUnknownMemberType] - its stub types no arguments
    return run
