"""Every check in order: the machine, what is served, where it is kept, who can reach it, who watches it."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from gateway.doctor.finding import Finding
from gateway.doctor.machine import Probe, examine_machine, probe_device, read_mac
from gateway.doctor.models import examine_memory, examine_models
from gateway.doctor.place import examine_keys, examine_state
from gateway.doctor.prometheus import examine_prometheus
from gateway.doctor.reach import examine_port, find_gateway
from gateway.fleet.memory import MachineMemory
from gateway.host import read_host
from gateway.registry import lock_holder, read_registry
from gateway.settings import Settings


async def examine(
    settings: Settings, *, environ: Mapping[str, str], prometheus_url: str | None, probe: Probe | str | None = None
) -> list[Finding]:
    """Return all findings. Nothing is changed; `probe` is asked for where it is not given."""
    state_dir = Path(settings.state_dir)
    if probe is None:
        probe = await probe_device()
    host = await read_host(MachineMemory(settings).machine.limit_bytes)
    mac = await read_mac() if sys.platform == "darwin" else None
    holder = lock_holder(state_dir)
    registry = await asyncio.to_thread(read_registry, state_dir)
    running = await find_gateway(settings.server)
    model_findings, served = await examine_models(settings, registry)
    largest_bytes = max((each.engine.disk_bytes for each in served), default=0)
    available_bytes = psutil.virtual_memory().available
    is_running = running is not None or holder is not None
    return [
        *examine_machine(host, probe, mac, settings.engine),
        *model_findings,
        *examine_memory(settings, served, probe, available_bytes=available_bytes, running=is_running),
        *examine_state(state_dir, registry, holder=holder, largest_model_bytes=largest_bytes),
        *examine_keys(settings, registry, environ),
        *examine_port(settings.server, running, holder=holder),
        *await examine_prometheus(settings.server, prometheus_url),
    ]
