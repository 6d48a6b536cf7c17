"""The one place that knows about Metal and its absence: the device, its limits, its memory, what is done without it.

Nothing here has run on a Mac yet: the branches under `has_metal` are written after MLX's and Apple's documentation.
"""

import ctypes
import platform
import struct
from typing import cast

import mlx.core as mx
import msgspec
import psutil
from mlx import nn

from gateway.contracts.admin import EngineMemory

_RUSAGE_INFO_V0 = struct.Struct("16s10Q")  # sys/resource.h, struct rusage_info_v0
_PHYS_FOOTPRINT = 8
"""Its index; the identifier counts as one."""
_PROCESS = psutil.Process()


class Device(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """`metal` or `cpu`."""
    chip: str
    recommended_working_set_bytes: int | None
    """As Metal says; None without it."""


def has_metal() -> bool:
    return mx.metal.is_available()


def describe() -> Device:
    about = mx.device_info()
    working_set = about.get("max_recommended_working_set_size")
    return Device(
        name="metal" if has_metal() else "cpu",
        chip=str(about.get("device_name") or platform.machine()),
        recommended_working_set_bytes=int(working_set) if working_set else None,
    )


def set_limits(*, cache_limit_bytes: int | None, memory_limit_bytes: int | None) -> None:
    """Set MLX's limits, once for the process: nothing that runs in it sets one again."""
    if cache_limit_bytes is not None:
        mx.set_cache_limit(cache_limit_bytes)
    if memory_limit_bytes is not None:
        mx.set_memory_limit(memory_limit_bytes)
    working_set = describe().recommended_working_set_bytes
    if working_set is not None:
        mx.set_wired_limit(working_set)


def limits() -> dict[str, int]:
    """Return what is set: each of MLX's setters answers with the limit before it, which is then set again."""
    wired_bytes = mx.set_wired_limit(0)
    memory_bytes = mx.set_memory_limit(0)
    mx.set_wired_limit(wired_bytes)
    mx.set_memory_limit(memory_bytes)
    return {"wired_bytes": wired_bytes, "memory_bytes": memory_bytes}


def prepare_weights(model: nn.Module) -> bool:
    """Make a loaded (lazy is best) model fit for this device and return whether it was dequantised.

    Without Metal, quantised kernels run at a fraction of a token a second and half precision is slow, in bfloat16
    wrong too. So everything floating becomes float32, scales and biases first: then each weight is exactly the value
    that its quantised form stands for, and keeps its quantisation error.
    """
    if has_metal():
        return False
    # mlx-lm's names are imported here so that the probe, which asks this module too, does without its 3 s.
    from mlx_lm.utils import dequantize_model  # noqa: PLC0415

    quantised = any(hasattr(module, "bits") for module in cast("list[nn.Module]", model.modules()))
    model.set_dtype(mx.float32)
    if quantised:
        dequantize_model(model)
    return quantised


def memory() -> EngineMemory:
    """Return MLX's active and cached bytes, its peak since `forget_peak`, and the process's footprint."""
    peak_bytes = mx.get_peak_memory()
    return EngineMemory(
        active_bytes=mx.get_active_memory(),
        cache_bytes=mx.get_cache_memory(),
        peak_bytes=peak_bytes,
        busy_peak_bytes=peak_bytes,
        footprint_bytes=footprint_bytes(),
    )


def forget_peak() -> None:
    """Have the peak begin anew at what is active now."""
    mx.reset_peak_memory()


def footprint_bytes() -> int:
    """Return the physical footprint on macOS, which counts compressed memory and Metal's; elsewhere the RSS."""
    if platform.system() == "Darwin":
        usage = ctypes.create_string_buffer(_RUSAGE_INFO_V0.size)
        if ctypes.CDLL(None).proc_pid_rusage(_PROCESS.pid, 0, usage) == 0:
            return _RUSAGE_INFO_V0.unpack(usage.raw)[_PHYS_FOOTPRINT]
    return _PROCESS.memory_info().rss
