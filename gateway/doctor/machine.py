"""The machine: chip, memory, system, Python, MLX and Metal, power, limits; on macOS what slows a server or stops it."""

import platform
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.contracts.host import Host
from gateway.contracts.jobs import ProbeRequest
from gateway.doctor.finding import Finding, failure, not_checked, ok, warning
from gateway.errors import GatewayError
from gateway.fleet.blas import INSTALL_HINT, find_blas
from gateway.fleet.budget import gib
from gateway.fleet.jobs import run_job, unwatched
from gateway.host import said
from gateway.settings import GIB, MIB, EngineSettings

_PROBE_TIMEOUT_S = 60.0
_OLDEST_MACOS = 14
"""That MLX's wheels are made for."""
_WIRING_MACOS = 15
"""Since which a process may keep its memory wired."""
_LEAST_FILES = 1024
_MOST_WIRED_RATIO = 0.9
"""Of the memory: what the system needs for itself is beyond it."""
_MUCH_SWAP_BYTES = GIB
_SETTING = r"^\s*{name}\s+(\d+)"


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine would run on, as `gateway.engine.probe` tells it."""

    device: str
    """`metal` or `cpu`."""
    chip: str
    recommended_working_set_bytes: int | None
    mlx: str
    mlx_lm: str


class MacSettings(msgspec.Struct, frozen=True, kw_only=True):
    """None of what this Mac does not say."""

    wired_limit_mb: int | None = None
    """`iogpu.wired_limit_mb`; 0 is the system's own."""
    sleep_min: int | None = None
    """Minutes until it sleeps; 0 is never."""
    low_power: bool = False


async def probe_device() -> Probe | str:
    """Return what MLX says of the device, or why it says nothing. A child process imports MLX, and loads no model."""
    try:
        result = await run_job(
            "gateway.engine.probe",
            ProbeRequest(),
            on_progress=unwatched,
            timeout_s=_PROBE_TIMEOUT_S,
        )
        return msgspec.convert(result, Probe)
    except GatewayError as error:
        return error.message


async def read_mac() -> MacSettings:
    return mac_settings(await said("pmset", "-g"), await said("sysctl", "-n", "iogpu.wired_limit_mb"))


def mac_settings(pmset: str, wired_limit: str) -> MacSettings:
    """Read the answers of `pmset -g` and `sysctl -n iogpu.wired_limit_mb`."""
    # Newer systems say powermode, where 1 is low; older ones lowpowermode.
    low = _number(pmset, "lowpowermode") or _number(pmset, "powermode")
    return MacSettings(
        wired_limit_mb=int(wired_limit) if wired_limit.strip().isdecimal() else None,
        sleep_min=_number(pmset, "sleep"),
        low_power=low == 1,
    )


def examine_machine(
    host: Host, probe: Probe | str, mac: MacSettings | None, engine: EngineSettings
) -> Iterator[Finding]:
    """Yield what there is to say of the machine; `mac` is None elsewhere."""
    yield _system(host)
    yield _python()
    yield from _device(probe, on_mac=mac is not None)
    yield _wired_limit(host, mac)
    yield from _power(host, mac)
    yield _swap(host)
    yield _open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield _blas(engine, on_linux=sys.platform == "linux")


def _system(host: Host) -> Finding:
    about = f"{host.chip}, {gib(host.memory_bytes)}, {host.os_version}"
    name, _, version = host.os_version.partition(" ")
    major = version.partition(".")[0]
    if name != "macOS" or not major.isdecimal():
        return ok("machine", about)
    if platform.machine() != "arm64":
        remedy = "install a Python for arm64; MLX runs on Apple silicon only, and not under Rosetta"
        return failure("machine", f"{about}; this Python is built for {platform.machine()}", remedy)
    if int(major) < _OLDEST_MACOS:
        return failure("machine", about, f"update to macOS {_OLDEST_MACOS} or later, which MLX needs")
    if int(major) < _WIRING_MACOS:
        remedy = f"update to macOS {_WIRING_MACOS}: before it, weights that are not used for a while are paged out"
        return warning("machine", about, remedy)
    return ok("machine", about)


