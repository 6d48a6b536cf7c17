"""Find a good BLAS for the engines on Linux: the one in MLX's wheel is netlib's reference, 20 times slower on prompts.

MLX needs three symbols of it, so a system library that exports them is preloaded into the child; nothing is linked.
macOS has Accelerate and Metal, and preloads nothing.
"""

import mmap
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

INSTALL_HINT = "apt install libopenblas0-pthread (Debian, Ubuntu) or dnf install openblas-threads (Fedora)"

_PATTERNS = (
    # Debian and Ubuntu, by architecture.
    "lib/*-linux-gnu/openblas-pthread/libblas.so.3",
    "lib/*-linux-gnu/openblas-openmp/libblas.so.3",
    "lib/*-linux-gnu/openblas-serial/libblas.so.3",
    # Fedora, openSUSE.
    "lib64/libopenblasp.so.0",
    "lib64/libopenblaso.so.0",
    "lib64/libopenblas.so.0",
    # Arch.
    "lib/libopenblas.so",
)
_NEEDED_SYMBOL = b"\0cblas_sgemm\0"
_SIBLINGS = "devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"


def find_blas(usr: Path = Path("/usr")) -> Path | None:
    """Return a library to preload, the best first, or None where there is none or the system needs none."""
    if platform.system() != "Linux":
        return None
    kind = _elf_kind(Path(sys.executable))
    candidates = (path for pattern in _PATTERNS for path in sorted(usr.glob(pattern)))
    return next((path for path in candidates if _exports_cblas(path) and _elf_kind(path) == kind), None)


def engine_environment(base: Mapping[str, str], blas: Path | None) -> dict[str, str]:
    """Return the environment of an engine process or a job: `base`, with the library preloaded.

    OpenBLAS gets a thread for each physical core, unless `base` says how many; two on one core only contend.
    """
    environment = dict(base)
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")  # One text at a time needs no pool of threads.
    if blas is None:
        return environment
    preloaded = base.get("LD_PRELOAD")
    environment["LD_PRELOAD"] = f"{blas}:{preloaded}" if preloaded else str(blas)
    environment.setdefault("OPENBLAS_NUM_THREADS", str(physical_core_count()))
    return environment


def physical_core_count(sysfs: Path = Path("/sys")) -> int:
    """Return the physical cores among the processors that this process may run on (Linux), at least 1."""
    processors = os.sched_getaffinity(0)
    cores = {_core(sysfs / _SIBLINGS.format(cpu=cpu), cpu) for cpu in processors}
    return max(len(cores), 1)


def _core(siblings: Path, cpu: int) -> str:
    """Return a name that the hyper-threads of one core share; a kernel that says nothing leaves each its own."""
    try:
        return siblings.read_text().strip()
    except OSError:
        return str(cpu)


def _elf_kind(binary: Path) -> tuple[bytes, bytes]:
    """Return the class and byte order, and the machine, of an ELF file: a library of another kind cannot be loaded."""
    with binary.open("rb") as file:
        header = file.read(20)
    return header[4:6], header[18:20]


def _exports_cblas(library: Path) -> bool:
    """Whether the ELF file's string tables name the symbol: a library that only uses it is none of the candidates."""
    try:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(_NEEDED_SYMBOL) >= 0
    except (OSError, ValueError):  # Unreadable, or empty.
        return False
