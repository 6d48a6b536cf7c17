"""Where and with what a benchmark ran: a figure without these means nothing."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import msgspec
import psutil

from gateway.fleet.blas import find_blas

_PACKAGES = ("mlx", "mlx-lm", "litestar", "uvicorn", "msgspec")
_ROOT = Path(__file__).parents[2]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    commit: str
    """With `+changes` where the working tree is not it."""
    chip: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    blas: str
    packages: dict[str, str]
    load_before: float
    """Of the last minute, by the system's count of runnable processes; a busy machine measures itself."""


def describe() -> Environment:
    return Environment(
        commit=_commit(),
        chip=_chip(),
        cores=psutil.cpu_count(logical=True) or 0,
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        blas=_blas(),
        packages={name: version(name) for name in _PACKAGES},
        load_before=psutil.getloadavg()[0],
    )


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)  # noqa: S607
        return done.stdout.strip()

    return f"{git('rev-parse', '--short=12', 'HEAD') or 'unknown'}{'+changes' if git('status', '--porcelain') else ''}"


def _chip() -> str:
    if platform.system() == "Darwin":
        return str(mx.device_info().get("device_name", ""))
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _blas() -> str:
    if mx.metal.is_available():
        return "Metal"
    found = find_blas()
    return str(found.name) if found else "MLX's own"