def _python() -> Finding:
    return ok("python", f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")


def _device(probe: Probe | str, *, on_mac: bool) -> Iterator[Finding]:
    if isinstance(probe, str):
        yield failure("mlx", probe, "install the package again: `pip install --force-reinstall mlx mlx-lm`")
        return
    yield ok("mlx", f"mlx {probe.mlx}, mlx-lm {probe.mlx_lm}")
    if probe.device == "metal":
        recommended = probe.recommended_working_set_bytes
        yield ok("metal", f"{probe.chip}, recommended working set {gib(recommended) if recommended else 'unknown'}")
    elif on_mac:
        remedy = "run as a user who is logged in, outside a virtual machine, with a Python for arm64"
        yield failure("metal", "MLX finds no Metal device", remedy)
    else:
        remedy = "serve on a Mac; here answers carry the quantisation error, and times are not the product's"
        yield warning("metal", "no Metal: weights are dequantised at load and decoded by the CPU", remedy)


def _wired_limit(host: Host, mac: MacSettings | None) -> Finding:
    name = "wired limit"
    if mac is None:
        return not_checked(name, "iogpu.wired_limit_mb is macOS's")
    if mac.wired_limit_mb is None:
        return not_checked(name, "sysctl does not know iogpu.wired_limit_mb")
    if mac.wired_limit_mb == 0:
        return ok(name, "iogpu.wired_limit_mb is 0: the system's own")
    wired_bytes = mac.wired_limit_mb * MIB
    about = f"iogpu.wired_limit_mb is {mac.wired_limit_mb}, {gib(wired_bytes)} of {gib(host.memory_bytes)}"
    if wired_bytes > _MOST_WIRED_RATIO * host.memory_bytes:
        remedy = "lower it with `sudo sysctl iogpu.wired_limit_mb=N`: the system needs the rest, and may panic without"
        return warning(name, about, remedy)
    return ok(name, f"{about}; it is forgotten at the next start of the Mac")


def _power(host: Host, mac: MacSettings | None) -> Iterator[Finding]:
    source, thermal = host.state.power_source, host.state.thermal_state
    if source is None:
        yield not_checked("power", "the system tells of no power source")
    elif source == "AC Power" and not (mac is not None and mac.low_power):
        yield ok("power", source)
    else:
        seen = f"{source}{', low power mode' if mac is not None and mac.low_power else ''}"
        yield warning("power", seen, "plug the machine in and turn low power mode off: both slow the GPU down")
    if mac is None:
        return
    if thermal is None:
        yield not_checked("heat", "pmset does not tell")
    elif thermal == "nominal":
        yield ok("heat", thermal)
    else:
        yield warning("heat", thermal, "let the machine cool down before times are measured or compared")
    if mac.sleep_min is None:
        yield not_checked("sleep", "pmset does not tell")
    elif mac.sleep_min == 0:
        yield ok("sleep", "the Mac does not sleep by itself")
    else:
        seen = f"the Mac sleeps after {mac.sleep_min} min without a user, and requests with it"
        yield warning("sleep", seen, "keep it awake: `sudo pmset -c sleep 0`")


def _swap(host: Host) -> Finding:
    used_bytes = host.state.swap_used_bytes or 0
    if used_bytes > _MUCH_SWAP_BYTES:
        return warning("swap", f"{gib(used_bytes)} in use", "close what takes memory; a model that is paged out crawls")
    return ok("swap", f"{gib(used_bytes)} in use")


def _open_files(limit: int) -> Finding:
    if 0 <= limit < _LEAST_FILES:  # RLIM_INFINITY is negative on some systems
        remedy = "raise it before the start: `ulimit -n 8192`; `gateway service install` does it for the service"
        return warning("open files", f"at most {limit}, and each client takes one", remedy)
    return ok("open files", f"at most {limit}" if limit >= 0 else "unlimited")


def _blas(engine: EngineSettings, *, on_linux: bool) -> Finding:
    if not on_linux:
        return ok("blas", "the system's own")
    if engine.blas == "none":
        remedy = "set engine.blas to `auto`, unless that is meant"
        return warning("blas", "engine.blas is `none`: MLX's own, which is slow", remedy)
    if engine.blas != "auto":
        found = Path(engine.blas)
        if not found.is_file():
            remedy = "correct the path, or set it to `auto`"
            return failure("blas", f"engine.blas names {found}, which does not exist", remedy)
        return ok("blas", str(found))
    found = find_blas()
    if found is None:
        return warning("blas", "no fast BLAS was found, so models are slow here", INSTALL_HINT)
    return ok("blas", str(found))


def _number(text: str, name: str) -> int | None:
    found = re.search(_SETTING.format(name=name), text, re.MULTILINE)
    return int(found[1]) if found else None
