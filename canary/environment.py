"""The machine and the software that an evaluation's numbers belong to."""

import importlib.metadata
import platform
from pathlib import Path

import msgspec
import psutil

from gateway.contracts.evaluations import Environment, Evaluation
from gateway.contracts.host import HostRecord

_PACKAGES = ("gateway-canary", "mlx", "mlx-lm", "numpy", "scipy", "google-re2")


def read_environment() -> Environment:
    """Describe this machine, which is the gateway's as long as the gateway is addressed on loopback."""
    return Environment(
        platform=platform.platform(),
        processor=_processor(),
        memory_bytes=psutil.virtual_memory().total,
        versions={"python": platform.python_version()} | _installed_versions(),
    )


def with_host(evaluation: Evaluation, host: HostRecord) -> Evaluation:
    """Return the record with the machine that its engines ran on."""
    environment = msgspec.structs.replace(evaluation.environment, host=host)
    return msgspec.structs.replace(evaluation, environment=environment)


def _installed_versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _processor() -> str:
    """Return the processor's name; Linux tells it in a file alone."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
