"""Does an engine fit the machine's memory? Pure arithmetic on what the files' headers say."""

from collections.abc import Sequence

from gateway.contracts.variants import EngineSpec

_GIB = 1024**3
_FLOAT32_BITS = 32
_SCALE_AND_BIAS_BITS = 32
"""One float16 scale and one float16 bias a group."""


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


def shortfall(needed_bytes: int, *, loaded_bytes: Sequence[int], limit_bytes: int, reserve_bytes: int) -> str | None:
    """Return None where the engine fits beside those that are loaded, else the arithmetic in words."""
    total = needed_bytes + sum(loaded_bytes) + reserve_bytes
    if total <= limit_bytes:
        return None
    return (
        f"{_gib(needed_bytes)} for its weights, {_gib(sum(loaded_bytes))} for {len(loaded_bytes)} loaded engine(s) and "
        f"{_gib(reserve_bytes)} of reserve make {_gib(total)}, over the limit of {_gib(limit_bytes)}"
    )


def _gib(count: int) -> str:
    return f"{count / _GIB:.2f} GiB"
