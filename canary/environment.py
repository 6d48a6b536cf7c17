"""The machine and the software that an evaluation's numbers belong to."""

import functools
import hashlib
import importlib.metadata
import platform
from pathlib import Path

import msgspec
import psutil

from gateway.contracts import digests
from gateway.contracts.evaluations import Environment, Evaluation
from gateway.contracts.host import HostRecord

_PACKAGES = ("gateway-canary", "mlx", "mlx-lm", "numpy", "scipy", "google-re2")


def read_environment() -> Environment:
    """Describe this machine, which is the gateway's as long as the gateway is addressed on loopback."""
    return Environment(
        platform=platform.platform(),
        processor=_processor(),
        memory_bytes=psutil.virtual_memory().total,
        versions={"python": platform.python_version()} | _installed_versions() | {"code": code_digest()},
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


@functools.cache
def code_digest() -> str:
    """Return the digest, short, of all that this program and the gateway's are written in, as installed here."""
    packages = [Path(__file__).parent, Path(digests.__file__).parents[1]]
    files = {str(file.relative_to(package.parent)): file for package in packages for file in package.rglob("*.py")}
    content = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    return digests.short(digests.digest_of(content))


def _processor() -> str:
    """Return the processor's name; Linux tells it in a file alone."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
