"""Do engines and their requests fit the machine's memory? Pure arithmetic on what the files' headers say.

What is counted, against the working set that the device recommends:

    reserve                       activations of a step, and what is not the engines'
    + for each engine  fixed      weights, MLX's pool of free buffers, the prefix cache
                       + cache    2 x rows x longest row x bytes of a token, never less than its floor

mlx-lm keeps a batch's keys and values as one rectangle, so the longest row decides what each row takes, rounded up to
256 tokens. When a row joins or leaves, the new rectangle is written while the old one is still there: hence twice
(measured: 1.1 to 1.9 times the larger of the two).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.contracts.variants import EngineSpec

_GIB = 1024**3
_KIB = 1024
_FLOAT32_BITS = 32
_SCALE_AND_BIAS_BITS = 32
"""One float16 scale and one float16 bias a group."""
_OWN_RATIO = 0.9
"""Of a process's footprint, what is its own."""
KV_BLOCK_TOKENS = 256
"""mlx-lm's key-value cache grows by so many."""
NEAR_LIMIT_RATIO = 0.9
"""Of the working set. Near it MLX slows down: 2.3 times was seen."""
_RECTANGLES = 2
"""The one that is, and the one that a join or a removal makes of it."""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """The memory of one engine."""

    fixed_bytes: int
    kv_floor_bytes: int
    """Kept for it whether or not it runs anything, so that it can always run something."""
    kv_planned_bytes: int = 0
    """What the requests that it runs take at most."""

    @property
    def held_bytes(self) -> int:
        return self.fixed_bytes + max(self.kv_floor_bytes, self.kv_planned_bytes)


def resident_bytes(spec: EngineSpec, *, dequantise: bool) -> int:
    """Return the bytes of weights that a load makes resident.

    Quantised weights take `bits + 32 / group_size` bits each as stored; a device without quantised kernels holds them
    as float32, and half-precision weights likewise.
    """
    if not dequantise:
        return spec.weights_bytes
    quantization = spec.quantization
    stored_bits = (
        quantization.bits + _SCALE_AND_BIAS_BITS / quantization.group_size if quantization else _FLOAT32_BITS / 2
    )
    return round(spec.weights_bytes * _FLOAT32_BITS / stored_bits)


def resident_kv_bytes_per_token(spec: EngineSpec, *, dequantise: bool) -> int:
    """Return the bytes of one token of one row: twice the 16-bit figure where the arithmetic is float32."""
    return spec.kv_bytes_per_token * (2 if dequantise and spec.kv_bits is None else 1)


def planned_kv_bytes(rows: Iterable[int], bytes_per_token: int) -> int:
    """Return what rows of so many tokens each take at most, in the moment of a join or a removal."""
    lengths = list(rows)
    if not lengths:
        return 0
    blocks = -(-max(lengths) // KV_BLOCK_TOKENS)
    return _RECTANGLES * len(lengths) * blocks * KV_BLOCK_TOKENS * bytes_per_token


def longest_row_tokens(kv_bytes: int, bytes_per_token: int) -> int:
    """Return the tokens of the longest row that fits alone: the inverse of `planned_kv_bytes` for one row."""
    return kv_bytes // (_RECTANGLES * KV_BLOCK_TOKENS * max(bytes_per_token, 1)) * KV_BLOCK_TOKENS


@dataclass(frozen=True, kw_only=True)
class Share:
    """What an engine process is told of the budget, once at its start."""

    memory_limit_bytes: int
    """What MLX may take at most: all that engines may have together, for the others may leave."""
    prefix_cache_bytes: int


@dataclass(frozen=True, kw_only=True)
class Machine:
    limit_bytes: int
    """The working set that the device recommends."""
    reserve_bytes: int

    def kv_room_bytes(self, own: Holding, others: Iterable[Holding] = ()) -> int:
        """Return what an engine may plan for its requests, beside what the others hold now."""
        held_bytes = sum(other.held_bytes for other in others)
        return self.limit_bytes - self.reserve_bytes - own.fixed_bytes - held_bytes


def memory_is_back(*, needed_bytes: int, held_bytes: int, before_bytes: int, now_bytes: int) -> bool:
    """Say whether the machine shows as free what a process held that has ended, or as much as is needed anyway.

    `before_bytes` were free while it lived, and `now_bytes` are. Not all of what it held need come back: pages that it
    shared are not its own.
    """
    return now_bytes >= needed_bytes or now_bytes - before_bytes >= _OWN_RATIO * held_bytes


def shortfall(needed: Holding, loaded: Sequence[Holding], machine: Machine) -> str | None:
    """Return None where the engine fits beside those that are loaded, else the arithmetic in words."""
    held_bytes = sum(holding.held_bytes for holding in loaded)
    total_bytes = needed.held_bytes + held_bytes + machine.reserve_bytes
    if total_bytes <= machine.limit_bytes:
        return None
    return (
        f"{gib(needed.fixed_bytes)} for its weights and buffers, {gib(needed.kv_floor_bytes)} for its first requests, "
        f"{gib(held_bytes)} for {len(loaded)} loaded engine(s) and {gib(machine.reserve_bytes)} of reserve make "
        f"{gib(total_bytes)}, over the limit of {gib(machine.limit_bytes)}"
    )


def never_fits(tokens: int, bytes_per_token: int, own: Holding, machine: Machine) -> str | None:
    """Return None where a request of so many tokens fits while nothing else is loaded, else the arithmetic in words."""
    needed_bytes = planned_kv_bytes([tokens], bytes_per_token)
    room_bytes = machine.kv_room_bytes(own)
    if needed_bytes <= room_bytes:
        return None
    return (
        f"{tokens} tokens of {bytes_per_token / _KIB:.0f} KiB, twice while rows join and leave, take "
        f"{gib(needed_bytes)}, and of {gib(machine.limit_bytes)} the engine's {gib(own.fixed_bytes)} and "
        f"{gib(machine.reserve_bytes)} of reserve leave {gib(max(0, room_bytes))}"
    )


def gib(count: int) -> str:
    return f"{count / _GIB:.2f} GiB"
