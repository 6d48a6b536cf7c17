"""Describe the machine that the engines run on: on macOS by its own commands, elsewhere by psutil."""

import asyncio
import platform
import re
import sys
from pathlib import Path

import psutil

from gateway.contracts.host import Host, HostState

_COMMAND_TIMEOUT_S = 5.0
_POWER = re.compile(r"Now drawing from '([^']+)'")
_LIMIT = re.compile(r"(CPU_Speed_Limit|CPU_Scheduler_Limit)\s*=\s*(\d+)")
_WARNING = re.compile(r"(thermal|performance) warning level\s*(?:=|is|:)\s*(\d+)", re.IGNORECASE)
_UNLIMITED = 100


async def read_host(limit_bytes: int) -> Host:
    """Return this machine as it is now; `limit_bytes` is the working set that the gateway counts with."""
    on_mac = sys.platform == "darwin"
    return Host(
        chip=(await said("sysctl", "-n", "machdep.cpu.brand_string")).strip() or platform.machine()
        if on_mac
        else _processor(),
        memory_bytes=psutil.virtual_memory().total,
        limit_bytes=limit_bytes,
        os_version=f"macOS {platform.mac_ver()[0]}" if on_mac else f"{platform.system()} {platform.release()}",
        state=HostState(
            power_source=power_source(await said("pmset", "-g", "batt")) if on_mac else _battery(),
            thermal_state=thermal_state(await said("pmset", "-g", "therm")) if on_mac else None,
            swap_used_bytes=psutil.swap_memory().used,
        ),
    )


def power_source(batt: str) -> str | None:
    """Read the answer of `pmset -g batt`: `Now drawing from 'AC Power'`, with or without a battery below it."""
    found = _POWER.search(batt)
    return found[1] if found else None


def thermal_state(therm: str) -> str | None:
    """Read the answer of `pmset -g therm`: `nominal`, or what is limited; None where it says neither.

    A cool machine notes that nothing has been recorded. A hot one gives warning levels, and limits below 100 per cent.
    """
    limits = [(name, int(percent)) for name, percent in _LIMIT.findall(therm)]
    limited = [f"{name} {percent}" for name, percent in limits if percent < _UNLIMITED]
    warnings = [f"{kind.lower()} warning level {level}" for kind, level in _WARNING.findall(therm) if level != "0"]
    if limited or warnings:
        return ", ".join((*warnings, *limited))
    return "nominal" if limits or "No thermal warning level has been recorded" in therm else None


def _battery() -> str | None:
    # Where the system has no batteries psutil lacks the function, or says None.
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is None:
        return None
    return "AC Power" if battery.power_plugged else "Battery Power"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


async def said(*command: str) -> str:
    """Return what a command of the system prints; nothing where it is missing, fails or hangs."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_COMMAND_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return output.decode(errors="replace") if process.returncode == 0 else ""
